"""The cache of parsed data sets: arrays that later starts map into memory instead of parsing again."""

import dataclasses
import hashlib
import json
import logging
import mmap
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlrun.config.groups import Data, ImageFolder
from dlrun.data.decoded import Decoded, Pictures
from dlrun.data.places import Source
from dlrun.files import cache_home
from dlrun.locks import Lock, locked

log = logging.getLogger("dlrun")

FORMAT = 2
"""Raised when the files of the cache, or what the readers make of the same input, change."""

HEADER = "header.json"
ARRAYS = ("images", "labels")
"""Of each split."""


class Parsed(NamedTuple):
    """A data set ready for use: resized, with what was computed on the way."""

    decoded: Decoded
    fingerprint: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    verified: bool
    """Whether checksums were demanded when the files were read."""


def cached(config: Data, source: Source, build: Callable[[], Parsed]) -> Parsed:
    """The data set from the cache if it is there, whole and of these very files; otherwise built and stored.

    The arrays are views of the cache's files, copied on write. Of several processes one builds. A cache
    that can't be written costs time on every start and is no error.
    """
    place = _parsed_home() / f"{config.name}-{_digest(_question(config, source))}"
    state = _digest(_state(config, source))
    found = _open(place, state, config.verify)
    if found is not None:
        return found
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(Path(f"{place}.lock")):
            for left in place.parent.glob(f".{place.name}-*"):
                shutil.rmtree(left, ignore_errors=True)  # by a process that was killed: this one has the lock
            found = _open(place, state, config.verify)
            return found if found is not None else _stored(place, state, build())
    except (FileExistsError, NotADirectoryError):
        there = next(path for path in place.parents if path.exists())
        log.warning("%s is no folder, so parsed data are not cached; XDG_CACHE_HOME can name one", there)
        return build()
    except OSError as error:
        log.info("parsed data are not cached in %s: %s", place.parent, error)
        return build()


def cached_names() -> list[str]:
    """The names of what is in the cache, or was begun to be put there."""
    found = set()
    for path in _folders():
        hidden = re.fullmatch(r"\.(.+)-[^-]+", path.name)
        found.add(hidden[1] if hidden else path.name)
    return sorted(found)


def cache_folders(name: str) -> list[Path]:
    """The folders of an entry of the cache: the data set, and what killed processes had begun."""
    return [path for path in _folders() if path.name == name or path.name.startswith(f".{name}-")]


def drop(name: str) -> bool:
    """Delete an entry of the cache; False if a process is writing it. Who has it mapped keeps what it has.

    Raises:
        OSError: It can't be deleted.
    """
    lock = Lock(_parsed_home() / f"{name}.lock")
    if not lock.take():
        return False
    try:
        for path in cache_folders(name):
            shutil.rmtree(path)
    finally:
        lock.release()
    return True


def _parsed_home() -> Path:
    return cache_home() / "parsed"


def _folders() -> list[Path]:
    there = _parsed_home()
    return [path for path in there.iterdir() if path.is_dir() and not path.is_symlink()] if there.is_dir() else []


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _question(config: Data, source: Source) -> Any:
    """What was asked for, and of which files: names the place in the cache."""
    asked = dataclasses.asdict(config)
    for irrelevant in (
        "root",
        "table",
        "test_table",
        "verify",
        "normalize",
        "mean",
        "std",
        "class_weights",
        "sampling",
    ):
        asked.pop(irrelevant, None)
    table = str(source.table and source.table.resolve())
    return [asked, table, str(source.folder.resolve()), {name: str(path) for name, path in source.files.items()}]


def _state(config: Data, source: Source) -> Any:
    """What must not have changed since: the code's format, and the files' sizes and times."""
    paths = list(source.files.values()) or source.listing.pictures
    reading = [_reading()] if isinstance(config, ImageFolder) else []
    return [FORMAT, [(str(path), *_size_and_time(path)) for path in paths], *reading]


def _size_and_time(path: Path) -> tuple[int, int]:
    """Bytes and nanoseconds; zeros for a link that leads nowhere, of which whoever opens it tells."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _reading() -> int:
    from dlrun.data.picture import READING  # Imports Pillow.

    return READING


def _open(place: Path, state: str, verify: bool) -> Parsed | None:
    """The cached data set, or None: there is none, or it is damaged, outdated or not verified as asked."""
    try:
        header = _header(place)
        if header["state"] != state or (verify and not header["verified"]):
            return None
        splits = {
            split: Pictures(*(_array(place / f"{name}.npy", header["crc32"][name]) for name in _names(split)))
            for split in header["splits"]
        }
        decoded = Decoded(classes=tuple(header["classes"]), damaged=tuple(header["damaged"]), **splits)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.info("the cache %s can't be read: %s", place, error)
        return None
    except (ValueError, KeyError, TypeError) as error:
        log.warning("the cache %s is damaged (%s) and is built anew", place, error)
        return None
    moments = tuple(header["mean"]), tuple(header["std"])
    return Parsed(decoded, header["fingerprint"], *moments, header["verified"])


def _names(split: str) -> list[str]:
    return [f"{split}_{name}" for name in ARRAYS]


def _header(place: Path) -> Any:
    checksum, _, body = (place / HEADER).read_bytes().partition(b"\n")
    if checksum != b"%08x" % zlib.crc32(body):
        raise ValueError("checksum of the header")
    return json.loads(body)


def _array(path: Path, expected: int) -> np.ndarray:
    if _checksum(path) != expected:
        raise ValueError(f"checksum of {path.name}")
    # Copied on write: torch warns of arrays that can't be written to.
    return np.load(path, mmap_mode="c", allow_pickle=False)


def _checksum(path: Path) -> int:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return zlib.crc32(content)


def _stored(place: Path, state: str, parsed: Parsed) -> Parsed:
    """Write the data set to its place, whole or not at all; `parsed` itself where that fails."""
    draft = None
    try:
        draft = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-"))
        _write(draft, state, parsed)
        _swap(draft, place)
    except OSError as error:
        log.info("parsed data are not cached in %s: %s", place, error)
        return parsed
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
    return _open(place, state, parsed.verified) or parsed


def _write(folder: Path, state: str, parsed: Parsed) -> None:
    checksums = {}
    for split, pictures in parsed.decoded.splits.items():
        arrays: tuple[np.ndarray, ...] = pictures
        for name, array in zip(_names(split), arrays, strict=True):
            path = folder / f"{name}.npy"
            np.save(path, array, allow_pickle=False)
            checksums[name] = _checksum(path)
    header = {
        "state": state,
        "crc32": checksums,
        "splits": list(parsed.decoded.splits),
        "classes": parsed.decoded.classes,
        "damaged": parsed.decoded.damaged,
        "fingerprint": parsed.fingerprint,
        "mean": parsed.mean,
        "std": parsed.std,
        "verified": parsed.verified,
    }
    body = json.dumps(header).encode()
    (folder / HEADER).write_bytes(b"%08x\n" % zlib.crc32(body) + body)


def _swap(draft: Path, place: Path) -> None:
    """Put the draft where an outdated cache may stand; processes that have that one mapped keep it."""
    if place.exists():
        outdated = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-"))
        place.replace(outdated / "old")
        shutil.rmtree(outdated, ignore_errors=True)
    draft.replace(place)
