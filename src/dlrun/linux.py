"""What Linux alone offers, and what takes its place on other systems: nothing else in dlrun asks for the system.

Not here: locks on files (`dlrun.locks`), how files are written (`dlrun.files`), and where GPUs are looked for.
"""

import os
import platform
import re
import sys
from pathlib import Path

FORKS = sys.platform == "linux"
"""Whether jobs may be forks of a process that has imported torch.

macOS can fork, but its libraries do not survive it; Windows can't.
"""
PR_SET_PDEATHSIG = 1
"""A number of prctl(2)."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's mallopt(3)."""
SPINS, SPINS_AMD = 2000, 8000
"""Looks of a waiting thread, some 100 microseconds: on AMD's CPUs the pause between two looks is the shorter one.

With a twentieth of it the threads sleep between two operations, with five times as many a busy machine crawls.
"""
LARGEST_KEPT = 32 * 1024 * 1024
"""Bytes, the most that glibc takes. Of larger tensors it would keep several before it uses one again."""


def cores() -> int:
    """CPU cores this process may use; on other systems, all of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """Vendor, family and model of the CPU; on other systems, what Python says of it."""
    try:
        with Path("/proc/cpuinfo").open(errors="replace") as file:
            told = file.read(4096)  # The first core's part: all of them take a large machine tens of milliseconds.
    except OSError:
        told = ""
    first = dict(re.findall(r"^(.+?)\s*: (.+)$", told.partition("\n\n")[0], re.MULTILINE))
    if "vendor_id" in first:
        return f"{first['vendor_id']} family {first.get('cpu family')} model {first.get('model')}"
    if "CPU implementer" in first:
        return f"implementer {first['CPU implementer']} part {first.get('CPU part')}"
    return platform.processor() or platform.machine()


def by_amd() -> bool:
    """Whether AMD made the CPU."""
    return "AuthenticAMD" in cpu_model()


def bound_spinning() -> None:
    """Let waiting threads of PyTorch look for work a bounded number of times before they sleep.

    On a machine that does anything else they would take the cores from the very threads that they wait for, and an
    epoch would take up to thirty times as long; on an idle one the bound costs nothing (`benchmarks/busy.py`). GNU's
    OpenMP, which PyTorch's builds for Linux bring, reads it when PyTorch is loaded. What the user's environment says
    stays.
    """
    if sys.platform == "linux" and not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS_AMD if by_amd() else SPINS)


def die_with(parent: int, number: int = 9) -> None:
    """Let the kernel send `number` to this process when the process `parent`, which started it, is gone; 0 ends that.

    Only for what is forked, and so for Linux alone; a fresh process sees that its standard input is closed.
    """
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it went before the kernel was told
        os._exit(1)


def keep_freed() -> None:
    """Let this process use freed memory again instead of giving it back to the system; with glibc, else nothing.

    By default glibc fetches large tensors from the system, page by page, and returns them when they are freed:
    up to 3,000 pages at each step of the slides' ASL CNN, a tenth of its time.
    """
    if sys.platform != "linux":
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(M_TRIM_THRESHOLD, -1)
