import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.data import catalogue, idx
from dlrun.errors import DataError

HEADER = bytes.fromhex("00000803 00000002 00000001 00000003")


def test_reads_the_documented_header():
    assert idx.parse(HEADER + b"abcdef", "x").tolist() == [[[97, 98, 99]], [[100, 101, 102]]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "begins with nothing"),
        (b"\x1f\x8b\x08\x00", "begins with 1f8b0800"),
        (HEADER[:2] + b"\x0d\x03" + HEADER[4:] + b"abcdef", "begins with 00000d03"),
        (HEADER[:9], "truncated inside the header"),
        (HEADER + b"abcde", "found 5"),
        (HEADER + b"abcdefg", "found 7"),
        (HEADER[:4] + b"\xff" * 12 + b"abc", "found 3"),
    ],
)
def test_names_what_is_wrong(data, said):
    with pytest.raises(DataError, match=said):
        idx.parse(data, "some-file")


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 25), st.integers(0, 255))
def test_any_bytes_are_an_array_or_a_data_error(tail, position, value):
    data = bytearray(HEADER + tail)
    data[position % len(data)] = value
    try:
        array = idx.parse(bytes(data), "x")
    except DataError:
        return
    assert array.tobytes() == bytes(data[4 + 4 * array.ndim :])


def files_in(folder, packed=True):
    return {name: folder / (name if packed else name.removesuffix(".gz")) for name in catalogue.MNIST.files}


@pytest.mark.parametrize("packed", [True, False])
def test_reads_packed_and_unpacked(tmp_path, write_idx, digits, packed):
    decoded = idx.read(files_in(write_idx(tmp_path, packed), packed), catalogue.MNIST, verify=False)
    assert np.array_equal(decoded.train.images[:, 0], digits.train_images)
    assert np.array_equal(decoded.test.labels, digits.test_labels)
    assert decoded.train.images.shape == (30, 1, 28, 28)
    assert decoded.train.images.dtype == np.uint8
    assert decoded.train.labels.dtype == np.int64


@pytest.mark.parametrize("variant", [{"packed": True}, {"packed": False}, {"packed": True, "level": 1}])
def test_verifies_the_official_content_in_any_wrapping(tmp_path, write_idx, official, variant):
    official("mnist")
    folder = write_idx(tmp_path / "copy", **variant)
    decoded = idx.read(files_in(folder, variant["packed"]), catalogue.ENTRIES["mnist"], verify=True)
    assert len(decoded.train.labels) == 30


def test_mismatch_names_file_expected_and_found(tmp_path, write_idx, official):
    folder = official("mnist")
    expected = catalogue.ENTRIES["mnist"].files["t10k-images-idx3-ubyte.gz"].md5
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{path}: checksum mismatch: expected md5 {expected}, found [0-9a-f]{{32}}"):
        idx.read(files_in(folder), catalogue.ENTRIES["mnist"], verify=True)
    with pytest.raises(DataError, match="truncated gzip file"):
        idx.read(files_in(folder), catalogue.ENTRIES["mnist"], verify=False)


def test_unpacked_files_of_unknown_content_need_verify_false(write_idx, tmp_path, official):
    official("kmnist", contents=False)
    folder = write_idx(tmp_path / "copy", packed=False)
    with pytest.raises(DataError, match=r"only the official \.gz file has a known checksum"):
        idx.read(files_in(folder, packed=False), catalogue.ENTRIES["kmnist"], verify=True)


def test_images_where_labels_belong(tmp_path, write_idx):
    folder = write_idx(tmp_path)
    files = files_in(folder)
    files["train-labels-idx1-ubyte.gz"] = files["train-images-idx3-ubyte.gz"]
    with pytest.raises(DataError, match="labels in 1, found 3 and 3"):
        idx.read(files, catalogue.MNIST, verify=False)


def test_a_gzip_bomb_is_refused(tmp_path, write_idx, monkeypatch):
    monkeypatch.setattr("dlrun.data.content.LIMIT", 100_000)
    folder = write_idx(tmp_path)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(200_000)))
    with pytest.raises(DataError, match="unfolds to more than 100000 bytes"):
        idx.read(files_in(folder), catalogue.MNIST, verify=False)


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>Not found", "it is a web page that a server sent instead"),
        (None, "it is cut off"),
    ],
)
def test_what_stands_in_the_place_of_a_file_is_named(official, replaced, said):
    folder = official("mnist")
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9] if replaced is None else replaced)
    with pytest.raises(DataError, match=f"{said}. Fetch it again$"):
        idx.read(files_in(folder), catalogue.ENTRIES["mnist"], verify=True)


def test_a_file_of_another_data_set_is_named(tmp_path, official, write_idx):
    folder = official("fashion_mnist")
    write_idx(tmp_path / "other", level=1)
    with pytest.raises(DataError, match="it is that of fashion_mnist, which belongs into a folder of its own"):
        idx.read(files_in(folder), catalogue.ENTRIES["kmnist"], verify=True)
