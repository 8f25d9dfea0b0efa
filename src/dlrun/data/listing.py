"""Which pictures lie in a folder of one's own, by split and class: names only, nothing is opened."""

import os
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dlrun.errors import DataError

SUFFIXES = {
    *(".apng", ".avif", ".avifs", ".blp", ".bmp", ".bw", ".cur", ".dcx", ".dds", ".dib", ".fit", ".fits", ".flc"),
    *(".fli", ".ftc", ".ftu", ".gbr", ".gif", ".icb", ".icns", ".ico", ".im", ".j2c", ".j2k", ".jfif", ".jp2"),
    *(".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".msp", ".pbm", ".pcd", ".pcx", ".pfm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".psd", ".pxr", ".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".tif", ".tiff"),
    *(".vda", ".vst", ".webp", ".xbm", ".xpm"),
}
"""Of the files that Pillow decodes by itself. EPS is not among them: Ghostscript would be started."""

LITTER = {
    *("__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found"),
    *("thumbs.db", "desktop.ini"),
}
"""What tools and systems make, in small letters; so is everything whose name begins with a dot."""

SPLITS = {"train": ("train", "training"), "test": ("test", "testing"), "val": ("val", "valid", "validation")}
"""How the folders of the splits may be called, in any case."""

ByClass = dict[str, list[Path]]
"""Pictures, sorted, by the name of their class, in the order of the names."""


class Listing(NamedTuple):
    """The pictures of a folder; without a folder of the training set all of them are its."""

    train: ByClass
    test: ByClass
    val: ByClass

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in alphabetical order; empty where there are no pictures to train on."""
        return tuple(name for name, paths in self.train.items() if paths)

    @property
    def pictures(self) -> list[Path]:
        """Every picture, the training set's first, each split sorted by class."""
        return [path for split in self for paths in split.values() for path in paths]


NOTHING = Listing({}, {}, {})


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
    folders = folders_in(folder)
    for name, spellings in SPLITS.items():
        there = [one for one in folders if one.name.lower() in spellings]
        if len(there) > 1:
            names = " and ".join(f"{one.name}/" for one in there)
            raise DataError(f"{folder}: {names} could both be the {name} split; leave one of them")
        found.update(dict.fromkeys([name], there[0]) if there else {})
    is_class = len(folders) > len(found) and "train" in found and not folders_in(found["train"])
    return {} if is_class else found


def listing(folder: Path) -> ByClass:
    """The pictures of every class: all below a folder of its name, however its letters are composed."""
    found: ByClass = {}
    for entry in folders_in(folder):
        found.setdefault(composed(entry.name), []).extend(below(entry))
    return {name: sorted(found[name]) for name in sorted(found)}


def composed(name: str) -> str:
    """A name in one form: an umlaut may be one sign or two (macOS writes two), and looks the same."""
    return unicodedata.normalize("NFC", name)


def below(folder: Path) -> list[Path]:
    """The pictures below a folder at any depth, sorted, hidden files and litter excepted."""
    return sorted(path for path in files_below(folder) if is_picture(path))


def held_out(paths: Sequence[Path], fraction: float) -> list[Path]:
    """A share of the pictures picked by their names' checksums, so that adding one moves no other."""
    if len(paths) < 2:
        return []
    count = min(max(round(len(paths) * fraction), 1), len(paths) - 1)
    return sorted(paths, key=lambda path: (zlib.crc32(os.fsencode(path.name)), path))[:count]


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without litter; none where it is no folder."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not _is_litter(entry.name))


def files_below(folder: Path) -> Iterator[Path]:
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
    return name.startswith(".") or name.lower() in LITTER


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture that is read."""
    return path.suffix.lower() in SUFFIXES
