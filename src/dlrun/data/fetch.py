"""Brings a data set's files to where they are looked for, from the first source that has them."""

import filecmp
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from dlrun.config.groups import DATA, Data
from dlrun.data import content, debian
from dlrun.data.catalogue import ENTRIES
from dlrun.data.download import download, progress
from dlrun.data.places import ASL_STEMS, Source, find, roots
from dlrun.data.read import read
from dlrun.errors import DataError
from dlrun.extras import command
from dlrun.locks import locked

KAGGLE_HANDLE = "datamunge/sign-language-mnist"


def fetch(name: str, root: Path | None = None, offline: Path | None = None) -> tuple[Source, str]:
    """The data set's files, verified, and a phrase that says where they came from.

    Tried in order: what is already there, `$DLRUN_OFFLINE`, Debian's package, Kaggle's client, the mirrors.
    Of several processes one fetches. Nothing half-written is left under a final name.

    Args:
        name: One of the catalogue's data sets that have files.
        root: Where to put the data set's folder; default `$DLRUN_DATA` if writable, else the user's cache.
        offline: Take the files from this folder and from nowhere else.

    Raises:
        DataError: No source has them; the message lists what was tried, and what to put where by hand.
    """
    config = DATA[name](name=name, root=None if root is None else str(root))
    found = _sound(config)
    if found is not None:
        return found, "already there"
    place = _place(config)
    try:
        with locked(place / ".fetch.lock"):
            found = _sound(config)
            origin = "already there" if found is not None else _obtain(config, place, offline)
    except OSError as error:
        raise DataError(f"{name}: can't write to {place}: {error.strerror or error}") from error
    found = found or _there(config)
    if found is None:
        raise DataError(f"{name}: fetched to {place}, but not found there")
    return found, origin


def by_hand(name: str, place: Path) -> str:
    """What a person can do where no source is reachable."""
    entry = ENTRIES[name]
    names = list(entry.files) or [f"{stems[0]}.csv" for stems in ASL_STEMS.values()]
    zipped = " (or Kaggle's zip file as it is)" if entry.format == "asl" else ""
    page = entry.page or entry.mirrors[0]
    return f"By hand: get {', '.join(names)}{zipped} from {page} and put into {place}"


def _there(config: Data) -> Source | None:
    """The files if they can be found.

    Raises:
        DataError: They are damaged.
    """
    found = find(config.name, roots(config), explicit=config.root is not None)
    if found is not None:
        read(config, found)
    return found


def _sound(config: Data) -> Source | None:
    """The files if they can be found and are sound; damaged ones are replaced where they lie in the set's own folder.

    Raises:
        DataError: Damaged files that lie elsewhere, where nothing is put.
    """
    try:
        return _there(config)
    except DataError:
        found = find(config.name, roots(config), explicit=config.root is not None)
        if found is None or found.folder.resolve() != (roots(config)[0] / config.name).resolve():
            raise
        return None


def _aside(path: Path) -> None:
    """Leave the place of a file to another; nothing is deleted."""
    if path.exists():
        path.replace(path.with_name(f"{path.name}.damaged"))


def _place(config: Data) -> Path:
    """The data set's folder below the first root that can be written to, made if need be."""
    failures = []
    for root in roots(config):
        place = root / config.name
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                return place
        except OSError as error:
            failures.append(f"{place}: {error.strerror}")
    raise DataError(f"{config.name}: can't write to {'; '.join(failures)}")


def _obtain(config: Data, place: Path, offline: Path | None) -> str:
    if offline is not None:
        _adopt(config, offline, place)
        return f"from {offline}"
    failures = []
    for origin, attempt in _sources(config, place):
        try:
            attempt()
        except DataError as error:
            failures.append(f"{origin}: {error}")
        else:
            return origin
    if not failures:
        failures.append(f"nothing, for want of the package kagglehub (to install it: {command('asl')})")
    raise DataError(f"{config.name} could not be fetched. Tried: {'; '.join(failures)}.\n{by_hand(config.name, place)}")


def _sources(config: Data, place: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """What can be tried on this machine, in order."""
    if os.environ.get("DLRUN_OFFLINE"):
        folder = Path(os.environ["DLRUN_OFFLINE"])
        yield f"from {folder}", lambda: _adopt(config, folder, place)
    if config.name in debian.PACKAGES and debian.available():
        yield "from Debian's package", lambda: _from_debian(config, place)
    if config.name == "asl" and importlib.util.find_spec("kagglehub"):
        yield "from Kaggle", lambda: _from_kaggle(config, place)
    if ENTRIES[config.name].mirrors:
        yield "from its mirror", lambda: _from_mirrors(config, place)


def _from_debian(config: Data, place: Path) -> None:
    with progress() as bars, debian.unpacked(config.name, bars) as folder:
        _adopt(config, folder, place)


def _from_kaggle(config: Data, place: Path) -> None:
    import kagglehub

    try:
        folder = kagglehub.dataset_download(KAGGLE_HANDLE)
    # Its own errors, and those of requests and of the network beneath.
    except Exception as error:
        raise DataError(f"kagglehub: {error}") from error
    _adopt(config, Path(folder), place)


def _from_mirrors(config: Data, place: Path) -> None:
    entry = ENTRIES[config.name]
    with progress() as bars:
        for name, known in entry.files.items():
            if (place / name).is_file() and content.md5(content.read(place / name)) == known.md5:
                continue
            _aside(place / name)
            download([mirror + name for mirror in entry.mirrors], place / name, known.md5, bars)


def _adopt(config: Data, folder: Path, place: Path) -> None:
    """Copy the data set's files from a folder once they are verified; only whole copies get its names."""
    found = find(config.name, [folder], explicit=True)
    if found is None:
        raise DataError(f"no {config.name} in {folder}")
    read(config, found)
    with tempfile.TemporaryDirectory(dir=place, prefix=".incoming-") as stage:
        copies = {path: Path(shutil.copy(path, stage)) for path in found.files.values()}
        for path, copy in copies.items():
            if not filecmp.cmp(path, copy, shallow=False):
                raise DataError(f"{path}: changed while it was copied")
        for copy in copies.values():
            if (place / copy.name).exists() and not filecmp.cmp(copy, place / copy.name, shallow=False):
                _aside(place / copy.name)
            copy.replace(place / copy.name)
