"""Locks on files that the system frees when their holder dies, on this machine or on another."""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int, shared: bool = False) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int, shared: bool = False) -> None:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


CONTENTION = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
LOOK_SECONDS = 0.02
"""Time between two attempts at a lock that another process has."""

ASKED_SECONDS = 10.0
"""How long to go on trying while nobody has the lock and others only ask about it, for microseconds each."""


class NoLocks(OSError):
    """The file system can't lock: some network file systems, by the way they are mounted."""


class Lock:
    """An exclusive lock on a file, which stays in place when it is freed. Processes that this one forks have it, too.

    There is no second choice where the file system has no locks. A marker in a file stays when its process is
    killed, and nobody on another machine can tell.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle: int | None = None

    def take(self, patience: float = 0.0) -> bool:
        """Whether the lock could be had within so many seconds; who only asks, by `is_locked`, is waited for.

        Raises:
            NoLocks: The file system has none.
            OSError: The file can't be opened for writing.
        """
        deadline = time.monotonic() + patience
        while not self._try():
            late = time.monotonic() - deadline
            if late >= 0 and (late > ASKED_SECONDS or is_locked(self.path) or not self.path.exists()):
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _try(self) -> bool:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _locked(handle) and _is_at(handle, self.path):
                self.handle, handle = handle, -1
                return True
            return False
        finally:
            if handle >= 0:
                os.close(handle)

    def release(self) -> None:
        """Free the lock, if it is held."""
        handle, self.handle = self.handle, None
        if handle is not None:
            os.close(handle)

    def __del__(self) -> None:
        self.release()


def _locked(handle: int, shared: bool = False) -> bool:
    try:
        _lock(handle, shared)
    except OSError as error:
        if error.errno in CONTENTION:
            return False
        raise NoLocks(error.errno, error.strerror) from None
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether the file still has this name: its folder may have been moved since it was opened."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on a file now; asks with a shared lock, for which reading is enough.

    Where there is no such file, or it may not be read or locked, none is seen.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _locked(handle, shared=True)
    except NoLocks:
        return False
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file; wait for it as long as it takes.

    Raises:
        OSError: As `Lock.take`.
    """
    lock = Lock(path)
    lock.take(patience=float("inf"))
    try:
        yield
    finally:
        lock.release()
