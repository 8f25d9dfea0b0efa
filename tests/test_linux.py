"""What Linux alone offers stands in one module; memory that tensors give back."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dlrun.linux import SPINS, SPINS_AMD, by_amd

SOURCE = Path(__file__).parents[1] / "src"
ONLY_LINUX = r"prctl|mallopt|sched_[gs]et|\bos\.fork|[\"'/]proc/|platform [!=]= .linux|platform\.startswith"
CODE = """
import torch
from dlrun.linux import keep_freed
keep_freed()
tensors = torch.ones(4, 1024, 1024), torch.ones(16, 1024, 1024)
(heap,) = [line.split()[0] for line in open("/proc/self/maps") if "[heap]" in line]
start, end = (int(address, 16) for address in heap.split("-"))
print([start <= tensor.data_ptr() < end for tensor in tensors])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_tensors_lie_where_freed_memory_is_kept_unless_they_are_huge() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[True, False]"  # 16 MB, 64 MB


def test_nothing_else_knows_what_linux_alone_offers() -> None:
    knowing = {path.stem for path in SOURCE.rglob("*.py") if re.search(ONLY_LINUX, path.read_text())}
    assert knowing == {"linux", "server"}  # the server is what forks, and is started nowhere else


@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, str(SPINS_AMD if by_amd() else SPINS)),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "passive"}, "None"),
    ],
)
def test_waiting_threads_are_bounded_before_torch_is_loaded(given: dict[str, str], found: str) -> None:
    code = (
        "import os, sys; from dlrun.cli import main; main(['--version']); "
        "print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    )
    plain = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**plain, **given}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"{found} False"
