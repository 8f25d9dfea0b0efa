"""Whether training pictures differ at all: a network learns nothing from those that don't."""

from collections.abc import Iterable

from torch import Tensor

from dlrun.data.dataset import Dataset

LEAST_SPREAD = 16
"""Levels of 256 between the darkest and the lightest pixel; below, the pictures are as good as of one colour."""

LEAST_DEVIATION = 0.01
"""On a scale of 0-1, likewise."""

BYTES_AT_ONCE = 1 << 20
"""Of the pictures that are compared; most sets are known to differ after the first so many."""


def sameness(dataset: Dataset) -> str | None:
    """A sentence on training pictures that are all the same, or all but of one colour; None for usual ones."""
    images = dataset.train.images
    count = f"all {len(images):,} training pictures"
    parts = images.split(max(1, BYTES_AT_ONCE // images[0].numel()))
    if len(images) > 1 and all(bool((some == images[0]).all()) for some in parts):
        return f"{count} are the same: no network can tell their classes apart"
    if images.shape == dataset.test.images.shape and bool((images == dataset.test.images).all()):
        return f"the test pictures are {count}: how the network does on others will not be known"
    low, high = _range(parts)
    if high - low < LEAST_SPREAD:
        return f"{count} are nearly {_colour(high)}: their pixels go from {low} to {high} of 255"
    if max(dataset.std) < LEAST_DEVIATION:
        return f"{count} are nearly of one colour: their pixels deviate by {max(dataset.std) * 255:.1f} of 255"
    return None


def _range(parts: Iterable[Tensor]) -> tuple[int, int]:
    """The darkest and the lightest value, or two that are apart by enough."""
    low, high = 255, 0
    for some in parts:
        low, high = min(low, int(some.min())), max(high, int(some.max()))
        if high - low >= LEAST_SPREAD:
            break
    return low, high


def _colour(level: int) -> str:
    return "black" if level < 2 * LEAST_SPREAD else "white" if level > 255 - LEAST_SPREAD else "of one colour"
