"""The user's own pictures: a folder a class, perhaps below `train/`, `test/` and `val/`; read with Pillow."""

import itertools
import os
import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dlrun.config.groups import ImageFolder
from dlrun.data.decoded import Decoded, Pictures
from dlrun.data.listing import Listing, held_out
from dlrun.data.picture import picture as read_picture
from dlrun.data.places import Source
from dlrun.errors import DataError
from dlrun.output import few_sentences

T = TypeVar("T")

MOST_NAMED = 50
"""Damaged files that a message names."""


def picture(path: Path, config: ImageFolder) -> npt.NDArray[np.uint8]:
    """One picture as uint8 (C, H, W), squeezed to `config.size` if that is set.

    Raises:
        DataError: As `dlrun.data.picture.picture`.
    """
    size = (config.size, config.size) if config.size is not None else None
    return read_picture(path, 1 if config.color == "grey" else 3, size)


def read(source: Source, config: ImageFolder) -> Decoded:
    """All pictures of a folder or a table; without a `test/` folder a fixed share of every class is held out.

    Raises:
        DataError: Pictures that can't be read (all are named), unless they are to be left out; nothing to train on
            or to test.
    """
    listing, where = source.listing, source.table or source.folder
    pictures, failures = attempted(listing.pictures, lambda path: picture(path, config))
    if failures and config.damaged == "refuse":
        raise DataError(f"{few_sentences(failures, MOST_NAMED)}. Mend them, or leave them out: data.damaged=skip")
    classes = listing.classes
    lost = [name for name in classes if not any(path in pictures for path in listing.train[name])]
    if lost:
        raise DataError(f"{where}: no picture is left to train on of {', '.join(lost)}")
    divided = _divided(listing, config, pictures)
    if not any(divided.test.values()):
        raise DataError(f"{where}: one picture a class leaves none to test; give it more, or a test/ folder")
    splits = [_split(split, classes, pictures) for split in divided]
    damaged = tuple(str(failure) for failure in failures)
    return Decoded(splits[0], splits[1], classes, splits[2] if len(splits[2].labels) else None, damaged)


def files(source: Source, config: ImageFolder, damaged: Sequence[str]) -> dict[str, list[Path]]:
    """The pictures of `train`, `test` and `val` in the order in which `read` has them.

    Args:
        damaged: As of `Decoded`: what was left out.
    """
    pictures = source.listing.pictures
    # Each sentence begins with the path of its picture.
    named = ([path for path in pictures if sentence.startswith(f"{path}: ")] for sentence in damaged)
    lost = {max(paths, key=lambda path: len(str(path))) for paths in named if paths}
    divided = _divided(source.listing, config, set(pictures) - lost)
    return {name: in_turns(split, source.listing.classes)[0] for name, split in divided._asdict().items()}


def _divided(listing: Listing, config: ImageFolder, there: Container[Path]) -> Listing:
    """The pictures that are there; of those to train on a share is tested where there is no test set."""
    # What is left out counts for nothing: not in the order, nor in what is held out.
    train, test, val = (
        {name: [path for path in some if path in there] for name, some in split.items()} for split in listing
    )
    if not any(test.values()):
        test = {name: held_out(some, config.test_fraction) for name, some in train.items()}
        train = {name: sorted(set(some) - set(test[name])) for name, some in train.items()}
    return Listing(train, test, val)


def _split(
    listing: Mapping[str, Sequence[Path]], classes: Sequence[str], pictures: Mapping[Path, npt.NDArray[np.uint8]]
) -> Pictures:
    paths, labels = in_turns(listing, classes)
    sizes = {pictures[path].shape: path for path in paths}
    if len(sizes) > 1:
        two = [f"{path} is {shape[2]}x{shape[1]}" for shape, path in list(sizes.items())[:2]]
        raise DataError(f"pictures differ in size: {'; '.join(two)}. Set data.size to resize them")
    images = np.stack([pictures[path] for path in paths]) if paths else np.empty((0, 1, 1, 1), np.uint8)
    return Pictures(images, np.array(labels, dtype=np.int64))


def in_turns(listing: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """The pictures and the numbers of their classes; these take turns, so that the first `limit` have all of them."""
    turns = itertools.zip_longest(*(listing.get(name, ()) for name in classes))
    found = [(path, number) for turn in turns for number, path in enumerate(turn) if path is not None]
    return [path for path, _ in found], [number for _, number in found]


def all_of(paths: Sequence[Path], read: Callable[[Path], T]) -> list[T]:
    """What `read` gives for each.

    Raises:
        DataError: Some can't be read; all are named.
    """
    results, failures = attempted(paths, read)
    if failures:
        raise DataError(few_sentences(failures, MOST_NAMED))
    return [results[path] for path in paths]


def attempted(paths: Sequence[Path], read: Callable[[Path], T]) -> tuple[dict[Path, T], list[DataError]]:
    """What `read` gives for each, and why it failed for others; threads share the work, as Pillow decodes in them."""
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        # Oddities that Pillow can cope with (palettes, EXIF data) are no news to the user.
        warnings.simplefilter("ignore")
        results = list(pool.map(lambda path: _attempt(path, read), paths))
    failures = [result for result in results if isinstance(result, DataError)]
    pairs = zip(paths, results, strict=True)
    return {path: result for path, result in pairs if not isinstance(result, DataError)}, failures


def _attempt(path: Path, read: Callable[[Path], T]) -> T | DataError:
    try:
        return read(path)
    except DataError as error:
        return error
