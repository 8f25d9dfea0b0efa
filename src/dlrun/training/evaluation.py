"""What a network makes of pictures, and the one way in which training, `evaluate` and `predict` ask it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlrun.data.dataset import Split
from dlrun.training.distributed import ALONE, Ranks
from dlrun.training.events import Metrics
from dlrun.training.loss import CROSS_ENTROPY, loss_of, probabilities
from dlrun.training.precision import Precision
from dlrun.training.state import Totals
from dlrun.training.step import LoopSettings

TOP = 5


@dataclass(frozen=True)
class Predictions:
    """What a network predicted for N labelled pictures; all tensors are on the CPU."""

    loss: float
    """The mean of that which training made small."""
    labels: Tensor
    """int64 (N,): the true classes."""
    predicted: Tensor
    """int64 (N,): the most probable classes."""
    confidence: Tensor
    """float32 (N,): the probability of the predicted class."""
    among_top: Tensor
    """bool (N,): whether the true class is among the five most probable."""
    probabilities: Tensor
    """float32 (N, classes); see `dlrun.training.loss.probabilities`."""

    @property
    def classes(self) -> int:
        """How many the network tells apart."""
        return self.probabilities.shape[1]

    @property
    def undefined(self) -> int:
        """How many pictures the network gave no numbers for (NaN, or infinite ones)."""
        return int((~self.confidence.isfinite()).sum())

    @property
    def accuracy(self) -> float:
        """Share of pictures whose most probable class is the true one."""
        return (self.predicted == self.labels).double().mean().item()

    @property
    def top5(self) -> float | None:
        """Share of pictures whose true class is among the five most probable; None of so few classes."""
        return self.among_top.double().mean().item() if self.classes > TOP else None

    def confusion(self) -> Tensor:
        """Counts of pictures, int64 (true class, predicted class)."""
        cells = self.labels * self.classes + self.predicted
        return torch.bincount(cells, minlength=self.classes**2).view(self.classes, self.classes)

    def mistakes(self, count: int) -> Tensor:
        """Indices of the wrong predictions, int64 (<= count,), the most confident first."""
        wrong = (self.predicted != self.labels).nonzero()[:, 0]
        order = self.confidence[wrong].argsort(descending=True, stable=True)
        return wrong[order[:count]]

    def captions(self, chosen: Tensor, names: Sequence[str]) -> list[str]:
        """`6, taken for 1 (100 %)` of the pictures at these indices: true class, predicted class, its probability.

        Args:
            chosen: int64 (n,).
            names: Of the classes.
        """
        columns = (self.predicted[chosen], self.confidence[chosen], self.labels[chosen])
        return [
            f"{names[label]}, taken for {names[predicted]} ({100 * confidence:.0f} %)"
            for predicted, confidence, label in zip(*(column.tolist() for column in columns), strict=True)
        ]


Prepared = Callable[[Tensor], Tensor]
"""uint8 pictures (N, C, H, W) to what the network takes."""


@torch.inference_mode()
def logits_of(model: nn.Module, images: Tensor, prepare: Prepared, precision: Precision) -> Tensor:
    """What the network says of each class, float32 (N, classes), for uint8 pictures (N, C, H, W) on its device."""
    with precision.autocast():
        logits: Tensor = model(prepare(images))
    return logits.float()


def evaluate(
    model: nn.Module,
    split: Split,
    prepare: Prepared,
    settings: LoopSettings,
    stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> Metrics | None:
    """Loss and accuracy of the network on all images of `split`; None when `stop` said so on the way.

    Of several ranks, each takes its share of every batch, so that each image counts once.
    """
    totals = Totals.zero(split.images.device)
    ranks.align(model)

    @torch.inference_mode()
    def count(logits: Tensor, labels: Tensor) -> None:
        totals.loss.add_(loss_of(settings.loss, logits, labels, reduction="sum"))
        totals.correct.add_((logits.argmax(1) == labels).sum())
        totals.images += len(labels)

    done = _asked(model, split, prepare, settings.precision, settings.eval_batch_size, count, stop, ranks)
    return totals.over(ranks).metrics() if done else None


def examine(
    model: nn.Module,
    split: Split,
    prepare: Prepared,
    precision: Precision,
    batch_size: int,
    stop: Callable[[], bool] = lambda: False,
    loss: str = CROSS_ENTROPY,
) -> Predictions | None:
    """What the network predicts for all pictures of `split`; None when `stop` said so on the way.

    Args:
        loss: What the network was trained for, as the field `loss` says.
    """
    batches: list[Tensor] = []
    done = _asked(model, split, prepare, precision, batch_size, lambda logits, _: batches.append(logits), stop)
    return judged(batches, split.labels, loss) if done else None


def _asked(
    model: nn.Module,
    split: Split,
    prepare: Prepared,
    precision: Precision,
    batch_size: int,
    see: Callable[[Tensor, Tensor], None],
    stop: Callable[[], bool],
    ranks: Ranks = ALONE,
) -> bool:
    """Show all pictures to the network, whose logits and labels go to `see`; False when `stop` said so on the way."""
    with evaluating(model):
        for start in range(0, len(split), batch_size):
            images, labels = (ranks.share(part[start : start + batch_size]) for part in (split.images, split.labels))
            see(logits_of(model, images, prepare, precision), labels)
            if stop():
                return False
    return True


@torch.inference_mode()
def judged(batches: Sequence[Tensor], labels: Tensor, loss: str = CROSS_ENTROPY) -> Predictions:
    """The predictions by logits, float (N, classes) in one or more batches, for labels int64 (N,)."""
    sizes = [len(logits) for logits in batches]
    pairs = list(zip(batches, labels.split(sizes), strict=True))
    losses = [loss_of(loss, logits.float(), true, reduction="sum") for logits, true in pairs]
    if labels.device.type == "mps":  # has no float64
        losses = [one.cpu() for one in losses]
    parts = [_judged(logits.float(), true, loss) for logits, true in pairs]
    mean = torch.stack(losses).double().sum().item() / len(labels)
    return Predictions(mean, labels.cpu(), *(torch.cat(column).cpu() for column in zip(*parts, strict=True)))


def _judged(logits: Tensor, labels: Tensor, loss: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    found = probabilities(loss, logits)
    confidence, predicted = found.max(1)
    top = logits.topk(min(TOP, logits.shape[1]), dim=1).indices
    return predicted, confidence, (top == labels[:, None]).any(1), found


def precision_and_recall(confusion: Tensor) -> tuple[Tensor, Tensor]:
    """Of each class, float64 (classes,) each; not a number where nothing was predicted, or nothing is there.

    Args:
        confusion: int64 (true class, predicted class).
    """
    right = confusion.diagonal().double()
    return right / confusion.sum(0), right / confusion.sum(1)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The network in evaluation mode; afterwards every module is in the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
