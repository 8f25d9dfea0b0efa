"""Pictures from anywhere, made to look like those a network was trained on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dlrun.data.listing import SUFFIXES, below, composed, split_folders
from dlrun.data.picture import picture
from dlrun.data.rim import brightness_of_rims
from dlrun.errors import DataError, UsageError

CERTAIN = 0.25
"""Training pictures whose border is this near to black or white, on a scale of 0-1, are dark or light ones."""

LIGHT_ON_DARK, DARK_ON_LIGHT = "light on dark", "dark on light"


@dataclass(frozen=True)
class Fitted:
    """A picture as the network takes it."""

    pixels: npt.NDArray[np.uint8]
    """(C, H, W)."""
    inverted: bool
    """Whether dark and light were exchanged, since the training pictures are the other way round."""
    found: str
    """`light on dark` or `dark on light`; empty where the training pictures are neither, or both."""


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


def class_folders(words: Iterable[str], paths: Iterable[Path]) -> dict[Path, str]:
    """Of the pictures below the folders among `words` the name of the folder that would be their class.

    It is the folder right below the one that is named, or right below its `train/`, `test/` or `val/`. Pictures that
    lie in no such folder are left out.
    """
    folders = [Path(word) for word in words if Path(word).is_dir()]
    splits = {split for folder in folders for split in _split_folders(folder)}
    found = {}
    for path in paths:
        above = next((folder for folder in folders if path.is_relative_to(folder)), None)
        if above is None:
            continue
        names = path.relative_to(above).parts[:-1]
        if names and above / names[0] in splits:
            names = names[1:]
        if names:
            found[path] = composed(names[0])
    return found


def _split_folders(folder: Path) -> list[Path]:
    try:
        return list(split_folders(folder).values())
    except DataError:
        return []  # two folders that could be one split are no splits to go by


def fitted(path: Path, shape: Sequence[int], rim: Sequence[float], squeeze: bool) -> Fitted:
    """Read a picture of any size, grey or colour, and fit it to the training pictures.

    It is read as training reads it; padded to the proportions of `shape` by the colour of its border, or
    squeezed into them; and light and dark are exchanged where its border is of a kind that no picture of the
    data set has.

    Args:
        shape: (C, H, W) of the training pictures.
        rim: Of `Inputs.rim`.

    Raises:
        DataError: No readable picture, one that is too large, or no channels that a file could have.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"{path}: the network takes pictures of {channels} channels; no file has those")
    return _turned_round(picture(path, channels, (width, height), padded=not squeeze), rim)


def _turned_round(pixels: npt.NDArray[np.uint8], rim: Sequence[float]) -> Fitted:
    """Light on dark or dark on light, told by the border; colour pictures are left as they are."""
    usual = polarity(rim)
    if len(pixels) != 1 or not usual:
        return Fitted(pixels, False, "")
    found = DARK_ON_LIGHT if brightness_of_rims(pixels[None])[0, 0] > 0.5 else LIGHT_ON_DARK
    wrong = found != usual
    return Fitted(255 - pixels if wrong else pixels, wrong, found)


def polarity(rim: Sequence[float]) -> str:
    """`light on dark` or `dark on light` if all pictures of a data set are that and most clearly so; else empty.

    Args:
        rim: Of `Inputs.rim`.
    """
    if not rim:
        return ""
    darkest, middle, lightest = rim
    if lightest <= 0.5 and middle <= CERTAIN:
        return LIGHT_ON_DARK
    return DARK_ON_LIGHT if darkest > 0.5 and middle >= 1 - CERTAIN else ""
