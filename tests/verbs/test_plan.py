"""`dlrun plan`: what is missing, how long it takes; the sweep then tells how wrong that was."""

import gzip
import json
import re
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from dlrun.sweeps.estimate import wall_time

Dlrun = Callable[..., subprocess.CompletedProcess[str]]

WORDS = ("data=synthetic", "model=fc_64", "seed=0,1", "epochs=2", "device=cpu", "tensorboard=off", "sweep.name=s")


@pytest.mark.slow
def test_a_plan_estimates_what_is_missing_and_the_sweep_reports_its_error(dlrun: Dlrun, tmp_path: Path) -> None:
    planned = dlrun("plan", "-m", *WORDS)
    assert planned.returncode == 0, planned.stderr
    assert "2 of 2 runs are missing in outputs/sweeps/s" in planned.stdout
    assert re.search(r"together \S+ s; \d+ at a time, so about \S+ s from start to end", planned.stdout)
    seconds = json.loads((tmp_path / "outputs/sweeps/s/plan.json").read_text())["seconds"]
    assert len(seconds) == 2
    assert all(0 < one < 60 for one in seconds.values())
    assert not list(tmp_path.glob("outputs/sweeps/s/*/result.json"))
    done = dlrun("-m", *WORDS)
    assert re.search(r"planned \S+ s for 2 runs that took \S+ s \([+-]\d+ %\)", done.stdout), done.stdout
    again = dlrun("plan", "-m", *WORDS)
    assert again.stdout == "0 of 2 runs are missing in outputs/sweeps/s\n"


def test_mistakes(dlrun: Dlrun) -> None:
    for words, message in (
        ((), "plan: what? dlrun plan -m OVERRIDE …, or dlrun plan TABLE"),
        (("-m",), "give the overrides"),
        (("-m", "model=fc_65"), "did you mean"),
        (("-m", "hydra/sweeper=search", "seed=0,1"), "a search makes up its points"),
        (("no_such_table",), "no_such_table"),
    ):
        done = dlrun("plan", *words)
        assert done.returncode == 2, done.stdout
        assert message in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_of_damaged_data_it_is_said_what_is_wrong(dlrun: Dlrun, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    for part, kind in product(("train", "t10k"), ("images-idx3", "labels-idx1")):
        (tmp_path / f"mnist/{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    (tmp_path / "configs/table").mkdir(parents=True)
    (tmp_path / "configs/table/mine.yaml").write_text(
        "{title: T, source: {document: a, heading: b}, metric: test_accuracy, digits: 2, seeds: 1, lessons: [], rows: ["
        "{label: A, overrides: {data: mnist, data.root: .}, published: {test_accuracy: 0.97}},"
        "{label: B, overrides: {data: synthetic, epochs: 1}, published: {test_accuracy: 0.97}}]}"
    )
    wrong = r"mnist/\S+-ubyte\.gz: checksum mismatch: expected md5 \w+, found \w+\."
    checked = dlrun("table", "check", "mine")
    assert checked.returncode == 1
    assert re.search(rf"1  A +0\.97  \S*{wrong}.*\n  2  B +0\.97  1 run, about", checked.stdout), checked.stdout
    for words in (["mine"], ["-m", "data=mnist", "data.root=.", "seed=0,1"]):
        planned = dlrun("plan", *words)
        assert planned.returncode == 2
        assert re.fullmatch(rf"dlrun: \S*{wrong}.*\n", planned.stderr), planned.stderr


@pytest.mark.parametrize(
    ("seconds", "slots", "wall"), [([3, 1, 1, 1], 2, 3), ([1, 1, 3], 2, 4), ([], 2, 0), ([5], 1, 5)]
)
def test_wall_time(seconds: list[float], slots: int, wall: float) -> None:
    assert wall_time(seconds, slots) == wall
