"""A run from config to result, through the command: folders, resume, failures, what is left on disk."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

Dlrun = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ["data=synthetic", "data.train_images=256", "data.test_images=64", "model=fc_64", "threads=1", "device=cpu"]
TIMES = ("seconds", "images_per_second")


def history(run_dir: Path) -> list[tuple[str, ...]]:
    """The columns that must be the same bits whenever a run is repeated."""
    with (run_dir / "history.csv").open() as file:
        return [tuple(row[name] for name in row if name not in TIMES) for row in csv.DictReader(file)]


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run_dir / "checkpoints" / "last.pt", weights_only=True)["state"]
    return state["model"] | (state["average"] or {}).get("model", {})


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_leaves_everything_the_design_names(dlrun: Dlrun, tmp_path: Path) -> None:
    done = dlrun(*SMALL, "epochs=2", "hydra.run.dir=r", "name=first", "tags=[a,b]")
    assert done.returncode == 0, done.stderr
    run_dir = tmp_path / "r"
    assert done.stdout.rstrip().endswith(str(run_dir))
    for name in ("config.yaml", "overrides.yaml", "result.json", "history.csv", "run.log"):
        assert (run_dir / name).stat().st_size > 0
    assert list((run_dir / "tensorboard").rglob("events.*"))
    result = json.loads((run_dir / "result.json").read_text())
    assert result["schema"] == 1
    assert result["status"] == "completed"
    assert result["name"] == "first"
    assert result["parameters"] == {"total": 55050, "trainable": 55050, "non_trainable": 0}
    assert result["epochs"] == 2
    assert result["threads"] == 1
    assert result["data"]["name"] == "synthetic"
    assert result["model"] == "fc_64"
    assert result["test"]["accuracy"] == pytest.approx(float(history(run_dir)[-1][4]))
    assert result["best"]["selected_on"] == "test"
    assert result["error"] is None
    assert "model=fc_64" in yaml.safe_load((run_dir / "overrides.yaml").read_text())
    header = (run_dir / "history.csv").read_text().splitlines()[0]
    assert header == "epoch,train_loss,train_accuracy,test_loss,test_accuracy,lr,seconds,images_per_second"


def test_the_same_seed_gives_the_same_bits_and_another_does_not(dlrun: Dlrun, tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert dlrun(*SMALL, "epochs=2", f"seed={seed}", f"hydra.run.dir={folder}").returncode == 0
    assert history(tmp_path / "a") == history(tmp_path / "b") != history(tmp_path / "c")
    assert equal(weights(tmp_path / "a"), weights(tmp_path / "b"))


EVERYTHING = [
    "model=cnn_dropout",
    "model.layers=[conv 4, pool 2, 'dropout ${..conv_dropout}', flatten, dense 16, bn, 'dropout ${..dense_dropout}']",
    "augment=shift_flip",
    "average=0.9",
    "scheduler=cosine",
    "optimizer=adam",
    "validation=40",
    "clip_norm=1",
    "label_smoothing=0.1",
    "early_stopping=50",
]


STOPPED_AT = """
import os, signal
from dlrun.cli import main
from dlrun.training.step import TrainingStep

step = TrainingStep.__call__

def step_and_signal(self, *batch):
    step(self, *batch)
    if self.state.step == {step} - 1:
        os.kill(os.getpid(), signal.SIGTERM)

TrainingStep.__call__ = step_and_signal
raise SystemExit(main())
"""


@pytest.mark.parametrize("extra", [[], pytest.param(["precision=bfloat16"], marks=pytest.mark.slow)])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path: Path, extra: list[str]) -> None:
    """Stopped in the middle of an epoch, with everything on that has a state."""
    words = [*SMALL, *EVERYTHING, *extra, "epochs=4", "batch_size=16"]
    subprocess.run([sys.executable, "-m", "dlrun", *words, "hydra.run.dir=whole"], cwd=tmp_path, check=True)
    for step in (5, 23):
        code = STOPPED_AT.format(step=step)
        done = subprocess.run([sys.executable, "-c", code, *words, "hydra.run.dir=parts"], cwd=tmp_path, check=False)
        assert done.returncode == 128 + signal.SIGTERM
    subprocess.run([sys.executable, "-m", "dlrun", *words, "hydra.run.dir=parts"], cwd=tmp_path, check=True)
    assert history(tmp_path / "whole") == history(tmp_path / "parts")
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.slow
def test_other_instructions_are_said_when_a_run_goes_on(dlrun: Dlrun, tmp_path: Path) -> None:
    assert dlrun(*SMALL, "epochs=1", "hydra.run.dir=r", MKL_ENABLE_INSTRUCTIONS="SSE4_2").returncode == 0
    cpu = json.loads((tmp_path / "r" / "result.json").read_text())["cpu"]
    assert "MKL_ENABLE_INSTRUCTIONS=SSE4_2" in cpu
    assert dlrun("resume", "r", "epochs=2", MKL_ENABLE_INSTRUCTIONS="AVX2").returncode == 0
    said = (tmp_path / "r" / "run.log").read_text()
    assert f"cpu {cpu} is now {cpu.replace('SSE4_2', 'AVX2')}: the run goes on the same within rounding" in said


def test_a_completed_run_is_not_trained_again(dlrun: Dlrun, tmp_path: Path) -> None:
    assert dlrun(*SMALL, "epochs=1", "hydra.run.dir=r").returncode == 0
    before = (tmp_path / "r" / "result.json").stat().st_mtime_ns
    again = dlrun(*SMALL, "epochs=1", "hydra.run.dir=r")
    assert again.returncode == 0
    assert (tmp_path / "r" / "result.json").stat().st_mtime_ns == before


def test_a_folder_keeps_one_run(dlrun: Dlrun, tmp_path: Path) -> None:
    assert dlrun(*SMALL, "epochs=1", "hydra.run.dir=r").returncode == 0
    other = dlrun(*SMALL, "epochs=2", "hydra.run.dir=r")
    assert other.returncode == 2
    assert "holds another run" in other.stderr


@pytest.mark.slow
def test_runs_started_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dlrun", *SMALL, "epochs=1", "tensorboard=off"]
    running = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert len(list(tmp_path.glob("outputs/*/*/result.json"))) == 3


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(dlrun: Dlrun, tmp_path: Path) -> None:
    done = dlrun(*SMALL, "epochs=3", "optimizer.lr=1e30", "hydra.run.dir=r")
    assert done.returncode == 1
    assert "the loss became" in done.stderr
    assert "Traceback" not in done.stderr
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    assert result["status"] == "failed"
    assert result["error"]["type"] == "RunFailed"


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dlrun", *SMALL, "epochs=100000", "hydra.run.dir=r"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "r" / "checkpoints" / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "dlrun resume" in stderr
    assert json.loads((tmp_path / "r" / "result.json").read_text())["status"] == "interrupted"
