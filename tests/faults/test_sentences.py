"""What the machine, a folder or a network may lack: each ends in a sentence, in every verb, and not in a traceback."""

import contextlib
import copy
import csv
import io
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from helpers import heard, said
from PIL import Image
from rich.console import Console

from dlrun.config.compose import compose
from dlrun.config.settled import settle
from dlrun.errors import RunFailed
from dlrun.runs import run as runs
from dlrun.sinks.console import header
from dlrun.store import checkpoint
from dlrun.store.folders import read_config
from dlrun.training.events import Event

TINY = [
    *("data=synthetic", "data.train_images=48", "data.test_images=16", "model.layers=[flatten, dense 4]", "epochs=1"),
    *("threads=1", "device=cpu", "precision=float32", "tensorboard=off"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sentences") / "r"
    assert runs.run(settle(compose(TINY)), folder).status == "completed"
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a run `r` and two pictures."""
    shutil.copytree(trained, tmp_path / "r")
    (tmp_path / "pictures").mkdir()
    for shade in (0, 255):
        Image.new("L", (28, 28), shade).save(tmp_path / "pictures" / f"{shade}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DLRUN_DATA", raising=False)
    return tmp_path


def changed(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The run with another content of its last checkpoint."""
    content = copy.deepcopy(checkpoint.load(run / "checkpoints" / "last.pt"))
    change(content)
    checkpoint.save(run / "checkpoints" / "last.pt", content)


# --- memory -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def short_of_memory(more: int) -> Iterator[None]:
    """This process gets no more than so many further bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_too_little_memory_to_use_a_run(here: Path) -> None:
    assert said("evaluate", "r")[0] == 0  # imports what it needs
    values = yaml.safe_load((here / "r" / "config.yaml").read_text())
    large = {"_target_": "torch.nn.Linear", "in_features": 1_000_000, "out_features": 1_000_000}
    (here / "r" / "config.yaml").write_text(yaml.safe_dump(values | {"model": large}))
    (here / "r" / "result.json").unlink()
    hash = settle(read_config(here / "r")).hash
    changed(here / "r", lambda content: content.update(hash=hash))
    for words, advice in (
        (["evaluate", "r"], "lower eval_batch_size or limit"),
        (["predict", "r", "pictures"], "the network is too large for the device"),
        (["export", "r"], "the network is too large for this machine"),
        (["resume", "r"], "lower these or the model's width"),
    ):
        with short_of_memory(300_000_000):
            status, text = said(*words)
        assert status == 1, text
        assert "out of memory" in text
        assert advice in text
    shutil.rmtree(here / "r")
    assert said(*TINY, "hydra.run.dir=r")[0] == 0
    words = ["data=synthetic", "data.test_images=300000", "limit=300000", "eval_batch_size=300000"]
    with short_of_memory(500_000_000):
        status, text = said("evaluate", "r", *words)
    assert (status, "out of memory; lower eval_batch_size or limit" in text) == (1, True), text


# --- paths ------------------------------------------------------------------------------------------------

NOBODY = "~nobody_of_that_name/x"


@pytest.mark.parametrize(
    "words",
    [
        ["data=mnist", f"data.root={NOBODY}", "model=fc_64"],
        ["plan", "-m", "data=mnist", f"data.root={NOBODY}", "model=fc_64"],
        ["reproduce", "psc_mnist", "--rows", "1", "--seeds", "1", f"data.root={NOBODY}"],
        ["evaluate", "r", "data=mnist", f"data.root={NOBODY}"],
        ["data", "list", "--root", NOBODY],
        ["data", "verify", "mnist", "--root", NOBODY],
        ["data", "fetch", "mnist", "--root", NOBODY, "--from", "pictures"],
        ["data", "fetch", "mnist", "--root", "pictures", "--from", NOBODY],
        ["data", "show", "mnist", "--root", NOBODY],
        ["data", "show", "image_folder", "--root", NOBODY],
        ["show", NOBODY],
        ["report", NOBODY],
        ["resume", NOBODY],
        ["predict", "r", NOBODY],
        ["export", "r", "--output", f"{NOBODY}/y"],
    ],
    ids=" ".join,
)
def test_the_home_folder_of_nobody(words: list[str], here: Path) -> None:
    status, text = said(*words)
    assert status in (1, 2)
    assert NOBODY in text
    assert list(here.glob("~*")) == []


def test_no_home_folder_at_all(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> NoReturn:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    monkeypatch.delenv("XDG_CACHE_HOME")
    for words in (["data=mnist", "model=fc_64"], ["data", "list"], ["data", "verify", "mnist"]):
        status, text = said(*words)
        assert status == 2
        assert "XDG_CACHE_HOME" in text


@pytest.mark.parametrize("file", ["", "dlrun", "dlrun/parsed"])
def test_a_cache_folder_that_is_a_file(file: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = here / "cache"
    (cache / file).parent.mkdir(parents=True, exist_ok=True)
    (cache / file).write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    for number in range(4):
        for name in ("a", "b"):
            (here / "own" / name).mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 20 * number).save(here / "own" / name / f"{number}.png")
    status, text = said(
        "data=image_folder", "data.root=own", "data.size=8", "model=fc_64", *TINY[4:], "hydra.run.dir=o"
    )
    assert status == 0, text
    assert f"{cache / file} is no folder, so parsed data are not cached" in text
    assert "damaged" not in text


# --- a network without numbers ------------------------------------------------------------------------------


def test_a_network_that_gives_no_numbers(here: Path) -> None:
    changed(here / "r", lambda content: content["state"]["model"]["dense1.bias"].fill_(float("nan")))
    status, text = said("evaluate", "r")
    assert status == 1
    assert "no numbers (NaN) for 16 of 16 pictures" in text
    assert "accuracy 0" not in text
    assert said("evaluate", "r", "--json")[0] == 1
    status, text = said("predict", "r", "pictures")
    assert status == 1
    assert text.count("no numbers (NaN)") == 3, "each picture, and the sentence"
    assert said("predict", "r", "pictures", "--sheet", "s.png")[0] == 1
    status, text = said("export", "r", "--format", "pt2")
    assert status == 1
    assert "not written, since the network gives no numbers (NaN)" in text
    assert not (here / "r" / "model.pt2").exists()


def test_no_numbers_for_programs(here: Path) -> None:
    changed(here / "r", lambda content: content["state"]["model"]["dense1.weight"].fill_(float("inf")))

    def strict(name: str) -> NoReturn:
        raise AssertionError(f"{name} is no JSON")

    status, text, _ = heard("predict", "r", "pictures", "--json")
    entries = json.loads(text, parse_constant=strict)
    assert status == 1
    assert [one["top"] for one in entries] == [[{"class": None, "probability": None}] * 3] * 2
    status, text, _ = heard("predict", "r", "pictures", "--csv")
    assert status == 1
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["class_1"] + row["probability_1"] for row in rows] == ["", ""]


# --- what a terminal would obey -----------------------------------------------------------------------------

EVIL = "x\x1b[31m\x1b]0;owned\x07"


def test_escapes_in_folders_and_checkpoints_are_spelt_out(here: Path) -> None:
    (here / "r").rename(here / EVIL)
    run = here / EVIL

    def evil_numerics(content: dict[str, Any]) -> None:
        content["numerics"]["torch"] = EVIL

    changed(run, evil_numerics)
    for words in (
        ["resume", EVIL, "epochs=2"],
        ["show", EVIL],
        ["report", "."],
        ["evaluate", EVIL],
        ["predict", EVIL, "pictures", "--sheet", f"{EVIL}.png"],
        ["export", EVIL, "--format", "pt2"],
        [*TINY, f"hydra.run.dir='{EVIL}2'"],
    ):
        status, text = said(*words)
        assert status == 0, text
        assert "\x1b" not in text
        assert "\x07" not in text
    assert "\\x1b" in text
    (run / "checkpoints" / "last.pt").write_bytes(b"x")
    status, text = said("resume", EVIL, "epochs=3")
    assert "WARNING" in text
    assert "\x1b" not in text
    assert "\x1b" not in (run / "run.log").read_text()


def test_escapes_in_the_header_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    header(console, {"folder": EVIL})
    assert "\x1b]0;" not in console.file.getvalue()  # type: ignore[attr-defined]
    assert "x\\x1b[31m" in console.file.getvalue()  # type: ignore[attr-defined]


# --- folders and streams that go ----------------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["r", "r/checkpoints"])
@pytest.mark.parametrize("at", ["StepsTaken", "EpochEnded"])
def test_a_folder_that_is_deleted_in_mid_run(gone: str, at: str, tmp_path: Path) -> None:
    def delete(event: Event) -> None:
        if type(event).__name__ == at:
            shutil.rmtree(tmp_path / gone, ignore_errors=True)

    with pytest.raises(RunFailed, match=f"{gone}: the folder is gone") as error:
        runs.run(settle(compose([*TINY, "epochs=2"])), tmp_path / "r", watch=lambda _: contextlib.nullcontext([delete]))
    assert "is whole" not in str(error.value)
    assert ("details:" in str(error.value)) == (gone != "r")


def closed(streams: str, folder: Path, *words: str) -> int:
    """The exit status of `dlrun WORDS` where some of the standard streams (`0`, `1`, `2`) are closed."""
    redirected = " ".join(f"{number}>&-" if number != "0" else "0<&-" for number in streams)
    kept = folder / "stderr"
    command = f'exec "$@" {redirected}'
    with kept.open("wb") as stderr:
        done = subprocess.run(
            ["sh", "-c", command, "sh", sys.executable, "-m", "dlrun", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            timeout=300,
            check=False,
        )
    assert b"Traceback" not in kept.read_bytes()
    return done.returncode


def test_closed_streams(here: Path) -> None:
    assert closed("012", here, *TINY, "hydra.run.dir=all") == 0
    assert json.loads((here / "all" / "result.json").read_text())["status"] == "completed"
    for streams in ("1", "2"):
        assert closed(streams, here, "report", ".") == 0
    checkpoint.load(here / "all" / "checkpoints" / "last.pt")


@pytest.mark.parametrize(
    "streams",
    [
        *(pytest.param(streams, marks=pytest.mark.slow) for streams in ("0", "012")),
        *(pytest.param(streams, marks=pytest.mark.long) for streams in ("1", "2", "01", "02", "12")),
    ],
)
def test_closed_streams_in_every_verb(streams: str, here: Path) -> None:
    for words in (
        [*TINY, f"hydra.run.dir=s{streams}"],
        ["-m", *TINY, "seed=1,2"],
        ["report", "."],
        ["show", "r"],
        ["evaluate", "r"],
        ["predict", "r", "pictures"],
        ["export", "r", "--format", "pt2"],
        ["resume", "r", f"epochs={2 + int(streams)}"],
        ["data", "list"],
        ["--help"],
    ):
        assert closed(streams, here, *words) == 0, words
