"""One picture file, opened with Pillow: upright, with eight bits a channel, and never too large."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from dlrun.errors import DataError

PIXEL_LIMIT = 1 << 26
"""Largest picture that is opened, in pixels: a file of a few kilobytes can unfold to gigabytes."""


def opened(path: Path, size: tuple[int, int] | None) -> Image.Image:
    """The picture, turned as its EXIF data say.

    Args:
        size: Width and height that it will be resized to: JPEG files are decoded at a fraction of their size
            where that is still twice as much.

    Raises:
        DataError: No readable picture, or one of more than `PIXEL_LIMIT` pixels.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not a file")  # a pipe or a device would never end
    try:
        with Image.open(path) as image:
            if image.width * image.height > PIXEL_LIMIT:
                raise DataError(f"{path}: {image.width}x{image.height} pixels; at most {PIXEL_LIMIT} are read")
            if size is not None:
                image.draft(None, (2 * size[0], 2 * size[1]))
            return _eight_bits(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not a picture of a known kind") from error
    # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more on damaged files.
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise DataError(f"{path}: {reason or f'not a readable picture: {error}'}") from error


def pixels_of(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The pixels of a grey or RGB picture, (C, H, W)."""
    array = np.asarray(image, dtype=np.uint8)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _eight_bits(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I"):
        return image
    # Pillow clips 16-bit greys at 255 instead of scaling them.
    return Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
