"""Memory that tensors give back."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource
import torch
from dlrun.memory import keep_freed
keep_freed()
for _ in range(10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(64, 1024, 1024)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_tensor_uses_the_pages_of_the_one_before() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000  # of 65,536 pages
