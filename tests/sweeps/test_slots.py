"""Slots: GPUs times jobs per GPU, or cores divided among jobs."""

from pathlib import Path

import pytest

from dlrun.config.compose import compose
from dlrun.config.schema import Config, Sweep
from dlrun.config.settled import Settled
from dlrun.sweeps import slots
from dlrun.sweeps.slots import Slot, gpus, slots_for


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores, and the GPUs that `CUDA_VISIBLE_DEVICES` names."""
    monkeypatch.setattr(slots, "cores", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def config(*words: str) -> Config:
    return compose(["data=synthetic", "model=fc_64", "precision=float32", *words])


def test_cores_are_divided() -> None:
    assert [(slot.gpu, slot.threads) for slot in slots_for([config()] * 20, Sweep())] == [(None, 1)] * 8
    assert [slot.threads for slot in slots_for([config()] * 20, Sweep(slots=3))] == [2, 2, 2]
    assert [slot.threads for slot in slots_for([config()], Sweep(), most=1)] == [8]
    assert len(slots_for([config("threads=4")] * 20, Sweep())) == 2


def test_gpus_are_dealt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "gpus", lambda: ["0", "1"])
    assert [slot.gpu for slot in slots_for([config()], Sweep())] == ["0", "1"]
    assert [slot.gpu for slot in slots_for([config()], Sweep(per_gpu=2))] == ["0", "1", "0", "1"]
    assert [slot.gpu for slot in slots_for([config("device=cuda:1")], Sweep(per_gpu=2))] == ["1", "1"]
    assert {slot.gpu for slot in slots_for([config("device=cpu")], Sweep())} == {None}


def test_a_job_is_told_its_gpu_and_threads() -> None:
    slot = Slot(0, "1", 3)
    assert slot.environment() == {"CUDA_VISIBLE_DEVICES": "1"}
    assert slot.fitted(Settled(config("device=cuda:1"), "")).config.device == "cuda"
    assert slot.fitted(Settled(config(), "")).config.threads == 3
    assert slot.fitted(Settled(config("threads=2"), "")).config.threads == 2
    assert Slot(0, None, 1).environment() == {}


def test_gpus_are_found_without_cuda(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpus({}, tmp_path) == ["0", "1"]
    assert gpus({"CUDA_VISIBLE_DEVICES": "3,GPU-abc"}, tmp_path) == ["3", "GPU-abc"]
    assert gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    assert gpus({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == []
