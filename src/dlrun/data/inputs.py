"""What a network was trained on, as far as using it needs to know."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlrun.data.dataset import Dataset
from dlrun.data.rim import mean_rim, range_of_rims
from dlrun.errors import DataError

MOST_VALUES = 3 << 26
"""Of one picture: as many as the largest file that is read has, in colour."""

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
    """Mean of the outermost pixels of training pictures, likewise."""
    rim: tuple[float, ...] = ()
    """The darkest, middle and lightest border of all grey pictures of the data set; empty for colour.

    Checkpoints of 0.1.0 have none."""

    @classmethod
    def of(cls, dataset: Dataset) -> "Inputs":
        """Of a data set; what no checkpoint can be loaded with again is refused here, before anything is trained.

        Raises:
            DataError: One class, names that are no text, means that don't fit the channels, pictures too large.
        """
        images = dataset.train.images
        splits = [split for split in (dataset.train, dataset.test, dataset.val) if split]
        rim = range_of_rims(*(split.images.cpu().numpy() for split in splits))
        described = {
            "classes": dataset.classes,
            "shape": images.shape[1:],
            "mean": dataset.mean,
            "std": dataset.std,
            "border": mean_rim(images.cpu().numpy()),
            "rim": rim,
        }
        try:
            return cls.parse({name: list(value) for name, value in described.items()})
        except (TypeError, ValueError) as error:
            raise DataError(f"{dataset.name}: {error}") from error

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
        if not all(isinstance(name, str) for name in classes):
            raise ValueError(f"classes: expected names that are text, found {classes!r:.80}")
        if len(classes) < 2:
            raise ValueError(f"classes: expected at least two, found {', '.join(classes) or 'none'}")
        if len(shape) != 3 or not all(type(length) is int and length > 0 for length in shape):
            raise ValueError(f"shape: expected channels, height, width, found {shape!r:.80}")
        if math.prod(shape) > MOST_VALUES:
            raise ValueError(f"pictures too large: {'x'.join(map(str, shape))}; at most {MOST_VALUES} values")
        mean, std, border = (_moments(name, values[name], shape) for name in ("mean", "std", "border"))
        rim = values.get("rim", [])
        if not isinstance(rim, list) or not (not rim or (len(rim) == 3 and all(_is_finite(value) for value in rim))):
            raise ValueError("rim: expected the darkest, middle and lightest border")
        return cls(classes, shape, mean, std, border, tuple(map(float, rim)))


def _moments(name: str, values: Sequence[Any], shape: Sequence[int]) -> tuple[float, ...]:
    if not all(_is_finite(value) for value in values):
        raise ValueError(f"{name}: expected finite numbers, found {values!r:.80}")
    if len(values) != shape[0]:
        found = f"{len(values)} for pictures of {'x'.join(map(str, shape))} (channels, height, width)"
        raise ValueError(f"{name}: expected a number for each channel, found {found}")
    return tuple(map(float, values))


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False
