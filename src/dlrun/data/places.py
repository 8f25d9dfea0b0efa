"""Where the files of a data set may lie, and whether they do."""

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlrun.config.groups import Data, ImageTable, PixelTable
from dlrun.data import content
from dlrun.data.catalogue import ENTRIES, CatalogueEntry
from dlrun.data.labels import read_table
from dlrun.data.listing import NOTHING, Listing, listings
from dlrun.errors import DataError
from dlrun.files import cache_home, expanded
from dlrun.output import few
from dlrun.text import typeable

DEBIAN = {"fashion_mnist": Path("/usr/share/datasets/fashion-mnist")}
"""Where Debian's packages install data sets."""

ASL_STEMS = {"train": ("sign_mnist_train",), "test": ("sign_mnist_test", "sign_mnist_valid")}
"""File names less `.csv` or `.csv.gz`: Kaggle's, and NVIDIA's for the second."""

CSV = (".csv", ".csv.gz")


MOST_NAMES = 4
"""Names in a folder that a message shows."""


@dataclass(frozen=True)
class Source:
    """The files of a data set that were found.

    Keys of `files`: the official names (idx), `archive` or the members' names (cifar), `zip` or `train` and
    `test` (asl, pixels); none for a folder of pictures and for what needs no files.
    """

    folder: Path
    files: Mapping[str, Path]
    listing: Listing = NOTHING
    """The pictures of a folder or a table."""
    table: Path | None = None
    """What names their classes, where the folders do not."""


def roots(config: Data) -> list[Path]:
    """The folders to search: `data.root` and no other, or else `$DLRUN_DATA` and the user's cache folder."""
    if config.root is not None:
        return [expanded(config.root)]
    return [
        *([expanded(os.environ["DLRUN_DATA"])] if os.environ.get("DLRUN_DATA") else []),
        cache_home() / "data",
    ]


def locate(config: Data) -> Source:
    """The files of a data set, the first that are found; their content is not looked at.

    Raises:
        DataError: They are in none of the folders; the message says how to get them.
    """
    entry = ENTRIES[config.name]
    if entry.format == "synthetic":
        return Source(Path(), {})
    if isinstance(config, ImageTable):
        return _of_table(config)
    if isinstance(config, PixelTable):
        return _of_pixels(config)
    searched = roots(config)
    found = find(config.name, searched, explicit=config.root is not None)
    if found is None:
        searched_in = " or ".join(map(str, searched))
        there = _what_is_there(entry, searched[0]) if config.root is not None else ""
        raise DataError(f"{config.name}: no data in {searched_in}{there}. {_advice(config, entry)}")
    return found


def _of_table(config: ImageTable) -> Source:
    if config.table is None:
        raise DataError(f"{config.name}: set data.table to a CSV file with the columns file,label[,split]")
    table = expanded(config.table)
    folder = table.parent if config.root is None else expanded(config.root)
    if not folder.is_dir():
        raise DataError(f"{config.name}: data.root={folder}: no such folder")
    return Source(folder, {}, read_table(table, folder), table)


def _of_pixels(config: PixelTable) -> Source:
    if config.table is None:
        raise DataError(f"{config.name}: set data.table to a CSV file with the columns label,pixel0,pixel1,…")
    if config.root is not None:
        raise DataError(f"{config.name}: data.root says nothing here; data.table names the file with its folder")
    files = {"train": config.table} | ({} if config.test_table is None else {"test": config.test_table})
    found = {}
    for split, typed in files.items():
        path = expanded(typed)
        if not path.is_file():
            field = "table" if split == "train" else "test_table"
            raise DataError(f"{config.name}: data.{field}={path}: {'no file' if path.exists() else 'no such file'}")
        found[split] = path
    return Source(found["train"].parent, found, table=found["train"])


def _what_is_there(entry: CatalogueEntry, folder: Path) -> str:
    """What lies in a folder that was named and what is wanted there, as the end of a sentence; empty where nothing."""
    if not folder.is_dir():
        return " (a file; its folder is wanted)" if folder.exists() else " (no such folder)"
    if entry.format == "folder":
        return ""
    wanted = {name: _packed_or_not(folder, name) for name in entry.files} if entry.format == "idx" else {}
    missing = [name for name, path in wanted.items() if path is None]
    if 0 < len(missing) < len(wanted):
        return f": {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    names = sorted(path.name for path in folder.iterdir())
    looked_for = [*wanted, *entry.files] or ["sign_mnist_train.csv", "sign_mnist_test.csv"]
    return f", only {few(names, MOST_NAMES) or 'an empty folder'}; {looked_for[0]} is looked for"


def _advice(config: Data, entry: CatalogueEntry) -> str:
    if entry.format == "folder":
        return "Set data.root to a folder of pictures, with one folder a class"
    if config.root is None:
        return f"Fetch it: dlrun data fetch {config.name}"
    writable = os.access(config.root, os.W_OK) or not Path(config.root).exists()
    return f"Fetch it: dlrun data fetch {config.name} --root {typeable(config.root) if writable else 'FOLDER'}"


def find(name: str, searched: Sequence[Path], explicit: bool) -> Source | None:
    """The data set's files below the first of the folders that has them.

    Args:
        name: Which data set.
        searched: Folders, each of which may hold several data sets.
        explicit: The folders were named for this data set, so files that lie in them directly belong to it.

    Raises:
        DataError: A folder can't be searched.
    """
    if ENTRIES[name].format == "pixels":
        return None  # which files they are only the fields say
    try:
        for folder in _candidates(name, searched, explicit):
            if ENTRIES[name].format == "folder":
                listing = listings(folder) if folder.is_dir() else NOTHING
                if listing.classes:
                    return Source(folder, {}, listing)
                continue
            files = _files(ENTRIES[name], folder)
            if files is not None:
                return Source(folder, files)
    except OSError as error:
        raise DataError(f"{name}: can't search {error.filename}: {error.strerror}") from error
    return None


def _candidates(name: str, searched: Sequence[Path], explicit: bool) -> Iterator[Path]:
    """The folders that may hold the files: our layout, torchvision's, the root itself, Debian's."""
    entry = ENTRIES[name]
    for root in searched:
        yield root / name
        if entry.folder:
            yield root / name / entry.folder
            yield root / entry.folder
            if explicit:
                yield root / Path(entry.folder).name
        if explicit or _belongs(entry, root):
            yield root
    if not explicit and name in DEBIAN:
        yield DEBIAN[name]


def _belongs(entry: CatalogueEntry, root: Path) -> bool:
    """Whether files directly in a root are this data set's: all idx data sets name theirs alike."""
    if entry.format == "folder":
        return False
    if entry.format != "idx":
        return True
    name, known = list(entry.files.items())[-1]
    path = _packed_or_not(root, name)
    return path is not None and content.md5(content.read(path)) in (known.md5, known.content_md5)


def _files(entry: CatalogueEntry, folder: Path) -> Mapping[str, Path] | None:
    finders = {"idx": _idx, "cifar": _cifar, "asl": _asl}
    return finders[entry.format](entry, folder) if folder.is_dir() else None


def _idx(entry: CatalogueEntry, folder: Path) -> Mapping[str, Path] | None:
    return _all_of({name: _packed_or_not(folder, name) for name in entry.files})


def _packed_or_not(folder: Path, name: str) -> Path | None:
    """An idx file, packed or unpacked, under its own name, under 7-Zip's, or in a folder of its name as from Kaggle."""
    plain = name.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")
    return _first(*(folder / one for one in (name, plain, dotted)), folder / plain / plain, folder / dotted / dotted)


def _cifar(entry: CatalogueEntry, folder: Path) -> Mapping[str, Path] | None:
    batches = {name: folder / name for name in entry.members if (folder / name).is_file()}
    # A folder of several data sets may well hold a file named `train`; one batch is no data set.
    if list(entry.members)[-1] in batches and len(batches) > 1:
        return batches
    return next(({"archive": path} for path in _archives(entry, folder)), None)


def _archives(entry: CatalogueEntry, folder: Path) -> Iterator[Path]:
    """Archives of batches, the official one first; outside its own folder the name must fit."""
    official = next(iter(entry.files))
    if (folder / official).is_file():
        yield folder / official
    start = "" if ENTRIES.get(folder.name) == entry else official.partition("python")[0]
    for path in sorted(folder.iterdir()):
        if path.name.startswith(start) and path.name.endswith((".tar.gz", ".tar.xz", ".tgz")) and path.is_file():
            yield path


def _asl(entry: CatalogueEntry, folder: Path) -> Mapping[str, Path] | None:
    found = _all_of(
        {
            split: _first(
                *(folder / inner / f"{stem}{suffix}" for stem in stems for inner in ("", stem) for suffix in CSV)
            )
            for split, stems in ASL_STEMS.items()
        }
    )
    if found is not None:
        return found
    return next(({"zip": path} for path in sorted(folder.glob("*.zip")) if asl_members(path)), None)


def asl_members(archive: Path) -> dict[str, str]:
    """The members of a zip file that hold the two tables, by split; empty if it is no such file."""
    try:
        with zipfile.ZipFile(archive) as file:
            names = sorted(file.namelist(), key=len)
    # zipfile raises struct.error, ValueError and more on damaged directories.
    except Exception:
        return {}
    tables = {
        split: [name for name in names for stem in stems if name.rpartition("/")[2] == f"{stem}.csv"]
        for split, stems in ASL_STEMS.items()
    }
    return {split: members[0] for split, members in tables.items()} if all(tables.values()) else {}


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _all_of(found: Mapping[str, Path | None]) -> Mapping[str, Path] | None:
    there = {name: path for name, path in found.items() if path is not None}
    return there if len(there) == len(found) else None
