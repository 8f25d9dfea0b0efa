"""The user's own pictures: a folder a class, perhaps below `train/` and `test/`; read with Pillow."""

import itertools
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dlrun.config.groups import ImageFolder
from dlrun.data.decoded import Decoded, Pictures
from dlrun.data.listing import held_out, listings
from dlrun.data.picture import picture as read_picture
from dlrun.errors import DataError

T = TypeVar("T")


def picture(path: Path, config: ImageFolder) -> npt.NDArray[np.uint8]:
    """One picture as uint8 (C, H, W), squeezed to `config.size` if that is set.

    Raises:
        DataError: As `dlrun.data.picture.picture`.
    """
    size = (config.size, config.size) if config.size is not None else None
    return read_picture(path, 1 if config.color == "grey" else 3, size)


def read(folder: Path, config: ImageFolder) -> Decoded:
    """All pictures below `folder`; without a `test/` folder a fixed share of every class is held out.

    Raises:
        DataError: No pictures, unreadable ones (named), classes that only the test set has.
    """
    train, test = listings(folder)
    classes = tuple(name for name, paths in train.items() if paths)
    strange = [name for name, paths in test.items() if paths and name not in classes]
    if strange:
        raise DataError(f"{folder}: test/ has classes that train/ has not: {', '.join(strange)}")
    if not any(test.values()):
        test = {name: held_out(paths, config.test_fraction) for name, paths in train.items()}
        train = {name: sorted(set(paths) - set(test[name])) for name, paths in train.items()}
    return Decoded(_split(train, classes, config), _split(test, classes, config), classes)


def _split(listing: Mapping[str, Sequence[Path]], classes: Sequence[str], config: ImageFolder) -> Pictures:
    paths, labels = in_turns(listing, classes)
    arrays = all_of(paths, lambda path: picture(path, config))
    sizes = {array.shape: path for array, path in zip(arrays, paths, strict=True)}
    if len(sizes) > 1:
        two = [f"{path} is {shape[2]}x{shape[1]}" for shape, path in list(sizes.items())[:2]]
        raise DataError(f"pictures differ in size: {'; '.join(two)}. Set data.size to resize them")
    images = np.stack(arrays) if arrays else np.empty((0, 1, 1, 1), np.uint8)
    return Pictures(images, np.array(labels, dtype=np.int64))


def in_turns(listing: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """The pictures and the numbers of their classes; these take turns, so that the first `limit` have all of them."""
    turns = itertools.zip_longest(*(listing.get(name, ()) for name in classes))
    found = [(path, number) for turn in turns for number, path in enumerate(turn) if path is not None]
    return [path for path, _ in found], [number for _, number in found]


def all_of(paths: Sequence[Path], read: Callable[[Path], T]) -> list[T]:
    """What `read` gives for each; threads share the work, as Pillow decodes without the interpreter lock.

    Raises:
        DataError: Some can't be read; the first three are named.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        # Oddities that Pillow can cope with (palettes, EXIF data) are no news to the user.
        warnings.simplefilter("ignore")
        results = list(pool.map(lambda path: _attempt(path, read), paths))
    failures = [result for result in results if isinstance(result, DataError)]
    if failures:
        more = f" (and {len(failures) - 3} more)" if len(failures) > 3 else ""
        raise DataError("; ".join(str(failure) for failure in failures[:3]) + more)
    return [result for result in results if not isinstance(result, DataError)]


def _attempt(path: Path, read: Callable[[Path], T]) -> T | DataError:
    try:
        return read(path)
    except DataError as error:
        return error
