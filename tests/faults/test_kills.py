"""kill -9 at random moments and inside writes: what goes on afterwards ends with the same bits."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import wait_for

from dlrun.store import checkpoint
from dlrun.store.result import Result

pytestmark = pytest.mark.alone

DYING = """
import os, signal, sys
from dlrun.cli import main

at, calls = int(sys.argv.pop(1)), 0

def dying(real, half=False):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == at:
            if half:
                os.ftruncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call

os.replace = dying(os.replace)
os.fsync = dying(dying(os.fsync, half=True))
status = main()
print("calls", calls)
raise SystemExit(status)
"""
"""`dlrun` that kills itself at the N-th call of fsync or replace (once with half a file); says how many there were."""


def drafts(run_dir: Path) -> list[Path]:
    return list(run_dir.rglob("*.tmp"))


def test_killed_at_random_moments(
    command: Any,
    words: SimpleNamespace,
    undisturbed: SimpleNamespace,
    left_by: Callable[[Path], dict[str, Any]],
    counts: Any,
    few_or: Callable[[int, int], int],
    tmp_path: Path,
) -> None:
    """Several kills in one run's life, then the comparison; early ones hit the start, late ones the training."""
    chance, kills = random.Random(5), 0
    for number in range(few_or(1, 8)):
        run = (*words.everything, "epochs=3", f"hydra.run.dir=r{number}")
        for _ in range(few_or(1, 4)):
            process = command.start(*run)
            time.sleep(undisturbed.seconds * chance.uniform(0.4, 1.1))
            kills += process.poll() is None
            process.kill()
            process.wait()
        assert command.run(*run) == 0, command.stderr
        assert left_by(tmp_path / f"r{number}") == undisturbed.left
        assert not drafts(tmp_path / f"r{number}")
    counts.done["kill"] += kills


@pytest.mark.slow
def test_killed_as_soon_as_there_is_something_to_lose(
    command: Any,
    words: SimpleNamespace,
    undisturbed: SimpleNamespace,
    left_by: Callable[[Path], dict[str, Any]],
    counts: Any,
    few_or: Callable[[int, int], int],
    tmp_path: Path,
) -> None:
    """The start takes longer than such a small training: these kills wait for a checkpoint first."""
    chance = random.Random(6)
    run = (*words.everything, "epochs=3", "hydra.run.dir=r")
    for number in range(few_or(1, 12)):
        process = command.start(*run)
        last = tmp_path / "r" / "checkpoints" / "last.pt"
        wait_for(lambda last=last, process=process: last.exists() or process.poll() is not None)
        time.sleep(chance.uniform(0, 0.4))
        counts.done["kill"] += process.poll() is None
        process.kill()
        process.wait()
        if number % 3 == 2 or number == few_or(1, 12) - 1:
            assert command.run(*run) == 0, command.stderr
            assert left_by(tmp_path / "r") == undisturbed.left
            (tmp_path / "r").rename(tmp_path / f"done{number}")


@pytest.mark.slow
def test_killed_inside_a_write(
    command: Any,
    words: SimpleNamespace,
    undisturbed: SimpleNamespace,
    left_by: Callable[[Path], dict[str, Any]],
    counts: Any,
    few_or: Callable[[int, int], int],
    tmp_path: Path,
) -> None:
    run = (*words.everything, "epochs=3")
    assert command.run("0", *run, "hydra.run.dir=counted", code=DYING) == 0, command.stderr
    calls = int(command.stdout.split()[-1])
    assert left_by(tmp_path / "counted") == undisturbed.left
    moments = random.Random(7).sample(range(1, calls), few_or(2, 16))
    for number, moment in enumerate(moments):
        folder = f"hydra.run.dir=r{number // 2}"
        killed = command.run(str(moment), *run, folder, code=DYING)
        assert killed in (-signal.SIGKILL, 0), command.stderr  # 0: an earlier kill left fewer calls
        counts.done["kill in a write"] += killed != 0
        if number % 2:
            assert command.run(*run, folder) == 0, command.stderr
            assert left_by(tmp_path / f"r{number // 2}") == undisturbed.left
            assert not drafts(tmp_path / f"r{number // 2}")


@pytest.mark.slow
def test_a_finished_result_outlives_kills_of_its_extension(
    command: Any,
    words: SimpleNamespace,
    counts: Any,
    left_by: Callable[[Path], dict[str, Any]],
    few_or: Callable[[int, int], int],
    tmp_path: Path,
) -> None:
    """At every moment the folder holds the short run's numbers, said to be of a run that goes on, or the long run's."""
    short = [*words.everything, "scheduler=constant", "epochs=1", "hydra.run.dir=r"]
    assert command.run(*short) == 0, command.stderr
    before = Result.read(tmp_path / "r")
    assert command.run(*words.everything, "scheduler=constant", "epochs=2", "hydra.run.dir=whole") == 0
    whole = left_by(tmp_path / "whole")
    for moment in random.Random(8).sample(range(1, 40), few_or(1, 8)):
        killed = command.run(str(moment), "resume", "r", "epochs=2", code=DYING)
        assert killed in (-signal.SIGKILL, 0), command.stderr
        counts.done["kill in a write"] += killed != 0
        result = Result.read(tmp_path / "r")
        if result.status == "completed":
            assert (result.hash, result.test) in [(before.hash, before.test), (whole["hash"], whole["metrics"][2])]
        else:
            assert (result.status, result.hash, result.test) == ("interrupted", whole["hash"], before.test)
            assert result.origin is not None
            assert result.origin["hash"] == before.hash
    assert command.run("resume", "r", "epochs=2") == 0, command.stderr
    assert left_by(tmp_path / "r") == whole


def test_a_second_resume_is_refused_while_the_first_lives(
    command: Any, words: SimpleNamespace, counts: Any, started: list, tmp_path: Path
) -> None:
    first = command.start(*words.small, "tensorboard=off", "epochs=100000", "hydra.run.dir=r")
    started.append(first)
    wait_for((tmp_path / "r" / "checkpoints" / "last.pt").exists)
    assert command.run("resume", "r") == 2
    assert "another process is working on this run" in command.stderr
    counts.done["second resume"] += 1
    first.kill()
    first.wait()
    again = command.start("resume", "r")
    started.append(again)
    wait_for(lambda: "going on" in (tmp_path / "r" / "run.log").read_text())
    assert again.poll() is None


@pytest.mark.slow
def test_runs_started_in_the_same_second(
    command: Any, words: SimpleNamespace, counts: Any, few_or: Callable[[int, int], int], tmp_path: Path
) -> None:
    number = few_or(3, 12)
    run = (*words.small, "tensorboard=off", "epochs=1")
    running: list[subprocess.Popen[bytes]] = [command.start(*run) for _ in range(number)]
    assert [process.wait(300) for process in running] == [0] * number
    results = list(tmp_path.glob("outputs/*/*/result.json"))
    assert len(results) == number
    assert len({json.dumps(Result.read(path.parent).test) for path in results}) == 1
    counts.done["same second"] += number


@pytest.mark.slow
def test_no_point_of_tensorboard_is_lost_or_doubled_by_kill_9(tmp_path: Path) -> None:
    """A checkpoint within an epoch counts on the points before it; whoever goes on logs only what comes after."""
    words = ["data=synthetic", "data.shape=[1,8,8]", "data.train_images=6400", "model.layers=[flatten, dense 4]"]
    own = ["threads=1", "device=cpu", "epochs=3", "log_every=1", "checkpoint.every_steps=7", "tensorboard=scalars"]
    command = [sys.executable, "-m", "dlrun"]
    log = tmp_path / "log"
    for steps in (20, 130, 250, 333):
        again = ["resume", "r"] if (tmp_path / "r").exists() else [*words, *own, "hydra.run.dir=r"]
        with log.open("wb") as output, subprocess.Popen([*command, *again], cwd=tmp_path, stdout=output) as process:
            wait_for(lambda steps=steps: process.poll() is not None or steps_saved(tmp_path / "r") >= steps)
            process.kill()
    subprocess.run([*command, "resume", "r"], cwd=tmp_path, check=True, capture_output=True)
    assert Result.read(tmp_path / "r").status == "completed"
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "r" / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    assert [point.step for point in board.Scalars("loss/step")] == list(range(1, 601))
    for split in ("train", "test"):
        assert [point.step for point in board.Scalars(f"loss/{split}")] == [1, 2, 3]


def steps_saved(run_dir: Path) -> int:
    """Steps in the last good checkpoint, 0 while there is none."""
    try:
        saved = checkpoint.load_last(run_dir / "checkpoints")
    except (checkpoint.CheckpointError, OSError):
        return 0
    return int(saved["state"]["counters"]["step"]) if saved else 0
