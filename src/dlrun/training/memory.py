"""What becomes of the memory that tensors give back."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's mallopt(3)."""
LARGEST_KEPT = 32 * 1024 * 1024
"""Bytes, the most that glibc takes. Of larger tensors it would keep several before it uses one again."""


def keep_freed() -> None:
    """Let this process use freed memory again instead of giving it back to the system; with glibc, else nothing.

    By default glibc fetches large tensors from the system, page by page, and returns them when they are freed:
    up to 3,000 pages at each step of the slides' ASL CNN, a tenth of its time.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(M_TRIM_THRESHOLD, -1)
