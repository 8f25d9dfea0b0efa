"""Pictures made up from fixed random numbers: a coarse pattern a class, under noise."""

import numpy as np

from dlrun.config.groups import Synthetic
from dlrun.data.decoded import Decoded, Pictures
from dlrun.errors import ConfigError

CELLS = 5
"""A pattern has this many cells each way at most, so that convolutions and small shifts don't blur it."""

NOISE = 96
"""Largest deviation of a pixel from its pattern, of 255."""


def shape_of(config: Synthetic) -> tuple[int, int, int]:
    """Channels, height, width.

    Raises:
        ConfigError: `data.shape` is not three numbers from 1 to 1024.
    """
    if len(config.shape) != 3 or not all(1 <= size <= 1024 for size in config.shape):
        raise ConfigError(f"data.shape={config.shape}: expected channels, height, width, each 1-1024")
    channels, height, width = config.shape
    return channels, height, width


def make(config: Synthetic) -> Decoded:
    """The same pictures for the same config, on every machine and with every numpy."""
    # RandomState's stream is frozen by numpy's promise of compatibility; that of Generator is not.
    numbers = np.random.RandomState(0)
    channels, height, width = shape_of(config)
    cells = numbers.randint(64, 192, (config.classes, channels, min(CELLS, height), min(CELLS, width)))
    rows, columns = (np.arange(size) * min(CELLS, size) // size for size in (height, width))
    patterns = cells[:, :, rows[:, None], columns].astype(np.int16)
    train, test = (_split(numbers, patterns, count) for count in (config.train_images, config.test_images))
    return Decoded(train, test, tuple(str(number) for number in range(config.classes)))


def _split(numbers: np.random.RandomState, patterns: np.ndarray, count: int) -> Pictures:
    labels = numbers.permutation(np.arange(count) % len(patterns))
    images = np.empty((count, *patterns.shape[1:]), dtype=np.uint8)
    for start in range(0, count, 1000):
        clean = patterns[labels[start : start + 1000]]
        noise = numbers.randint(-NOISE, NOISE + 1, clean.shape, dtype=np.int16)
        images[start : start + 1000] = np.clip(clean + noise, 0, 255)
    return Pictures(images, labels.astype(np.int64))
