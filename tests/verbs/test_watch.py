"""`dlrun watch`: what runs below a folder, from its files and locks alone."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import heard, on_terminal, said, write_history

from dlrun.store.folders import hold
from dlrun.store.watched import Watched

ROWS = [[1, 0.5, 0.8, 0.4, 0.85, 0.001, 30.0, 2000.0], [2, 0.4, 0.9, 0.3, 0.8765, 0.001, 30.0, 2000.0]]
"""Epochs as training writes them: losses and accuracies, rate, seconds, pictures a second."""


def test_what_runs_and_what_has_ended(runs: Callable[..., Path]) -> None:
    runs("done")
    runs("broken", status="failed")
    runs("stopped", status=None)
    going = runs("day/12-30-00", "data=mnist", "model=fc_64", "epochs=5", status=None)
    held_out = runs("named", "name=mine", "seed=3", "epochs=9", "validation=100", status=None)
    write_history(going, ROWS, "test")
    write_history(held_out, ROWS[:1], "val")
    with hold(going), hold(held_out):
        status, out, err = heard("watch")
        records = json.loads(heard("watch", "--json")[1])
    assert (status, err) == (0, "")
    head, first, second, _, summary = out.splitlines()
    assert head.split() == ["running", "epoch", "train", "accuracy", "left"]
    assert first.split()[:-4] == ["12-30-00", "fc_64", "mnist", "2/5", "0.9000", "0.8765"]
    assert second.split()[:4] == ["mine", "1/9", "0.8000", "0.8500"]
    assert summary == "5 runs: 2 running, 1 completed, 1 failed, 1 interrupted"
    assert [record["seed"] for record in records] == [0, 3]
    assert [record["val_accuracy"] for record in records] == [None, 0.85]
    assert 80 < records[0]["seconds_left"] <= 90
    assert said("watch", "outputs/done") == (0, "1 run: 1 completed\n")


def test_a_run_that_ends_and_is_extended_is_seen(runs: Callable[..., Path]) -> None:
    folder = runs("one")
    watched = Watched([Path("outputs")])
    assert [run.status for run in watched.look()] == ["completed"]
    os.utime(folder / "config.yaml", (time.time(),) * 2)
    with hold(folder):
        (folder / "result.json").unlink()
        assert [run.status for run in watched.look()] == ["running"]
    assert [run.status for run in watched.look()] == ["interrupted"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")
def test_on_a_terminal_until_ctrl_c(runs: Callable[..., Path], tmp_path: Path) -> None:
    going = runs("mnist-a-long-name-of-a-run-that-would-not-fit-into-a-line-of-eighty", "epochs=5", status=None)
    write_history(going, ROWS, "test")
    with hold(going):
        status, seen = on_terminal(["watch"], tmp_path, 80, interrupt_at="1 running")
    assert status == 0, seen
    drawn = [line for line in seen.splitlines() if "mnist-a-long" in line]
    assert drawn
    assert max(len(line) for line in drawn) <= 80


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "watch: there is no folder outputs here; name one that holds runs"),
        (("nowhere",), "nowhere: no such folder"),
        (("--every", "3"), "watch: --every: no such option"),
    ],
)
def test_mistakes(words: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = heard("watch", *words)
    assert (status, out) == (2, "")
    assert err.startswith(f"dlrun: {sentence}")
