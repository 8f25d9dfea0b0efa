"""A working directory with a network that can be told to fail in every way."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import WITHOUT_FORKS

from dlrun.config.schema import Sweep
from dlrun.sweeps.folder import jobs_of
from dlrun.sweeps.jobs import Outcome
from dlrun.sweeps.launch import launch
from dlrun.sweeps.points import expand
from dlrun.sweeps.processes import Borrowed, Processes, make_processes

SABOTAGE = """
import os, resource, signal, sys, time
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, how="fine", until="", num_classes=10, in_channels=1, image_size=28):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))
        self.how, self.until, self.steps = how, until, 0

    def forward(self, images):
        self.steps += self.training
        if self.training and self.steps == 20 and not os.path.exists("repaired"):
            getattr(self, self.how)()
        return self.body(images)

    def fine(self): pass
    def exception(self): raise ValueError("the network is broken")
    def exit(self): sys.exit(3)
    def sigkill(self): os.kill(os.getpid(), signal.SIGKILL)
    def killed_once(self):
        if not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
    def no_room(self): raise OSError(28, "No space left on device", os.path.realpath("/proc/self/fd/1"))
    def bad_disk(self): raise OSError(5, "Input/output error", os.path.realpath("/proc/self/fd/1"))
    def bad_file(self): raise OSError(5, "Input/output error", os.path.relpath(os.path.realpath("/proc/self/fd/1")))
    def sigsegv(self): os.kill(os.getpid(), signal.SIGSEGV)
    def hang(self): time.sleep(1000)
    def slow(self): time.sleep(0.5)
    def diverge(self):
        with torch.no_grad():
            self.body[1].weight.fill_(float("nan"))
    def memory(self):
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
        torch.empty(2**34)
"""

SHORT_PATIENCE = "import sys; import dlrun.sweeps.launch as l; l.SAVE_SECONDS = 1; from dlrun.cli import main; "
COMMON = ("epochs=2", "tensorboard=off", "device=cpu")


def furnish(folder: Path) -> Path:
    """Make `folder` a working directory with `model=saboteur model.how=…` and `data=small`."""
    (folder / "sabotage.py").write_text(SABOTAGE)
    for group, name, text in (
        ("model", "saboteur", "_target_: sabotage.Net\nhow: fine\n"),
        ("data", "small", "name: synthetic\ntrain_images: 640\ntest_images: 100\n"),
    ):
        (folder / "configs" / group).mkdir(parents=True)
        (folder / "configs" / group / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A working directory with `model=saboteur model.how=…`."""
    return furnish(tmp_path)


@pytest.fixture(scope="session")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Processes]]:
    """A working directory and processes that start in it, shared by all tests since a start takes seconds."""
    folder = furnish(tmp_path_factory.mktemp("shared"))
    with contextlib.closing(make_processes(folder)) as processes:
        yield folder, Borrowed(processes)


@pytest.fixture
def quick(
    one_server: tuple[Path, Processes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[Outcome]]:
    """Launches the points of `model=saboteur WORDS` in this process: `quick("seed=0,1", slots=1)`."""
    folder, processes = one_server
    monkeypatch.chdir(folder)

    def run(*words: str, **settings: Any) -> list[Outcome]:
        points = expand(["model=saboteur", "data=small", *COMMON, *words])
        return launch(jobs_of(points, tmp_path), Sweep(**settings), processes=processes)

    return run


@pytest.fixture
def start(workplace: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `dlrun -m model=saboteur WORDS`, with little patience for jobs that hang; `forks` False as elsewhere.

    `before` is Python code that runs first.
    """

    def popen(*words: str, forks: bool = True, before: str = "") -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-c",
            SHORT_PATIENCE + ("" if forks else WITHOUT_FORKS) + before + "sys.exit(main())",
            "-m",
            "model=saboteur",
        ]
        return subprocess.Popen(
            [*command, *COMMON, *words],
            cwd=workplace,
            env={**os.environ, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return popen


@pytest.fixture
def sweep(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `start`'s sweep to its end."""

    def run(*words: str, forks: bool = True) -> subprocess.CompletedProcess[str]:
        process = start(*words, forks=forks)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run
