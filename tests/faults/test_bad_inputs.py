"""What nobody should hand to a verb, handed to every verb: a sentence and the right exit status, nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dlrun.cli import main
from dlrun.verbs import VERBS


def missing(place: Path) -> None:
    """Nothing there."""


def empty_file(place: Path) -> None:
    place.write_bytes(b"")


def empty_folder(place: Path) -> None:
    place.mkdir()


def noise(place: Path) -> None:
    place.write_bytes(bytes(range(256)) * 40)


def text_of_another_encoding(place: Path) -> None:
    place.write_bytes("größe: 3\n".encode("utf-16"))


def huge(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(3 << 30)


def dangling_link(place: Path) -> None:
    place.symlink_to("nowhere")


def link_to_itself(place: Path) -> None:
    place.symlink_to(place.name)


def endless_device(place: Path) -> None:
    place.symlink_to("/dev/zero")


def pipe(place: Path) -> None:
    os.mkfifo(place)


def folder_of_folders(place: Path) -> None:
    for name in ("config.yaml", "overrides.yaml", "result.json", "history.csv", "checkpoints/last.pt", "table"):
        (place / name).mkdir(parents=True)


MAKERS = [
    missing,
    empty_file,
    empty_folder,
    noise,
    text_of_another_encoding,
    huge,
    dangling_link,
    link_to_itself,
    endless_device,
    pipe,
    folder_of_folders,
]
NAMES = ["bad", "bäd ☃", "bad\x1b[31m", "b" * 300]
TINY = ["model=fc_64", "epochs=1", "limit=16", "threads=1", "device=cpu", "tensorboard=off"]
PLACES: dict[str, list[list[str]]] = {
    "reproduce": [["{}"], ["{}", "--dry-run"]],
    "report": [["{}"], ["--json", "{}"], ["--html", "{}/x/y.html", "run"]],
    "resume": [["{}"], ["{}", "epochs=2"]],
    "show": [["{}"]],
    "evaluate": [["{}"]],
    "predict": [["{}", "run/picture.png"], ["run", "{}"]],
    "list": [["--below", "{}"]],
    "watch": [["{}"], ["{}", "--json"]],
    "clean": [["{}"]],
    "compare": [["run", "{}"], ["{}", "run", "--pictures"]],
    "export": [["{}"], ["run", "--output", "{}/x/y.onnx"]],
    "data": [["verify", "--root", "{}", "mnist"], ["list", "--root", "{}"], ["show", "--root", "{}", "mnist"]],
    "plan": [["{}"]],
    "slurm": [["status", "{}"], ["collect", "{}"]],
    "array": [["prepare", "{}", "--tasks", "1"], ["run", "{}", "--task", "0"]],
    "records": [
        ["show", "{}"],
        ["merge", "{}", "-o", "outputs/merged.jsonl"],
        ["pack", "{}", "-o", "outputs/packed.jsonl"],
        ["pack", "run", "-o", "{}/x/y.jsonl"],
    ],
    "table": [["new", "new", "--from", "{}"], ["check", "{}"]],
    "doctor": [],
    "completion": [["{}"]],
    "train": [
        ["data=mnist", "data.root={}", *TINY],
        ["data=cifar10", "data.root={}", *TINY],
        ["data=asl", "data.root={}", *TINY],
        ["data=image_folder", "data.root={}", *TINY],
    ],
}
"""For every verb the words in which `{}` is the bad thing's path; `run` is a good run."""


def test_every_verb_is_tried() -> None:
    assert {*VERBS, "train"} == set(PLACES)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, undisturbed: SimpleNamespace) -> Path:
    """A folder with a good run in it."""
    from PIL import Image

    stage = tmp_path_factory.mktemp("stage")
    shutil.copytree(undisturbed.folder, stage / "run")
    Image.new("L", (28, 28), 128).save(stage / "run" / "picture.png")
    return stage


@pytest.fixture
def said(
    stage: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    complaints: Callable[..., list[str]],
) -> Callable[..., tuple[int, list[str]]]:
    """Runs the command here and gives its exit status and its complaints, of two lines at most."""
    monkeypatch.chdir(stage)
    monkeypatch.delenv("DLRUN_DATA", raising=False)

    def run(words: list[str]) -> tuple[int, list[str]]:
        capsys.readouterr()
        try:
            status = main(words)
        except SystemExit as error:  # argparse
            status = int(error.code or 0)
        stdout, stderr = capsys.readouterr()
        assert "\x1b" not in stdout + stderr
        lines = complaints(stderr)
        usage = bool(lines) and lines[0].startswith("usage:")
        assert status in (0, 1, 2), words
        assert len(lines) <= 2 or usage, stderr
        assert status == 0 or lines or "damaged" in stdout, words
        return status, lines

    return run


def variants(few: bool) -> list[tuple[Callable[[Path], None], str]]:
    plain = [(make, "bad") for make in MAKERS]
    return plain if few else plain + [(make, name) for name in NAMES[1:] for make in (missing, noise, empty_folder)]


@pytest.mark.parametrize("verb", PLACES)
def test_bad_things_in_place_of_good_ones(verb: str, said: Any, stage: Path, counts: Any, few_or: Any) -> None:
    harmless = {("data", "list"), ("report", "--html")}
    for make, name in variants(few=few_or(1, 0) == 1):
        for words in PLACES[verb]:
            place = stage / name
            clean(place)
            try:
                make(place)
            except OSError:
                continue  # no such name on this file system
            words = [word.replace("{}", name) for word in words]
            status, _ = said(words if verb == "train" else [verb, *words])
            nothing_there = verb in ("list", "watch", "clean") and place.is_dir()
            fine = (verb, words[0]) in harmless or verb == "slurm" or nothing_there
            assert status or fine, (verb, words, make.__name__)
            counts.done["bad input"] += 1
            clean(place)
            leftovers = {path.name for path in stage.iterdir()} - {"run", "outputs", "report.html"}
            assert not leftovers, (verb, words)


def clean(place: Path) -> None:
    if len(place.name) > 255:
        return
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


PARTS = ["config.yaml", "overrides.yaml", "result.json", "history.csv", "checkpoints/last.pt", "checkpoints"]


@pytest.mark.parametrize("verb", ["resume", "show", "report", "evaluate"])
def test_runs_with_a_bad_part(verb: str, said: Any, stage: Path, counts: Any, few_or: Any) -> None:
    shutil.rmtree(stage / "bad", ignore_errors=True)
    for part in PARTS:
        for make in MAKERS[: few_or(4, len(MAKERS))]:
            place = stage / "bad" / part
            shutil.copytree(stage / "run", stage / "bad")
            (shutil.rmtree if place.is_dir() else Path.unlink)(place)
            make(place)
            said([verb, "bad"])
            counts.done["bad input"] += 1
            shutil.rmtree(stage / "bad")


OVERRIDES = [
    ["epochs="],
    ["=3"],
    ["epochs==3"],
    ["epochs=1e999"],
    ["epochs=" + "9" * 5000],
    ["epochs=${seed}${"],
    ["epochs=${oc.env:NOWHERE}"],
    ["seed=" + "[" * 2000],
    ["a" * 100_000 + "=1"],
    ["name=\x1b[31m\n"],
    ["epochs=\udce9"],
    ["model.layers=" + "[" * 300 + "]" * 300],
    ["model.layers=[dense 99999999999999999999]"],
    ["model.layers=[conv 8 999999999x3]"],
    ["data.shape=[1,0,28]", "data=synthetic"],
    ["data=../../etc/passwd"],
    ["model=/etc/passwd"],
    ["optimizer.lr=nan"],
    ["optimizer.lr=-inf"],
    ["+experiment=none/at/all"],
    ["~model"],
    ["~data.name"],
    ["model@foo=fc_64"],
    ["hydra.run.dir="],
    ["hydra.run.dir=run/picture.png"],
    ["hydra.run.dir=/dev/null/x"],
    ["hydra/launcher=nope"],
    ["data._target_=os.system"],
    ["model._target_=nothing.at.all"],
    ["model._target_=dlrun"],
    ["tags=3"],
    ["data={a:1}"],
    ["--nope"],
    ["-m", "epochs=range(1,1000000000)"],
    [""],
    [" "],
    ["epochs"],
]


@pytest.mark.parametrize("words", OVERRIDES, ids=lambda words: ascii(" ".join(words))[:40])
def test_bad_overrides(words: list[str], said: Any, counts: Any) -> None:
    status, _ = said(["data=synthetic", *TINY, *words])
    assert status in (1, 2)
    counts.done["bad input"] += 1


USING = ["resume", "evaluate", "predict", "compare", "export", "show", "report", "reproduce", "plan", "data"]
WORDS = ["", "=", "epochs=", "device=nope", "threads=0", "trust=3", "a=" + "[" * 1000, "--nope", "\udce9=1"]

HARMLESS = {("report", ""), ("predict", ""), ("resume", "device=nope")}
"""The working directory by another name; a complete run, which needs no device."""


@pytest.mark.parametrize("verb", USING)
@pytest.mark.parametrize("word", WORDS, ids=lambda word: ascii(word)[:20])
def test_bad_words_behind_a_good_run(verb: str, word: str, said: Any, counts: Any) -> None:
    status, _ = said([verb, "run", word])
    assert status or (verb, word) in HARMLESS
    counts.done["bad input"] += 1
