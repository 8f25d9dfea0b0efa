"""A table of pixels: a CSV file with a picture a line, its class and the brightness of every pixel."""

import functools
import itertools
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dlrun.config.groups import PixelTable
from dlrun.data import content
from dlrun.data.decoded import Decoded, Pictures
from dlrun.data.numbers import Misread, oddity, rows_of
from dlrun.data.places import Source
from dlrun.errors import DataError
from dlrun.output import few

LABELS = ("label", "labels", "class", "target", "digit", "y")
"""How the column of classes may be called, in any case."""
NO_PIXELS = ("", "id", "imageid", "image_id", "index", "split", "usage", "unnamed: 0")
MOST_NAMES = 4
LONGEST_NAME = 20


@dataclass(frozen=True)
class PixelRows:
    """What is in one file."""

    labels: npt.NDArray[np.int64]
    """(N,), as they stand there."""
    pixels: npt.NDArray[np.uint8]
    """(N, pixels)."""


def read(source: Source, config: PixelTable) -> Decoded:
    """The data set of a table, and of a second one with the test pictures; without, a share of each class is tested.

    Raises:
        DataError: A damaged table, a size that has to be said, or classes that are tested alone.
    """
    train, test = tables(source)
    _tables.cache_clear()  # what `facts` read; the pictures are kept elsewhere now
    shape = shape_of(train.pixels.shape[1], config, source.files["train"])
    names = np.unique(train.labels)
    if len(names) < 2:
        raise DataError(f"{source.files['train']}: one class, {names[0]}; expected two or more")
    if test is not None:
        if len(alone := np.setdiff1d(test.labels, names)):
            raise DataError(
                f"{source.files['test']}: the classes {few([str(one) for one in alone], MOST_NAMES)} are not in "
                f"{source.files['train']}"
            )
        splits = [train, test]
    else:
        tested = _share(train.labels, config.test_fraction)
        splits = [PixelRows(train.labels[rows], train.pixels[rows]) for rows in (~tested, tested)]
    first, second = (Pictures(_shaped(one.pixels, shape), np.searchsorted(names, one.labels)) for one in splits)
    return Decoded(first, second, tuple(str(name) for name in names))


def known(source: Source, config: PixelTable) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """Channels, height and width of the pictures, and the names of the classes.

    Raises:
        DataError: As `read`.
    """
    train, _ = tables(source)
    height, width, channels = shape_of(train.pixels.shape[1], config, source.files["train"]).sizes
    return (channels, height, width), tuple(str(name) for name in np.unique(train.labels))


@dataclass(frozen=True)
class _Shape:
    sizes: tuple[int, int, int]
    """Height, width, channels."""
    planes: bool
    """Whether all pixels of a channel stand together."""


def shape_of(pixels: int, config: PixelTable, table: Path) -> _Shape:
    """The shape of pictures of so many numbers: as configured, or square and grey.

    Raises:
        DataError: The configured one has another number of pixels, or they make no square.
    """
    if config.shape is None:
        side = math.isqrt(pixels)
        if side * side == pixels:
            return _Shape((side, side, 1), planes=False)
        coloured = math.isqrt(pixels // 3)
        hint = f"; in colour it may be data.shape=[{coloured},{coloured},3]" if 3 * coloured**2 == pixels else ""
        raise DataError(
            f"{table}: {pixels:,} pixels a line are no square; data.shape=[HEIGHT,WIDTH] says what they are, with the "
            f"channels behind or in front as they stand in a line{hint}"
        )
    if math.prod(config.shape) != pixels:
        raise DataError(
            f"data.shape=[{','.join(map(str, config.shape))}]: {math.prod(config.shape):,} pixels; "
            f"{table} has {pixels:,} a line"
        )
    first, *rest = config.shape
    if len(rest) == 1:
        return _Shape((first, rest[0], 1), planes=False)
    if rest[1] in (1, 3):
        return _Shape((first, rest[0], rest[1]), planes=False)
    return _Shape((rest[0], rest[1], first), planes=True)


def _shaped(pixels: npt.NDArray[np.uint8], shape: _Shape) -> npt.NDArray[np.uint8]:
    """(N, pixels) as (N, C, H, W)."""
    height, width, channels = shape.sizes
    if shape.planes:
        return np.ascontiguousarray(pixels.reshape(-1, channels, height, width))
    return np.ascontiguousarray(pixels.reshape(-1, height, width, channels).transpose(0, 3, 1, 2))


def _share(labels: npt.NDArray[np.int64], fraction: float) -> npt.NDArray[np.bool_]:
    """Which lines are tested: of each class this share, one at least and never all, drawn the same way each time."""
    generator = np.random.default_rng(0)
    tested = np.zeros(len(labels), bool)
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        count = min(max(round(len(rows) * fraction), 1), len(rows) - 1)
        tested[generator.permutation(rows)[:count]] = True
    return tested


# --- reading ----------------------------------------------------------------------------------------------


def tables(source: Source) -> tuple[PixelRows, PixelRows | None]:
    """The training table and the test table, if there is one.

    Raises:
        DataError: As `parse`, or they differ in their number of pixels.
    """
    states = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in source.files.values())
    train, *tests = _tables(states)
    return train, next(iter(tests), None)


@functools.lru_cache(maxsize=1)
def _tables(states: tuple[tuple[Path, int, int], ...]) -> list[PixelRows]:
    found = [parse(*_text(path, split), split) for (path, *_), split in zip(states, ("train", "test"), strict=False)]
    sizes = [table.pixels.shape[1] for table in found]
    if len(set(sizes)) > 1:
        raise DataError(f"{states[1][0]}: {sizes[1]:,} pixels a line; {states[0][0]} has {sizes[0]:,}")
    return found


def _text(path: Path, split: str) -> tuple[bytes, str]:
    """What is in a CSV file, unpacked from gzip or zip, and what to call it."""
    if not zipfile.is_zipfile(path):
        return content.unzipped(content.read(path), path), str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            fitting = names if len(names) == 1 else [name for name in names if split in name.lower()]
            if len(fitting) != 1:
                found = few(names, MOST_NAMES) or "no CSV file"
                raise DataError(f"{path}: expected one CSV file, or one with {split} in its name; found {found}")
            return content.member(archive, fitting[0], path), f"{path}:{fitting[0]}"
    except DataError:
        raise
    # zipfile lets errors of the decompressors through (zlib, EOF, NotImplementedError).
    except Exception as error:
        raise DataError(f"{path}: damaged zip file: {error}") from error


def parse(text: bytes, name: str, split: str = "train") -> PixelRows:
    """The pictures in the bytes of a CSV file.

    The first line names the columns; the one of the classes is called `label` or the like, all others are pixels in
    their order. Without names the class comes first.

    Raises:
        DataError: Columns that are neither, no class, or a line that has not so many whole numbers from 0 to 255.
    """
    text = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    header, _, rest = text.partition(b"\n")
    names = [cell.strip().strip('"').lower() for cell in header.decode("utf-8", "replace").split(",")]
    if len(names) < 2:
        raise DataError(
            f"{name}, line 1: expected a class and pixels, separated by commas; found {oddity(text, header)}"
        )
    headed = not all(cell.isdecimal() for cell in names)
    rows, first = (rest, 2) if headed else (text, 1)
    label = _label(names, name, split) if headed else 0
    if not rows.strip(b"\n"):
        raise DataError(f"{name}: no lines below the names of the columns")
    try:
        numbers = rows_of(rows, len(names))
    except Misread as error:
        column = f" ({names[error.field - 1]})" if headed and error.field else ""
        field = f", field {error.field}{column}" if error.field else ""
        raise DataError(f"{name}, line {first + error.row - 1}{field}: {error}") from None
    return PixelRows(numbers[:, label].astype(np.int64), np.delete(numbers, label, axis=1))


def _label(names: Sequence[str], name: str, split: str) -> int:
    """Where the class stands; all other columns must be pixels, in order."""
    labels = [place for place, cell in enumerate(names) if cell in LABELS]
    others = [(place, cell) for place, cell in enumerate(names) if cell not in LABELS]
    if not labels:
        cure = "; leave data.test_table out, then a share of data.table is tested" if split == "test" else ""
        raise DataError(
            f"{name}, line 1: no column label, so the classes of its pictures are not known; "
            f"found {few([cell[:LONGEST_NAME] for cell in names], MOST_NAMES)}{cure}"
        )
    for place, cell in others:
        if cell in NO_PIXELS:
            called = cell or "without a name, as pandas writes its index"
            raise DataError(f"{name}, line 1, field {place + 1}: {called}: is no pixel; leave that column out")
    numbered = [re.fullmatch(r"\D*(\d+)", cell) for _, cell in others]
    numbers = [int(found[1]) for found in numbered if found]
    out = next((place for place, (one, two) in enumerate(itertools.pairwise(numbers)) if one >= two), None)
    if len(numbers) == len(others) and out is not None:
        raise DataError(
            f"{name}, line 1: {others[out][1]} stands before {others[out + 1][1]}: the pixels are not in their order"
        )
    return labels[0]
