import shutil
import sys

import pytest

from dlrun.config.groups import Data, ImageFolder, Synthetic
from dlrun.data.places import locate
from dlrun.errors import DataError


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["mnist", "MNIST/raw", "mnist/MNIST/raw", "."])
def test_idx_layouts_below_a_given_root(tmp_path, write_idx, place, packed):
    folder = write_idx(tmp_path / "root" / place, packed)
    found = locate(Data("mnist", root=str(tmp_path / "root")))
    assert found.folder.resolve() == folder.resolve()
    assert len(found.files) == 4


def test_a_given_root_is_the_only_place(tmp_path, folders, write_idx, monkeypatch):
    write_idx(folders / "data" / "mnist")
    monkeypatch.setenv("DLRUN_DATA", str(folders / "data"))
    with pytest.raises(DataError) as caught:
        locate(Data("mnist", root=str(tmp_path / "empty")))
    root = tmp_path / "empty"
    advice = f"Fetch it: dlrun data fetch mnist --root {root}"
    assert str(caught.value) == f"mnist: no data in {root} (no such folder). {advice}"


def test_the_variable_goes_before_the_cache(tmp_path, folders, write_idx, monkeypatch):
    write_idx(folders / "data" / "mnist")
    assert locate(Data("mnist")).folder == folders / "data" / "mnist"
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path / "shared"))
    assert locate(Data("mnist")).folder == folders / "data" / "mnist"
    write_idx(tmp_path / "shared" / "MNIST" / "raw")
    assert locate(Data("mnist")).folder == tmp_path / "shared" / "MNIST" / "raw"


def test_nothing_anywhere(tmp_path, folders, monkeypatch):
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path))
    said = f"asl: no data in {tmp_path} or {folders}/data. Fetch it: dlrun data fetch asl"
    with pytest.raises(DataError, match=said):
        locate(Data("asl"))
    with pytest.raises(DataError, match=r"Set data\.root to a folder of pictures, with one folder a class"):
        locate(ImageFolder("image_folder"))


def test_files_of_all_idx_sets_have_the_same_names(tmp_path, official, monkeypatch):
    """Those directly in a folder of several data sets are taken for the one whose labels they hold."""
    monkeypatch.setenv("DLRUN_DATA", str(official("fashion_mnist")))
    assert locate(Data("fashion_mnist")).folder == tmp_path / "official"
    with pytest.raises(DataError, match="mnist: no data"):
        locate(Data("mnist"))


def test_debians_folder_is_known(write_idx, tmp_path, monkeypatch):
    folder = write_idx(tmp_path / "usr")
    monkeypatch.setattr("dlrun.data.places.DEBIAN", {"fashion_mnist": folder})
    assert locate(Data("fashion_mnist")).folder == folder
    with pytest.raises(DataError):
        locate(Data("fashion_mnist", root=str(tmp_path)))


@pytest.mark.parametrize(
    "path",
    [
        "cifar10/cifar-10-python.tar.gz",
        "cifar10/anything.tar.xz",
        "cifar-10-python.tar.gz",
        "cifar-10-subset.tar.xz",
    ],
)
def test_cifar_archives(tmp_path, write_tar, path):
    write_tar(tmp_path / "cifar-100-python.tar.gz", {})
    write_tar(tmp_path / path, {})
    assert locate(Data("cifar10", root=str(tmp_path))).files == {"archive": tmp_path / path}


@pytest.mark.parametrize("folder", ["cifar10", "cifar10/cifar-10-batches-py", "cifar-10-batches-py", "."])
def test_cifar_batches(tmp_path, cifar10_members, folder):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, data in cifar10_members.items():
        (tmp_path / folder / name.rpartition("/")[2]).write_bytes(data)
    assert len(locate(Data("cifar10", root=str(tmp_path))).files) == 6


def test_asl_tables_and_zip(tmp_path, asl_text):
    root = tmp_path / "asl"
    root.mkdir()
    (root / "other.zip").write_bytes(b"PK\x05\x06 no zip file")
    (root / "sign_mnist_train.csv").write_bytes(asl_text())
    with pytest.raises(DataError):
        locate(Data("asl", root=str(tmp_path)))
    (root / "sign_mnist_valid.csv.gz").write_bytes(b"")
    assert locate(Data("asl", root=str(tmp_path))).files["test"].name == "sign_mnist_valid.csv.gz"


def test_folders_where_files_belong_are_not_taken(tmp_path):
    for name in ("sign_mnist_train.csv", "sign_mnist_test.csv"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="no data"):
        locate(Data("asl", root=str(tmp_path)))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="no data"):
        locate(Data("asl", root=str(tmp_path / "file")))


def test_a_loop_of_links_is_no_traceback(tmp_path):
    (tmp_path / "mnist").symlink_to(tmp_path / "mnist")
    with pytest.raises(DataError):
        locate(Data("mnist", root=str(tmp_path)))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX names")
def test_a_name_too_long_is_no_traceback(tmp_path):
    with pytest.raises(DataError, match=r"can't search|no data"):
        locate(Data("mnist", root=str(tmp_path / ("x" * 300))))


def test_pictures(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    assert locate(ImageFolder("image_folder", root=str(tmp_path))).folder == tmp_path
    shutil.copytree(tmp_path / "cat", tmp_path / "image_folder" / "dog")
    assert locate(ImageFolder("image_folder", root=str(tmp_path))).folder == tmp_path / "image_folder"


def test_synthetic_needs_no_files(tmp_path):
    assert locate(Synthetic("synthetic", root=str(tmp_path / "nowhere"))).files == {}


@pytest.mark.parametrize(
    "rename",
    [
        lambda plain: plain.replace("-idx", ".idx"),
        lambda plain: f"{plain}/{plain}",
        lambda plain: f"{plain.replace('-idx', '.idx')}/{plain.replace('-idx', '.idx')}",
    ],
    ids=["7-Zip", "Kaggle", "both"],
)
def test_idx_files_under_the_names_that_others_give(tmp_path, write_idx, rename):
    folder = write_idx(tmp_path / "mine", False)
    for path in list(folder.iterdir()):
        path.rename(tmp_path / "aside")
        (folder / rename(path.name)).parent.mkdir(exist_ok=True)
        (tmp_path / "aside").rename(folder / rename(path.name))
    assert len(locate(Data("mnist", root=str(folder))).files) == 4


def test_kaggles_folders_of_asl(tmp_path):
    for stem in ("sign_mnist_train", "sign_mnist_test"):
        (tmp_path / stem).mkdir()
        (tmp_path / stem / f"{stem}.csv").write_text("")
    assert set(locate(Data("asl", root=str(tmp_path))).files) == {"train", "test"}


def test_a_message_says_what_is_there_and_what_is_looked_for(tmp_path, write_idx):
    folder = write_idx(tmp_path / "mine")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "digits.csv").write_text("")
    for root, said in {
        folder: ": t10k-labels-idx1-ubyte.gz is missing.",
        folder / "train-labels-idx1-ubyte.gz": "(a file; its folder is wanted)",
        tmp_path / "nowhere": "(no such folder)",
        tmp_path / "odd": ", only digits.csv; train-images-idx3-ubyte.gz is looked for.",
    }.items():
        with pytest.raises(DataError) as caught:
            locate(Data("mnist", root=str(root)))
        assert f"mnist: no data in {root}" in str(caught.value)
        assert said in str(caught.value)
