"""The training loop: tensors in, events out; it knows no files, no console and no Hydra.

Images stay on the device as uint8; a batch is made there by indexing, scaled and augmented there. Loss and
accuracy accumulate on the device and are read at events only, so that no step waits for the device.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.data.dataset import Split
from dlrun.data.prepare import Prepare
from dlrun.distributed import ALONE, Ranks
from dlrun.errors import RunFailed
from dlrun.events import EpochEnded, Event, Metrics, StepsTaken, Stopped
from dlrun.precision import Precision
from dlrun.state import Best, State, Totals


@dataclass(frozen=True)
class Settings:
    """What the loop needs to know besides its parts."""

    epochs: int
    batch_size: int
    eval_batch_size: int
    seed: int
    precision: Precision
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    early_stopping: int | None = None
    log_every: int = 100
    save_every: int | None = None
    split: str = "test"
    """Name of the images evaluated every epoch: `test`, or `val` where images are held out."""


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """The order of the images in an epoch, int64 (count,); a function of seed and epoch alone.

    It has a generator of its own, so an epoch that was interrupted finds its order again.
    """
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(count, generator=generator)


GROUP_BYTES = 8_000_000
"""As many batches as fit in here, as float32, are gathered and scaled at once."""
COUNT_EVERY = 16
"""Steps after which the correct predictions are counted: one pass over their logits instead of many."""


def grouped(train: Split, size: int, prepare: Prepare, ranks: Ranks) -> int:
    """How many batches of `size` images may be made at once with the same bits as one by one.

    Augmentation draws from the generator that dropout uses, so its order must stay; ranks share each batch; and
    a batch that begins off a cache line may be summed in another order.
    """
    size_in_bytes = size * train.images[0].numel() * 4
    if prepare.draws or ranks.count > 1 or size_in_bytes % 64:
        return 1
    return max(GROUP_BYTES // size_in_bytes, 1)


def batches(
    train: Split, order: Tensor, size: int, prepare: Prepare, ranks: Ranks = ALONE
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """The batches of an epoch: images as the network takes them, labels, and how many images all ranks have.

    Of several ranks each gets its share of a batch; one whose share is empty gets an image that must not count.

    Args:
        order: Indices of the images, int64 (n,), on their device.
    """
    for indices in order.split(size * grouped(train, size, prepare, ranks)):
        mine = ranks.share(indices)
        mine = mine if len(mine) else indices[:1]
        images, labels = prepare(train.images.index_select(0, mine)), train.labels.index_select(0, mine)
        if ranks.count > 1:
            yield images, labels, len(indices)
        else:
            for some_images, some_labels in zip(images.split(size), labels.split(size), strict=True):
                yield some_images, some_labels, len(some_labels)


class Step:
    """One training step: forward, backward, update, count."""

    def __init__(self, state: State, settings: Settings, ranks: Ranks) -> None:
        self.state, self.settings, self.ranks = state, settings, ranks
        self.model = ranks.wrapped(state.model)
        self.parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
        self.uncounted: list[tuple[Tensor, Tensor]] = []

    def __call__(self, images: Tensor, labels: Tensor, all_images: int) -> None:
        """Train on a batch, or on this rank's share of a batch of `all_images`."""
        state, settings = self.state, self.settings
        with settings.precision.autocast():
            logits = self.model(images)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
        count = self.ranks.share_of(all_images)
        # Ranks average their gradients; the weight makes that the mean over images when shares differ.
        self._update(loss if self.ranks.count == 1 else loss * (count * self.ranks.count / all_images))
        state.totals.loss.add_(loss.detach(), alpha=count)
        state.totals.images += count
        self.uncounted.append((logits.detach()[:count], labels[:count]))
        if len(self.uncounted) == COUNT_EVERY:
            self.count()

    def count(self) -> None:
        """Bring the number of correct predictions up to date."""
        if self.uncounted:
            logits, labels = (torch.cat(parts) for parts in zip(*self.uncounted, strict=True))
            self.state.totals.correct.add_((logits.argmax(1) == labels).sum())
            self.uncounted.clear()

    def _update(self, loss: Tensor) -> None:
        state, settings = self.state, self.settings
        for parameter in self.parameters:  # As the optimizer's zero_grad does, at a tenth of its time.
            parameter.grad = None
        state.scaler.scale(loss).backward()
        if settings.clip_norm is not None:
            state.scaler.unscale_(state.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, settings.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        if state.average:
            state.average.update(state.model)


def train(
    state: State,
    data: Split,
    evaluated: Split,
    prepare: Prepare,
    prepare_evaluated: Prepare,
    factor: Callable[[int], float],
    settings: Settings,
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
    step = Step(state, settings, ranks)
    while state.epoch <= settings.epochs:
        if settings.early_stopping and state.epoch - 1 - state.best.epoch >= settings.early_stopping:
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
        yield _end_epoch(state, settings, metrics, len(data), time.perf_counter() - begun, ranks)


def _train_epoch(
    step: Step,
    data: Split,
    prepare: Prepare,
    factor: Callable[[int], float],
    stop: Callable[[], bool],
    started: float,
) -> Iterator[Event]:
    state, settings = step.state, step.settings
    state.model.train()
    order = shuffled(len(data), settings.seed, state.epoch).to(data.images.device)
    steps = math.ceil(len(order) / settings.batch_size)
    rest = order[state.steps_done * settings.batch_size :]
    for batch in batches(data, rest, settings.batch_size, prepare, step.ranks):
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


def set_rate(state: State, factor: float) -> None:
    """Set every group's learning rate to its `initial_lr` times the schedule's factor."""
    for group in state.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    state.lr = state.optimizer.param_groups[0]["lr"]


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
    state: State, settings: Settings, metrics: Metrics, images: int, seconds: float, ranks: Ranks
) -> EpochEnded:
    """Close the epoch in `state`, which then stands at the beginning of the next one."""
    if not math.isfinite(metrics.loss):
        raise RunFailed(
            f"the {settings.split} loss became {metrics.loss} in epoch {state.epoch}; try a lower optimizer.lr"
        )
    best = metrics.accuracy > state.best.accuracy
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
    state.train_seconds += state.seconds
    state.evaluate_seconds += seconds
    state.totals.clear()
    state.epoch, state.steps_done, state.seconds = state.epoch + 1, 0, 0.0
    state.gather(ranks)
    return ended


def evaluate(
    model: nn.Module,
    split: Split,
    prepare: Prepare,
    settings: Settings,
    stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> Metrics | None:
    """Loss and accuracy of the network on all images of `split`; None when `stop` said so on the way.

    Of several ranks, each takes its share of every batch, so that each image counts once.
    """
    totals = Totals.zero(split.images.device)
    ranks.align(model)
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(split), settings.eval_batch_size):
            images = ranks.share(split.images[start : start + settings.eval_batch_size])
            labels = ranks.share(split.labels[start : start + settings.eval_batch_size])
            with settings.precision.autocast():
                logits = model(prepare(images))
            totals.loss.add_(F.cross_entropy(logits.float(), labels, reduction="sum"))
            totals.correct.add_((logits.argmax(1) == labels).sum())
            totals.images += len(labels)
            if stop():
                return None
    return totals.over(ranks).metrics()
