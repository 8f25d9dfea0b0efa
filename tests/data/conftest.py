"""Small files in the real formats, written from scratch, and folders of each test's own."""

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dlrun.data import catalogue
from dlrun.data.catalogue import File

TRAIN, TEST = 30, 20


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data anywhere but in the cache folder of this test, which is returned."""
    for name in ("DLRUN_DATA", "DLRUN_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("dlrun.data.places.DEBIAN", {})
    return tmp_path / "cache" / "dlrun"


@pytest.fixture
def digits() -> SimpleNamespace:
    """Random pictures 28x28 with labels: `images`, `labels` of train and test."""
    numbers = np.random.RandomState(1)
    return SimpleNamespace(
        train_images=numbers.randint(0, 256, (TRAIN, 28, 28), dtype=np.uint8),
        train_labels=numbers.permutation(np.arange(TRAIN) % 10).astype(np.uint8),
        test_images=numbers.randint(0, 256, (TEST, 28, 28), dtype=np.uint8),
        test_labels=numbers.permutation(np.arange(TEST) % 10).astype(np.uint8),
    )


@pytest.fixture
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    """An array as the bytes of an idx file."""

    def encode(array: np.ndarray) -> bytes:
        return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()

    return encode


@pytest.fixture
def write_idx(digits: SimpleNamespace, idx_bytes: Callable[[np.ndarray], bytes]) -> Callable[..., Path]:
    """Writes `digits` as four idx files below a folder, gzip files or not; returns the folder."""

    def write(folder: Path, packed: bool = True, level: int = 6) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        arrays = (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels)
        for name, array in zip(catalogue.MNIST.files, arrays, strict=True):
            data = idx_bytes(array)
            if packed:
                (folder / name).write_bytes(gzip.compress(data, level, mtime=0))
            else:
                (folder / name.removesuffix(".gz")).write_bytes(data)
        return folder

    return write


@pytest.fixture
def official(write_idx: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes the catalogue take small idx files for the official ones; returns the folder that holds them."""

    def declare(name: str, contents: bool = True) -> Path:
        folder = write_idx(tmp_path / "official")
        files = {}
        for path in (folder / name for name in catalogue.MNIST.files):
            stored = path.read_bytes()
            content = hashlib.md5(gzip.decompress(stored)).hexdigest() if contents else None
            files[path.name] = File(hashlib.md5(stored).hexdigest(), content)
        entry = catalogue.CatalogueEntry(
            **{**vars(catalogue.ENTRIES[name]), "files": files, "mirrors": ("http://127.0.0.1:9/",)}
        )
        monkeypatch.setitem(catalogue.ENTRIES, name, entry)
        return folder

    return declare


def _string(value: bytes) -> bytes:
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


@pytest.fixture
def cifar_batch() -> Callable[..., bytes]:
    """Pixels and labels pickled as Python 2 did for the official archives (protocol 2, byte strings)."""

    def encode(pixels: np.ndarray, **labels: list[int]) -> bytes:
        array = (
            b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nq\x02K\x00\x85U\x01bt"
            + b"R(K\x01K"
            + bytes([len(pixels)])
            + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
            + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            + _string(pixels.tobytes())
            + b"tb"
        )
        lists = [
            _string(key.encode()) + b"](" + b"".join(b"K" + bytes([n]) for n in value) + b"e"
            for key, value in labels.items()
        ]
        names = _string(b"filenames") + b"](" + b"".join(_string(b"%d.png" % n) for n in range(len(pixels))) + b"e"
        return b"\x80\x02}q\x00(" + _string(b"data") + array + b"".join(lists) + names + b"u."

    return encode


@pytest.fixture
def cifar10_members(cifar_batch: Callable[..., bytes]) -> dict[str, bytes]:
    """Five training batches of 4 pictures and one of 10, by their names in the archive."""
    numbers = np.random.RandomState(2)
    members = {}
    for name in catalogue.CIFAR10.members:
        count = 10 if name == "test_batch" else 4
        pixels = numbers.randint(0, 256, (count, 3072), dtype=np.uint8)
        members[f"cifar-10-batches-py/{name}"] = cifar_batch(pixels, labels=[n % 10 for n in range(count)])
    return members


@pytest.fixture
def write_tar() -> Callable[[Path, dict[str, bytes]], Path]:
    """Writes an archive of named contents; the suffix tells the compression."""

    def write(path: Path, members: dict[str, bytes]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, f"w:{path.suffix[1:]}") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    return write


@pytest.fixture
def asl_text() -> Callable[..., bytes]:
    """A table as Kaggle (`skip=True`) or NVIDIA would write it: `rows` pictures, letters in turn."""

    def write(rows: int = 48, skip: bool = True, end: bytes = b"\r\n", seed: int = 3) -> bytes:
        pixels = np.random.RandomState(seed).randint(0, 256, (rows, 784))
        header = b"label," + b",".join(b"pixel%d" % n for n in range(1, 785))
        lines = [header]
        for number, row in enumerate(pixels):
            letter = number % 24
            label = letter + 1 if skip and letter >= 9 else letter
            lines.append(b",".join(b"%d" % value for value in (label, *row)))
        return end.join(lines) + end

    return write
