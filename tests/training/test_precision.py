"""Devices, threads and number formats."""

import subprocess
import sys

import pytest
import torch

CODE = """
import torch
from dlrun.training.precision import set_threads
set_threads(2)
print(bool((torch.full((4_000_000,), 1e-39) * 1 == 0).all()))
"""


@pytest.mark.skipif(not torch.set_flush_denormal(True), reason="this processor can't")
def test_tiny_numbers_are_0_in_every_thread() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
