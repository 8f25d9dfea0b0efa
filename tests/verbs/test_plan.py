"""`dlrun plan`: what is missing, how long it takes; the sweep then tells how wrong that was."""

import json
import re
import subprocess
from collections.abc import Callable
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


@pytest.mark.parametrize(
    ("seconds", "slots", "wall"), [([3, 1, 1, 1], 2, 3), ([1, 1, 3], 2, 4), ([], 2, 0), ([5], 1, 5)]
)
def test_wall_time(seconds: list[float], slots: int, wall: float) -> None:
    assert wall_time(seconds, slots) == wall
