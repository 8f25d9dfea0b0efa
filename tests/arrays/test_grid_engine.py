"""scripts/clusters/grid_engine.sh on a real Grid Engine of one host: whatever is killed, runs end once and alike."""

import contextlib
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import wait_for

from dlrun.store.history import read_history
from dlrun.store.result import Result

pytestmark = pytest.mark.cluster

SCRIPT = Path(__file__).parents[2] / "scripts" / "clusters" / "grid_engine.sh"
# Noise, so that the random state matters.
LONG = ["data=synthetic", "data.train_images=3000", "model=fc_512", "optimizer=adam", "augment=noise"]
LONG += ["threads=1", "device=cpu", "tensorboard=off"]
EPOCHS = 8
KILLING = (60.0, 180.0)
"""Seconds of killing: at least, and at most where no run has gone on from the middle by then."""


@pytest.fixture(autouse=True)
def _on_the_cell(cell, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def prepared(dlrun):
    """Prepares a sweep and gives the manifest, as `prepare` prints it."""

    def prepare(*words: str) -> str:
        done = dlrun("array", "prepare", "-m", *LONG, *words)
        assert done.returncode == 0, done.stderr
        found = re.search(r"^each task: dlrun array run (\S+)$", done.stdout, re.MULTILINE)
        assert found
        return found[1]

    return prepare


def submit(cell, tasks: str, manifest: str) -> None:
    cell.run("qsub", "-t", tasks, str(SCRIPT), manifest)


def processes() -> dict[int, bytes]:
    """The command of each process of a job that is still there, by its id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
        if f"SGE_ROOT={os.environ['SGE_ROOT']}".encode() in environment and b"SGE_TASK_ID" in b" ".join(environment):
            found[int(folder.name)] = command
    return {pid: command for pid, command in found.items() if command}


def logs() -> str:
    return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(Path().glob("dlrun.o*")))


def end(folder: Path) -> tuple[list[tuple[float, ...]], dict[str, torch.Tensor]]:
    """Epochs and losses as they were written, and the weights."""
    rows = [(row["epoch"], row["train_loss"], row["test_loss"], row["test_accuracy"]) for row in read_history(folder)]
    return rows, torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["state"]["model"]


def same_bits(one: Path, other: Path) -> bool:
    (rows, weights), (others, expected) = end(one), end(other)
    return rows == others and all(torch.equal(weights[name], expected[name]) for name in expected)


def epochs(sweep: Path) -> int:
    """How many epochs all runs together have come to."""
    return sum(len(path.read_text().splitlines()) - 1 for path in sweep.glob("*/history.csv"))


def gone_on(sweep: Path) -> int:
    """How often a run went on from a checkpoint."""
    return sum(path.read_text().count("going on after epoch") for path in sweep.glob("*/run.log"))


@pytest.mark.long
def test_twelve_runs_are_killed_at_random_and_end_once_each_with_the_same_bits(dlrun, cell, prepared):
    words = [f"epochs={EPOCHS}", "seed=0,1,2,3,4,5,6,7,8,9,10,11"]
    assert dlrun("-m", *LONG, *words, "hydra.sweep.dir=undisturbed", timeout=900).returncode == 0
    manifest = prepared(*words, "sweep.name=disturbed", "--tasks", "4")
    sweep = Path("outputs/sweeps/disturbed")
    dice = random.Random(0)
    killed: list[bytes] = []
    began = time.monotonic()

    def enough() -> bool:
        return time.monotonic() - began > KILLING[0 if gone_on(sweep) else 1]

    seen, in_an_epoch = 0, True
    while not enough():
        submit(cell, "1-4", manifest)
        while cell.states():
            if in_an_epoch and epochs(sweep) == seen:
                time.sleep(0.1)
                continue
            time.sleep(dice.uniform(0.2, 1) if in_an_epoch else dice.uniform(0.5, 4))
            if not enough() and (there := processes()):
                pid = dice.choice(sorted(there))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(there[pid])
            seen, in_an_epoch = epochs(sweep), dice.random() < 0.7
    submit(cell, "1-4", manifest)
    cell.wait_until_idle(600)
    folders = sorted(path for path in sweep.iterdir() if path.is_dir())
    assert len(folders) == 12
    assert [Result.read(folder).status for folder in folders] == ["completed"] * 12, logs()
    for folder in folders:
        assert [row["epoch"] for row in read_history(folder)] == list(range(1, EPOCHS + 1))
        assert same_bits(folder, Path("undisturbed") / folder.name), folder
    print(f"{len(killed)} killed; {gone_on(sweep)} times a run went on from a checkpoint", *killed, sep="\n")
    assert len(killed) >= 6
    assert gone_on(sweep)
    submit(cell, "1-5", manifest)
    cell.wait_until_idle()
    last = max(Path().glob("dlrun.o*.5"), key=lambda path: path.stat().st_mtime)
    assert "SGE_TASK_ID=5: in Grid Engine the tasks of this manifest are 1 to 4 (qsub -t 1-4 …)" in last.read_text()
    assert last.with_suffix(".4").read_text().count("skipped: ") == 3


def test_a_job_at_its_soft_limit_goes_on_and_a_deleted_one_stays_away(dlrun, cell, prepared):
    assert dlrun(*LONG, "epochs=20", "hydra.run.dir=undisturbed", timeout=300).returncode == 0
    manifest = prepared("epochs=20", "seed=0", "sweep.name=limited", "--tasks", "1")
    submit(cell, "1-1", manifest)
    folder = only_run("limited")
    wait_for(lambda: len(read_history(folder)) >= 2, 120)
    (job,) = cell.states()
    script = next(pid for pid, command in processes().items() if b"job_scripts" in command)
    os.killpg(os.getpgid(script), signal.SIGUSR1)  # what Grid Engine does at s_rt
    wait_for(lambda: (folder / "result.json").exists() and Result.read(folder).status == "interrupted", 60)
    epochs = len(read_history(folder))
    wait_for(lambda: len(read_history(folder)) > epochs, 120)
    assert list(cell.states()) == [job]

    cell.run("qdel", job.partition(".")[0])
    cell.wait_until_idle()
    wait_for(lambda: not processes(), 60)
    assert Result.read(folder).status == "interrupted", logs()
    submit(cell, "1-1", manifest)
    cell.wait_until_idle()
    assert Result.read(folder).status == "completed", logs()
    assert same_bits(folder, Path("undisturbed"))
    assert (folder / "run.log").read_text().count("going on after epoch") >= 2


def only_run(name: str) -> Path:
    """The folder of a sweep's only run, as soon as it is there."""
    sweep = Path("outputs/sweeps") / name
    wait_for(lambda: [path for path in sweep.iterdir() if path.is_dir()], 60)
    (folder,) = (path for path in sweep.iterdir() if path.is_dir())
    return folder
