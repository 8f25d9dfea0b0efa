"""Damage at random places of every file that is read: refused in a sentence, rebuilt, or without effect."""

import gzip
import hashlib
import io
import logging
import os
import pickle
import random
import shutil
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dlrun.config.schema import parse
from dlrun.data import asl, catalogue
from dlrun.data.catalogue import CatalogueEntry, File
from dlrun.data.load import load
from dlrun.errors import UsageError
from dlrun.store import checkpoint
from dlrun.store.folders import read_config, read_overrides
from dlrun.store.history import read_history
from dlrun.store.result import Result
from dlrun.tables import table

CHANCE = np.random.RandomState(3)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, undisturbed: SimpleNamespace) -> Path:
    """A copy of a finished run."""
    return shutil.copytree(undisturbed.folder, tmp_path_factory.mktemp("corrupted") / "r")


def tried(read: Callable[[], Any]) -> tuple[Any, str | None]:
    """What was read, or the one or two lines of the refusal."""
    try:
        return read(), None
    except UsageError as error:
        refusal = str(error)
    assert 1 <= len(refusal.splitlines()) <= 2
    return None, refusal


def attack(
    target: str,
    path: Path,
    read: Callable[[], Any],
    number: int,
    counts: Any,
    hurt: Callable[..., tuple[bytes, str]],
    caplog: pytest.LogCaptureFixture,
    equal: Callable[[Any, Any], bool] = lambda one, other: one == other,
) -> None:
    """Damage a file again and again; each time `read` must refuse, or give what it gives of the whole file."""
    whole, good = path.read_bytes(), read()
    chance = random.Random(target)
    for _ in range(number):
        data, what = hurt(whole, chance)
        path.write_bytes(data)
        caplog.clear()
        found, refusal = tried(read)
        warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert refusal is not None or equal(found, good), f"{target}: accepted with {what}"
        counts.corrupted(target, "refused" if refusal is not None else "rebuilt" if warned else "harmless")
    path.write_bytes(whole)


# --- what a run leaves ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("result.json", Result.read),
        ("history.csv", read_history),
        ("config.yaml", read_config),
        ("overrides.yaml", read_overrides),
    ],
)
def test_files_of_a_run(
    name: str, read: Callable[[Path], Any], run_dir: Path, counts: Any, hurt: Any, few_or: Any, caplog: Any
) -> None:
    attack(name, run_dir / name, lambda: read(run_dir), few_or(20, 200), counts, hurt, caplog)


def same(one: Any, other: Any) -> bool:
    """Equal, tensors bit by bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def test_the_last_checkpoint(
    run_dir: Path, tmp_path: Path, counts: Any, hurt: Any, few_or: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The one before is used, and that is said."""
    content = checkpoint.load(run_dir / "checkpoints" / "last.pt")
    for _ in range(2):
        checkpoint.save_last(tmp_path, content)
    attack(
        "last.pt",
        tmp_path / "last.pt",
        lambda: checkpoint.load_last(tmp_path),
        few_or(10, 150),
        counts,
        hurt,
        caplog,
        same,
    )
    assert counts.outcomes["last.pt"]["refused"] == 0


def test_the_best_checkpoint(
    run_dir: Path, counts: Any, hurt: Any, few_or: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = run_dir / "checkpoints" / "best.pt"
    attack("best.pt", path, lambda: checkpoint.load(path), few_or(10, 150), counts, hurt, caplog, same)


def test_a_checkpoint_made_up_with_the_right_checksum(run_dir: Path, tmp_path: Path, hurt: Any, few_or: Any) -> None:
    """A stranger can compute checksums; what loads is plain all the same, and the rest is refused in words."""
    data = (run_dir / "checkpoints" / "best.pt").read_bytes()
    body = data[: -checkpoint.TRAILER - 2]
    chance = random.Random(11)
    for _ in range(few_or(10, 200)):
        changed, _ = hurt(body, chance)
        seal = data[-checkpoint.TRAILER - 2 :][:9] + hashlib.sha256(changed).hexdigest().encode()
        (tmp_path / "x.pt").write_bytes(changed + seal)
        tried(lambda: checkpoint.load(tmp_path / "x.pt"))


# --- data -------------------------------------------------------------------------------------------------


def official(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    """Make the catalogue take small files for the official ones."""
    monkeypatch.delenv("DLRUN_DATA", raising=False)
    entry = CatalogueEntry(**{**vars(catalogue.ENTRIES[name]), "mirrors": (), **changes})
    monkeypatch.setitem(catalogue.ENTRIES, name, entry)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def write_idx(folder: Path, packed: bool) -> dict[str, File]:
    folder.mkdir()
    files = {}
    for name in catalogue.MNIST.files:
        size = 40 if name.startswith("train") else 20
        array = CHANCE.randint(0, 256, (size, 28, 28)) if "images" in name else np.arange(size) % 10
        raw = (
            bytes([0, 0, 8, array.ndim])
            + struct.pack(f">{array.ndim}I", *array.shape)
            + array.astype(np.uint8).tobytes()
        )
        stored = gzip.compress(raw, mtime=0)
        files[name] = File(md5(stored), md5(raw))
        (folder / (name if packed else name.removesuffix(".gz"))).write_bytes(stored if packed else raw)
    return files


def cifar_members() -> dict[str, bytes]:
    members = {}
    for name in catalogue.CIFAR10.members:
        pixels = CHANCE.randint(0, 256, (10, 3072)).astype(np.uint8)
        members[name] = pickle.dumps({"data": pixels, "labels": list(range(10))}, 2)
    return members


def write_asl(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    md5s, header = {}, ",".join(["label", *(f"pixel{number}" for number in range(1, 785))])
    for split in ("train", "test"):
        pixels = CHANCE.randint(0, 256, (24, 784))
        labels = [number + (number >= 9) for number in range(24)]
        lines = [",".join(map(str, (label, *row))) for label, row in zip(labels, pixels, strict=True)]
        (folder / f"sign_mnist_{split}.csv").write_text("\n".join([header, *lines]) + "\n")
        md5s[split] = md5(pixels.astype(np.uint8).tobytes() + bytes(range(24)))
    monkeypatch.setattr(asl, "PICTURES_MD5", md5s)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("dlrun.data.places.DEBIAN", {})
    return tmp_path / "cache" / "dlrun" / "parsed"


def loader(name: str, folder: Path, cache: Path, fresh: bool = True) -> Callable[[], str]:
    """Reads the data set and gives a digest of all of it; `fresh` forgets the cache first."""
    data = parse({"data": {"name": name, "root": str(folder)}, "model": {"layers": ["flatten"]}, **REST}).data

    def read() -> str:
        if fresh:
            shutil.rmtree(cache, ignore_errors=True)
        found = load(data)
        arrays = (found.train.images, found.train.labels, found.test.images, found.test.labels)
        digest = hashlib.sha256(b"".join(array.numpy().tobytes() for array in arrays))
        return repr((digest.hexdigest(), [array.shape for array in arrays], found.classes, found.fingerprint))

    return read


REST = {"optimizer": {"name": "sgd"}}


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files(
    packed: bool, tmp_path: Path, cache: Path, counts: Any, hurt: Any, few_or: Any, caplog: Any, monkeypatch: Any
) -> None:
    official(monkeypatch, "mnist", files=write_idx(tmp_path / "data", packed))
    read = loader("mnist", tmp_path / "data", cache)
    for path in sorted((tmp_path / "data").iterdir()):
        attack(f"idx{'.gz' if packed else ''}", path, read, few_or(3, 40), counts, hurt, caplog)


def test_cifar_batches(
    tmp_path: Path, cache: Path, counts: Any, hurt: Any, few_or: Any, caplog: Any, monkeypatch: Any
) -> None:
    members = cifar_members()
    official(monkeypatch, "cifar10", members={name: md5(data) for name, data in members.items()})
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, data in members.items():
        (folder / name).write_bytes(data)
    read = loader("cifar10", tmp_path / "data", cache)
    for name in members:
        attack("CIFAR batch", folder / name, read, few_or(2, 30), counts, hurt, caplog)


def test_cifar_archive(
    tmp_path: Path, cache: Path, counts: Any, hurt: Any, few_or: Any, caplog: Any, monkeypatch: Any
) -> None:
    members = cifar_members()
    official(monkeypatch, "cifar10", members={name: md5(data) for name, data in members.items()})
    (tmp_path / "data").mkdir()
    archive = tmp_path / "data" / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    read = loader("cifar10", tmp_path / "data", cache)
    attack("CIFAR archive", archive, read, few_or(5, 150), counts, hurt, caplog)


def test_asl_tables(
    tmp_path: Path, cache: Path, counts: Any, hurt: Any, few_or: Any, caplog: Any, monkeypatch: Any
) -> None:
    official(monkeypatch, "asl", pictures=(24, 24))
    write_asl(tmp_path / "data", monkeypatch)
    read = loader("asl", tmp_path / "data", cache)
    for path in sorted((tmp_path / "data").iterdir()):
        attack("ASL table", path, read, few_or(5, 100), counts, hurt, caplog)


def test_the_parsed_cache(
    tmp_path: Path, cache: Path, counts: Any, hurt: Any, few_or: Any, caplog: Any, monkeypatch: Any
) -> None:
    """It is built anew from the files, which are whole."""
    official(monkeypatch, "mnist", files=write_idx(tmp_path / "data", packed=True))
    read = loader("mnist", tmp_path / "data", cache, fresh=False)
    read()
    for path in sorted(path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"):
        attack("parsed cache", path, read, few_or(3, 50), counts, hurt, caplog)
    assert counts.outcomes["parsed cache"]["refused"] == 0
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]


def test_tables(tmp_path: Path, counts: Any, hurt: Any, few_or: Any, monkeypatch: Any) -> None:
    """People write tables, so there is no checksum: a wrong one is refused in words, the rest is taken as it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "table").mkdir(parents=True)
    own = tmp_path / "configs" / "table" / "own.yaml"
    whole = table.available()["psc_mnist"].read_bytes()
    chance = random.Random(9)
    for _ in range(few_or(10, 200)):
        data, what = hurt(whole, chance)
        own.write_bytes(data)
        found, refusal = tried(lambda: table.load("own"))
        assert refusal is not None or found.rows, what
        counts.done["table"] += 1


# --- by command -------------------------------------------------------------------------------------------

FILES = ["checkpoints/last.pt", "checkpoints/best.pt", "result.json", "history.csv", "config.yaml", "overrides.yaml"]


@pytest.mark.slow
def test_by_command(
    command: Any,
    words: SimpleNamespace,
    undisturbed: SimpleNamespace,
    left_by: Callable[[Path], dict[str, Any]],
    complaints: Callable[[str], list[str]],
    counts: Any,
    hurt: Any,
    few_or: Any,
    tmp_path: Path,
) -> None:
    """Each command on a finished run with one damaged file, and resume once more where that may mend it."""
    shutil.copytree(undisturbed.folder, tmp_path / "r")
    expected = {}
    commands = [
        ("resume", "r"),
        ("show", "r"),
        ("report", "--json", "r"),
        ("evaluate", "--json", "r"),
        ("evaluate", "--best", "r"),
    ]
    for one in commands:
        assert command.run(*one) == 0, command.stderr
        expected[one] = command.stdout
    chance = random.Random(10)
    for number in range(few_or(2, 40)):
        shutil.rmtree(tmp_path / "r")
        shutil.copytree(undisturbed.folder, tmp_path / "r")
        name, one = chance.choice(FILES), commands[number % len(commands)]
        data, what = hurt((tmp_path / "r" / name).read_bytes(), chance)
        (tmp_path / "r" / name).write_bytes(data)
        status = command.run(*one)
        said = complaints(command.stderr)
        assert status in (0, 1, 2), f"{one} {name} {what}"
        assert len(said) <= 2, command.stderr
        outcome = "refused"
        if status == 0 and one[0] == "resume":
            if name.startswith("checkpoints"):  # The run is complete, so nothing reads them.
                shutil.copytree(undisturbed.folder / "checkpoints", tmp_path / "r" / "checkpoints", dirs_exist_ok=True)
            assert left_by(tmp_path / "r") == undisturbed.left, f"{one} {name} {what}"
            outcome = "rebuilt" if "WARNING" in command.stderr else "harmless"
        elif status == 0:
            assert command.stdout == expected[one] or "damaged" in command.stdout + command.stderr, (
                f"{one} {name} {what}"
            )
            outcome = "harmless" if command.stdout == expected[one] else "refused"
        counts.corrupted(f"{name} (by command)", outcome)
        counts.done["corruption by command"] += 1


@pytest.mark.real_data
@pytest.mark.slow
def test_real_data_by_command(
    command: Any, complaints: Callable[[str], list[str]], counts: Any, hurt: Any, few_or: Any, tmp_path: Path
) -> None:
    """MNIST as it is served, and the cache that dlrun makes of it."""
    shared = Path(os.environ["DLRUN_DATA"])
    source = next((path.parent for path in shared.rglob("train-images-idx3-ubyte*") if "ashion" not in str(path)), None)
    if source is None or "MNIST" not in str(source).upper():
        pytest.skip("no MNIST below DLRUN_DATA")
    run = ("data=mnist", "model=fc_64", "limit=128", "epochs=1", "threads=1", "device=cpu", "tensorboard=off")
    chance = random.Random(12)
    results = []
    for number in range(few_or(1, 6)):
        folder, cache = tmp_path / f"data{number}", tmp_path / f"cache{number}"
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("processed"))
        arguments = (*run, f"data.root={folder}")
        variables = {"XDG_CACHE_HOME": str(cache)}
        assert command.run(*arguments, f"hydra.run.dir=a{number}", variables=variables) == 0, command.stderr
        results.append(Result.read(tmp_path / f"a{number}").test)
        path = chance.choice([path for path in sorted(cache.rglob("*")) if path.suffix in (".npy", ".json")])
        path.write_bytes(hurt(path.read_bytes(), chance)[0])
        assert command.run(*arguments, f"hydra.run.dir=b{number}", variables=variables) == 0, command.stderr
        results.append(Result.read(tmp_path / f"b{number}").test)
        counts.corrupted("parsed cache (by command)", "rebuilt" if "damaged" in command.stderr else "harmless")
        path = chance.choice(sorted(path for path in folder.iterdir() if "ubyte" in path.name))
        path.write_bytes(hurt(path.read_bytes(), chance)[0])
        status = command.run(
            *arguments, f"hydra.run.dir=c{number}", variables={"XDG_CACHE_HOME": str(tmp_path / "none")}
        )
        assert status in (0, 2)
        assert len(complaints(command.stderr)) == (1 if status else 0) or status == 2
        if status == 0:
            results.append(Result.read(tmp_path / f"c{number}").test)
        counts.corrupted("idx.gz (by command)", "refused" if status else "harmless")
        counts.done["corruption by command"] += 2
        shutil.rmtree(folder)
        shutil.rmtree(cache)
    assert all(result == results[0] for result in results)
