import os

import pytest

from dlrun.errors import UsageError
from dlrun.verbs import data

REAL = os.environ.get("DLRUN_DATA", "")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of this test, and no data."""
    for name in ("DLRUN_DATA", "DLRUN_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("dlrun.data.places.DEBIAN", {})
    return tmp_path / "cache" / "dlrun" / "data"


def rows(capsys):
    return {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}


def test_list_says_what_is_where(cache, capsys):
    (cache / "asl").mkdir(parents=True)
    for split in ("train", "test"):
        (cache / "asl" / f"sign_mnist_{split}.csv").write_text("")
    assert data.main(["list"]) == 0
    table = rows(capsys)
    assert table["asl"][-3:] == ["1x28x28", "24", str(cache / "asl")]
    assert table["cifar10"] == ["cifar10", "50,000", "+", "10,000", "3x32x32", "10", "missing"]
    assert table["image_folder"][-2:] == ["set", "data.root"]
    assert table["image_table"][-2:] == ["set", "data.table"]
    assert len(table) == 11


def test_list_shows_folders_as_they_are_called(tmp_path, capsys):
    folder = tmp_path / "[bold]" / "asl"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        (folder / f"sign_mnist_{split}.csv").write_text("")
    assert data.main(["list", "--root", str(folder.parent)]) == 0
    assert rows(capsys)["asl"][-1] == str(folder)


def test_list_below_a_root(tmp_path, capsys):
    assert data.main(["list", "--root", str(tmp_path)]) == 0
    assert rows(capsys)["mnist"][-1] == "missing"


def test_verify_goes_on_after_a_failure(cache, capsys):
    (cache / "mnist").mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (cache / "mnist" / f"{name}-ubyte.gz").write_bytes(b"")
    assert data.main(["verify", "kmnist", "mnist"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("dlrun data verify: kmnist: no data in ")
    assert "checksum mismatch: expected md5 f68b3c2dcbeaaa9fbdd348bbdeb94873, found d41d8cd9" in second


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fetch", "mnits"], "data set 'mnits' is unknown; did you mean mnist?"),
        (["fetch", "synthetic"], "synthetic has no files to fetch; there are: mnist, fashion_mnist, kmnist"),
        (["verify", "image_folder"], "image_folder has no files to verify"),
    ],
)
def test_names_that_cannot_be(words, said):
    with pytest.raises(UsageError) as caught:
        data.main(words)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "data: list|fetch|verify|show is missing; see dlrun data --help"),
        (["ftch"], "data: ftch is unknown; did you mean fetch?"),
        (["steal"], "data: steal is unknown; there are: fetch, list, show, verify"),
        (["fetch"], "data fetch: NAME is missing; see dlrun data fetch --help"),
        (["fetch", "mnist", "--fron", "x"], "data: --fron: no such option; did you mean --from?"),
        (["show"], "data show: NAME is missing; see dlrun data show --help"),
        (["list", "mnist"], "data: mnist: not expected here; see dlrun data --help"),
    ],
)
def test_words_that_cannot_be(words, said):
    with pytest.raises(UsageError) as caught:
        data.main(words)
    assert str(caught.value) == said


def test_fetch_from_a_folder_without_it(tmp_path, capsys):
    assert data.main(["fetch", "asl", "--from", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"dlrun data fetch: no asl in {tmp_path}\n"


@pytest.mark.real_data
def test_fetch_and_verify_the_real_mnist(cache, capsys):
    assert data.main(["fetch", "mnist", "--from", REAL]) == 0
    assert data.main(["verify", "mnist"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"mnist: from {REAL}, verified, in {cache}/mnist",
        f"mnist: sound, 60,000 + 10,000 pictures, 10 classes, in {cache}/mnist",
    ]
