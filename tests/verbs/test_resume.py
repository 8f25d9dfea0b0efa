"""`dlrun resume`: going on and extending, through the command."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Dlrun = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ["data=synthetic", "data.train_images=256", "data.test_images=64", "model=fc_64", "threads=1", "device=cpu"]


def test_an_extended_run_has_a_result_and_an_identity_of_its_own(dlrun: Dlrun, tmp_path: Path) -> None:
    assert dlrun(*SMALL, "epochs=2", "hydra.run.dir=r").returncode == 0
    short = json.loads((tmp_path / "r" / "result.json").read_text())
    done = dlrun("resume", "r", "epochs=4")
    assert done.returncode == 0, done.stderr
    long = json.loads((tmp_path / "r" / "result.json").read_text())
    assert long["hash"] != short["hash"]
    assert long["epochs"] == 4
    assert long["origin"] == {"hash": short["hash"], "epochs": 2}
    assert dlrun(*SMALL, "epochs=4", "hydra.run.dir=whole").returncode == 0
    whole = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert (whole["hash"], whole["test"], whole["train"]) == (long["hash"], long["test"], long["train"])


@pytest.mark.slow
def test_a_schedule_that_depends_on_the_length_is_recomputed_and_said(dlrun: Dlrun) -> None:
    assert dlrun(*SMALL, "epochs=1", "scheduler=cosine", "hydra.run.dir=r").returncode == 0
    assert "schedule is recomputed for 2 epochs" in dlrun("resume", "r", "epochs=2").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "is this the folder of a run?"),
        (["r", "seed=5"], "start a new run"),
        (["r", "epochs=${nothing}"], "dlrun: "),
        (["r", "tags.0=3"], "dlrun: "),
        (["r", "epochs=1"], "an extension needs more"),
        (["r", "epohcs=3"], "epohcs: no such field; did you mean epochs?"),
        (["r", "tags=[a"], "dlrun: tags=[a: can't be read as KEY=VALUE; missing at the end: ]"),
        (["r", "epochs=3,4"], "epochs=3,4: expected FIELD=VALUE"),
    ],
)
def test_mistakes(dlrun: Dlrun, words: list[str], said: str) -> None:
    assert dlrun(*SMALL, "epochs=2", "tensorboard=off", "hydra.run.dir=r").returncode == 0
    done = dlrun("resume", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
