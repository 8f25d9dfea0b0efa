"""A table of labels: the pictures of a folder with the class of each in a CSV file, perhaps with its split."""

import csv
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dlrun.data.listing import SPLITS, SUFFIXES, ByClass, Listing, below, composed
from dlrun.errors import DataError
from dlrun.output import few_sentences

COLUMNS = {
    "file": ("file", "filename", "file_name", "filepath", "path", "image", "img", "picture", "id", "image_id", "name"),
    "label": ("label", "labels", "class", "class_name", "category", "target", "species", "breed"),
    "split": ("split", "set", "subset", "partition", "usage"),
}
"""How the columns may be called, in any case."""

MOST_NAMED = 5
"""Mistakes that a message names."""


def read_table(table: Path, folder: Path) -> Listing:
    """The pictures that a table names, by split and class, in the order of their names.

    The first line names the columns; without names, file and label come first, then the split. Names of files are
    relative to `folder`; their suffix may be missing where one file fits. Without splits all are the training set's.

    Raises:
        DataError: No such table, no text in UTF-8, missing columns, or lines without a file, a label or a known split.
    """
    header, lines = _lines(table)
    places = _places(table, header, lines)

    @functools.cache
    def by_stem() -> Mapping[str, Path]:
        return {str(path.relative_to(folder).with_suffix("")): path for path in below(folder)}

    splits: dict[str, ByClass] = {name: {} for name in Listing._fields}
    labels: dict[Path, str] = {}
    mistakes: list[str] = []
    for number, row in lines:
        try:
            path, label, split = _entry(row, places, folder, by_stem)
            if labels.setdefault(path, label) != label:
                raise ValueError(f"{path.name} is {labels[path]} in an earlier line and {label} here")
        except ValueError as error:
            mistakes.append(f"line {number}: {error}")
            continue
        splits[split].setdefault(label, []).append(path)
    if mistakes:
        raise DataError(f"{table}: {few_sentences(mistakes, MOST_NAMED)}")
    names = sorted(set(labels.values()))
    return Listing(*({name: sorted(set(split.get(name, []))) for name in names} for split in splits.values()))


def _lines(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, empty where there are none, and the other lines with their numbers."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{table}: {error.strerror}; data.table names a CSV file with the columns file,label") from None
    except UnicodeDecodeError:
        raise DataError(f"{table}: not text in UTF-8; save it as CSV in UTF-8") from None
    first = text.partition("\n")[0]
    separator = max((",", ";", "\t"), key=first.count)
    try:
        reader = csv.reader(io.StringIO(text), delimiter=separator)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise DataError(f"{table}: not a CSV file: {error}") from None
    rows = [(number, row) for number, row in rows if any(row)]
    if rows and any(cell.lower() in names for cell in rows[0][1] for names in COLUMNS.values()):
        return [cell.lower() for cell in rows[0][1]], rows[1:]
    return [], rows


def _places(table: Path, header: Sequence[str], lines: Sequence[tuple[int, Sequence[str]]]) -> dict[str, int]:
    """Where in a line file, label and split stand."""
    if not lines:
        raise DataError(f"{table}: no lines; expected one a picture, with the columns file,label[,split]")
    if not header:
        width = len(lines[0][1])
        if width not in (2, 3):
            raise DataError(f"{table}: expected file,label[,split]; found {width} columns without names in line 1")
        return dict(zip(COLUMNS, range(width), strict=False))
    found = {name: [header.index(one) for one in spellings if one in header] for name, spellings in COLUMNS.items()}
    for name in ("file", "label"):
        if not found[name]:
            raise DataError(f"{table}: no column {name}; found {', '.join(header)} (expected file,label[,split])")
    return {name: places[0] for name, places in found.items() if places}


def _entry(
    row: Sequence[str], places: Mapping[str, int], folder: Path, by_stem: Callable[[], Mapping[str, Path]]
) -> tuple[Path, str, str]:
    """The picture, its class and its split; `by_stem` is asked where a name has no suffix of a picture."""
    cells = {name: row[place] if place < len(row) else "" for name, place in places.items()}
    for name in ("file", "label"):
        if not cells[name]:
            raise ValueError(f"no {name}")
    path = folder / cells["file"]
    if path.suffix.lower() not in SUFFIXES and not path.exists():
        path = by_stem().get(cells["file"], path)
    split = cells.get("split", "train").lower()
    spelt = [name for name, spellings in SPLITS.items() if split in spellings]
    if not spelt:
        raise ValueError(f"split {split or 'empty'}; expected train, test or val")
    return path, composed(cells["label"]), spelt[0]
