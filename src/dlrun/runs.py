"""One run from its config to its result: checks, builds the parts, connects the sinks, trains, writes."""

import contextlib
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import dlrun
from dlrun.config import Config, Layers, Target, identity
from dlrun.distributed import ALONE, Agreed, Ranks, scaled
from dlrun.environment import git_state, versions
from dlrun.errors import DlrunError, Interrupted, RunFailed, UsageError
from dlrun.events import Event, Metrics, Sink
from dlrun.folders import finished, hold, logged_to, read_config, write_config
from dlrun.precision import Precision, pick_device, set_determinism, set_threads, settle_precision
from dlrun.result import Result, read_history

if TYPE_CHECKING:
    import torch

    from dlrun.data.dataset import Dataset, Split
    from dlrun.data.prepare import Prepare
    from dlrun.sinks.pictures import Pictures
    from dlrun.sinks.tensorboard import Subject
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
    extended: Mapping[str, Any] | None = None,
    ranks: Ranks = ALONE,
) -> Result:
    """Train one model in `run_dir`, or go on with it; a completed run is not trained again.

    Args:
        overrides: What was typed, kept for the record.
        watch: Gives further sinks, such as the console's, once the parts are built.
        extended: `hash` and `epochs` of the shorter run in `run_dir` that this one goes on from.
        ranks: The processes that train this one model together; each calls this with the same arguments, the
            first one alone writes.

    Raises:
        UsageError: A mistake in the config, missing data, or a folder that belongs to another run.
        RunFailed: Training failed; `result.json` and `run.log` say why.
        Interrupted: A signal stopped it; the state is saved.
    """
    started = time.perf_counter()
    config = scaled(settle_precision(config), ranks.count)
    check(config)
    run_dir.mkdir(parents=True, exist_ok=True)
    with _held_by_first(run_dir, ranks), noticing_signals() as noticed:
        _refuse_foreign(run_dir, identity(config), extended)
        done = finished(run_dir, identity(config))
        if done is not None:
            log.info("already complete")
            return done
        parts = build(config, ranks)
        resume(parts, run_dir, extended)
        if not ranks.first:
            return _follow(parts, run_dir, noticed)
        write_config(run_dir, config, overrides)
        return _train_and_report(parts, run_dir, overrides, watch, noticed, started)


@contextlib.contextmanager
def _held_by_first(run_dir: Path, ranks: Ranks) -> Iterator[None]:
    """Hold the folder and log there; the other ranks go in when the first one has it."""
    if ranks.first:
        with hold(run_dir), logged_to(run_dir / "run.log"):
            ranks.wait()
            yield
    else:
        ranks.wait()
        yield


def _refuse_foreign(run_dir: Path, hash: str, extended: Mapping[str, Any] | None) -> None:
    """A folder keeps one run: another hash in it means that something would be overwritten."""
    if not (run_dir / "config.yaml").exists():
        return
    there = identity(read_config(run_dir))
    if there not in (hash, (extended or {}).get("hash")):
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
    ranks: Ranks
    origin: dict[str, Any] | None = None
    """`hash` and `epochs` of the run that this one extends."""

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.train) / self.config.batch_size)

    def factor(self, step: int) -> float:
        """The schedule: factor on the learning rate of a step, by the number of steps before it."""
        from dlrun.optim.schedule import factor

        total = self.steps_per_epoch * self.config.epochs
        return factor(self.config.scheduler, step, self.steps_per_epoch, total)


def build(config: Config, ranks: Ranks = ALONE) -> Parts:
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
    from dlrun.optim.quick_start import without_compiler
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
    if not config.compile:
        without_compiler()
    optimizer = build_optimizer(config.optimizer, list(model.parameters()))
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    precision = Precision(config.precision, device.type)
    average = Average(model, config.average) if config.average else None
    if config.compile:
        model.compile()
    if not ranks.first:
        # The weights are the same everywhere; dropout and augmentation must not be.
        torch.manual_seed((config.seed * 1_000_003 + 7919 * ranks.rank) % 2**63)
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
        ranks=ranks,
    )


def resume(parts: Parts, run_dir: Path, extended: Mapping[str, Any] | None = None) -> None:
    """Put the state of the run's last good checkpoint into `parts`, if there is one.

    A checkpoint of the run that is extended is saved again under the new hash before anything else, so that
    the folder fits together whenever the process dies.
    """
    from dlrun import checkpoint

    saved = checkpoint.load_last(run_dir / "checkpoints")
    if saved is None:
        return
    origin = dict(extended) if extended else saved.get("origin")
    if parts.hash not in (saved.get("hash"), (saved.get("origin") or {}).get("hash")) and not (
        origin and origin.get("hash") == saved.get("hash")
    ):
        raise UsageError(f"{run_dir / 'checkpoints'}: of another run ({saved.get('hash')}, this one is {parts.hash})")
    parts.state.load(saved["state"], parts.ranks)
    before, now = 1 + len(saved["state"].get("others", [])), parts.ranks.count
    if before != now:
        log.warning("saved by %d ranks, going on with %d: the same within rounding, not bit by bit", before, now)
    parts.origin = origin
    if saved.get("hash") != parts.hash and parts.ranks.first:
        state = parts.state.tensors()
        checkpoint.save_last(run_dir / "checkpoints", {"hash": parts.hash, "origin": origin, "state": state})
    log.info("going on after epoch %d, step %d", parts.state.epoch - 1, parts.state.step)


@dataclass
class Noticed:
    """The last signal that asked the run to stop."""

    signal: int | None = None


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
    result = report.write("completed" if test else "interrupted", test=test)
    parts.ranks.wait()
    return result if test else _raise_interrupted(noticed, run_dir)


def _raise_interrupted(noticed: Noticed, run_dir: Path) -> NoReturn:
    assert noticed.signal is not None
    name = signal.Signals(noticed.signal).name
    raise Interrupted(f"stopped by {name}, state saved; go on with: dlrun resume {run_dir}", noticed.signal)


def _follow(parts: Parts, run_dir: Path, noticed: Noticed) -> Result:
    """What every rank but the first does: train and evaluate along, and wait until the first has written."""
    stop = Agreed(noticed, parts.ranks)
    for _ in _events(parts, stop):
        pass
    done = not stop() and (parts.evaluated is parts.test or _test(parts, stop) is not None)
    parts.ranks.wait()
    return Result.read(run_dir) if done else _raise_interrupted(noticed, run_dir)


def _train(
    parts: Parts,
    run_dir: Path,
    watch: Callable[[Parts], contextlib.AbstractContextManager[list[Sink]]] | None,
    noticed: Noticed,
    report: "Report",
) -> Metrics | None:
    """Train to the end; the test metrics of the last epoch, or None when a signal came first."""
    stop = Agreed(noticed, parts.ranks)
    with contextlib.ExitStack() as stack:
        sinks = _own_sinks(parts, run_dir)
        pictures = _pictures(parts, run_dir, stack)
        if pictures is not None:
            sinks.append(pictures)
        if watch is not None:
            sinks += stack.enter_context(watch(parts))
        sinks.append(report.listen)
        for event in _events(parts, stop):
            for sink in sinks:
                sink(event)
        if pictures is not None:
            pictures.finish(lambda: noticed.signal is not None)
    if stop():
        return None
    if parts.evaluated is parts.test:
        row = read_history(run_dir)[-1]
        return Metrics(row["test_loss"], row["test_accuracy"])
    return _test(parts, stop)


def _events(parts: Parts, stop: Callable[[], bool]) -> Iterator[Event]:
    from dlrun.training import train

    return train(
        parts.state,
        parts.train,
        parts.evaluated,
        parts.prepare,
        parts.prepare_evaluated,
        parts.factor,
        parts.settings,
        stop,
        parts.ranks,
    )


def _test(parts: Parts, stop: Callable[[], bool]) -> Metrics | None:
    from dlrun.training import evaluate

    model = parts.state.evaluated_model()
    return evaluate(model, parts.test, parts.prepare_evaluated, parts.settings, stop, parts.ranks)


def _own_sinks(parts: Parts, run_dir: Path) -> list[Sink]:
    from dlrun.loading import Inputs
    from dlrun.sinks.checkpoints import Checkpoints
    from dlrun.sinks.history import History

    state, config = parts.state, parts.config
    sinks: list[Sink] = [History(run_dir, state.epoch - 1, parts.settings.split)]
    about = {"hash": parts.hash, "origin": parts.origin, "data": Inputs.of(parts.dataset).plain()}
    sinks.append(Checkpoints(run_dir, about, state, config.checkpoint))
    return sinks


def _pictures(parts: Parts, run_dir: Path, stack: contextlib.ExitStack) -> "Pictures | None":
    config = parts.config
    if config.tensorboard == "off" and not config.profile:
        return None
    from dlrun.sinks.pictures import Pictures

    pictures = Pictures(run_dir, config, parts.state, parts.settings, _subject(parts), parts.factor)
    stack.callback(pictures.close)
    return pictures


def _subject(parts: Parts) -> "Subject":
    """What the pictures of a run are about."""
    from dlrun.sinks.hyperparameters import hyperparameters, page
    from dlrun.sinks.tensorboard import Subject

    config = parts.config
    facts = {
        "data": f"{parts.dataset.name}, {len(parts.train)} train + {len(parts.test)} test",
        "parameters": str(parts.parameters["total"]),
        "device": f"{device_name(parts.state.device)}, {parts.threads} threads",
    }
    return Subject(
        train=parts.train,
        test=parts.test,
        classes=parts.dataset.classes,
        prepare=parts.prepare_evaluated,
        augment=config.augment,
        hyperparameters=hyperparameters(config, parts.parameters["total"]),
        about=page(config, facts),
    )


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
            ranks=parts.ranks.count,
            cpu_capability=_cpu_capability(),
            versions=versions(),
            git=git_state(),
            origin=parts.origin,
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
