"""What a network was trained on, as far as using it needs to know."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dlrun.data.dataset import Dataset

MOST_PIXELS = 3 * 1024 * 1024
BORDER_IMAGES = 2000
FIELDS = ("classes", "shape", "mean", "std", "border")


@dataclass(frozen=True)
class Inputs:
    """The classes, the shape and the brightness of its pictures: kept inside the checkpoints."""

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    """Channels, height, width."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Of the training pixels, one a channel, on a scale of 0-1."""
    border: tuple[float, ...]
    """Mean of the outermost pixels of training pictures, likewise: tells light on dark from dark on light."""

    @classmethod
    def of(cls, dataset: Dataset) -> "Inputs":
        """Of a data set; the border is that of up to 2,000 pictures."""
        images = dataset.train.images
        _, channels, height, width = images.shape
        return cls(dataset.classes, (channels, height, width), dataset.mean, dataset.std, _border(images))

    def plain(self) -> dict[str, list[Any]]:
        """Lists, for a checkpoint."""
        return {name: list(value) for name, value in vars(self).items()}

    @classmethod
    def parse(cls, values: Any) -> "Inputs":
        """From what `plain` gave.

        Raises:
            ValueError: It is not that.
        """
        if not isinstance(values, dict) or not all(isinstance(values.get(name), list) for name in FIELDS):
            raise ValueError("no description of the data")
        classes, shape = tuple(values["classes"]), tuple(values["shape"])
        if len(classes) < 2 or not all(isinstance(name, str) for name in classes):
            raise ValueError("classes")
        if len(shape) != 3 or not all(type(length) is int and length > 0 for length in shape):
            raise ValueError("shape")
        if math.prod(shape) > MOST_PIXELS:
            raise ValueError("pictures too large")
        moments = [tuple(float(value) for value in values[name]) for name in ("mean", "std", "border")]
        if not all(len(moment) == shape[0] and all(map(math.isfinite, moment)) for moment in moments):
            raise ValueError("mean, std or border")
        return cls(classes, shape, *moments)


def _border(images: Tensor) -> tuple[float, ...]:
    some = images[:: max(1, len(images) // BORDER_IMAGES)].float() / 255
    rows, columns = some[:, :, [0, -1]].flatten(2), some[:, :, 1:-1][..., [0, -1]].flatten(2)
    means: Sequence[float] = torch.cat([rows, columns], dim=2).mean(dim=(0, 2)).tolist()
    return tuple(means)
