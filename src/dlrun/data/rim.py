"""How bright the border of a picture is: tells light on dark from dark on light."""

import numpy as np
import numpy.typing as npt


def brightness_of_rims(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Mean of the outermost pixels of the first channel of each picture, (N,), on a scale of 0-1.

    Args:
        images: uint8 (N, C, H, W).
    """
    grey = images[:, 0]
    sides = [grey[:, 0], grey[:, -1], grey[:, 1:-1, 0], grey[:, 1:-1, -1]]
    sums = sum(side.sum(axis=1, dtype=np.int64) for side in sides)
    return np.asarray(sums / (255 * sum(side.shape[1] for side in sides)))


def range_of_rims(*splits: npt.NDArray[np.uint8]) -> tuple[float, ...]:
    """Of all grey pictures the darkest, the middle and the lightest rim; empty for pictures in colour."""
    if splits[0].shape[1] != 1:
        return ()
    rims = np.concatenate([brightness_of_rims(images) for images in splits])
    return tuple(float(value) for value in (rims.min(), np.median(rims), rims.max()))
