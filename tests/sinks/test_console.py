"""What one sees of a run on a terminal; pipes are tested wherever a command is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import on_terminal

from dlrun.store.result import Result

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")

SMALL = ["model=fc_64", "data=synthetic", "threads=1", "device=cpu", "tensorboard=off"]


@pytest.mark.parametrize(("columns", "line"), [(80, r"train \d\.\d{4} loss"), (140, r"train loss \d\.\d{4} acc")])
def test_a_run_on_a_terminal_has_a_bar_and_a_line_an_epoch(columns: int, line: str, tmp_path: Path) -> None:
    status, seen = on_terminal(
        [*SMALL, "epochs=3", "log_every=5", "tags=[one-tag]", "name=a-rather-long-name"], tmp_path, columns
    )
    assert status == 0, seen
    assert re.search(rf"^epoch 3/3  {line} .* s", seen, re.MULTILINE), seen
    assert seen.startswith("starting …")
    assert "img/s" in seen
    assert re.search(r"\d s left", seen)
    assert "completed in" in seen
    if columns == 80:
        _check_what_is_shown_of_it(tmp_path)


def _check_what_is_shown_of_it(folder: Path) -> None:
    status, seen = on_terminal(["show", "last"], folder)
    assert status == 0, seen
    headings = [r"last +epoch 3: test accuracy", "model +fc_64", "epoch .*test accuracy.*train", "layer +output"]
    places = [found.start() for heading in headings if (found := re.search(rf"^{heading}", seen, re.MULTILINE))]
    assert len(places) == len(headings), seen
    assert places == sorted(places)
    status, seen = on_terminal(["report", "outputs"], folder)
    assert status == 0, seen
    assert "1.0000" in seen
    place = re.escape(str(next((folder / "outputs").glob("*/*")).relative_to(folder)))
    for columns, line in (
        (80, rf"(?m)completed +1\.0000 .*\n  {place}$"),
        (160, rf"(?m)completed +1\.0000 .* {place}$"),
    ):
        status, seen = on_terminal(["list"], folder, columns)
        assert status == 0, seen
        assert re.search(line, seen), seen


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    status, seen = on_terminal([*SMALL, "epochs=300", "hydra.run.dir=r"], tmp_path, interrupt_at="epoch   2/300")
    assert status == 130, seen
    assert "dlrun: stopped by SIGINT, state saved; go on with: dlrun resume r" in seen
    assert Result.read(tmp_path / "r").status == "interrupted"


def test_a_sweep_on_a_terminal(tmp_path: Path) -> None:
    sweep = ["-m", *SMALL, "epochs=12", "seed=0,1", "sweep.name=s", "sweep.slots=1"]
    status, seen = on_terminal(sweep, tmp_path)
    assert status == 0, seen
    assert (tmp_path / "outputs" / "sweeps" / "s").is_dir()
    first, later = re.split(r"(?m)^\[1/2\].*  completed  test accuracy 1\.0000  .* s$", seen)
    assert re.search(r"(?m)^seed0-\w+ +\d+/12", first), first
    assert not re.search(r"(?m)^seed0-\w+ +\d+/12", later), later
    assert re.search(r"best so far by test accuracy: seed0-\w+  1\.0000", later), later
    for done, total, others in re.findall(r"(\d+) of (\d+) complete((?:, \d+ [a-z]+)*)", seen):
        assert int(done) + sum(map(int, re.findall(r"\d+", others))) == int(total) == 2


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
