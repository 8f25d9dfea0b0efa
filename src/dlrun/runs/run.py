"""One run from its settled config to its result, in the order in which things happen; what it needs stands below."""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dlrun.config.naming import called
from dlrun.config.schema import Config, plain
from dlrun.config.settled import Settled
from dlrun.errors import DlrunError, Interrupted, RunFailed, is_out_of_memory, is_shortage
from dlrun.files import write_atomically
from dlrun.output import counted, without_middle
from dlrun.runs.check import refuse_foreign, refuse_to_replace, result_there
from dlrun.runs.outcome import Report, device_name, explain
from dlrun.runs.parts import Parts, begin, build, resume
from dlrun.runs.trust import go_on
from dlrun.runs.uncommitted import Code, keep
from dlrun.sinks.told import About, Make, Told, makers
from dlrun.store.folders import hold, logged_to, write_config
from dlrun.store.result import Result, read_result, reopen
from dlrun.store.status import Status
from dlrun.training.distributed import ALONE, Agreed, Ranks
from dlrun.training.events import Event, Metrics, Sink
from dlrun.training.signals import Noticed, noticing_signals

if TYPE_CHECKING:
    from dlrun.sinks.shown import PictureSink
    from dlrun.sinks.tensorboard import Subject

log = logging.getLogger("dlrun")


def run(
    settled: Settled,
    run_dir: Path,
    overrides: Sequence[str] = (),
    watch: Callable[[Parts], contextlib.AbstractContextManager[list[Sink]]] | None = None,
    extended: Mapping[str, Any] | None = None,
    ranks: Ranks = ALONE,
) -> Result:
    """Train one model in `run_dir`, or go on with it; a completed run is not trained again.

    Args:
        settled: Of a config that `dlrun.runs.check.check` finds right.
        overrides: What was typed, kept for the record.
        watch: Gives further sinks, such as the console's, once the parts are built.
        extended: `hash` and `epochs` of the shorter run in `run_dir` that this one goes on from.
        ranks: The processes that train this one model together; each calls this with the same arguments, the
            first one alone writes.

    Raises:
        UsageError: A mistake that only building shows, or a folder that belongs to another run or other data.
        RunFailed: Training failed; `result.json` and `run.log` say why.
        Interrupted: A signal stopped it; the state is saved.
    """
    started = time.perf_counter()
    run_dir.mkdir(parents=True, exist_ok=True)
    with _held_by_first(run_dir, ranks), noticing_signals() as noticed:
        refuse_foreign(run_dir, settled.hash, extended)
        done = result_there(run_dir, settled)
        if done is not None:
            log.info("already complete")
            return done
        # Ranks have to agree on stopping, which they do at steps.
        noticed.at_once = ranks.count == 1
        sinks = makers(settled.config.sinks) if ranks.first else {}
        parts = _build(settled, ranks)
        if not resume(parts, run_dir, extended):
            begin(parts)
        if parts.state.step == 0:
            refuse_to_replace(run_dir, settled)
        noticed.at_once = False
        if not ranks.first:
            return _follow(parts, run_dir, noticed)
        reopen(run_dir, parts.hash, parts.origin)
        write_config(run_dir, settled.config, overrides)
        if parts.dataset.damaged:
            write_atomically(run_dir / "damaged.txt", "".join(f"{line}\n" for line in parts.dataset.damaged).encode())
        with _telling(sinks, parts, run_dir) as told:
            return _train_and_report(parts, run_dir, overrides, told, watch, noticed, started)


def _train_and_report(
    parts: Parts,
    run_dir: Path,
    overrides: Sequence[str],
    told: Sequence[Sink],
    watch: Callable[[Parts], contextlib.AbstractContextManager[list[Sink]]] | None,
    noticed: Noticed,
    started: float,
) -> Result:
    code = Code.of(parts.config)
    keep(code, run_dir, parts.state.epoch, begun=parts.state.step > 0)
    spent = parts.state.train_seconds + parts.state.evaluate_seconds
    report = Report(parts, run_dir, list(overrides), code.about, started, spent)
    try:
        test = _train(parts, run_dir, told, watch, noticed, report)
    except DlrunError as error:
        report.write_failure(Status.FAILED, error)
        raise
    except BaseException as error:
        log.error("the run failed", exc_info=True)
        unfinished = isinstance(error, KeyboardInterrupt) or is_shortage(error)
        report.write_failure(Status.INTERRUPTED if unfinished else Status.FAILED, error)
        if isinstance(error, Exception):
            raise _failure(error, parts, run_dir) from error
        raise
    try:
        result = report.write(Status.COMPLETED if test else Status.INTERRUPTED, test=test)
    except OSError as error:
        raise _failure(error, parts, run_dir) from error
    parts.ranks.wait()
    return result if test else _raise_interrupted(noticed, parts.config, run_dir)


def _train(
    parts: Parts,
    run_dir: Path,
    told: Sequence[Sink],
    watch: Callable[[Parts], contextlib.AbstractContextManager[list[Sink]]] | None,
    noticed: Noticed,
    report: Report,
) -> Metrics | None:
    """Train to the end; the test metrics of the last epoch, or None when a signal came first."""
    from dlrun.sinks.checkpoints import Checkpoints
    from dlrun.sinks.history import History

    stop = Agreed(noticed, parts.ranks)
    with contextlib.ExitStack() as stack:
        # Checkpoints come last of what lies on the disk: what they are ahead of would be lost by kill -9.
        sinks: list[Sink] = [History(run_dir, parts.state, parts.settings.split)]
        pictures = _pictures(parts, run_dir, stack)
        if pictures is not None:
            sinks.append(pictures)
        sinks.append(Checkpoints(run_dir, parts.about(), parts.state, parts.config))
        if watch is not None:
            sinks += stack.enter_context(watch(parts))
        sinks += [*told, report.listen]
        for event in _events(parts, stop):
            for sink in sinks:
                sink(event)
        if pictures is not None:
            pictures.finish(lambda: noticed.signal is not None)
    if stop():
        return None
    if parts.evaluated is parts.test:
        return parts.state.last_evaluated()
    return _test(parts, stop)


def _events(parts: Parts, stop: Callable[[], bool]) -> Iterator[Event]:
    from dlrun.training.loop import train

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
    from dlrun.training.evaluation import evaluate

    model = parts.state.evaluated_model()
    return evaluate(model, parts.test, parts.prepare_evaluated, parts.settings, stop, parts.ranks)


def _follow(parts: Parts, run_dir: Path, noticed: Noticed) -> Result:
    """What every rank but the first does: train and evaluate along, and wait until the first has written."""
    stop = Agreed(noticed, parts.ranks)
    for _ in _events(parts, stop):
        pass
    done = not stop() and (parts.evaluated is parts.test or _test(parts, stop) is not None)
    parts.ranks.wait()
    return Result.read(run_dir) if done else _raise_interrupted(noticed, parts.config, run_dir)


def _failure(error: Exception, parts: Parts, run_dir: Path) -> RunFailed:
    details = run_dir / "run.log"
    said = explain(error, parts.config, parts, run_dir)
    return RunFailed(f"{said} (details: {details})" if details.exists() else said)


def _raise_interrupted(noticed: Noticed, config: Config, run_dir: Path) -> NoReturn:
    assert noticed.signal is not None
    name = signal.Signals(noticed.signal).name
    raise Interrupted(f"stopped by {name}, state saved; go on with: {go_on(config, run_dir)}", noticed.signal)


def _build(settled: Settled, ranks: Ranks) -> Parts:
    try:
        return build(settled, ranks)
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise RunFailed(explain(error, settled.config)) from error
        raise


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


@contextlib.contextmanager
def _telling(sinks: Mapping[str, Make], parts: Parts, run_dir: Path) -> Iterator[list[Told]]:
    """The sinks that the config names, for as long as the run lasts; they end when its result is written."""
    config = parts.config
    about = About(
        folder=run_dir,
        name=config.name or run_dir.name,
        hash=parts.hash,
        config=plain(config),
        parameters=parts.parameters["total"],
        epoch=len(parts.state.history),
    )
    told = [Told(name, make, about) for name, make in sinks.items()]
    try:
        yield told
    finally:
        result = read_result(run_dir)
        for one in told:
            one.close(result)


def _pictures(parts: Parts, run_dir: Path, stack: contextlib.ExitStack) -> "PictureSink | None":
    config = parts.config
    if config.tensorboard == "off" and not config.profile:
        return None
    from dlrun.sinks.shown import PictureSink

    subject = _subject(parts, config.name or run_dir.name)
    pictures = PictureSink(run_dir, config, parts.state, parts.settings, subject, parts.factor)
    stack.callback(pictures.close)
    return pictures


def _subject(parts: Parts, name: str) -> "Subject":
    """What the pictures of a run are about."""
    from dlrun.sinks.hyperparameters import hyperparameters, page
    from dlrun.sinks.tensorboard import Subject

    config = parts.config
    facts = {
        "data": f"{parts.dataset.name}, {parts.counts()}",
        "parameters": str(parts.parameters["total"]),
        "device": f"{device_name(parts.state.device)}, {counted(parts.threads, 'thread')}",
    }
    model, optimizer = (called(config, group) for group in ("model", "optimizer"))
    what = f"{without_middle(model, 40)} on {parts.dataset.name}, {optimizer}, {counted(config.epochs, 'epoch')}"
    return Subject(
        title=f"{what}, seed {config.seed}: {name}",
        train=parts.train,
        test=parts.test,
        classes=parts.dataset.classes,
        prepare=parts.prepare_evaluated,
        augment=config.augment,
        hyperparameters=hyperparameters(config, parts.parameters["total"]),
        about=page(config, facts),
    )
