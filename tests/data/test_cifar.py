import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.data import catalogue, cifar
from dlrun.errors import DataError

PIXELS = np.arange(2 * 3072, dtype=np.int64).reshape(2, 3072).astype(np.uint8)


def test_reads_what_python_2_wrote(cifar_batch):
    pictures = cifar.batch(cifar_batch(PIXELS, labels=[3, 9]), "x", None)
    assert np.array_equal(pictures.images, PIXELS.reshape(2, 3, 32, 32))
    assert pictures.labels.tolist() == [3, 9]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("key", [str, str.encode])
def test_reads_what_any_python_writes(protocol, key):
    data = pickle.dumps({key("data"): PIXELS, key("labels"): [1, 2]}, protocol)
    if protocol >= 5:
        # Protocol 5 rebuilds arrays from buffers, which no CIFAR archive does.
        with pytest.raises(DataError, match="which no CIFAR batch needs"):
            cifar.batch(data, "x", None)
    else:
        assert cifar.batch(data, "x", None).labels.tolist() == [1, 2]


def test_fine_and_coarse_labels(cifar_batch):
    data = cifar_batch(PIXELS, coarse_labels=[4, 5], fine_labels=[44, 55])
    assert cifar.batch(data, "x", "fine").labels.tolist() == [44, 55]
    assert cifar.batch(data, "x", "coarse").labels.tolist() == [4, 5]


class Runs:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of a pickle was run')",))


@pytest.mark.parametrize("protocol", range(6))
def test_runs_nothing(protocol):
    with pytest.raises(DataError, match=r"names (__builtin__|builtins)\.exec, which no CIFAR batch needs"):
        cifar.unpickled(pickle.dumps({"data": Runs()}, protocol), "x")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02}r\xff\xff\xff\xff.",
        b"\x80\x02c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.",
        b"\x80\x02cnumpy\ndtype\n}(U\x05_makeK\x01ub.",
        b"\x80\x02]q\x00h\x00a.",
        b"",
        b".",
        b"\x80\x09}.",
    ],
)
def test_hostile_pickles(data):
    with pytest.raises(DataError, match=r"^x: not a CIFAR batch"):
        cifar.unpickled(data, "x")


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_damage_is_a_picture_or_a_data_error(data):
    whole = bytearray(pickle.dumps({"data": PIXELS[:1, :], "labels": [1]}, 2))
    # Damage to the pixels is invisible: aim at what surrounds them.
    places = st.one_of(st.integers(0, 400), st.integers(len(whole) - 60, len(whole) - 1))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(places)] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    try:
        pictures = cifar.batch(bytes(whole[:cut]), "x", None)
    except DataError:
        return
    assert pictures.images.shape[1:] == (3, 32, 32)


def read(path, verify=False, entry=catalogue.CIFAR10, labels=None):
    return cifar.read({"archive": path}, entry, verify, labels)


@pytest.mark.parametrize("suffix", ["gz", "xz"])
def test_reads_archives_where_they_are(tmp_path, write_tar, cifar10_members, suffix):
    path = write_tar(tmp_path / f"cifar.tar.{suffix}", cifar10_members)
    decoded = read(path)
    assert decoded.train.images.shape == (20, 3, 32, 32)
    assert decoded.test.labels.tolist() == list(range(10))
    assert [path.name for path in tmp_path.iterdir()] == [f"cifar.tar.{suffix}"]


def test_the_order_is_that_of_the_batches_not_of_the_archive(tmp_path, write_tar, cifar10_members):
    there = read(write_tar(tmp_path / "a.tar.gz", cifar10_members))
    back = read(write_tar(tmp_path / "b.tar.gz", dict(reversed(cifar10_members.items()))))
    assert np.array_equal(there.train.images, back.train.images)


def test_members_elsewhere_are_ignored(tmp_path, write_tar, cifar10_members):
    strange = {"../cifar-10-batches-py/test_batch": b"x", "/etc/data_batch_1": b"x", "x/y/test_batch": b"x"}
    assert len(read(write_tar(tmp_path / "a.tar.gz", {**strange, **cifar10_members})).test.labels) == 10


def test_links_are_not_followed(tmp_path, cifar10_members):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(DataError, match=r"a\.tar\.gz: data_batch_1, .*test_batch missing"):
        read(path)


def test_partial_copies_need_verify_false(tmp_path, write_tar, cifar10_members, monkeypatch):
    members = {name.rpartition("/")[2]: hashlib.md5(data).hexdigest() for name, data in cifar10_members.items()}
    entry = catalogue.CatalogueEntry(**{**vars(catalogue.CIFAR10), "members": members})
    assert len(read(write_tar(tmp_path / "a.tar.gz", cifar10_members), True, entry).train.labels) == 20
    del cifar10_members["cifar-10-batches-py/data_batch_2"]
    path = write_tar(tmp_path / "b.tar.gz", cifar10_members)
    assert len(read(path, False, entry).train.labels) == 16
    with pytest.raises(DataError, match="data_batch_2 missing"):
        read(path, True, entry)


def test_mismatch_names_member_expected_and_found(tmp_path, write_tar, cifar10_members):
    path = write_tar(tmp_path / "a.tar.gz", cifar10_members)
    said = r"a\.tar\.gz:cifar-10-batches-py/data_batch_1: .* c99cafc152244af753f735de768cd75f, found "
    with pytest.raises(DataError, match=said):
        read(path, verify=True)


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(0, 400), position=st.integers(0, 2000), value=st.integers(0, 255))
@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_a_damaged_archive_is_read_or_a_data_error(tmp_path_factory, mode, cut, position, value):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        info = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        info.size = 1000
        tar.addfile(info, io.BytesIO(np.random.RandomState(0).bytes(1000)))
    data = bytearray(buffer.getvalue())
    data[position % len(data)] = value
    path = tmp_path_factory.mktemp("a") / "a.tar"
    path.write_bytes(data[: len(data) - cut])
    with pytest.raises(DataError):
        read(path)


def test_an_archive_that_claims_terabytes_is_refused(tmp_path):
    info = tarfile.TarInfo("cifar-10-batches-py/test_batch")
    info.size = 1 << 40
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf() + bytes(1024))
    with pytest.raises(DataError, match="unfolds to more than"):
        read(path)


def test_the_memo_is_bounded_by_the_file():
    small = b"\x80\x02}r" + struct.pack("<I", 5) + b"."
    assert cifar.unpickled(small, "x") == {}
