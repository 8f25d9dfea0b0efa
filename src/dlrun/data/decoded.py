"""Pictures and labels as numpy arrays: what every reader gives, its check and its fingerprint."""

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dlrun.errors import DataError

NAMES = {"train": "training", "test": "test", "val": "held-out"}
"""What the splits are called in sentences."""


class Pictures(NamedTuple):
    """One split: uint8 images (N, C, H, W) and int64 labels (N,)."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


class Decoded(NamedTuple):
    """A whole data set as a reader found it."""

    train: Pictures
    test: Pictures
    classes: tuple[str, ...]
    val: Pictures | None = None
    """Pictures that the data set brings to be held out."""
    damaged: tuple[str, ...] = ()
    """A sentence for each picture that was left out since it can't be read."""

    @property
    def splits(self) -> dict[str, Pictures]:
        """`train`, `test` and, where there is one, `val`."""
        return {"train": self.train, "test": self.test} | ({} if self.val is None else {"val": self.val})


def checked(decoded: Decoded, where: str) -> Decoded:
    """`decoded` itself if it is consistent.

    Raises:
        DataError: A split is empty, counts or sizes disagree, or a label is outside the classes.
    """
    for split, (images, labels) in decoded.splits.items():
        name = NAMES[split]
        if len(images) != len(labels):
            raise DataError(f"{where}: the {name} set has {len(images)} pictures but {len(labels)} labels")
        if not images.size:
            raise DataError(f"{where}: the {name} set is empty")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(decoded.classes):
            wrong = low if low < 0 else high
            raise DataError(f"{where}: label {wrong} in the {name} set; expected 0-{len(decoded.classes) - 1}")
    size = decoded.train.images.shape[1:]
    for split, pictures in decoded.splits.items():
        if pictures.images.shape[1:] != size:
            found = pictures.images.shape[1:]
            raise DataError(f"{where}: training pictures are {size}, {NAMES[split]} pictures {found} (C, H, W)")
    return decoded


def fingerprint(*splits: Pictures) -> str:
    """Sixteen hex digits of the pictures, their shape and the labels."""
    digest = hashlib.sha256()
    for images, labels in splits:
        digest.update(repr(images.shape).encode())
        digest.update(np.ascontiguousarray(images).data)
        digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return digest.hexdigest()[:16]


def moments(images: npt.NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel of uint8 (N, C, H, W), on a scale of 0-1."""
    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])
    share = counts / counts.sum(axis=1, keepdims=True)
    values = np.arange(256) / 255
    mean = share @ values
    std = np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
    # A constant channel has no deviation to divide by.
    return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())
