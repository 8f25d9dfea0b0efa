"""One picture file as every verb sees it: upright, opaque, with eight bits a channel, of the wanted size."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from dlrun.data.depth import Depth, eight_bits
from dlrun.errors import DataError

READING = 2
"""Raised when the same file gives other pixels: the cache of what was read before is then outdated."""

PIXEL_LIMIT = 1 << 26
"""Largest picture that is opened, in pixels: a file of a few kilobytes can unfold to gigabytes."""


def picture(path: Path, channels: int, size: tuple[int, int] | None, padded: bool = False) -> npt.NDArray[np.uint8]:
    """The picture as uint8 (C, H, W): turned as its EXIF data say, on a background where it is transparent.

    Resizing is Pillow's bilinear one, which is antialiased.

    Args:
        channels: 1 for grey, 3 for colour (RGB).
        size: Width and height to resize it to; None: as it is.
        padded: Keep its proportions and fill up with the colour of its border, instead of squeezing it.

    Raises:
        DataError: No readable picture, one of more than `PIXEL_LIMIT` pixels, or one whose range of brightness
            can't be told.
    """
    image = _opened(path, "L" if channels == 1 else "RGB", size)
    if size is not None:
        whole = _padded(image, size[0] / size[1]) if padded else image
        image = whole.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _opened(path: Path, mode: str, size: tuple[int, int] | None) -> Image.Image:
    """The picture in Pillow's `mode`.

    JPEG files are decoded at a fraction of their size where that is still twice as much as `size`.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not a file")  # a pipe or a device would never end
    try:
        with Image.open(path) as image:
            if image.width * image.height > PIXEL_LIMIT:
                raise DataError(f"{path}: {image.width}x{image.height} pixels; at most {PIXEL_LIMIT} are read")
            if size is not None:
                # Before it is turned, width may be height.
                image.draft(None, (2 * max(size), 2 * max(size)))
            depth = Depth.of(image, path)
            return _converted(_opaque(eight_bits(ImageOps.exif_transpose(image), depth, path)), mode)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not a picture of a known kind") from error
    # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more on damaged files.
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise DataError(f"{path}: {reason or f'not a readable picture: {error}'}") from error


def _converted(image: Image.Image, mode: str) -> Image.Image:
    try:
        return image.convert(mode)
    except ValueError:  # Pillow knows no direct way, as from LAB to grey
        return image.convert("RGB").convert(mode)


def _opaque(image: Image.Image) -> Image.Image:
    """The picture on a page that its visible part stands out from: black under light, white under dark or nothing."""
    if not image.has_transparency_data:
        return image
    layers = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
    alpha = np.asarray(layers.getchannel("A"))
    if alpha.min() == 255:
        return layers if image.mode in ("La", "RGBa") else image
    seen = alpha.astype(np.float64)
    light = (np.asarray(layers.convert("L")) * seen).sum() > 127 * seen.sum()
    page = Image.new("RGBA", layers.size, (0, 0, 0, 255) if light else (255, 255, 255, 255))
    page.alpha_composite(layers)
    return page


def _padded(image: Image.Image, proportion: float) -> Image.Image:
    """The picture in the middle of one whose width is `proportion` times its height."""
    width, height = image.size
    goal = (max(width, round(height * proportion)), max(height, round(width / proportion)))
    if goal == image.size or max(goal) > 20 * min(image.size):
        return image
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = np.median(edge.reshape(len(edge), -1), axis=0).astype(int)
    page = Image.new(image.mode, goal, tuple(colour) if len(colour) > 1 else int(colour[0]))
    page.paste(image, ((goal[0] - width) // 2, (goal[1] - height) // 2))
    return page
