"""One run from its config to its result: checks, builds the parts, connects the sinks, trains, writes."""

import contextlib
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlrun
from dlrun.config import Config, Layers, Target, identity
from dlrun.environment import git_state, versions
from dlrun.errors import DlrunError, Interrupted, RunFailed, UsageError
from dlrun.events import Event, Metrics, Sink
from dlrun.folders import finished, hold, logged_to, write_config
from dlrun.precision import Precision, pick_device, set_determinism, set_threads, settle_precision
from dlrun.result import Result, read_history

if TYPE_CHECKING:
    import torch

    from dlrun.data.dataset import Dataset, Split
    from dlrun.data.prepare import Prepare
    from dlrun.training import Settings, State

log = logging.getLogger("dlrun")

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]


def check(config: Config) -> None:
    """Find every mistake that can be found without PyTorch: data that are missing, layers that can't fit.

    Raises:
        ConfigError, DataError: The first mistake found.
    """
    from dlrun.data.facts import facts, locate
    from dlrun.models.phrases import plan

    if isinstance(config.data, Target):
        return
    known = facts(config.data)
    if isinstance(config.model, Layers):
        plan(config.model, known.shape, len(known.classes))
    locate(config.data)


def run(
    config: Config,
    run_dir: Path,
    overrides: Sequence[str] = (),
    watch: Callable[["Parts"], contextlib.AbstractContextManager[list[Sink]]] | None = None,
) -> Result:
    """Train one model in `run_dir`, or go on with it; a completed run is not trained again.

    Args:
        overrides: What was typed, kept for the record.
        watch: Gives further sinks, such as the console's, once the parts are built.

    Raises:
        UsageError: A mistake in the config, missing data, or a folder that belongs to another run.
        RunFailed: Training failed; `result.json` and `run.log` say why.
        Interrupted: A signal stopped it; the state is saved.
    """
    started = time.perf_counter()
    config = settle_precision(config)
    check(config)
    run_dir.mkdir(parents=True, exist_ok=True)
    with hold(run_dir), logged_to(run_dir / "run.log"), noticing_signals() as noticed:
        _refuse_foreign(run_dir, identity(config))
        done = finished(run_dir, identity(config))
        if done is not None:
            log.info("already complete")
            return done
        parts = build(config)
        resume(parts, run_dir)
        write_config(run_dir, config, overrides)
        return _train_and_report(parts, run_dir, overrides, watch, noticed, started)


def _refuse_foreign(run_dir: Path, hash: str) -> None:
    """A folder keeps one run: another hash in it means that something would be overwritten."""
    from dlrun.config import parse
    from dlrun.folders import read_yaml

    if not (run_dir / "config.yaml").exists():
        return
    there = identity(parse(read_yaml(run_dir / "config.yaml")))
    if there != hash:
        raise UsageError(
            f"{run_dir}: holds another run ({there}, this one is {hash}); "
            "choose another hydra.run.dir, or extend that run with dlrun resume"
        )


@dataclass
class Parts:
    """What a run is made of, on its device."""

    config: Config
    hash: str
    dataset: "Dataset"
    train: "Split"
    evaluated: "Split"
    test: "Split"
    prepare: "Prepare"
    prepare_evaluated: "Prepare"
    state: "State"
    settings: "Settings"
    threads: int
    parameters: dict[str, int]

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.train) / self.config.batch_size)

    def factor(self, step: int) -> float:
        """The schedule: factor on the learning rate of a step, by the number of steps before it."""
        from dlrun.optim.schedule import factor

        total = self.steps_per_epoch * self.config.epochs
        return factor(self.config.scheduler, step, self.steps_per_epoch, total)


def build(config: Config) -> Parts:
    """Load the data and make network, optimizer and the rest on the device, from `config.seed`.

    Raises:
        UsageError: The data, the device or a part of the user's own is not usable.
    """
    import torch

    from dlrun.data.dataset import limited, split_off
    from dlrun.data.load import load
    from dlrun.data.prepare import prepare_for
    from dlrun.models.build import build as build_model
    from dlrun.models.build import count_parameters
    from dlrun.optim.average import Average
    from dlrun.optim.build import build as build_optimizer
    from dlrun.training import Settings, State, Totals

    device = pick_device(config.device)
    threads = set_threads(config.threads)
    set_determinism(config.deterministic)
    dataset = load(config.data)
    train, test = (limited(split, config.limit).to(device) for split in (dataset.train, dataset.test))
    evaluated = test
    if config.validation:
        train, evaluated = split_off(train, config.validation)
    torch.manual_seed(config.seed)
    model = build_model(config.model, tuple(train.images.shape[1:]), len(dataset.classes)).to(device)
    parameters = count_parameters(model)
    optimizer = build_optimizer(config.optimizer, list(model.parameters()))
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    precision = Precision(config.precision, device.type)
    average = Average(model, config.average) if config.average else None
    if config.compile:
        model.compile()
    return Parts(
        config=config,
        hash=identity(config),
        dataset=dataset,
        train=train,
        evaluated=evaluated,
        test=test,
        prepare=prepare_for(dataset, config.data, device, config.augment),
        prepare_evaluated=prepare_for(dataset, config.data, device),
        state=State(model, optimizer, precision.scaler(), average, Totals.zero(device)),
        settings=Settings(
            epochs=config.epochs,
            batch_size=config.batch_size,
            eval_batch_size=config.eval_batch_size,
            seed=config.seed,
            precision=precision,
            label_smoothing=config.label_smoothing,
            clip_norm=config.clip_norm,
            early_stopping=config.early_stopping,
            log_every=config.log_every,
            save_every=config.checkpoint.every_steps,
            split="val" if config.validation else "test",
        ),
        threads=threads,
        parameters=parameters,
    )


def resume(parts: Parts, run_dir: Path) -> None:
    """Put the state of the run's last good checkpoint into `parts`, if there is one."""
    from dlrun import checkpoint

    saved = checkpoint.load_last(run_dir / "checkpoints")
    if saved is None:
        return
    if saved.get("hash") != parts.hash:
        raise UsageError(f"{run_dir / 'checkpoints'}: of another run ({saved.get('hash')}, this one is {parts.hash})")
    parts.state.load(saved["state"])
    log.info("going on after epoch %d, step %d", parts.state.epoch - 1, parts.state.step)


@dataclass
class Noticed:
    """The last signal that asked the run to stop."""

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def noticing_signals() -> Iterator[Noticed]:
    """Note the signals that ask to stop instead of dying of them; a second Ctrl-C ends the run at once."""
    noticed = Noticed()

    def notice(number: int, _frame: Any) -> None:
        if noticed.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        noticed.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield noticed
        return
    before = {number: signal.signal(number, notice) for number in STOP_SIGNALS}
    try:
        yield noticed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _train_and_report(
    parts: Parts,
    run_dir: Path,
    overrides: Sequence[str],
    watch: Callable[[Parts], contextlib.AbstractContextManager[list[Sink]]] | None,
    noticed: Noticed,
    started: float,
) -> Result:
    report = Report(parts, run_dir, list(overrides), started, parts.state.train_seconds + parts.state.evaluate_seconds)
    try:
        test = _train(parts, run_dir, watch, noticed, report)
    except DlrunError as error:
        report.write("failed", error=error)
        raise
    except BaseException as error:
        log.error("the run failed", exc_info=True)
        report.write("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", error=error)
        if isinstance(error, Exception):
            raise RunFailed(f"{explain(error, parts)} (details: {run_dir / 'run.log'})") from error
        raise
    if test is None:
        assert noticed.signal is not None
        report.write("interrupted")
        name = signal.Signals(noticed.signal).name
        raise Interrupted(f"stopped by {name}, state saved; go on with: dlrun resume {run_dir}", noticed.signal)
    return report.write("completed", test=test)


def _train(
    parts: Parts,
    run_dir: Path,
    watch: Callable[[Parts], contextlib.AbstractContextManager[list[Sink]]] | None,
    noticed: Noticed,
    report: "Report",
) -> Metrics | None:
    """Train to the end; the test metrics of the last epoch, or None when a signal came first."""
    from dlrun.training import evaluate, train

    with contextlib.ExitStack() as stack:
        sinks = _own_sinks(parts, run_dir, stack)
        if watch is not None:
            sinks += stack.enter_context(watch(parts))
        sinks.append(report.listen)
        events = train(
            parts.state,
            parts.train,
            parts.evaluated,
            parts.prepare,
            parts.prepare_evaluated,
            parts.factor,
            parts.settings,
            noticed,
        )
        for event in events:
            for sink in sinks:
                sink(event)
    if noticed():
        return None
    if parts.evaluated is parts.test:
        row = read_history(run_dir)[-1]
        return Metrics(row["test_loss"], row["test_accuracy"])
    return evaluate(parts.state.evaluated_model(), parts.test, parts.prepare_evaluated, parts.settings, noticed)


def _own_sinks(parts: Parts, run_dir: Path, stack: contextlib.ExitStack) -> list[Sink]:
    from dlrun.sinks.checkpoints import Checkpoints
    from dlrun.sinks.history import History

    state, config = parts.state, parts.config
    sinks: list[Sink] = [History(run_dir, state.epoch - 1, parts.settings.split)]
    sinks.append(Checkpoints(run_dir, parts.hash, state, config.checkpoint))
    if config.tensorboard != "off":
        from dlrun.sinks.tensorboard import TensorBoard

        board = TensorBoard(run_dir, state.step, parts.settings.split)
        stack.callback(board.close)
        sinks.append(board)
    return sinks


class Report:
    """Makes `result.json` out of what a run was and how far it came."""

    def __init__(self, parts: Parts, run_dir: Path, overrides: list[str], started: float, spent_before: float) -> None:
        self.parts, self.run_dir, self.overrides = parts, run_dir, overrides
        self.started, self.spent_before = started, spent_before
        self.start_seconds = time.perf_counter() - dlrun.STARTED

    def listen(self, event: Event) -> None:
        """Log what happened."""
        if not type(event).__name__ == "StepsTaken":
            log.info("%s", event)

    def write(self, status: str, test: Metrics | None = None, error: BaseException | None = None) -> Result:
        """Write and return the result; of an unfinished run it holds what the history has so far."""
        result = self._result(status, test, error)
        result.write(self.run_dir)
        return result

    def _result(self, status: str, test: Metrics | None, error: BaseException | None) -> Result:
        parts, state, config = self.parts, self.parts.state, self.parts.config
        rows = read_history(self.run_dir)
        last = rows[-1] if rows else {}
        best = {"epoch": state.best.epoch, "accuracy": state.best.accuracy, "selected_on": parts.settings.split}
        if test is None and "test_loss" in last:
            test = Metrics(last["test_loss"], last["test_accuracy"])
        return Result(
            status=status,
            hash=parts.hash,
            name=config.name or self.run_dir.name,
            seed=config.seed,
            overrides=self.overrides,
            data={
                "name": parts.dataset.name,
                "fingerprint": parts.dataset.fingerprint,
                "verified": parts.dataset.verified,
            },
            model=model_name(config, self.overrides),
            parameters=parts.parameters,
            epochs=len(rows),
            train={"loss": last["train_loss"], "accuracy": last["train_accuracy"]} if last else None,
            test={"loss": test.loss, "accuracy": test.accuracy} if test else None,
            best=best if state.best.epoch else None,
            seconds=self._seconds(),
            images_per_second=last.get("images_per_second"),
            device=device_name(state.device),
            precision=config.precision,
            threads=parts.threads,
            cpu_capability=_cpu_capability(),
            versions=versions(),
            git=git_state(),
            error={"type": type(error).__name__, "message": explain(error, parts)} if error else None,
        )

    def _seconds(self) -> dict[str, float]:
        state = self.parts.state
        seconds = {
            "total": time.perf_counter() - self.started + self.spent_before,
            "train": state.train_seconds + state.seconds,
            "evaluate": state.evaluate_seconds,
            "start": self.start_seconds,
        }
        return {name: round(value, 3) for name, value in seconds.items()}


def model_name(config: Config, overrides: Sequence[str]) -> str:
    """The option chosen for `model`; the layers where they were typed."""
    typed_layers = any(text.lstrip("+").startswith("model.layers=") for text in overrides)
    if isinstance(config.model, Layers) and (typed_layers or "model" not in config.choices):
        return ", ".join(config.model.layers)
    if isinstance(config.model, Target) and "model" not in config.choices:
        return config.model.target.rpartition(".")[2]
    return config.choices["model"]


def device_name(device: "torch.device") -> str:
    """The device as a reader of the result knows it: `cpu`, or the GPU's name."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _cpu_capability() -> str:
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def explain(error: BaseException, parts: Parts) -> str:
    """One line for a failure; running out of memory says what to lower."""
    import torch

    if isinstance(error, DlrunError):
        return str(error)
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    short = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error)
    if short:
        return (
            f"out of memory on {parts.state.device} with batch_size={parts.config.batch_size} and "
            f"{parts.parameters['total']:,} parameters; lower batch_size, eval_batch_size or the model's width"
        )
    return f"{type(error).__name__}: {text}"
