"""One training step, and the batches it is given.

Images stay on the device as uint8; a batch is made there by indexing, scaled and augmented there. Loss and
accuracy accumulate on the device, so that no step waits for it.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.data.dataset import Split
from dlrun.data.mixing import mixed
from dlrun.data.prepare import Prepare
from dlrun.training.distributed import ALONE, Ranks
from dlrun.training.loss import CROSS_ENTROPY, Penalty, loss_of
from dlrun.training.precision import Precision
from dlrun.training.state import State


@dataclass(frozen=True)
class LoopSettings:
    """What the loop needs to know besides its parts."""

    epochs: int
    batch_size: int
    """Images that go through the network at once, of all ranks together."""
    eval_batch_size: int
    seed: int
    precision: Precision
    accumulate: int = 1
    """Batches in a step."""
    balanced: bool = False
    """Whether the images of an epoch are drawn such that all classes are equally likely."""
    class_weights: Tensor | None = None
    """float32 (classes,) on the device: weights in the loss of training."""
    loss: str = CROSS_ENTROPY
    l2: tuple[float, ...] = ()
    """Factors of the L2 penalty of each convolution and dense layer; empty where there is none."""
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    best_by: str = "accuracy"
    early_stopping: int | None = None
    min_delta: float = 0.0
    shuffle: bool = True
    drop_last: bool = False
    scale_last: bool = False
    log_every: int = 100
    save_every: int | None = None
    no_graph: str = ""
    """Why the config rules out that the step is replayed as a CUDA graph; empty where it may be."""
    split: str = "test"
    """Name of the images evaluated every epoch: `test`, or `val` where images are held out."""

    @property
    def images_per_step(self) -> int:
        """How many images an update is made of, less in the last one of an epoch."""
        return self.batch_size * self.accumulate

    def steps_per_epoch(self, available: int) -> int:
        """Updates in an epoch on so many training images; the last, smaller one counts."""
        return math.ceil(self.images_per_epoch(available) / self.images_per_step)

    def images_per_epoch(self, available: int) -> int:
        """How many of the `available` training images an epoch takes."""
        return available - available % self.batch_size if self.drop_last else available

    def share(self, images: int) -> float:
        """What the mean over so many images is multiplied by: 1, or with `scale_last` their part of an update."""
        return images / self.images_per_step if self.scale_last else 1.0


GROUP_BYTES = 8_000_000
"""As many batches as fit in here, as float32, are gathered and scaled at once."""
COUNT_EVERY = 16
"""Steps after which the correct predictions are counted: one pass over their logits instead of many."""


def grouped(train: Split, size: int, ranks: Ranks) -> int:
    """How many batches of `size` images may be made at once with the same bits as one by one.

    Ranks share each batch, and a batch that begins off a cache line may be summed in another order.
    """
    size_in_bytes = size * train.images[0].numel() * 4
    if ranks.count > 1 or size_in_bytes % 64:
        return 1
    return max(GROUP_BYTES // size_in_bytes, 1)


def batches(
    train: Split, order: Tensor, size: int, prepare: Prepare, ranks: Ranks = ALONE
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """The batches of an epoch: images, labels, and how many images all ranks have.

    The images are as the network takes them or, where they are to be augmented, as stored: augmentation is
    part of the step, since it draws from the generator that dropout uses. Of several ranks each gets its share
    of a batch; one whose share is empty gets an image that must not count.

    Args:
        order: Indices of the images, int64 (n,), on their device.
    """
    if not len(order):  # An epoch interrupted after its last step; split would give one empty batch.
        return
    for indices in order.split(size * grouped(train, size, ranks)):
        mine = ranks.share(indices)
        mine = mine if len(mine) else indices[:1]
        images, labels = train.images.index_select(0, mine), train.labels.index_select(0, mine)
        images = images if prepare.draws else prepare(images)
        if ranks.count > 1:
            yield images, labels, len(indices)
        else:
            for some_images, some_labels in zip(images.split(size), labels.split(size), strict=True):
                yield some_images, some_labels, len(some_labels)


class TrainingStep:
    """One training step: augment, forward, backward, update, count."""

    def __init__(self, state: State, settings: LoopSettings, prepare: Prepare, ranks: Ranks = ALONE) -> None:
        self.state, self.settings, self.prepare, self.ranks = state, settings, prepare, ranks
        self.model = ranks.wrapped(state.model)
        self.parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
        self.penalty = Penalty(state.model, settings.l2) if any(settings.l2) else None
        self.uncounted: list[tuple[Tensor, Tensor]] = []
        # What weighs the images of a step is known in all its parts and ranks together only.
        self.mixing = prepare.changes if prepare.changes is not None and prepare.changes.mixes else None
        shared = ranks.count > 1 or self.mixing is not None
        self.in_parts = settings.accumulate > 1 or (settings.class_weights is not None and shared)

    def __call__(self, images: Tensor, labels: Tensor, all_images: int) -> None:
        """Train on what `batches` gives."""
        count = self.ranks.share_of(all_images)
        logits, labels = self.learn(images, labels, count, all_images)
        self.state.totals.images += count
        if count < len(labels):  # A rank without a share was given an image that must not count.
            logits, labels = logits[:count], labels[:count]
        self.uncounted.append((logits, labels))
        if len(self.uncounted) == COUNT_EVERY:
            self.count()

    def learn(self, images: Tensor, labels: Tensor, count: int, all_images: int) -> tuple[Tensor, Tensor]:
        """Update the weights and the sum of losses; return the logits, (N, classes), and the labels they should meet.

        Args:
            count: How many of the images count: all of them, or none.
            all_images: How many images all ranks have.
        """
        if self.in_parts:
            return self._learn_in_parts(images, labels, count, all_images)
        state, settings = self.state, self.settings
        images = self.prepare(images) if self.prepare.draws else images
        images, mix = (images, None) if self.mixing is None else mixed(images, self.mixing)
        with settings.precision.autocast():
            logits = self.model(images)
            targets = labels if mix is None else mix.targets(labels, logits.shape[1])
            loss = self._loss(logits.float(), targets)
        # Ranks average their gradients; the weight makes that the mean over images when shares differ.
        weight = count * self.ranks.count / all_images * settings.share(all_images)
        self._forget_gradients()
        state.scaler.scale(loss if weight == 1 else loss * weight).backward()
        self._update()
        state.totals.loss.add_(loss.detach(), alpha=count)
        return logits.detach(), labels if mix is None else mix.larger(labels)

    def _learn_in_parts(self, images: Tensor, labels: Tensor, count: int, all_images: int) -> tuple[Tensor, Tensor]:
        """`learn`, batch by batch: gradients of sums are added up, and divided by all that they are sums of."""
        state, settings = self.state, self.settings
        size = -(-settings.batch_size // self.ranks.count)
        parts = list(zip(images.split(size), labels.split(size), strict=True))
        logits, met, losses, totals = [], [], [], []
        self._forget_gradients()
        for number, (some, true) in enumerate(parts, start=1):
            some = self.prepare(some) if self.prepare.draws else some
            some, mix = (some, None) if self.mixing is None else mixed(some, self.mixing)
            # Ranks exchange their gradients with the last part; the number of parts may differ between them.
            alone = contextlib.nullcontext() if number == len(parts) else self.ranks.unsynchronised(self.model)
            with alone:
                with settings.precision.autocast():
                    said = self.model(some)
                    targets = true if mix is None else mix.targets(true, said.shape[1])
                    loss = self._loss(said.float(), targets, "sum")
                # A sum over a batch, as long as it is not divided, is kept at the size of a mean.
                state.scaler.scale(loss * (min(count, 1) / settings.batch_size)).backward()
            logits.append(said.detach())
            met.append(true if mix is None else mix.larger(true))
            losses.append(loss.detach())
            totals.append(self._weight_of(targets))
        weight = sum(totals) if count else 0 * totals[0]
        total = all_images if settings.class_weights is None else self.ranks.total(weight)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, settings.batch_size * self.ranks.count / total * settings.share(all_images))
        self._update()
        state.totals.loss.add_(sum(losses) * min(count, 1) * all_images / total)
        return torch.cat(logits), torch.cat(met)

    def count(self) -> None:
        """Bring the number of correct predictions up to date."""
        if self.uncounted:
            logits, labels = (torch.cat(parts) for parts in zip(*self.uncounted, strict=True))
            self.state.totals.correct.add_((logits.argmax(1) == labels).sum())
            self.uncounted.clear()

    def _loss(self, logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
        settings = self.settings
        return loss_of(settings.loss, logits, labels, settings.class_weights, settings.label_smoothing, reduction)

    def _weight_of(self, labels: Tensor) -> Any:
        """What the sum of losses of these images is to be divided by for their mean: a number, or a tensor ()."""
        weights = self.settings.class_weights
        if weights is None:
            return len(labels)
        return (labels @ weights if labels.is_floating_point() else weights[labels]).sum()

    def _forget_gradients(self) -> None:
        for parameter in self.parameters:  # As the optimizer's zero_grad does, at a tenth of its time.
            parameter.grad = None

    def _update(self) -> None:
        state, settings = self.state, self.settings
        if self.penalty is not None:
            self.penalty.add_to_gradients(state.scaler.scale)
        if settings.clip_norm is not None:
            state.scaler.unscale_(state.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, settings.clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        if state.average:
            state.average.update(state.model)


def set_rate(state: State, factor: float) -> None:
    """Set every group's learning rate to its `initial_lr` times the schedule's factor."""
    for group in state.optimizer.param_groups:
        lr = group["initial_lr"] * factor
        if not isinstance(group["lr"], Tensor):
            group["lr"] = lr
        elif lr != state.lr:
            group["lr"].fill_(lr)
    state.lr = state.optimizer.param_groups[0]["initial_lr"] * factor
