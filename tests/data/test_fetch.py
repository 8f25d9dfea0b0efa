import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from dlrun.data import catalogue, debian
from dlrun.data.fetch import fetch
from dlrun.data.places import DEBIAN, Source
from dlrun.errors import DataError


@pytest.fixture
def mirror(official, monkeypatch):
    """A mirror of a small KMNIST on this machine; `requests` are the paths it served."""
    folder = official("kmnist")
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_):
            requests.append(self.path)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/"
    entry = catalogue.CatalogueEntry(**{**vars(catalogue.ENTRIES["kmnist"]), "mirrors": (f"{address}dead/", address)})
    monkeypatch.setitem(catalogue.ENTRIES, "kmnist", entry)
    yield SimpleNamespace(requests=requests, folder=folder, address=address)
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".fetch.lock")


def test_from_the_mirrors_into_the_cache_folder(mirror, folders):
    source, origin = fetch("kmnist")
    assert origin == "from its mirror"
    assert source.folder == folders / "data" / "kmnist"
    assert names(source.folder) == sorted(catalogue.KMNIST.files)
    assert len(mirror.requests) == 8
    assert fetch("kmnist") == (source, "already there")
    assert len(mirror.requests) == 8


def test_to_a_given_root(mirror, tmp_path, folders):
    source, _ = fetch("kmnist", root=tmp_path / "root")
    assert source.folder == tmp_path / "root" / "kmnist"
    assert not (folders / "data").exists()


def test_to_the_variables_folder_unless_it_cannot_be_written(mirror, tmp_path, folders, monkeypatch):
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path / "shared"))
    assert fetch("kmnist")[0].folder == tmp_path / "shared" / "kmnist"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path / "file"))
    assert fetch("kmnist")[0].folder == folders / "data" / "kmnist"


def test_only_what_is_missing_is_downloaded_again(mirror, folders):
    folder = folders / "data" / "kmnist"
    fetch("kmnist")
    mirror.requests.clear()
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    fetch("kmnist")
    assert [path for path in mirror.requests if "dead" not in path] == ["/t10k-labels-idx1-ubyte.gz"]


def test_an_offline_folder_goes_before_the_mirrors(mirror, folders, monkeypatch):
    monkeypatch.setenv("DLRUN_OFFLINE", str(mirror.folder))
    assert fetch("kmnist")[1] == f"from {mirror.folder}"
    assert mirror.requests == []
    assert names(folders / "data" / "kmnist") == sorted(catalogue.KMNIST.files)


def test_a_given_folder_is_the_only_source(mirror, tmp_path, folders):
    with pytest.raises(DataError, match=f"no kmnist in {tmp_path}/empty"):
        fetch("kmnist", offline=tmp_path / "empty")
    assert fetch("kmnist", offline=mirror.folder)[1] == f"from {mirror.folder}"


def test_damaged_offline_files_are_not_taken_over(mirror, folders):
    path = mirror.folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{path}: checksum mismatch"):
        fetch("kmnist", offline=mirror.folder)
    assert names(folders / "data" / "kmnist") == []


@pytest.mark.parametrize("offline", [True, False])
def test_damaged_files_that_are_there_make_room_for_sound_ones(mirror, folders, offline):
    fetch("kmnist")
    path = folders / "data" / "kmnist" / "t10k-labels-idx1-ubyte.gz"
    sound = path.read_bytes()
    path.write_bytes(b"<!DOCTYPE html><p>404")
    origin = fetch("kmnist", offline=mirror.folder if offline else None)[1]
    assert origin == (f"from {mirror.folder}" if offline else "from its mirror")
    assert path.read_bytes() == sound
    assert path.with_name(f"{path.name}.damaged").read_bytes() == b"<!DOCTYPE html><p>404"


def test_damaged_files_elsewhere_are_an_error(mirror, tmp_path, folders):
    fetch("kmnist")
    (folders / "data" / "kmnist").rename(tmp_path / "mine")
    (tmp_path / "mine" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"x")
    with pytest.raises(DataError, match=r"checksum mismatch.*Fetch it again"):
        fetch("kmnist", root=tmp_path / "mine")


def test_where_nothing_helps_a_person_is_told_what_to_do(official, folders):
    official("kmnist")
    with pytest.raises(DataError) as caught:
        fetch("kmnist")
    tried, by_hand = str(caught.value).splitlines()
    assert "http://127.0.0.1:9/train-images-idx3-ubyte.gz: [Errno" in tried
    files = ", ".join(catalogue.KMNIST.files)
    assert by_hand == f"By hand: get {files} from http://127.0.0.1:9/ and put into {folders}/data/kmnist"


def test_asl_without_kaggles_client(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(
        DataError, match=r"sign_mnist_train\.csv, sign_mnist_test\.csv \(or Kaggle's zip file"
    ) as caught:
        fetch("asl")
    assert f'kagglehub (to install it: {sys.executable} -m pip install "kagglehub>=0.3")' in str(caught.value)


def test_asl_with_kaggles_client(tmp_path, folders, asl_text, monkeypatch):
    for split in ("train", "test"):
        (tmp_path / f"sign_mnist_{split}.csv").write_bytes(asl_text())
    (tmp_path / "kagglehub.py").write_text(
        "def dataset_download(handle):\n"
        "    assert handle == 'datamunge/sign-language-mnist'\n"
        f"    return {str(tmp_path)!r}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "kagglehub", raising=False)
    with pytest.raises(DataError, match=r"from Kaggle: .*expected 27455 rows, found 48"):
        fetch("asl")
    monkeypatch.setattr("dlrun.data.asl._check", lambda *_: None)
    assert fetch("asl")[1] == "from Kaggle"
    assert names(folders / "data" / "asl") == ["sign_mnist_test.csv", "sign_mnist_train.csv"]


def test_a_root_that_cannot_be_written(mirror, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="kmnist: can't write to"):
        fetch("kmnist", root=tmp_path / "file")


def test_processes_at_once_fetch_once(mirror, folders):
    entry = catalogue.ENTRIES["kmnist"]
    code = f"""
from dlrun.data import catalogue
from dlrun.data.catalogue import CatalogueEntry, File
catalogue.ENTRIES["kmnist"] = {entry!r}
from dlrun.data.fetch import fetch
print(fetch("kmnist")[1])
"""
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(process.communicate(timeout=100)[0].strip() for process in running)
    assert said == ["already there", "already there", "from its mirror"]
    assert len([path for path in mirror.requests if "dead" not in path]) == 4


needs_dpkg = pytest.mark.skipif(not debian.available(), reason="needs apt-get and dpkg-deb")


@pytest.fixture
def apt(tmp_path, official, monkeypatch):
    """An apt-get that serves a package made of the small official files, as its words are checked."""
    files = official("fashion_mnist")
    root = tmp_path / "package"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        "Package: dataset-fashion-mnist\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: d\n"
    )
    (root / DEBIAN["fashion_mnist"].relative_to("/")).parent.mkdir(parents=True)
    files.rename(root / DEBIAN["fashion_mnist"].relative_to("/"))
    archive = tmp_path / "dataset-fashion-mnist_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", root, archive], check=True, capture_output=True)
    script = tmp_path / "bin" / "apt-get"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        "*Dir::State::Lists=*Dir::Cache=*update) exit 0;;\n"
        f"*Dir::State::Lists=*Dir::Cache=*'download dataset-fashion-mnist') cp {archive} .;;\n"
        "*) exit 7;;\n"
        "esac\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return script


@needs_dpkg
def test_from_debians_package(apt, folders):
    source, origin = fetch("fashion_mnist")
    assert origin == "from Debian's package"
    assert source == Source(
        folders / "data" / "fashion_mnist",
        {name: folders / "data" / "fashion_mnist" / name for name in catalogue.FASHION_MNIST.files},
    )


@needs_dpkg
def test_the_last_words_of_apt_are_passed_on(apt, folders):
    apt.write_text("#!/bin/sh\necho Reading\necho 'E: no network' >&2\nexit 100\n")
    with pytest.raises(DataError, match="from Debian's package: apt-get: E: no network"):
        fetch("fashion_mnist")
    apt.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(DataError, match="apt-get: exit status 3"):
        fetch("fashion_mnist")
