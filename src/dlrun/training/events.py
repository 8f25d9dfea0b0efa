"""What the training loop says of itself: facts in the past tense, for the sinks to listen to."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metrics:
    """Mean loss (that of training, without a penalty of weights) and accuracy (a fraction 0-1) over a set of images."""

    loss: float
    accuracy: float

    def score(self, best_by: str) -> float:
        """How good it is: the larger the better."""
        return self.accuracy if best_by == "accuracy" else -self.loss


@dataclass(frozen=True)
class StepsTaken:
    """Some training steps of an epoch are done (sent every `log_every` steps and at the end of the epoch)."""

    epoch: int
    """Number of the epoch, from 1."""
    step: int
    """Steps since the start of the run."""
    steps_done: int
    """Steps of this epoch that are done."""
    steps_per_epoch: int
    train: Metrics
    """Running average over this epoch so far."""
    lr: float
    images_per_second: float
    """Training speed since the epoch started (or was resumed)."""


@dataclass(frozen=True)
class EpochEnded:
    """An epoch of training and its evaluation are done."""

    epoch: int
    step: int
    train: Metrics
    """Running average during the epoch, dropout and augmentation on (as Keras prints it)."""
    evaluated: Metrics
    split: str
    """What was evaluated: `test`, or `val` where images are held out."""
    lr: float
    """Learning rate of the epoch's last step."""
    train_seconds: float
    evaluate_seconds: float
    images_per_second: float
    """Training images per second of training."""
    best: bool
    """Whether this is the best epoch so far."""

    def row(self) -> list[float]:
        """What the history keeps of it, in the order of `dlrun.store.history.columns`."""
        seconds = round(self.train_seconds + self.evaluate_seconds, 4)
        speed = round(self.images_per_second, 1)
        metrics = (self.train.loss, self.train.accuracy, self.evaluated.loss, self.evaluated.accuracy)
        return [self.epoch, *metrics, self.lr, seconds, speed]


@dataclass(frozen=True)
class Stopped:
    """Training ended before the last epoch."""

    reason: str
    """`signal`, `early_stopping`."""


Event = StepsTaken | EpochEnded | Stopped
Sink = Callable[[Event], None]
