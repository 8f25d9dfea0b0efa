"""A working directory with a network that can be told to fail in every way."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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

SHORT_PATIENCE = (
    "import sys; import dlrun.sweeps.launch as l; l.SAVE_SECONDS = 1; from dlrun.cli import main; "
)
COMMON = ("epochs=2", "tensorboard=off", "device=cpu")


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A working directory with `model=saboteur model.how=…`."""
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "sabotage.py").write_text(SABOTAGE)
    (tmp_path / "configs" / "model" / "saboteur.yaml").write_text("_target_: sabotage.Net\nhow: fine\n")
    (tmp_path / "configs" / "data").mkdir()
    small = "name: synthetic\ntrain_images: 640\ntest_images: 100\n"
    (tmp_path / "configs" / "data" / "small.yaml").write_text(small)
    return tmp_path


@pytest.fixture
def start(workplace: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `dlrun -m model=saboteur WORDS`, with little patience for jobs that hang."""

    def popen(*words: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-c",
            SHORT_PATIENCE + "sys.exit(main(sys.argv[1:]))",
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

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        process = start(*words)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run
