"""The training loop: tensors in, events out; it knows no files, no console and no Hydra.

Images stay on the device as uint8; a batch is made there by indexing, scaled and augmented there. Loss and
accuracy accumulate on the device and are read at events only, so that no step waits for the device.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from dlrun.data.balance import evenly_drawn
from dlrun.data.dataset import Split
from dlrun.data.prepare import Prepare
from dlrun.errors import RunFailed
from dlrun.training.cuda_graph import step_for
from dlrun.training.distributed import ALONE, Ranks
from dlrun.training.evaluation import evaluate
from dlrun.training.events import EpochEnded, Event, Metrics, StepsTaken, Stopped
from dlrun.training.state import Best, State
from dlrun.training.step import LoopSettings, TrainingStep, batches, set_rate


def order_of(available: int, settings: LoopSettings, epoch: int, labels: Tensor | None = None) -> Tensor:
    """The images of an epoch in their order, int64 (n,): a function of the settings, the epoch and the labels alone.

    Args:
        labels: int64 (available,); needed where classes are to be balanced.
    """
    if settings.balanced and labels is not None:
        order = evenly_drawn(labels.cpu(), _generator(settings.seed, epoch))
    else:
        order = shuffled(available, settings.seed, epoch) if settings.shuffle else torch.arange(available)
    return order[: settings.images_per_epoch(available)]


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """The order of the images in an epoch, int64 (count,); a function of seed and epoch alone."""
    return torch.randperm(count, generator=_generator(seed, epoch))


def _generator(seed: int, epoch: int) -> torch.Generator:
    """An epoch's own, so that one that was interrupted finds its order again."""
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)


def waited(scores: Sequence[float], settings: LoopSettings) -> int:
    """How many epochs have passed since one was better, by more than `min_delta`, than the one so found before it."""
    best, last = -math.inf, 0
    for epoch, score in enumerate(scores, start=1):
        if score > best + settings.min_delta:
            best, last = score, epoch
    return len(scores) - last


def train(
    state: State,
    data: Split,
    evaluated: Split,
    prepare: Prepare,
    prepare_evaluated: Prepare,
    factor: Callable[[int], float],
    settings: LoopSettings,
    stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> Iterator[Event]:
    """Train from where `state` is to the last epoch, and say what happened.

    Args:
        factor: The schedule: factor on the learning rate of a step, by the number of steps before it.
        stop: Asked after every step; True ends training at this step, with `state` fit for a checkpoint.
            All ranks must get the same answers.
        ranks: The processes that train together; each must call this with the same arguments.

    Raises:
        RunFailed: The loss is not finite.
    """
    step = step_for(state, settings, prepare, ranks)
    while state.epoch <= settings.epochs:
        if settings.early_stopping and waited(state.scores(settings.best_by), settings) >= settings.early_stopping:
            yield Stopped("early_stopping")
            return
        started = time.perf_counter() - state.seconds
        yield from _train_epoch(step, data, prepare, factor, stop, started)
        state.seconds = time.perf_counter() - started
        if stop():
            yield Stopped("signal")
            return
        begun = time.perf_counter()
        metrics = evaluate(state.evaluated_model(), evaluated, prepare_evaluated, settings, stop, ranks)
        if metrics is None:
            yield Stopped("signal")
            return
        yield _end_epoch(
            state, settings, metrics, settings.images_per_epoch(len(data)), time.perf_counter() - begun, ranks
        )


def _train_epoch(
    step: TrainingStep,
    data: Split,
    prepare: Prepare,
    factor: Callable[[int], float],
    stop: Callable[[], bool],
    started: float,
) -> Iterator[Event]:
    state, settings = step.state, step.settings
    state.model.train()
    for module in state.still:
        module.eval()
    order = order_of(len(data), settings, state.epoch, data.labels).to(data.images.device)
    steps = settings.steps_per_epoch(len(data))
    rest = order[state.steps_done * settings.images_per_step :]
    for batch in batches(data, rest, settings.images_per_step, prepare, step.ranks):
        set_rate(state, factor(state.step))
        step(*batch)
        state.step += 1
        state.steps_done += 1
        stopping = stop()
        due = settings.save_every and state.step % settings.save_every == 0
        if stopping or due or state.steps_done % settings.log_every == 0 or state.steps_done == steps:
            state.seconds = time.perf_counter() - started
            step.count()
            yield _steps_taken(state, steps, step.ranks)
        if stopping:
            return


def _steps_taken(state: State, steps_per_epoch: int, ranks: Ranks) -> StepsTaken:
    totals = state.totals.over(ranks)
    metrics = totals.metrics()
    state.gather(ranks)
    if not math.isfinite(metrics.loss):
        raise RunFailed(
            f"the loss became {metrics.loss} in epoch {state.epoch}, by step {state.steps_done} of {steps_per_epoch} "
            f"(learning rate {state.lr:g}); try a lower optimizer.lr or clip_norm=1"
        )
    speed = totals.images / max(state.seconds, 1e-9)
    return StepsTaken(state.epoch, state.step, state.steps_done, steps_per_epoch, metrics, state.lr, speed)


def _end_epoch(
    state: State, settings: LoopSettings, metrics: Metrics, images: int, seconds: float, ranks: Ranks
) -> EpochEnded:
    """Close the epoch in `state`, which then stands at the beginning of the next one."""
    if not math.isfinite(metrics.loss):
        raise RunFailed(
            f"the {settings.split} loss became {metrics.loss} in epoch {state.epoch}; try a lower optimizer.lr"
        )
    best = state.is_best(metrics, settings.best_by)
    if best:
        state.best = Best(state.epoch, metrics.accuracy)
    ended = EpochEnded(
        epoch=state.epoch,
        step=state.step,
        train=state.totals.over(ranks).metrics(),
        evaluated=metrics,
        split=settings.split,
        lr=state.lr,
        train_seconds=state.seconds,
        evaluate_seconds=seconds,
        images_per_second=images / max(state.seconds, 1e-9),
        best=best,
    )
    state.history.append(ended.row())
    state.train_seconds += state.seconds
    state.evaluate_seconds += seconds
    state.totals.clear()
    state.epoch, state.steps_done, state.seconds = state.epoch + 1, 0, 0.0
    state.gather(ranks)
    return ended
