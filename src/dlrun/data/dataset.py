"""What a data set is to everything above the data layer: tensors of bytes, labels and class names."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Pictures and their classes; the tensors may be views of files and are never written to."""

    images: Tensor
    """uint8 (N, C, H, W)."""
    labels: Tensor
    """int64 (N,), each in 0 .. len(classes) - 1."""

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, places: Tensor) -> "Split":
        """A copy of the images at these places, int64 (n,)."""
        places = places.to(self.labels.device)
        return Split(self.images[places], self.labels[places])

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
    fingerprint: str = ""
    """Short hash of the pictures and labels as they were read, whatever files they came from; dlrun computes it."""
    verified: bool = True
    """False where `data.verify=false` waived the checksums."""
    val: Split | None = None
    """Images that it brings to be held out (`validation=own`); the fingerprint covers them, too."""
    damaged: tuple[str, ...] = ()
    """A sentence for each picture that was left out since it can't be read."""


def place_in_class(labels: Tensor) -> Tensor:
    """How many before it have its label, of each of the labels, int64 (N,) on the CPU."""
    order, sizes = labels.argsort(stable=True), labels.bincount()
    starts = sizes.cumsum(0) - sizes
    places = torch.empty_like(labels)
    places[order] = torch.arange(len(labels)) - starts.repeat_interleave(sizes)
    return places


def limited(split: Split, limit: int | None) -> Split:
    """Only the first `limit` images (None: all)."""
    return split if limit is None else Split(split.images[:limit], split.labels[:limit])
