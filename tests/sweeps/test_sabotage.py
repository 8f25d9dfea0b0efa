"""Sweeps in which jobs fail in every way: others go on, failures are named, and only those are repeated."""

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Sweep = Callable[..., subprocess.CompletedProcess[str]]

REASONS = {
    "exception": "the network is broken",
    "exit": "SystemExit",
    "sigkill": "killed by SIGKILL",
    "sigsegv": "killed by SIGSEGV",
    "memory": "out of memory",
    "diverge": "the loss became nan",
    "hang": "stopped after 0.05 minutes",
}


def results(folder: Path) -> dict[str, dict]:
    """The results below a sweep's folder by name of the run's folder."""
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/result.json")}


def write_mnist(folder: Path, sound: bool) -> None:
    """A tiny MNIST, or one whose images are cut off."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        images = struct.pack(">IIII", 0x803, 100, 28, 28) + bytes(range(196)) * (400 if sound else 100)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 100) + bytes(range(10)) * 10)


def rows(good: int) -> str:
    bad = ",".join(REASONS)
    small = f"'data=small seed=range(0,{good})','data=small model.how={bad}'"
    return f"sweep.rows=[{small},'data=mnist data.root=bad data.verify=false']"


@pytest.mark.parametrize(
    "good",
    [pytest.param(8, id="16 runs", marks=pytest.mark.slow), pytest.param(32, id="40 runs", marks=pytest.mark.long)],
)
def test_saboteurs_fail_alone_and_are_repeated_alone(good: int, workplace: Path, sweep: Sweep) -> None:
    write_mnist(workplace / "bad/mnist", sound=False)
    words = (rows(good), "sweep.name=s", "sweep.timeout=0.05")
    done = sweep(*words)
    assert done.returncode == 1, done.stdout + done.stderr
    found = results(workplace / "outputs/sweeps/s")
    assert sum(one["status"] == "completed" for one in found.values()) == good, done.stdout + done.stderr
    failed = {name: one["error"]["message"] for name, one in found.items() if one["status"] == "failed"}
    assert len(failed) == 8
    for how, reason in REASONS.items():
        (message,) = [message for name, message in failed.items() if how in name]
        assert reason in message
        assert reason in done.stdout
    assert f"8 of {good + 8} runs failed" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr

    again = sweep(*words)
    assert again.returncode == 1
    assert results(workplace / "outputs/sweeps/s") == found

    (workplace / "repaired").touch()
    write_mnist(workplace / "bad/mnist", sound=True)
    last = sweep(*words, "sweep.failed=retry")
    assert last.returncode == 0, last.stdout + last.stderr
    assert last.stdout.count("completed  test accuracy") == 8
    assert f"{good} of {good + 8} were complete already" in last.stdout
