"""How well a network tells classes apart: F1 and the area under the ROC curve of each class, and their means."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dlrun.training.evaluation import Predictions, precision_and_recall


@dataclass(frozen=True)
class Scores:
    """Scores of each class, float64 (classes,) each; not a number where a class has none."""

    precision: Tensor
    """Not a number where nothing was taken for the class."""
    recall: Tensor
    """This and the following are not a number where the class has no pictures."""
    f1: Tensor
    auc: Tensor
    """Nor where all pictures are of the class."""

    def means(self) -> Iterator[tuple[str, float]]:
        """Of each score by its name the mean over the classes that have pictures, each counting the same.

        A class that nothing was taken for counts with a precision of 0.
        """
        there = ~self.recall.isnan()
        for name, values in vars(self).items():
            known = values[there].nan_to_num(0.0) if name == "precision" else values[~values.isnan()]
            yield name, known.mean().item()


def scores(outcome: Predictions) -> Scores:
    """The scores of every class; the mean recall is what is called balanced accuracy."""
    confusion = outcome.confusion()
    precision, recall = precision_and_recall(confusion)
    return Scores(precision, recall, f1(confusion), areas(outcome.probabilities, outcome.labels))


def f1(confusion: Tensor) -> Tensor:
    """The harmonic mean of precision and recall of each class, float64 (classes,).

    Args:
        confusion: int64 (true class, predicted class).
    """
    there = confusion.sum(1)
    both = there + confusion.sum(0)
    return (2 * confusion.diagonal().double() / both).where(there > 0, torch.nan)


def areas(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Of each class against all others the area under the ROC curve, float64 (classes,), exact.

    It is the chance that a picture of the class gets a higher probability of it than one of another class; of equal
    ones half (Mann and Whitney).

    Args:
        probabilities: float (N, classes).
        labels: int64 (N,).
    """
    found = [_area(column, labels == place) for place, column in enumerate(probabilities.T)]
    return torch.tensor(found, dtype=torch.float64)


def _area(values: Tensor, own: Tensor) -> float:
    there, others = int(own.sum()), int((~own).sum())
    if not there or not others:
        return torch.nan
    _, places, counts = values.unique(return_inverse=True, return_counts=True)
    twice_ranks = 2 * counts.cumsum(0) - counts + 1  # equal values share the middle of their ranks
    return (int(twice_ranks[places][own].sum()) - there * (there + 1)) / (2 * there * others)
