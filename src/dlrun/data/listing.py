"""Which pictures lie in a folder of one's own, by split and class: names only, nothing is opened."""

import os
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dlrun.errors import DataError
from dlrun.output import counted

SUFFIXES = {
    *(".apng", ".avif", ".avifs", ".blp", ".bmp", ".bw", ".cur", ".dcx", ".dds", ".dib", ".fit", ".fits", ".flc"),
    *(".fli", ".ftc", ".ftu", ".gbr", ".gif", ".icb", ".icns", ".ico", ".im", ".j2c", ".j2k", ".jfif", ".jp2"),
    *(".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".msp", ".pbm", ".pcd", ".pcx", ".pfm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".psd", ".pxr", ".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".tif", ".tiff"),
    *(".vda", ".vst", ".webp", ".xbm", ".xpm"),
}
"""Of the files that Pillow decodes by itself. EPS is not among them: Ghostscript would be started."""

UNREAD = {
    *(".ai", ".arw", ".cr2", ".cr3", ".dng", ".emf", ".eps", ".exr", ".hdr", ".heic", ".heif", ".jxl", ".nef", ".orf"),
    *(".pdf", ".ps", ".raf", ".raw", ".rw2", ".svg", ".wmf", ""),
}
"""Of files that are pictures, or may be, and that Pillow does not decode by itself: a class of these is no litter."""

LITTER = {"__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found"}
"""Folders that tools and systems make, in small letters; so are those whose names begin with a dot."""

SPLITS = {"train": ("train", "training"), "test": ("test", "testing"), "val": ("val", "valid", "validation")}
"""How the folders of the splits may be called, in any case."""

ByClass = dict[str, list[Path]]
"""Pictures, sorted, by the name of their class, in the order of the names."""


class Listing(NamedTuple):
    """The pictures of a folder; without a folder of the training set all of them are its."""

    train: ByClass
    test: ByClass
    val: ByClass


def listings(folder: Path) -> Listing:
    """The pictures of a folder by split and class.

    Raises:
        DataError: Two folders could be the same split.
    """
    splits = split_folders(folder)
    if "train" not in splits:
        return Listing(listing(folder), {}, {})
    return Listing(*(listing(splits[name]) if name in splits else {} for name in Listing._fields))


def split_folders(folder: Path) -> dict[str, Path]:
    """The folders of the splits, by `train`, `test` and `val`; one that is among classes is a class itself.

    Raises:
        DataError: Two folders could be the same split.
    """
    found: dict[str, Path] = {}
    folders = _folders(folder)
    for name, spellings in SPLITS.items():
        there = [one for one in folders if one.name.lower() in spellings]
        if len(there) > 1:
            names = " and ".join(f"{one.name}/" for one in there)
            raise DataError(f"{folder}: {names} could both be the {name} split; leave one of them")
        found.update(dict.fromkeys([name], there[0]) if there else {})
    is_class = len(folders) > len(found) and "train" in found and not _folders(found["train"])
    return {} if is_class else found


def classes_in(folder: Path) -> tuple[str, ...]:
    """The names of the classes below `folder` in alphabetical order; empty where there are no pictures."""
    return tuple(name for name, paths in listings(folder).train.items() if paths)


def pictures_in(folder: Path) -> list[Path]:
    """Every picture below `folder` that belongs to a class, the training set's first, each split sorted by class."""
    return [path for split in listings(folder) for paths in split.values() for path in paths]


def tested_listing(folder: Path, part: str, fraction: float | None) -> tuple[ByClass, str]:
    """The pictures of a folder that a network is tested on, by class, and which they are in a word.

    They are those of `test/`, which may stand alone; without it all are tested, as none was trained on.

    Args:
        part: `test`, or `train` for the others of the two.
        fraction: Without `test/` test this share of each class alone; None: all.

    Returns:
        An empty listing where there is no such part.
    """
    splits = split_folders(folder)
    train, test, _ = listings(folder)
    if not any(test.values()) and set(splits) == {"test"}:
        train, test = {}, listing(splits["test"])
    if any(test.values()):
        return (test if part == "test" else train), part
    if part == "train" and "train" in splits:
        return train, part
    if fraction is None:
        return (train, "all") if part == "test" else ({}, part)
    held = {name: held_out(paths, fraction) for name, paths in train.items()}
    if part == "test":
        return held, part
    return {name: sorted(set(paths) - set(held[name])) for name, paths in train.items()}, part


def listing(folder: Path) -> ByClass:
    """The pictures of every class: all below a folder of its name, however its letters are composed."""
    found: ByClass = {}
    for entry in _folders(folder):
        found.setdefault(composed(entry.name), []).extend(below(entry))
    return {name: sorted(found[name]) for name in sorted(found)}


def composed(name: str) -> str:
    """A name in one form: an umlaut may be one sign or two (macOS writes two), and looks the same."""
    return unicodedata.normalize("NFC", name)


def below(folder: Path) -> list[Path]:
    """The pictures below a folder at any depth, sorted, hidden files and litter excepted."""
    return sorted(path for path in _files_below(folder) if _is_picture(path))


def unused(folder: Path) -> str:
    """What lies in a folder of pictures and belongs to no class, in a line; empty where everything is used.

    >>> unused(Path("pets"))  # doctest: +SKIP
    'not used: 2 .txt, 1 .heic; the pictures of notes/ (3); no picture in fish/'
    """
    splits = split_folders(folder)
    tops = list(splits.values()) if "train" in splits else [folder]
    used = set(pictures_in(folder))
    others = Counter(path.suffix.lower() for path in _files_below(folder) if not _is_picture(path))
    outside = Counter(
        f"{path.relative_to(folder).parts[0]}/" if path.parent != folder else "no folder"
        for path in below(folder)
        if path not in used
    )
    empty = [f"{one.relative_to(folder)}/" for top in tops for one in _folders(top) if not below(one)]
    said = [
        ", ".join(f"{number:,} {suffix or 'without a suffix'}" for suffix, number in others.most_common()),
        ", ".join(f"{counted(number, 'picture')} in {place}" for place, number in sorted(outside.items())),
    ]
    lines = [f"not used: {'; '.join(filter(None, said))}"] if any(said) else []
    return "; ".join([*lines, *([f"no picture in {', '.join(empty)}"] if empty else [])])


def refuse_lost_classes(folder: Path) -> None:
    """Refuse folders that were meant to be classes and would be none.

    Raises:
        DataError: A class that only another split has, classes a level deeper, or one of pictures that are not read.
    """
    listing = listings(folder)
    train = listing.train
    for name in ("test", "val"):
        strange = [one for one, paths in getattr(listing, name).items() if paths and not train.get(one)]
        if strange:
            raise DataError(f"{folder}: {name}/ has classes that train/ has not: {', '.join(strange)}")
    deep = _too_deep(folder)
    if deep is not None:
        raise DataError(
            f"{folder}: has one class, {deep.name}; if the folders in that are the classes: data.root={deep}"
        )
    for name, paths in train.items():
        files = [] if paths else _unread_of(folder, name)
        if files:
            kinds = ", ".join(sorted({path.suffix.lower() or "no suffix" for path in files}))
            raise DataError(
                f"{folder}: the class {name} has no picture that Pillow reads, but {counted(len(files), 'other file')} "
                f"({kinds}); convert them, or take its folder away"
            )


def _unread_of(folder: Path, name: str) -> list[Path]:
    """The files of a class of the training set that are pictures of a kind that is not read, or may be."""
    top = split_folders(folder).get("train", folder)
    classes = [one for one in _folders(top) if composed(one.name) == name]
    return [path for one in classes for path in _files_below(one) if path.suffix.lower() in UNREAD]


def _too_deep(folder: Path) -> Path | None:
    """The one class of the training set if several folders with pictures lie in it: the classes, most likely."""
    top = split_folders(folder).get("train", folder)
    classes = [one for one in _folders(top) if below(one)]
    inside = [one for only in classes[:1] for one in _folders(only) if below(one)]
    return classes[0] if len(classes) == 1 and len(inside) > 1 else None


def held_out(paths: Sequence[Path], fraction: float) -> list[Path]:
    """A share of the pictures picked by their names' checksums, so that adding one moves no other."""
    if len(paths) < 2:
        return []
    count = min(max(round(len(paths) * fraction), 1), len(paths) - 1)
    return sorted(paths, key=lambda path: (zlib.crc32(os.fsencode(path.name)), path))[:count]


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without litter; none where it is no folder."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not _is_litter(entry.name))


def _files_below(folder: Path) -> Iterator[Path]:
    """Every file but litter; links to folders are followed, each folder once."""
    visited = {_identity(folder)}
    for where, folders, names in os.walk(folder, followlinks=True):
        inside = {name: _identity(Path(where, name)) for name in sorted(folders) if not _is_litter(name)}
        folders[:] = [name for name, identity in inside.items() if identity not in visited]
        visited.update(inside.values())
        yield from (Path(where, name) for name in names if not _is_litter(name))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER or name.lower() in ("thumbs.db", "desktop.ini")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES
