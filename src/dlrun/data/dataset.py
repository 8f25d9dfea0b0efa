"""What a data set is to everything above the data layer: tensors of bytes, labels and class names."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dlrun.errors import ConfigError


@dataclass(frozen=True)
class Split:
    """Pictures and their classes; the tensors may be views of files and are never written to."""

    images: Tensor
    """uint8 (N, C, H, W)."""
    labels: Tensor
    """int64 (N,), each in 0 .. len(classes) - 1."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Split":
        """The same on `device`; on the CPU nothing is copied."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """A training set and a test set of pictures of one size."""

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    """Of the training pixels, one a channel, on a scale of 0-1."""
    std: tuple[float, ...]
    fingerprint: str
    """Short hash of the pictures and labels as they were read, whatever files they came from."""
    verified: bool
    """False where `data.verify=false` waived the checksums."""


def limited(split: Split, limit: int | None) -> Split:
    """Only the first `limit` images (None: all)."""
    return split if limit is None else Split(split.images[:limit], split.labels[:limit])


def split_off(train: Split, count: int) -> tuple[Split, Split]:
    """Hold `count` images out: what is left to train on, and the held-out ones.

    Which ones does not depend on a run's seed, so that runs with different seeds are compared on the same.

    Raises:
        ConfigError: Nothing would be left to train on.
    """
    if count >= len(train):
        raise ConfigError(f"validation={count}: expected fewer than the {len(train)} training images")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).to(train.labels.device)
    held, kept = order[:count].sort().values, order[count:].sort().values
    return Split(train.images[kept], train.labels[kept]), Split(train.images[held], train.labels[held])
