"""Runs on two ranks (gloo, CPU) against runs on one: same curves, exact resume, one writer, agreed stops."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dlrun.store.history import read_history
from dlrun.store.result import Result
from dlrun.training.distributed import ALONE, Ranks, joined

pytestmark = pytest.mark.alone

# 500 images in batches of 33: the last batch has 5, so that two ranks get 3 and 2; 101 test images don't halve.
DATA = ["data=synthetic", "data.train_images=500", "data.test_images=101", "eval_batch_size=50"]
COMMON = [*DATA, "batch_size=33", "epochs=3", "threads=1", "tensorboard=off", "device=cpu"]


def torchrun(ranks: int, *words: str, cwd: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    signals = "--signals-to-handle=SIGTERM,SIGINT,SIGUSR1,SIGUSR2"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, signals, "-m", "dlrun", *words],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finished(ranks: int, *words: str, cwd: Path) -> str:
    """Standard output of a run that must succeed."""
    process = torchrun(ranks, *words, cwd=cwd)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


def curves(folder: Path) -> list[list[float]]:
    return [
        [row[name] for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy")]
        for row in read_history(folder)
    ]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["state"]["model"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "epochs", "loss"),
    [
        (["model=fc_64"], 3, 1e-6),
        # Without the kinks of ReLU, rounding errors stay what they are.
        (["model=cnn_2layer", "model.activation=tanh", "optimizer.lr=0.001"], 3, 1e-6),
        # Steps of 99 images, and one of 5, of which a rank has 2.
        (["model=fc_64", "accumulate=3", "data.class_weights=[1,2,3,4,5,6,7,8,9,10]"], 2, 1e-6),
        pytest.param(["model=cnn_2layer", "data=mnist", "limit=2000"], 1, 1e-5, marks=pytest.mark.real_data),
    ],
)
def test_two_ranks_follow_the_curve_of_one(tmp_path, dlrun, words, epochs, loss):
    """With ReLU they part slowly, as two runs on one rank do that begin 1e-7 apart: hence fewer epochs."""
    words = [*(COMMON if words[1:2] != ["data=mnist"] else COMMON[4:]), *words, f"epochs={epochs}"]
    assert dlrun(*words, "hydra.run.dir=one").returncode == 0
    finished(2, *words, "hydra.run.dir=two", cwd=tmp_path)
    one, two = curves(tmp_path / "one"), curves(tmp_path / "two")
    assert len(two) == epochs
    for alone, together in zip(one, two, strict=True):
        assert together == pytest.approx(alone, rel=loss)
    results = [Result.read(tmp_path / name) for name in ("one", "two")]
    assert [result.ranks for result in results] == [1, 2]
    assert results[0].hash == results[1].hash


@pytest.mark.slow
def test_the_first_rank_alone_writes_and_prints(tmp_path):
    output = finished(2, *COMMON, "model=fc_64", cwd=tmp_path)
    folders = [path.parent for path in tmp_path.rglob("result.json")]
    assert len(folders) == 1
    assert len(list((tmp_path / "outputs").glob("*/*"))) == 1
    assert output.count("epoch 1/3") == 1
    assert output.count("completed in") == 1
    assert (folders[0] / "run.log").read_text().count("EpochEnded(epoch=1,") == 1


@pytest.mark.slow
def test_a_stopped_run_goes_on_exactly_with_as_many_ranks(tmp_path):
    words = [*COMMON, "model=cnn_dropout", "data.train_images=3000", "epochs=2", "log_every=10"]
    finished(2, *words, "hydra.run.dir=whole", cwd=tmp_path)
    process = torchrun(2, *words, "hydra.run.dir=parts", cwd=tmp_path)
    log = tmp_path / "parts" / "history.csv"
    end = time.monotonic() + 60
    while not (log.exists() and read_history(tmp_path / "parts")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "stopped by SIGUSR1, state saved" in errors
    assert Result.read(tmp_path / "parts").status == "interrupted"
    finished(2, *words, "hydra.run.dir=parts", cwd=tmp_path)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert curves(tmp_path / "whole") == curves(tmp_path / "parts")


@pytest.mark.slow
def test_another_number_of_ranks_goes_on_and_says_so(tmp_path, dlrun):
    words = [*COMMON, "model=fc_64", "data.train_images=20000", "hydra.run.dir=run"]
    process = torchrun(2, *words, cwd=tmp_path)
    end = time.monotonic() + 60
    while not (tmp_path / "run" / "checkpoints" / "last.pt").exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert Result.read(tmp_path / "run").status == "interrupted"
    done = dlrun("resume", "run")
    assert done.returncode == 0, done.stderr
    assert "ranks 2 is now 1: the run goes on the same within rounding" in (tmp_path / "run" / "run.log").read_text()
    assert len(curves(tmp_path / "run")) == 3


@pytest.mark.slow
def test_scale_lr_is_the_run_on_one_rank_with_that_batch_and_rate(tmp_path, dlrun):
    common = [*DATA, "model=fc_64", "epochs=1", "threads=1", "tensorboard=off", "device=cpu"]
    words = [*common, "batch_size=16", "optimizer.lr=0.02", "scale_lr=true"]
    finished(2, *words, "hydra.run.dir=two", cwd=tmp_path)
    assert dlrun(*common, "batch_size=32", "optimizer.lr=0.04", "hydra.run.dir=one").returncode == 0
    assert curves(tmp_path / "two")[0] == pytest.approx(curves(tmp_path / "one")[0], rel=1e-4, abs=1e-5)
    hashes = [json.loads((tmp_path / name / "result.json").read_text())["hash"] for name in ("one", "two")]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("images", [1, 2, 33, 64])
def test_every_image_of_a_batch_falls_to_one_rank(images):
    batch = torch.arange(images)
    shares = [Ranks(rank, 3).share(batch) for rank in range(3)]
    assert torch.equal(torch.cat(shares), batch)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_without_torchrun_nothing_is_distributed(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("auto") as ranks:
        assert ranks == ALONE
    assert not torch.distributed.is_initialized()


def test_a_sweep_under_torchrun_is_refused(dlrun):
    done = dlrun("-m", "data=synthetic", "seed=0,1", WORLD_SIZE="2", RANK="0")
    assert done.returncode == 2
    assert "a sweep under torchrun" in done.stderr
