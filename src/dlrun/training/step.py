"""One training step, and the batches it is given.

Images stay on the device as uint8; a batch is made there by indexing, scaled and augmented there. Loss and
accuracy accumulate on the device, so that no step waits for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.data.dataset import Split
from dlrun.data.prepare import Prepare
from dlrun.training.distributed import ALONE, Ranks
from dlrun.training.precision import Precision
from dlrun.training.state import State


@dataclass(frozen=True)
class LoopSettings:
    """What the loop needs to know besides its parts."""

    epochs: int
    batch_size: int
    eval_batch_size: int
    seed: int
    precision: Precision
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    early_stopping: int | None = None
    shuffle: bool = True
    drop_last: bool = False
    log_every: int = 100
    save_every: int | None = None
    no_graph: str = ""
    """Why the config rules out that the step is replayed as a CUDA graph; empty where it may be."""
    split: str = "test"
    """Name of the images evaluated every epoch: `test`, or `val` where images are held out."""

    def images_per_epoch(self, available: int) -> int:
        """How many of the `available` training images an epoch takes."""
        return available - available % self.batch_size if self.drop_last else available


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
        self.uncounted: list[tuple[Tensor, Tensor]] = []

    def __call__(self, images: Tensor, labels: Tensor, all_images: int) -> None:
        """Train on what `batches` gives."""
        count = self.ranks.share_of(all_images)
        # Ranks average their gradients; the weight makes that the mean over images when shares differ.
        logits = self.learn(images, labels, count, count * self.ranks.count / all_images)
        self.state.totals.images += count
        if count < len(labels):  # A rank without a share was given an image that must not count.
            logits, labels = logits[:count], labels[:count]
        self.uncounted.append((logits, labels))
        if len(self.uncounted) == COUNT_EVERY:
            self.count()

    def learn(self, images: Tensor, labels: Tensor, count: int, weight: float = 1.0) -> Tensor:
        """Update the weights and the sum of losses, and return the logits, (N, classes).

        Args:
            count: How many of the images count: all of them, or none.
            weight: Factor on the loss.
        """
        state, settings = self.state, self.settings
        images = self.prepare(images) if self.prepare.draws else images
        with settings.precision.autocast():
            logits = self.model(images)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
        self._update(loss if weight == 1 else loss * weight)
        state.totals.loss.add_(loss.detach(), alpha=count)
        return logits.detach()

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


def set_rate(state: State, factor: float) -> None:
    """Set every group's learning rate to its `initial_lr` times the schedule's factor."""
    for group in state.optimizer.param_groups:
        lr = group["initial_lr"] * factor
        if not isinstance(group["lr"], Tensor):
            group["lr"] = lr
        elif lr != state.lr:
            group["lr"].fill_(lr)
    state.lr = state.optimizer.param_groups[0]["initial_lr"] * factor
