"""The python batches of CIFAR-10 and CIFAR-100: pickled dictionaries, read without running what they name."""

import io
import pickle
import pickletools
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlrun.data import content
from dlrun.data.catalogue import CIFAR100_COARSE, CatalogueEntry
from dlrun.data.decoded import Decoded, Pictures
from dlrun.errors import DataError

ROW = 3 * 32 * 32


class _Array:
    """Stands in for a numpy array while unpickling; numpy's own loader trusts what it is told."""

    def __setstate__(self, state: Any) -> None:
        _version, shape, _dtype, column_major, data = state
        if column_major or not isinstance(data, bytes):
            raise ValueError("an array that is not plain bytes")
        self.pixels = np.frombuffer(data, np.uint8).reshape(shape)


class _Part:
    """One of the few callables that the batches name; it keeps no state that a pickle could change."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a pickle that changes what it is read with")


class _Type:
    """Stands in for the numpy type of unsigned bytes, the only one admitted."""

    def __init__(self, name: str | bytes, *_flags: Any) -> None:
        if name not in ("u1", b"u1"):
            raise ValueError(f"an array of {name!r}, not of bytes")

    def __setstate__(self, state: Any) -> None:
        """The byte order, which bytes don't have."""


def _encoded(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if encoding not in ("latin1", b"latin1"):
        raise ValueError(f"bytes in {encoding!r}")
    return text.encode("latin1")


ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): lambda: None,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): lambda: b"",
    ("builtins", "bytes"): lambda: b"",
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
}


class _Unpickler(pickle.Unpickler):
    """Admits arrays of bytes and plain values; everything else that a pickle names is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no CIFAR batch needs")
        return _Part(ADMITTED[module, name])


def unpickled(data: bytes, name: str) -> dict[str, Any]:
    """The dictionary in a batch file, keys as text, arrays as uint8; nothing in it is run.

    Raises:
        DataError: Damaged bytes, or a pickle that names anything but arrays of bytes.
    """
    try:
        _refuse_huge_memos(data)
        values = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    # A damaged pickle raises nearly any exception (the documentation of pickle says so).
    except Exception as error:
        raise DataError(f"{name}: not a CIFAR batch: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{name}: not a CIFAR batch: it holds no dictionary")
    plain = ((key.decode("latin1") if isinstance(key, bytes) else str(key), value) for key, value in values.items())
    return {key: value.pixels if _is_array(value) else value for key, value in plain}


def _is_array(value: Any) -> bool:
    return isinstance(value, _Array) and hasattr(value, "pixels")


def _refuse_huge_memos(data: bytes) -> None:
    """A memo number of four bytes would make the unpickler reserve gigabytes."""
    for code, argument, _ in pickletools.genops(data):
        if "PUT" in code.name and int(argument or 0) > len(data):
            raise ValueError(f"a memo numbered {argument}")


def read(files: Mapping[str, Path], entry: CatalogueEntry, verify: bool, labels: str | None) -> Decoded:
    """The data set in unpacked batch files (by member name), or in one archive of them (`archive`).

    Args:
        files: Where the members are, or the one archive.
        entry: CIFAR-10 or CIFAR-100.
        verify: Demand the md5 of every batch; otherwise some training batches may be missing.
        labels: `fine` or `coarse` for CIFAR-100, None for CIFAR-10.

    Raises:
        DataError: A batch is missing or damaged, or has the wrong checksum.
    """
    where = next(iter(files.values()))
    found = members(files["archive"], entry) if "archive" in files else unpacked(files)
    kinds: dict[bool, list[Pictures]] = {True: [], False: []}
    test = list(entry.members)[-1]
    for name, (path, data) in _complete(found, entry, verify, where):
        if verify:
            content.demand(path, entry.members[name], content.md5(data), data)
        kinds[name == test].append(batch(data, path, labels))
    classes = CIFAR100_COARSE if labels == "coarse" else entry.classes
    return Decoded(_joined(kinds[False]), _joined(kinds[True]), classes)


def _complete(
    found: Iterator[tuple[str, tuple[str, bytes]]], entry: CatalogueEntry, verify: bool, where: Path
) -> list[tuple[str, tuple[str, bytes]]]:
    """The batches in the catalogue's order, whatever the archive's."""
    batches = dict(found)
    missing = [name for name in entry.members if name not in batches]
    training, test = list(entry.members)[:-1], list(entry.members)[-1]
    if missing and (verify or test in missing or not batches.keys() & set(training)):
        raise DataError(f"{where}: {', '.join(missing)} missing; expected {', '.join(entry.members)}")
    return [(name, batches[name]) for name in entry.members if name in batches]


def unpacked(files: Mapping[str, Path]) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Name, place and bytes of every batch file."""
    for name, path in files.items():
        yield name, (str(path), content.read(path))


def members(archive: Path, entry: CatalogueEntry) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Name, place and bytes of the batches in a tar archive; nothing is unpacked to disk.

    Raises:
        DataError: A damaged archive, or one that unfolds to more than `content.LIMIT` bytes.
    """
    room = content.LIMIT
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                room -= max(member.size, 0)
                if room < 0:
                    raise DataError(f"{archive}: unfolds to more than {content.LIMIT} bytes")
                folder, _, name = member.name.rpartition("/")
                if member.isreg() and folder.removeprefix("./") == entry.folder and name in entry.members:
                    data = tar.extractfile(member)
                    yield name, (f"{archive}:{member.name}", data.read() if data else b"")
    except DataError:
        raise
    # tarfile lets errors of the decompressors through (zlib, lzma, EOF), and ValueErrors of damaged headers.
    except Exception as error:
        raise DataError(f"{archive}: damaged archive: {error}") from error


def batch(data: bytes, name: str, labels: str | None) -> Pictures:
    """The pictures of one batch file: rows of 3072 bytes, the red, green and blue planes of 32x32.

    Raises:
        DataError: The bytes are no such batch.
    """
    values = unpickled(data, name)
    key = f"{labels}_labels" if labels else "labels"
    pixels, numbers = values.get("data"), values.get(key)
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != ROW:
        raise DataError(f"{name}: not a CIFAR batch: no array `data` with rows of {ROW} bytes")
    if not isinstance(numbers, list) or not all(type(one) is int and 0 <= one < 100 for one in numbers):
        raise DataError(f"{name}: not a CIFAR batch: no list `{key}` of class numbers")
    if len(numbers) != len(pixels):
        raise DataError(f"{name}: {len(pixels)} pictures but {len(numbers)} labels")
    return Pictures(pixels.reshape(-1, 3, 32, 32), np.array(numbers, dtype=np.int64))


def _joined(parts: list[Pictures]) -> Pictures:
    images, labels = zip(*parts, strict=True)
    return Pictures(np.concatenate(images), np.concatenate(labels))
