"""Pictures from anywhere, made to look like those a network was trained on."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dlrun.data.listing import SUFFIXES, below
from dlrun.data.picture import opened, pixels_of
from dlrun.errors import DataError, UsageError

CERTAIN = 0.25
"""Training pictures whose border is this near to black or white, on a scale of 0-1, are dark or light ones."""


@dataclass(frozen=True)
class Fitted:
    """A picture as the network takes it."""

    pixels: npt.NDArray[np.uint8]
    """(C, H, W)."""
    inverted: bool
    """Whether dark and light were exchanged, since the training pictures are the other way round."""
    found: str
    """`light on dark` or `dark on light`; empty where the training pictures are neither."""


def listed(words: Iterable[str]) -> list[Path]:
    """The files that are named, and every picture below the folders that are named, sorted.

    Raises:
        UsageError: Nothing of that name, or a folder without a picture.
    """
    paths: list[Path] = []
    for word in words:
        path = Path(word)
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        if not path.is_dir():
            paths.append(path)
            continue
        inside = below(path)
        if not inside:
            raise UsageError(f"{path}: no pictures in this folder ({' '.join(sorted(SUFFIXES))})")
        paths += inside
    return paths


def fitted(path: Path, shape: Sequence[int], border: Sequence[float], squeeze: bool) -> Fitted:
    """Read a picture of any size, grey or colour, and fit it to the training pictures.

    It is turned as its EXIF data say; what is transparent gets a background that the rest stands out from;
    it is padded to the proportions of `shape` by the colour of its border, or squeezed into them, and resized
    (bilinear, antialiased); light and dark are exchanged where its border says that they are the wrong way
    round.

    Args:
        shape: (C, H, W) of the training pictures.
        border: Mean of their outermost pixels by channel, on a scale of 0-1.

    Raises:
        DataError: No readable picture, one that is too large, or no channels that a file could have.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"{path}: the network takes pictures of {channels} channels; no file has those")
    with warnings.catch_warnings():
        # Oddities that Pillow can cope with (palettes, EXIF data) are no news to the user.
        warnings.simplefilter("ignore")
        picture = _opaque(opened(path, (width, height))).convert("L" if channels == 1 else "RGB")
    if not squeeze:
        picture = _padded(picture, width / height)
    return _turned_round(pixels_of(picture.resize((width, height), Image.Resampling.BILINEAR)), border)


def _opaque(image: Image.Image) -> Image.Image:
    """The picture without transparency."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    layers = image.convert("RGBA")
    opaque = np.asarray(layers.getchannel("A")) > 127
    grey = np.asarray(layers.convert("L"))[opaque]
    background = (0, 0, 0, 255) if grey.size and grey.mean() > 127 else (255, 255, 255, 255)
    page = Image.new("RGBA", layers.size, background)
    page.alpha_composite(layers)
    return page


def _padded(picture: Image.Image, proportion: float) -> Image.Image:
    """The picture in the middle of one whose width is `proportion` times its height."""
    width, height = picture.size
    goal = (max(width, round(height * proportion)), max(height, round(width / proportion)))
    if goal == picture.size or max(goal) > 20 * min(picture.size):
        return picture
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = np.median(edge.reshape(len(edge), -1), axis=0).astype(int)
    page = Image.new(picture.mode, goal, tuple(colour) if len(colour) > 1 else int(colour[0]))
    page.paste(picture, ((goal[0] - width) // 2, (goal[1] - height) // 2))
    return page


def _turned_round(pixels: npt.NDArray[np.uint8], border: Sequence[float]) -> Fitted:
    """Light on dark or dark on light, told by the border; colour pictures are left as they are."""
    usual = border[0]
    if len(pixels) != 1 or CERTAIN < usual < 1 - CERTAIN:
        return Fitted(pixels, False, "")
    rim = np.concatenate([pixels[0, 0], pixels[0, -1], pixels[0, :, 0], pixels[0, :, -1]]) / 255
    light = float(np.median(rim)) > 0.5
    wrong = light != (usual > 0.5)
    return Fitted(255 - pixels if wrong else pixels, wrong, "dark on light" if light else "light on dark")
