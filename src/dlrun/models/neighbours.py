"""k nearest neighbours: a classifier that trains nothing and remembers every training picture."""

import torch
from torch import Tensor, nn

from dlrun.errors import ConfigError

BLOCK = 10_000
"""Remembered pictures whose distances are taken at once."""
LEAST = 1e-7
"""What a class without votes is taken for, so that its loss is finite (Keras clips probabilities at it)."""


class Neighbours(nn.Module):
    """The votes of the `k` training pictures that are nearest by Euclidean distance, exactly (Cover & Hart 1967).

    Distances are those of the pictures as a network would get them, in float64, so that no rounding decides. Of
    training pictures equally far away as the last one that counts, any may be it. The logits are logarithms of the
    shares of votes, which the softmax gives back.

    Args:
        weights: Of a vote: `distance` is 1 over the distance, pictures at distance 0 alone count where there are any;
            `uniform` is 1 (as in scikit-learn).

    Raises:
        ConfigError: `k` or `weights` is none of these.
    """

    def __init__(self, num_classes: int, k: int = 4, weights: str = "distance") -> None:
        super().__init__()
        if type(k) is not int or k < 1:
            raise ConfigError(f"model.k={k}: expected a whole number >= 1")
        if weights not in ("distance", "uniform"):
            raise ConfigError(f"model.weights={weights}: expected one of distance, uniform")
        self.classes, self.k, self.weights = num_classes, k, weights
        self.pictures, self.labels = torch.zeros(0, 0), torch.zeros(0, dtype=torch.int64)

    def remember(self, pictures: Tensor, labels: Tensor) -> None:
        """Take these for the training pictures; they are in no checkpoint.

        Args:
            pictures: float32 (N, C, H, W), prepared as a network takes them.
            labels: int64 (N,).

        Raises:
            ConfigError: They are fewer than `k`, or on a device that has no float64.
        """
        if len(pictures) < self.k:
            raise ConfigError(f"model.k={self.k}: there are only {len(pictures):,} training images")
        if pictures.device.type == "mps":
            raise ConfigError("device=mps: model=knn needs float64, which it does not have; use device=cpu")
        self.pictures, self.labels = pictures.flatten(1), labels

    def forward(self, x: Tensor) -> Tensor:
        """float (N, C, H, W) to logits, float32 (N, classes); those of nothing where nothing is remembered."""
        if not len(self.pictures):
            return x.new_zeros(len(x), self.classes)
        return self._votes(*self._nearest(x.flatten(1).double(), self.k))

    def without_itself(self, x: Tensor, labels: Tensor) -> Tensor:
        """The logits of remembered pictures by all the others.

        Args:
            x: float (N, C, H, W).
            labels: int64 (N,).
        """
        pictures = x.flatten(1).double()
        distances, found = self._nearest(pictures, min(self.k + 1, len(self.pictures)))
        # Any that is equal and has the label is as good as itself; itself may be the last of many equal ones.
        own = (distances == 0) & (found == labels[:, None])
        first = torch.where(own.any(1), own.byte().argmax(1), found.shape[1] - 1)
        left = torch.ones_like(own).scatter_(1, first[:, None], False)
        shape = len(x), found.shape[1] - 1
        return self._votes(distances[left].view(shape), found[left].view(shape))

    def _nearest(self, pictures: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Distances, float64 (N, count), ascending, and labels, int64 (N, count), of the nearest remembered pictures.

        Args:
            pictures: float64 (N, values).
        """
        nearest = torch.zeros(len(pictures), 0, dtype=torch.float64, device=pictures.device)
        places = torch.zeros(len(pictures), 0, dtype=torch.int64, device=pictures.device)
        for start in range(0, len(self.pictures), BLOCK):
            block = self.pictures[start : start + BLOCK].double()
            # Squared, less what all have in common: the square of the picture itself.
            squared = torch.addmm(block.square().sum(1), pictures, block.T, alpha=-2)
            some, where = squared.topk(min(count, len(block)), largest=False)
            nearest, places = torch.cat([nearest, some], 1), torch.cat([places, where + start], 1)
            nearest, kept = nearest.topk(min(count, nearest.shape[1]), largest=False)
            places = places.gather(1, kept)
        distances = torch.stack([(self.pictures[column].double() - pictures).norm(dim=1) for column in places.T], 1)
        distances, order = distances.sort(dim=1, stable=True)
        return distances, self.labels[places.gather(1, order)]

    def _votes(self, distances: Tensor, labels: Tensor) -> Tensor:
        if self.weights == "distance":
            equal = distances == 0
            votes = torch.where(equal.any(1, keepdim=True), equal.double(), 1 / distances)
        else:
            votes = torch.ones_like(distances)
        total = torch.zeros(len(votes), self.classes, dtype=torch.float64, device=votes.device)
        shares = total.scatter_add_(1, labels, votes) / votes.sum(1, keepdim=True)
        return shares.clamp(min=LEAST).log().float()

    def extra_repr(self) -> str:
        """The settings."""
        return f"k={self.k}, weights={self.weights}"
