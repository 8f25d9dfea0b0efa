"""What one sees of a run on a terminal; pipes are tested wherever a command is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import on_terminal

from dlrun.store.result import Result

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")

SMALL = ["model=fc_64", "data=synthetic", "threads=1", "device=cpu", "tensorboard=off"]


@pytest.mark.parametrize("columns", [60, 140])
def test_a_run_on_a_terminal_has_a_bar_and_a_line_an_epoch(columns: int, tmp_path: Path) -> None:
    status, seen = on_terminal([*SMALL, "epochs=3", "log_every=5"], tmp_path, columns)
    assert status == 0, seen
    assert "epoch 3/3 train loss" in " ".join(seen.split())
    assert "img/s" in seen
    assert "completed in" in seen


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    status, seen = on_terminal([*SMALL, "epochs=300", "hydra.run.dir=r"], tmp_path, interrupt_at="epoch   2/300")
    assert status == 130, seen
    assert "dlrun: stopped by SIGINT, state saved; go on with: dlrun resume r" in seen
    assert Result.read(tmp_path / "r").status == "interrupted"


def test_a_sweep_on_a_terminal(tmp_path: Path) -> None:
    status, seen = on_terminal(["-m", *SMALL, "epochs=2", "seed=0,1", "sweep.name=s"], tmp_path, 100)
    assert status == 0, seen
    assert "test accuracy" in seen
    assert (tmp_path / "outputs" / "sweeps" / "s").is_dir()


def test_a_run_goes_on_when_its_reader_goes_away(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dlrun", *SMALL, "epochs=5", "hydra.run.dir=r"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert Result.read(tmp_path / "r").status == "completed"
