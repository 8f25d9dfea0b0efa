"""The training loop: tensors in, events out; it knows no files, no console and no Hydra.

Images stay on the device as uint8; a batch is made there by indexing, scaled and augmented there. Loss and
accuracy accumulate on the device and are read at events only, so that no step waits for the device.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.data.dataset import Split
from dlrun.distributed import ALONE, Ranks
from dlrun.errors import RunFailed
from dlrun.events import EpochEnded, Event, Metrics, StepsTaken, Stopped
from dlrun.optim.average import Average
from dlrun.precision import Precision


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


@dataclass
class Totals:
    """Sums over the images seen so far in an epoch, on the device."""

    loss: Tensor
    correct: Tensor
    images: int = 0

    @classmethod
    def zero(cls, device: torch.device) -> "Totals":
        """Empty sums; float64, since float32 would round a sum over 60,000 images (MPS has no float64)."""
        kind = torch.float32 if device.type == "mps" else torch.float64
        return cls(torch.zeros((), dtype=kind, device=device), torch.zeros((), dtype=torch.int64, device=device))

    def metrics(self) -> Metrics:
        """The means; waits for the device."""
        count = max(self.images, 1)
        return Metrics(self.loss.item() / count, self.correct.item() / count)

    def clear(self) -> None:
        """Begin anew, in place."""
        self.loss.zero_()
        self.correct.zero_()
        self.images = 0

    def over(self, ranks: Ranks) -> "Totals":
        """The sums over all ranks of a run on several devices."""
        if ranks.count == 1:
            return self
        images = torch.tensor(self.images, device=self.loss.device)
        summed = Totals(self.loss.clone(), self.correct.clone())
        ranks.add(summed.loss, summed.correct, images)
        summed.images = int(images.item())
        return summed


@dataclass
class Best:
    """The most accurate epoch so far."""

    epoch: int = 0
    accuracy: float = -1.0


COUNTERS = ("epoch", "steps_done", "step", "lr", "seconds", "train_seconds", "evaluate_seconds")


@dataclass
class State:
    """All that changes during training, and so all that a checkpoint must hold."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: Average | None
    totals: Totals
    epoch: int = 1
    """The epoch that is under way, from 1."""
    steps_done: int = 0
    """Steps of this epoch that are done."""
    step: int = 0
    """Steps since the start of the run."""
    best: Best = field(default_factory=Best)
    lr: float = 0.0
    seconds: float = 0.0
    """Seconds of training this epoch has had so far, before an interruption included."""
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    """Seconds of all epochs that are behind."""
    others: list[dict[str, Any]] = field(default_factory=list)
    """What the other ranks of a run on several devices have of their own (see `own`), by rank."""

    @property
    def device(self) -> torch.device:
        return self.totals.loss.device

    def evaluated_model(self) -> nn.Module:
        """The network whose accuracy counts: the averaged one if there is one."""
        return self.average.model if self.average else self.model

    def tensors(self) -> dict[str, Any]:
        """Tensors and plain values only, for a checkpoint that is loaded without unpickling code."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "best": {"epoch": self.best.epoch, "accuracy": self.best.accuracy},
            **self.own(),
            "others": self.others,
        }

    def own(self) -> dict[str, Any]:
        """What differs between the ranks of a run on several devices."""
        totals = {"loss": self.totals.loss, "correct": self.totals.correct, "images": self.totals.images}
        return {"totals": totals, "random": _random_state(self.device)}

    def gather(self, ranks: Ranks) -> None:
        """Fetch what the other ranks have of their own, so that the first can save it."""
        if ranks.count > 1:
            self.others = ranks.gather(self.own())[1:]

    def load(self, saved: dict[str, Any], ranks: Ranks = ALONE) -> None:
        """Put everything back as `tensors` saw it; weights are copied into the tensors that are there.

        With another number of ranks than before, sums go to the first rank and further ranks keep the random
        state they have.
        """
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        if self.average:
            self.average.load_state_dict(saved["average"])
        for name, value in saved["counters"].items():
            setattr(self, name, value)
        self.best = Best(**saved["best"])
        self.totals.clear()
        self.others = saved.get("others", [])
        by_rank = [saved, *self.others]
        mine = by_rank[ranks.rank :][:1] if len(by_rank) == ranks.count else by_rank if ranks.first else []
        for number, one in enumerate(mine):
            self.totals.loss.add_(one["totals"]["loss"].to(self.device))
            self.totals.correct.add_(one["totals"]["correct"].to(self.device))
            self.totals.images += one["totals"]["images"]
            if number == 0:
                _set_random_state(one["random"], self.device)


def _random_state(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_random_state(states: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)
    if device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"].cpu())


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """The order of the images in an epoch, int64 (count,); a function of seed and epoch alone.

    It has a generator of its own, so an epoch that was interrupted finds its order again.
    """
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(count, generator=generator)


Prepare = Callable[[Tensor], Tensor]
"""uint8 images (N, C, H, W) to what the network takes, float32 of the same shape."""


class Step:
    """One training step on fixed shapes: gather, prepare, forward, backward, update, count."""

    def __init__(self, state: State, train: Split, prepare: Prepare, settings: Settings, ranks: Ranks) -> None:
        self.state, self.train, self.prepare, self.settings = state, train, prepare, settings
        self.ranks, self.model = ranks, ranks.wrapped(state.model)
        self.parameters = [p for group in state.optimizer.param_groups for p in group["params"]]

    def __call__(self, batch: Tensor) -> None:
        """Train on the images with these indices, int64 (batch,) on the device of the images.

        Of several ranks, each trains on its share; one that gets none runs along with an image of no weight.
        """
        state, settings = self.state, self.settings
        indices = self.ranks.share(batch)
        count = len(indices)
        indices = indices if count else batch[:1]
        images = self.prepare(self.train.images.index_select(0, indices))
        labels = self.train.labels.index_select(0, indices)
        with settings.precision.autocast():
            logits = self.model(images)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
        # Ranks average their gradients; the weight makes that the mean over images when shares differ.
        self._update(loss if self.ranks.count == 1 else loss * (count * self.ranks.count / len(batch)))
        state.totals.loss.add_(loss.detach(), alpha=count)
        state.totals.correct.add_((logits.detach().argmax(1) == labels)[:count].sum())
        state.totals.images += count

    def _update(self, loss: Tensor) -> None:
        state, settings = self.state, self.settings
        state.optimizer.zero_grad(set_to_none=True)
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
    step = Step(state, data, prepare, settings, ranks)
    while state.epoch <= settings.epochs:
        if settings.early_stopping and state.epoch - 1 - state.best.epoch >= settings.early_stopping:
            yield Stopped("early_stopping")
            return
        started = time.perf_counter() - state.seconds
        yield from _train_epoch(step, factor, stop, started)
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
    step: Step, factor: Callable[[int], float], stop: Callable[[], bool], started: float
) -> Iterator[Event]:
    state, settings = step.state, step.settings
    state.model.train()
    order = shuffled(len(step.train), settings.seed, state.epoch).to(step.train.images.device)
    batches = order.split(settings.batch_size)
    for indices in batches[state.steps_done :]:
        set_rate(state, factor(state.step))
        step(indices)
        state.step += 1
        state.steps_done += 1
        stopping = stop()
        due = settings.save_every and state.step % settings.save_every == 0
        if stopping or due or state.steps_done % settings.log_every == 0 or state.steps_done == len(batches):
            state.seconds = time.perf_counter() - started
            yield _steps_taken(state, len(batches), step.ranks)
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
