"""Which pictures lie in a folder of one's own, by class: names only, nothing is opened."""

import os
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def classes_in(folder: Path) -> tuple[str, ...]:
    """The names of the classes below `folder` in alphabetical order; empty where there are no pictures."""
    train, _ = listings(folder)
    return tuple(name for name, paths in train.items() if paths)


def pictures_in(folder: Path) -> list[Path]:
    """Every picture below `folder`, sorted."""
    train, test = listings(folder)
    return [path for split in (train, test) for paths in split.values() for path in paths]


def listings(folder: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """The training set's pictures and the test set's by class; without `train/` all are the former."""
    if (folder / "train").is_dir():
        return listing(folder / "train"), listing(folder / "test")
    return listing(folder), {}


def tested_listing(folder: Path, part: str, fraction: float | None) -> tuple[dict[str, list[Path]], str]:
    """The pictures of a folder that a network is tested on, by class, and which they are in a word.

    They are those of `test/`, which may stand alone; without it all are tested, as none was trained on.

    Args:
        part: `test`, or `train` for the others of the two.
        fraction: Without `test/` test this share of each class alone; None: all.

    Returns:
        An empty listing where there is no such part.
    """
    train, test = listings(folder)
    if not any(test.values()):
        alone = listing(folder / "test") if [name for name, paths in train.items() if paths] == ["test"] else {}
        train, test = ({}, alone) if any(alone.values()) else (train, {})
    if any(test.values()):
        return (test if part == "test" else train), part
    if part == "train" and (folder / "train").is_dir():
        return train, part
    if fraction is None:
        return (train, "all") if part == "test" else ({}, part)
    held = {name: held_out(paths, fraction) for name, paths in train.items()}
    if part == "test":
        return held, part
    return {name: sorted(set(paths) - set(held[name])) for name, paths in train.items()}, part


def listing(folder: Path) -> dict[str, list[Path]]:
    """The pictures of every class: all below a folder of its name, however its letters are composed."""
    if not folder.is_dir():
        return {}
    found: dict[str, list[Path]] = {}
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.name.startswith("."):
            found.setdefault(composed(entry.name), []).extend(below(entry))
    return {name: sorted(found[name]) for name in sorted(found)}


def composed(name: str) -> str:
    """A name in one form: an umlaut may be one sign or two (macOS writes two), and looks the same."""
    return unicodedata.normalize("NFC", name)


def below(folder: Path) -> list[Path]:
    """The pictures below a folder at any depth, sorted, hidden files excepted."""
    return sorted(
        Path(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    )


def held_out(paths: Sequence[Path], fraction: float) -> list[Path]:
    """A share of the pictures picked by their names' checksums, so that adding one moves no other."""
    if len(paths) < 2:
        return []
    count = min(max(round(len(paths) * fraction), 1), len(paths) - 1)
    return sorted(paths, key=lambda path: (zlib.crc32(os.fsencode(path.name)), path))[:count]
