"""Full disks, small limits, folders that vanish, too little memory: a sentence, and nothing lost that was saved."""

import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import heard, wait_for

import dlrun.store.checkpoint as checkpoint
from dlrun.store.history import read_history
from dlrun.store.result import Result

pytestmark = pytest.mark.alone


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Gives a file system of its own with these mount options; called again, changes them."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        again = ["-o", f"remount,{options}"] if place.is_mount() else ["-t", "tmpfs", "-o", options]
        done = subprocess.run(["mount", *again, "tmpfs", str(place)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no tmpfs here: {done.stderr.strip()}")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "-l", str(place)], check=True)


def one_sentence(command: Any, complaints: Callable[[str], list[str]]) -> str:
    said = complaints(command.stderr)
    assert 1 <= len(said) <= 2, command.stderr
    assert said[0].startswith("dlrun: ")
    return "\n".join(said)


@pytest.mark.parametrize("size", [pytest.param(size, marks=pytest.mark.slow) for size in ("1m", "300k", "1400k")])
def test_a_full_disk(
    size: str,
    disk: Callable[[str], Path],
    command: Any,
    words: SimpleNamespace,
    complaints: Callable[[str], list[str]],
    left_by: Callable[[Path], dict[str, Any]],
    counts: Any,
    tmp_path: Path,
) -> None:
    place = disk(f"size={size}")
    run = (*words.small, "epochs=3")
    assert command.run(*run, f"hydra.run.dir={place}/r") == 1
    assert "No space left on device" in one_sentence(command, complaints)
    counts.done["limit"] += 1
    if (place / "r" / "result.json").exists():
        assert Result.read(place / "r").status == "interrupted"
    assert not list(place.rglob("*.tmp"))
    disk("size=64m")
    assert command.run(*run, f"hydra.run.dir={place}/r") == 0, command.stderr
    assert command.run(*run, "hydra.run.dir=whole") == 0, command.stderr
    assert left_by(place / "r") == left_by(tmp_path / "whole")


@pytest.mark.slow
def test_a_disk_that_fills_up_beside_a_finished_run(
    disk: Callable[[str], Path], command: Any, words: SimpleNamespace, complaints: Callable[..., list[str]], counts: Any
) -> None:
    place = disk("size=4m")
    assert command.run(*words.small, "tensorboard=off", "epochs=1", f"hydra.run.dir={place}/r") == 0
    before = (place / "r" / "result.json").read_bytes()
    room = shutil.disk_usage(place).free
    (place / "ballast").write_bytes(bytes(room - room % 4096))
    assert command.run("resume", f"{place}/r", "epochs=3") == 1
    assert "No space left on device" in one_sentence(command, complaints)
    assert (place / "r" / "result.json").read_bytes() == before
    counts.done["limit"] += 1


@pytest.mark.slow
def test_a_read_only_disk(
    disk: Callable[[str], Path], command: Any, words: SimpleNamespace, complaints: Callable[..., list[str]], counts: Any
) -> None:
    place = disk("size=16m")
    run = (*words.small, "tensorboard=off", "epochs=1", f"hydra.run.dir={place}/r")
    assert command.run(*run) == 0
    disk("ro")
    for arguments, status in ((run, 2), (("resume", f"{place}/r", "epochs=2"), 2)):
        assert command.run(*arguments) == status
        assert "Read-only file system" in one_sentence(command, complaints)
    assert command.run(*run[:-1], f"hydra.run.dir={place}/new") == 1
    assert "Read-only file system" in one_sentence(command, complaints)
    for verb in ("show", "report", "evaluate"):
        assert command.run(verb, f"{place}/r") == 0, command.stderr
    counts.done["limit"] += 6


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "value"), [("RLIMIT_FSIZE", 100_000), ("RLIMIT_NOFILE", 24), ("RLIMIT_NOFILE", 40)])
def test_small_limits(
    limit: str,
    value: int,
    command: Any,
    words: SimpleNamespace,
    complaints: Callable[[str], list[str]],
    left_by: Callable[[Path], dict[str, Any]],
    counts: Any,
    tmp_path: Path,
) -> None:
    run = (*words.small, "epochs=2")
    number = getattr(resource, limit)
    status = command.run(*run, "hydra.run.dir=r", preexec_fn=lambda: resource.setrlimit(number, (value, value)))
    if status:
        assert status == 1
        assert any(text in one_sentence(command, complaints) for text in ("File too large", "Too many open files"))
    else:
        assert limit == "RLIMIT_NOFILE"
        complaints(command.stderr)
    counts.done["limit"] += 1
    assert command.run(*run, "hydra.run.dir=r") == 0, command.stderr
    assert command.run(*run, "hydra.run.dir=whole") == 0, command.stderr
    assert left_by(tmp_path / "r") == left_by(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["r", "r/checkpoints"])
def test_a_folder_that_vanishes(
    gone: str,
    command: Any,
    words: SimpleNamespace,
    complaints: Callable[..., list[str]],
    tmp_path: Path,
    counts: Any,
) -> None:
    process = command.start(*words.small, "tensorboard=off", "epochs=100000", "hydra.run.dir=r")
    wait_for(lambda: len(read_history(tmp_path / "r")) > 1)
    while process.poll() is None:  # rmtree races with the run that writes
        shutil.rmtree(tmp_path / gone, ignore_errors=True)
        time.sleep(0.01)
    assert process.returncode == 1
    # What lies in it may be gone a moment before the folder itself.
    assert re.search(rf"{gone}(/checkpoints)?: the folder is gone", one_sentence(command, complaints))
    counts.done["limit"] += 1


@pytest.mark.parametrize("gone", ["r", "r/checkpoints"])
@pytest.mark.parametrize("moment", ["write_atomically", "save", "sync_folder"])
def test_a_folder_that_vanishes_as_a_checkpoint_is_written(
    gone: str, moment: str, words: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = getattr(checkpoint, moment)

    def and_then_it_is_gone(*arguments: Any) -> None:
        done(*arguments)
        shutil.rmtree(tmp_path / gone)

    monkeypatch.setattr(checkpoint, moment, and_then_it_is_gone)
    status, _, said = heard(*words.small, "tensorboard=off", "epochs=2", "hydra.run.dir=r")
    assert (status, said.count("\n")) == (1, 1)
    assert f"{gone}: the folder is gone" in said


SHORT_OF_MEMORY = """
import resource, sys
import torch
from pathlib import Path
from dlrun.cli import main
import dlrun.runs.run, dlrun.training.loop, dlrun.data.load

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 300_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
raise SystemExit(main())
"""


@pytest.mark.parametrize(
    ("big", "said"),
    [
        (["model.layers=[flatten, dense 20000, dense 20000]"], "out of memory on cpu with batch_size=32"),
        pytest.param(
            ["model.layers=[conv 64 5x5, flatten]", "data.train_images=4000", "batch_size=4000", "tensorboard=off"],
            "out of memory on cpu with batch_size=4000, eval_batch_size=1000 and 370,314 parameters",
            marks=pytest.mark.slow,
        ),
        pytest.param(["data.train_images=3000000"], "out of memory", marks=pytest.mark.slow),
    ],
)
def test_too_little_memory(
    big: list[str], said: str, command: Any, words: SimpleNamespace, complaints: Callable[..., list[str]], counts: Any
) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    assert command.run(*words.small, "epochs=1", "hydra.run.dir=r", *big, code=SHORT_OF_MEMORY) == 1, command.stderr
    assert said in one_sentence(command, complaints)
    counts.done["limit"] += 1


@pytest.mark.slow
def test_tensorboard_and_figures_never_stop_a_run(command: Any, words: SimpleNamespace, tmp_path: Path) -> None:
    """Files stand where their folders belong."""
    (tmp_path / "r").mkdir()
    for name in ("tensorboard", "figures"):
        (tmp_path / "r" / name).write_text("")
    assert command.run(*words.small, "epochs=2", "hydra.run.dir=r") == 0
    assert "Traceback" not in command.stderr
    assert command.stderr.count("TensorBoard failed") == 1
    assert command.stderr.count("the final pictures failed") == 1
    assert Result.read(tmp_path / "r").status == "completed"


EVALUATING = """
from pathlib import Path
import dlrun.training.loop
from dlrun.cli import main

evaluate = dlrun.training.loop.evaluate

def slowly(*arguments):
    Path("evaluating").touch()
    return evaluate(*arguments)

dlrun.training.loop.evaluate = slowly
raise SystemExit(main())
"""
SLOW_DATA = """
import time
from pathlib import Path

def make():
    Path("loading").touch()
    try:
        time.sleep(600)
    except Exception:
        pass
"""
SIGNALS = [
    signal.SIGTERM,
    *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)),
]


def stopped(process: "subprocess.Popen[bytes]", number: int, counts: Any) -> None:
    """Send the signal; the command leaves with 128 + N within seconds."""
    begun = time.monotonic()
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    counts.done["signal"] += 1
    counts.slowest_stop = max(counts.slowest_stop, time.monotonic() - begun)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_a_long_evaluation(
    number: int, command: Any, words: SimpleNamespace, counts: Any, started: list, tmp_path: Path
) -> None:
    network = ["model.layers=[conv 16, conv 32, flatten]", "data.test_images=60000", "limit=60000", "tensorboard=off"]
    process = command.start(*words.small, *network, "epochs=2", "hydra.run.dir=r", code=EVALUATING)
    started.append(process)
    wait_for((tmp_path / "evaluating").exists)
    stopped(process, number, counts)
    assert Result.read(tmp_path / "r").status == "interrupted"
    assert "dlrun resume" in command.stderr
    assert (tmp_path / "r" / "checkpoints" / "last.pt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_in_training(
    number: int, command: Any, words: SimpleNamespace, counts: Any, started: list, tmp_path: Path
) -> None:
    process = command.start(*words.small, "tensorboard=off", "epochs=100000", "hydra.run.dir=r")
    started.append(process)
    wait_for((tmp_path / "r" / "checkpoints" / "last.pt").exists)
    stopped(process, number, counts)
    assert Result.read(tmp_path / "r").status == "interrupted"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_training(
    number: int, command: Any, words: SimpleNamespace, counts: Any, started: list, tmp_path: Path
) -> None:
    """While data are read for minutes there is nothing to save."""
    (tmp_path / "slow_data.py").write_text(SLOW_DATA)
    (tmp_path / "configs" / "data").mkdir(parents=True)
    (tmp_path / "configs" / "data" / "slow.yaml").write_text("_target_: slow_data.make\n")
    process = command.start("data=slow", "model=fc_64", "hydra.run.dir=r")
    started.append(process)
    wait_for((tmp_path / "loading").exists)
    stopped(process, number, counts)
    assert "before training began" in command.stderr
