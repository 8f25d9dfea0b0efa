import gzip
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.data import asl, catalogue, numbers
from dlrun.errors import DataError

HEADER = b"label," + b",".join(b"pixel%d" % n for n in range(1, 785)) + b"\n"
ROW = b"3," + b",".join(b"%d" % (n % 256) for n in range(784)) + b"\n"


def test_reads_numbers_of_every_width():
    pictures = asl.parse(HEADER + ROW, "x")
    assert pictures.labels.tolist() == [3]
    assert np.array_equal(pictures.images.ravel(), np.arange(784).astype(np.uint8))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n", b"\r\n"])
def test_line_ends(end, last):
    text = (HEADER + ROW + ROW).replace(b"\n", end).rstrip() + last
    assert asl.parse(text, "x").images.shape == (2, 1, 28, 28)


def test_mark_and_quotes_of_spreadsheets():
    assert len(asl.parse(b"\xef\xbb\xbf" + HEADER.replace(b"label", b'"label"') + ROW, "x").labels) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "expected the header"),
        (ROW, "expected the header"),
        (HEADER, "no rows below the header"),
        (HEADER + ROW + b"1,2,3\n", "row 2"),
        (HEADER + ROW.replace(b",255,", b",256,", 1), "row 1, field 257"),
        (HEADER + ROW.replace(b",255,", b",-55,", 1), "row 1, field 257"),
        (HEADER + ROW.replace(b",255,", b",,", 1), "row 1, field 257"),
        (HEADER + ROW.replace(b",255,", b",2.5,", 1), "row 1, field 257"),
        (HEADER + ROW.replace(b",255,", b",0255,", 1), "row 1, field 257"),
        (HEADER + ROW[:-1] + b",7\n" + ROW, "row 1: expected 785 .* found 786"),
        (HEADER + ROW.replace(b",3,", b",3.0,", 1), "separated by commas; found '3.0'"),
        (HEADER + ROW.replace(b",3,", b", 3,", 1), "separated by commas; found ' 3'"),
        (HEADER + ROW + b"\n" + ROW, "row 2, field 1: .*; found an empty line"),
        ((HEADER + ROW).replace(b",", b";"), "found 'label;pixel1;.*separated by semicolons; save it with commas"),
        ((HEADER + ROW).replace(b",", b"\t"), "separated by tabs; save it with commas"),
        ((HEADER + ROW).replace(b"\n", b"\r"), "no line feeds, only carriage returns"),
        ((HEADER + ROW).decode().encode("utf-16"), "text in UTF-16; save it as UTF-8"),
        (HEADER.replace(b"label,", b"") + ROW, r"found 'pixel1,pixel2.* \(784 fields\)"),
    ],
)
def test_names_the_place_of_a_mistake(text, said):
    with pytest.raises(DataError, match=f"x: .*{said}"):
        asl.parse(text, "x")


def test_the_row_is_counted_across_chunks(monkeypatch):
    monkeypatch.setattr(numbers, "CHUNK", 2 * len(ROW))
    assert len(asl.parse(HEADER + 10 * ROW, "x").labels) == 10
    with pytest.raises(DataError, match="row 10, field 1:"):
        asl.parse(HEADER + 9 * ROW + b"x" + ROW, "x")


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2 * len(ROW)), st.integers(0, 255), st.integers(0, 30))
def test_any_damage_is_a_table_or_a_data_error(position, value, cut):
    text = bytearray(HEADER + ROW + ROW)
    text[-1 - position % len(text)] = value
    try:
        pictures = asl.parse(bytes(text[: len(text) - cut]), "x")
    except DataError:
        return
    assert pictures.images.shape in ((1, 1, 28, 28), (2, 1, 28, 28))


def read(files, verify=False):
    return asl.read(files, catalogue.ASL, verify)


def test_all_variants_give_the_same(tmp_path, asl_text):
    variants = []
    for skip, end, packed, second in [
        (True, b"\r\n", False, "test"),
        (True, b"\n", True, "test"),
        (False, b"\r\n", True, "valid"),
        (False, b"\n", False, "valid"),
    ]:
        files = {}
        for split, name, seed in (("train", "train", 1), ("test", second, 2)):
            text = asl_text(skip=skip, end=end, seed=seed)
            files[split] = tmp_path / f"sign_mnist_{name}.csv{'.gz' if packed else ''}"
            files[split].write_bytes(gzip.compress(text) if packed else text)
        variants.append(read(files))
    assert len({v.train.images.tobytes() for v in variants}) == 1
    assert {tuple(v.test.labels) for v in variants} == {tuple(range(24)) * 2}
    assert variants[0].classes == tuple("ABCDEFGHIKLMNOPQRSTUVWXY")


def test_kaggles_zip(tmp_path, asl_text):
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("american_sign_language.PNG", b"")
        for split in ("train", "test"):
            # Kaggle's archive holds every table twice.
            file.writestr(f"sign_mnist_{split}/sign_mnist_{split}.csv", b"")
            file.writestr(f"sign_mnist_{split}.csv", asl_text())
    assert len(read({"zip": path}).test.labels) == 48
    damaged = bytearray(path.read_bytes())
    damaged[10_000:10_040] = bytes(40)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="damaged zip file"):
        read({"zip": path})


def test_a_zip_bomb_is_refused(tmp_path, asl_text, monkeypatch):
    monkeypatch.setattr("dlrun.data.content.LIMIT", 1000)
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for split in ("train", "test"):
            file.writestr(f"sign_mnist_{split}.csv", bytes(10_000))
    with pytest.raises(DataError, match="unfolds to more than 1000 bytes"):
        read({"zip": path})


def write(folder, train, test):
    files = {"train": folder / "sign_mnist_train.csv", "test": folder / "sign_mnist_test.csv"}
    files["train"].write_bytes(train)
    files["test"].write_bytes(test)
    return files


def test_mixed_conventions_are_refused(tmp_path, asl_text):
    files = write(tmp_path, asl_text(skip=True), asl_text(skip=False))
    with pytest.raises(DataError, match=r"neither Kaggle's \(0-24 without 9\) nor NVIDIA's \(0-23\)"):
        read(files)


def test_a_partial_copy_needs_verify_false(tmp_path, asl_text):
    files = write(tmp_path, asl_text(), asl_text())
    with pytest.raises(DataError, match=r"sign_mnist_train\.csv: expected 27455 rows, found 48"):
        read(files, verify=True)


def test_other_pixels_are_a_checksum_mismatch(tmp_path, asl_text, monkeypatch):
    monkeypatch.setattr(catalogue, "ASL", catalogue.CatalogueEntry(**{**vars(catalogue.ASL), "pictures": (48, 48)}))
    files = write(tmp_path, asl_text(), asl_text())
    with pytest.raises(DataError, match=f"checksum mismatch: expected md5 {asl.PICTURES_MD5['train']}, found "):
        read(files, verify=True)
