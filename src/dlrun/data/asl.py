"""Sign Language MNIST: CSV tables of a label and 784 pixels, from Kaggle or from NVIDIA's course."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dlrun.data import content
from dlrun.data.catalogue import CatalogueEntry
from dlrun.data.decoded import Decoded, Pictures
from dlrun.data.numbers import Misread, oddity, rows_of
from dlrun.data.places import asl_members
from dlrun.errors import DataError

PIXELS = 28 * 28
FIELDS = 1 + PIXELS
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
        raise DataError(f"{name}: expected the header label,pixel1,...,pixel784; found {oddity(text, header)}")
    rows = rows.rstrip(b"\n")
    if not rows:
        raise DataError(f"{name}: no rows below the header")
    try:
        table = rows_of(rows, FIELDS)
    except Misread as error:
        field = f", field {error.field}" if error.field else ""
        raise DataError(f"{name}: row {error.row}{field}: {error}") from None
    images = np.ascontiguousarray(table[:, 1:]).reshape(-1, 1, 28, 28)
    return Pictures(images, table[:, 0].astype(np.int64))


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
                split: (f"{archive}:{member}", content.member(file, member, archive))
                for split, member in asl_members(archive).items()
            }
    except DataError:
        raise
    # zipfile lets errors of the decompressors through (zlib, EOF, NotImplementedError).
    except Exception as error:
        raise DataError(f"{archive}: damaged zip file: {error}") from error
