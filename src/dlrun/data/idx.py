"""The idx format of MNIST and its relatives: a header of big-endian sizes, then bytes."""

import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dlrun.data import content
from dlrun.data.catalogue import CatalogueEntry, File
from dlrun.data.decoded import Decoded, Pictures
from dlrun.errors import DataError

UNSIGNED_BYTE = 0x08


def parse(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """The array in the bytes of an idx file, uint8 of the shape that its header gives.

    The header: two zero bytes, the type (only 8, unsigned byte, is admitted), the number of dimensions,
    and each dimension as four bytes, the highest first (LeCun's description of MNIST).

    Raises:
        DataError: The bytes are no idx file of unsigned bytes, or their number disagrees with the header.
    """
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTE or not 1 <= data[3] <= 3:
        begins, said = data[:4].hex() or "nothing", content.what_it_is(data, content.md5(data))
        raise DataError(f"{name}: not an idx file of bytes: it begins with {begins}{said}")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise DataError(f"{name}: truncated inside the header ({len(data)} bytes)")
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    if len(data) - start != math.prod(shape):
        raise DataError(f"{name}: the header says {shape}, {math.prod(shape)} bytes; found {len(data) - start}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read(files: Mapping[str, Path], entry: CatalogueEntry, verify: bool) -> Decoded:
    """The data set in four idx files, named as in `entry.files`, gzip or not.

    Raises:
        DataError: A file is missing, damaged, or (with `verify`) has the wrong checksum.
    """
    arrays = [_array(files[name], known, verify) for name, known in entry.files.items()]
    names = [str(path) for path in files.values()]
    train, test = (_pictures(arrays[at], arrays[at + 1], names[at]) for at in (0, 2))
    return Decoded(train, test, entry.classes)


def _array(path: Path, known: File, verify: bool) -> npt.NDArray[np.uint8]:
    stored = content.read(path)
    if verify and content.md5(stored) != known.md5:
        _check_content(path, stored, known)
    return parse(content.unzipped(stored, path), str(path))


def _check_content(path: Path, stored: bytes, known: File) -> None:
    """Accept what is not the official file but holds the same: unpacked, or packed by someone else."""
    packed = path.suffix == ".gz"
    if known.content_md5 is None and not packed:
        raise DataError(
            f"{path}: only the official .gz file has a known checksum (md5 {known.md5}); "
            "put that beside it, or accept this copy with data.verify=false"
        )
    try:
        found = content.md5(content.unzipped(stored, path))
    except DataError:
        found = "none"
    if found != known.content_md5:
        expected = known.md5 if packed or known.content_md5 is None else known.content_md5
        content.demand(path, expected, content.md5(stored), stored)


def _pictures(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], where: str) -> Pictures:
    if images.ndim != 3 or labels.ndim != 1:
        raise DataError(
            f"{where}: expected images in 3 dimensions and labels in 1, found {images.ndim} and {labels.ndim}"
        )
    return Pictures(images[:, None], labels.astype(np.int64))
