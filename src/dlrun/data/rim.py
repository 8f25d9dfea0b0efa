"""How bright the borders of pictures are: tells light on dark from dark on light."""

import numpy as np
import numpy.typing as npt

SAMPLED = 2000
"""Pictures that the mean border is taken of, spread over all."""


def brightness_of_rims(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Mean of the outermost pixels of each picture and channel, (N, C), on a scale of 0-1.

    Args:
        images: uint8 (N, C, H, W).
    """
    sides = [images[:, :, 0], images[:, :, -1], images[:, :, 1:-1, 0], images[:, :, 1:-1, -1]]
    sums = sum(side.sum(axis=2, dtype=np.int64) for side in sides)
    return np.asarray(sums / (255 * sum(side.shape[2] for side in sides)))


def mean_rim(images: npt.NDArray[np.uint8]) -> tuple[float, ...]:
    """The mean border of pictures (N, C, H, W), one number a channel."""
    some = images[:: max(1, len(images) // SAMPLED)]
    return tuple(brightness_of_rims(some).mean(axis=0).tolist())


def range_of_rims(*splits: npt.NDArray[np.uint8]) -> tuple[float, ...]:
    """Of all grey pictures the darkest, the middle and the lightest rim; empty for pictures in colour."""
    if splits[0].shape[1] != 1:
        return ()
    rims = np.concatenate([brightness_of_rims(images) for images in splits])
    return tuple(float(value) for value in (rims.min(), np.median(rims), rims.max()))
