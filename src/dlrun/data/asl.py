"""Sign Language MNIST: CSV tables of a label and 784 pixels, from Kaggle or from NVIDIA's course."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dlrun.data import content
from dlrun.data.catalogue import CatalogueEntry
from dlrun.data.decoded import Decoded, Pictures
from dlrun.data.places import asl_members
from dlrun.errors import DataError

PIXELS = 28 * 28
FIELDS = 1 + PIXELS
NEWLINE, COMMA, ZERO, NINE = b"\n,09"

CHUNK = 8_000_000
"""Bytes of text parsed at a time, so that the work arrays stay small."""

SKIPPED = 9
"""J, which needs motion: Kaggle's labels leave its number out, NVIDIA's close the gap."""

PICTURES_MD5 = {"train": "b995446f142a8232f4fed8155122498d", "test": "5007dc0e624763336b4e6fa45ab0f88a"}
"""md5 of the decoded pixels, then of the labels 0-23 as bytes: the same for every copy of the real tables."""


def parse(text: bytes, name: str) -> Pictures:
    """The table in the bytes of a CSV file, labels as they stand there: uint8 (N, 1, 28, 28), int64 (N,).

    Raises:
        DataError: No header, a row that has not 785 whole numbers from 0 to 255, or no row at all.
    """
    header, _, rows = text.replace(b"\r\n", b"\n").partition(b"\n")
    names = header.removeprefix(b"\xef\xbb\xbf").replace(b'"', b"").split(b",")
    if names[0].strip() != b"label" or len(names) != FIELDS:
        raise DataError(f"{name}: expected the header label,pixel1,...,pixel784; found {_shown(text, header)}")
    rows = rows.rstrip(b"\n")
    if not rows:
        raise DataError(f"{name}: no rows below the header")
    blocks: list[npt.NDArray[np.uint8]] = []
    start = 0
    while start < len(rows):
        end = rows.find(b"\n", start + CHUNK)
        end = len(rows) if end < 0 else end
        blocks.append(_numbers(rows[start:end] + b"\n", name, 1 + sum(len(block) for block in blocks)))
        start = end + 1
    table = np.concatenate(blocks)
    images = np.ascontiguousarray(table[:, 1:]).reshape(-1, 1, 28, 28)
    return Pictures(images, table[:, 0].astype(np.int64))


def _shown(text: bytes, header: bytes) -> str:
    """The beginning of a table as a person would read it, and what is odd about it."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text in UTF-16; save it as UTF-8"
    shown = header[:40].decode("utf-8", "replace")
    if b"\r" in header:
        return f"{shown.partition(chr(13))[0]!r} and no line feeds, only carriage returns; save it with line feeds"
    for sign, name in ((b";", "semicolons"), (b"\t", "tabs")):
        if header.count(sign) > header.count(b","):
            return f"{shown!r}, separated by {name}; save it with commas"
    fields = header.count(b",") + 1
    return f"{shown!r} ({fields} fields)" if header.strip() else "an empty line"


def _numbers(text: bytes, name: str, row: int) -> npt.NDArray[np.uint8]:
    """The numbers in whole lines of text as uint8 (lines, 785); `row` is the first one's number."""
    symbols = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((symbols < ZERO) | (symbols > NINE))
    widths = np.diff(ends, prepend=-1) - 1
    lines = len(ends) // FIELDS
    last = np.arange(len(ends)) % FIELDS == FIELDS - 1
    right = symbols[ends] == np.where(last, NEWLINE, COMMA)
    digits = symbols.astype(np.int16) - ZERO
    values = digits[ends - 1].astype(np.int16)
    for place, factor in ((2, 10), (3, 100)):
        # Where a number is shorter the index may point before it: the product with False drops what it finds.
        values += factor * digits[np.maximum(ends - place, 0)] * (widths >= place)
    right &= (widths >= 1) & (widths <= 3) & (values <= 255)
    if not right.all() or len(ends) % FIELDS:
        at = int(np.argmin(right)) if not right.all() else len(ends) - 1
        before = int(ends[at]) - int(widths[at])
        line = text[text.rfind(b"\n", 0, before) + 1 : text.find(b"\n", before)]
        field = text[before:].partition(b"\n")[0].partition(b",")[0]
        found = repr(field[:20].decode("utf-8", "replace")) if line.strip() else "an empty line"
        raise DataError(
            f"{name}: row {row + at // FIELDS}, field {at % FIELDS + 1}: "
            f"expected {FIELDS} whole numbers from 0 to 255, separated by commas; found {found}"
        )
    return values.astype(np.uint8).reshape(lines, FIELDS)


def read(files: Mapping[str, Path], entry: CatalogueEntry, verify: bool) -> Decoded:
    """The data set in two CSV files (`train`, `test`; gzip or not), or in Kaggle's `zip` of them.

    Raises:
        DataError: A damaged table, labels of neither convention, or (with `verify`) other content.
    """
    texts = _from_zip(files["zip"]) if "zip" in files else _from_files(files)
    tables = {split: parse(text, name) for split, (name, text) in texts.items()}
    names = {split: name for split, (name, _) in texts.items()}
    shift = _skips_nine(np.concatenate([table.labels for table in tables.values()]), names["train"])
    train, test = (
        Pictures(table.images, table.labels - (shift & (table.labels > SKIPPED)))
        for table in (tables["train"], tables["test"])
    )
    if verify:
        _check(train, names["train"], PICTURES_MD5["train"], entry, 0)
        _check(test, names["test"], PICTURES_MD5["test"], entry, 1)
    return Decoded(train, test, entry.classes)


def _skips_nine(labels: npt.NDArray[np.int64], name: str) -> bool:
    """Whether the labels are Kaggle's (0-24 without 9) rather than NVIDIA's (0-23)."""
    there = set(labels.tolist())
    if there <= set(range(25)) - {SKIPPED} and (24 in there or max(there) < SKIPPED):
        return True
    if there <= set(range(24)) and SKIPPED in there:
        return False
    raise DataError(f"{name}: labels {sorted(there)} are neither Kaggle's (0-24 without 9) nor NVIDIA's (0-23)")


def _check(pictures: Pictures, name: str, expected: str, entry: CatalogueEntry, split: int) -> None:
    rows = (entry.pictures or (0, 0))[split]
    if len(pictures.images) != rows:
        raise DataError(
            f"{name}: expected {rows} rows, found {len(pictures.images)}; accept a partial copy with data.verify=false"
        )
    found = content.md5(pictures.images.tobytes() + pictures.labels.astype(np.uint8).tobytes())
    content.demand(f"{name} (its decoded pixels and labels)", expected, found)


def _from_files(files: Mapping[str, Path]) -> dict[str, tuple[str, bytes]]:
    return {
        split: (str(path), content.unzipped(content.read(path), path))
        for split, path in sorted(files.items(), reverse=True)
    }


def _from_zip(archive: Path) -> dict[str, tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(archive) as file:
            return {
                split: (f"{archive}:{member}", _member(file, member, archive))
                for split, member in asl_members(archive).items()
            }
    except DataError:
        raise
    # zipfile lets errors of the decompressors through (zlib, EOF, NotImplementedError).
    except Exception as error:
        raise DataError(f"{archive}: damaged zip file: {error}") from error


def _member(file: zipfile.ZipFile, name: str, archive: Path) -> bytes:
    with file.open(name) as member:
        data = member.read(content.LIMIT + 1)
    if len(data) > content.LIMIT:
        raise DataError(f"{archive}:{name}: unfolds to more than {content.LIMIT} bytes")
    return data
