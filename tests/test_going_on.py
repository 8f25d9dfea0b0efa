"""A run that goes on: what is said of it meanwhile, and after kill -9, is its own; nothing finished is hidden."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlrun import cli
from dlrun.config.compose import compose
from dlrun.config.settled import Settled, settle
from dlrun.errors import RunFailed
from dlrun.runs.run import run
from dlrun.store.folders import hold, is_held, read_config, write_config
from dlrun.store.result import Result
from dlrun.training.events import EpochEnded, Event, Sink

DATA = ["data=synthetic", "data.shape=[1,8,8]", "data.classes=3", "data.train_images=96", "data.test_images=60"]
WORDS = [*DATA, "model.layers=[flatten, dense 4]", "precision=float32", "threads=1", "device=cpu", "tensorboard=off"]


def config_of(*words: str) -> Settled:
    return settle(compose([*WORDS, *words]))


def at_epoch(number: int, act: Callable[[], None]) -> Any:
    """What `run` takes as `watch`: does something when an epoch has ended and everything of it is on the disk."""

    @contextlib.contextmanager
    def watch(_: Any) -> Iterator[list[Sink]]:
        def sink(event: Event) -> None:
            if isinstance(event, EpochEnded) and event.epoch == number:
                act()

        yield [sink]

    return watch


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    monkeypatch.chdir(tmp_path)

    def run_words(*words: str, status: int = 0) -> str:
        assert cli.main(list(words)) == status
        return "".join(capsys.readouterr())

    return run_words


def records(said: Callable[..., str], *words: str) -> list[dict[str, Any]]:
    """Of the leaderboard; notes on standard error come behind it."""
    found: list[dict[str, Any]] = json.JSONDecoder().raw_decode(said("report", *words, "--json"))[0]
    return found


def test_an_extension_has_no_result_before_its_end(tmp_path: Path, said: Callable[..., str]) -> None:
    short, long = config_of("epochs=2"), config_of("epochs=6")
    finished = run(long, tmp_path / "whole")
    run(short, tmp_path / "a")
    seen = []

    def look() -> None:
        seen.append((said("show", "a"), records(said, ".")))
        shutil.copytree(tmp_path / "a", tmp_path / "killed", ignore=shutil.ignore_patterns(".lock"))

    extended = {"hash": short.hash, "epochs": 2}
    run(long, tmp_path / "a", watch=at_epoch(4, look), extended=extended)
    ((text, board),) = seen
    assert "running, 4 of 6 epochs" in text
    assert [(one["n"], one["test_accuracy"]) for one in board] == [(1, finished.test["accuracy"])]
    assert Result.read(tmp_path / "a").origin == extended

    shutil.rmtree(tmp_path / "a")
    assert "interrupted, 4 of 6 epochs" in said("show", "killed")
    assert [one["test_accuracy"] for one in records(said, ".")] == [finished.test["accuracy"]]
    (alone,) = records(said, "killed")
    assert (alone["n"], alone["test_accuracy"], alone["status"]) == (0, None, "1 interrupted")
    assert "killed, epoch 4 of 6, not finished" in said("evaluate", "killed")
    assert "epoch 4 of 6, not finished" in said("export", "killed", "--format", "pt2")
    said("resume", "killed")
    assert Result.read(tmp_path / "killed").test == finished.test


@pytest.mark.parametrize("before", ["failed", "interrupted"])
def test_a_run_that_was_taken_up_again_is_not_what_it_was(
    before: str, tmp_path: Path, said: Callable[..., str]
) -> None:
    config, error = config_of("epochs=4"), KeyboardInterrupt() if before == "interrupted" else ValueError("broken")

    def end() -> None:
        raise error

    with pytest.raises((RunFailed, KeyboardInterrupt)):
        run(config, tmp_path / "a", watch=at_epoch(1, end))
    assert f"{before}, 1 of 4 epochs" in said("show", "a")

    def look() -> None:
        assert "running, 3 of 4 epochs" in said("show", "a")
        shutil.copytree(tmp_path / "a", tmp_path / "killed", ignore=shutil.ignore_patterns(".lock"))

    run(config, tmp_path / "a", watch=at_epoch(3, look))
    text = said("show", "killed")
    assert "interrupted, 3 of 4 epochs" in text
    assert "broken" not in text


def test_a_config_changed_by_hand_shows_no_number(tmp_path: Path, said: Callable[..., str]) -> None:
    run(config_of("epochs=1"), tmp_path / "a")
    run(config_of("epochs=1", "seed=1"), tmp_path / "b")
    accuracy = f"{Result.read(tmp_path / 'a').test['accuracy']:.4f}"
    path = tmp_path / "a" / "config.yaml"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:-1]).replace("lr: 0.01", "lr: 0.5"))
    assert read_config(tmp_path / "a").optimizer.lr == 0.5
    text = said("report", ".")
    assert "left out: a/config.yaml: not the config of its result.json" in text
    assert "0.5 " not in text.partition("left out")[0]
    assert accuracy not in said("show", "a", status=1)
    for verb in ("evaluate", "export"):
        assert "a/config.yaml: not the config of its result.json" in said(verb, "a", status=2)
    (tmp_path / "a" / "result.json").unlink()
    assert "a/checkpoints/last.pt: of another run" in said("evaluate", "a", status=2)


def test_a_lock_is_asked_without_taking_it(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with hold(tmp_path):
        assert is_held(tmp_path)
        (tmp_path / ".lock").chmod(0o444)
        tmp_path.chmod(0o555)
        assert is_held(tmp_path)
        tmp_path.chmod(0o755)
    assert not is_held(tmp_path)


def test_whoever_is_killed_between_two_files_leaves_an_unfinished_run(tmp_path: Path, said: Callable[..., str]) -> None:
    """The result says the new hash already, the config is the old one; and, as 0.1.0 wrote them, the reverse."""
    short, long = config_of("epochs=2"), config_of("epochs=6")
    result = run(short, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    origin = {"hash": short.hash, "epochs": 2}
    replace(result, status="interrupted", hash=long.hash, origin=origin, history=None).write(tmp_path / "a")
    assert "interrupted, 2 of 2 epochs" in said("show", "a")
    write_config(tmp_path / "b", long.config, WORDS)
    assert "interrupted, 2 of 6 epochs" in said("show", "b")


@pytest.mark.parametrize("gone", ["", "checkpoints", "tensorboard"])
def test_a_folder_deleted_in_mid_run_is_said(gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = config_of("epochs=3", *(["tensorboard=scalars"] if gone == "tensorboard" else []))
    watch = at_epoch(1, lambda: shutil.rmtree(Path("a") / gone))
    if gone == "tensorboard":  # which a run can do without
        assert run(config, Path("a"), watch=watch).status == "completed"
        return
    with pytest.raises(RunFailed) as caught:
        run(config, Path("a"), watch=watch)
    what = "the folder is gone, deleted or moved during the run, and what was saved there with it"
    told = f"{Path('a') / gone}: {what}"
    assert str(caught.value) == told + (" (details: a/run.log)" if gone else "")
    if gone:
        error = Result.read(Path("a")).error
        assert error is not None
        assert error["message"] == told
