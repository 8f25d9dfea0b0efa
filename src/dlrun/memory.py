"""What becomes of the memory that tensors give back."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Numbers of glibc's mallopt(3)."""


def keep_freed() -> None:
    """Let this process use freed memory again instead of giving it back to the system; with glibc, else nothing.

    By default glibc fetches every large tensor from the system, page by page, and returns it when it is freed: 3,000
    pages at each step of the slides' ASL CNN, a tenth of its time.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
