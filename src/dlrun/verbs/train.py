"""Train one model and show it: what `dlrun OVERRIDE …` does."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from dlrun.config.compose import Composed, checked, compose_with_hydra, folder_of, hydra_started
from dlrun.config.groups import Augment, trains_nothing
from dlrun.config.hydra_fields import OF_A_SWEEP, refuse_without_effect
from dlrun.config.naming import augmentation, called
from dlrun.config.overrides import typed_for
from dlrun.config.schema import Config, evaluated_on, plain
from dlrun.config.settled import Settled, settle
from dlrun.output import counted
from dlrun.runs.check import check
from dlrun.runs.no_effect import say_without_effect
from dlrun.runs.on_end import followed_by
from dlrun.runs.outcome import device_name
from dlrun.runs.parts import Parts
from dlrun.runs.run import run
from dlrun.sinks.console import ConsoleSink, header, make_console, summary, tell
from dlrun.store.folders import claim
from dlrun.store.result import Result, read_result
from dlrun.text import visible
from dlrun.training.distributed import ALONE, Ranks, joined
from dlrun.training.events import Sink
from dlrun.training.started import ranks_started

log = logging.getLogger("dlrun")


def main(arguments: list[str]) -> int:
    """Train with the overrides typed; a run that fails raises."""
    if not arguments:
        print("Training with every field at its default; dlrun --help says what can be typed.", flush=True)
    train_typed(arguments)
    return 0


def train_typed(overrides: Sequence[str]) -> Result:
    """Compose what was typed, claim a folder and train there; `hydra.run.dir=…` names the folder.

    Raises:
        DlrunError: As `dlrun.runs.run.run`.
    """
    refuse_without_effect(overrides, OF_A_SWEEP)
    with hydra_started():
        composed = compose_with_hydra(overrides)
        folder = OmegaConf.to_container(composed.hydra.run, resolve=False)["dir"]  # type: ignore[index,call-overload]
        config = checked(Composed.of(composed), overrides)
        settled = settle(config, ranks_started())
        wished = folder_of("hydra.run.dir", str(folder or ""), plain(settled.config))
    check(settled.config)
    named = typed_for(overrides, "hydra.run.dir")
    with joined(settled.config.device) as ranks:
        if ranks.first:
            say_without_effect([settled.config])
            if config.scale_lr and ranks.count == 1:
                log.warning("scale_lr=true: one process trains, so that nothing is scaled; torchrun starts several")
        run_dir = wished if named else ranks.told(lambda: claim(wished))
        with followed_by(settled.config.on_end if ranks.first else None, run_dir, lambda: [run_dir]):
            return train(settled, run_dir, overrides, ranks=ranks)


def train(
    settled: Settled,
    run_dir: Path,
    overrides: Sequence[str],
    extended: Mapping[str, Any] | None = None,
    ranks: Ranks = ALONE,
) -> Result:
    """Train in `run_dir`, with header, progress and summary on standard output (of the first rank).

    Args:
        extended, ranks: As `dlrun.runs.run.run` takes them.
    """
    console = make_console(quiet=not ranks.first)
    before = read_result(run_dir)
    try:
        result = run(settled, run_dir, overrides, shown_on(console, run_dir, overrides), extended, ranks)
    finally:
        with contextlib.suppress(OSError):
            run_dir.rmdir()  # only an empty folder goes: nothing had begun in it
    if result == before:
        tell(console, f"{run_dir}: complete before; nothing was run")
    summary(console, result, run_dir)
    return result


def shown_on(
    console: Console, run_dir: Path, overrides: Sequence[str]
) -> Callable[[Parts], contextlib.AbstractContextManager[list[Sink]]]:
    """What `dlrun.runs.run.run` takes as `watch`: prints the header, then follows the run."""

    @contextlib.contextmanager
    def watch(parts: Parts) -> Iterator[list[Sink]]:
        header(console, _facts(parts, run_dir, overrides))
        sink = ConsoleSink(console, parts.config)
        try:
            yield [sink]
        finally:
            sink.close()

    return watch


def _facts(parts: Parts, run_dir: Path, overrides: Sequence[str]) -> dict[str, str]:
    config, data = parts.config, parts.dataset
    shape = "x".join(str(size) for size in parts.train.images.shape[1:])
    unverified = "" if data.verified else ", not verified"
    return {
        "model": f"{called(config, 'model')}, {parts.parameters['total']:,} parameters{_begun(parts)}",
        "data": f"{data.name}, {parts.counts()}, {shape}, {len(data.classes)} classes{unverified}",
        "training": _training(parts),
        "device": f"{device_name(parts.state.device)}, {config.precision}, {counted(parts.threads, 'thread')}",
        "folder": str(run_dir),
    }


def _begun(parts: Parts) -> str:
    """What the network begins with, and how much of it is trained, in words; empty if it is drawn and all is."""
    model = parts.config.model
    begun = f", weights of {visible(model.init_from)}" if model.init_from else ""
    return begun + (f", {parts.parameters['trainable']:,} trained" if model.freeze else "")


def _training(parts: Parts) -> str:
    config = parts.config
    if trains_nothing(config.model):
        return f"none, the training images are remembered, seed {config.seed}"
    return (
        f"{called(config, 'optimizer')}, lr {parts.state.optimizer.param_groups[0]['initial_lr']:g}, "
        f"batch {_batch(config)}, {counted(config.epochs, 'epoch')}, seed {config.seed}{_changing(config)}"
    )


def _batch(config: Config) -> str:
    return f"{config.batch_size} x {config.accumulate}" if config.accumulate > 1 else str(config.batch_size)


def _changing(config: Config) -> str:
    """What is unusual in training, in words: what changes rate and pictures, another loss."""
    scheduler = config.scheduler
    parts = [scheduler.name] if scheduler.name != "constant" else []
    parts += [f"warm-up of {scheduler.warmup:g} epochs"] if scheduler.warmup else []
    parts += ["class weights"] if config.data.class_weights else []
    parts += [f"{config.data.sampling} sampling"] if config.data.sampling != "once" else []
    parts += [f"loss {config.loss}"] if config.loss != "cross_entropy" else []
    parts += [f"augment {augmentation(config)}"] if config.augment != Augment() else []
    parts += [f"early stopping by {evaluated_on(config)} {config.best_by}"] if config.early_stopping else []
    return "".join(f", {part}" for part in parts)
