"""What runs leave behind and no result needs: failed runs, and the checkpoint before the last one of a finished run.

What is deleted is looked at once more with the run's lock held, so that of two who clean one does, and a run that has
begun meanwhile keeps what it has.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dlrun.store import scan
from dlrun.store.folders import is_held, take
from dlrun.store.result import was_killed
from dlrun.store.scan import Run
from dlrun.store.status import Status

REMOVED = ".removed-"
"""Begins the name of a failed run that is being deleted: with one rename it is none any more."""


def is_failed(run: Run) -> bool:
    """Whether a run failed of itself; one whose process was killed goes on from its checkpoint, if it has one."""
    if run.status != Status.FAILED or run.result is None:
        return False
    return not (was_killed(run.result) and any((run.folder / "checkpoints").glob("*.pt")))


def has_previous(run: Run) -> bool:
    """Whether a finished run has a checkpoint before its last one."""
    folder = run.folder / "checkpoints"
    return run.status == Status.COMPLETED and not run.held and _is_file(folder / "last.pt", folder / "previous.pt")


def _is_file(*paths: Path) -> bool:
    return all(path.is_file() and not path.is_symlink() for path in paths)


def removed(path: Path) -> list[Path]:
    """Folders at or below a path whose deletion was begun and cut off."""
    return [
        Path(folder, name)
        for folder, folders, _ in os.walk(path)
        for name in folders
        if name.startswith(REMOVED) and not is_held(Path(folder, name))
    ]


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links count nothing."""
    files = [path] if path.is_file() else [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    return sum(file.lstat().st_size for file in files if not file.is_symlink() and file.exists())


def remove_failed(folder: Path) -> bool:
    """Delete the folder of a failed run; False if a process works on it, or it is no such folder any more.

    Raises:
        UsageError: It can't be locked.
        OSError: It can't be deleted.
    """

    def remove() -> None:
        aside = folder.with_name(f"{REMOVED}{folder.name}-{os.getpid()}")
        folder.rename(aside)
        shutil.rmtree(aside)

    return _if_still(folder, is_failed, remove)


def remove_previous(folder: Path, is_whole: Callable[[Path], bool]) -> bool:
    """Delete `previous.pt` of a finished run; False if a process works on it, or the run needs that file.

    Args:
        is_whole: Whether a checkpoint can be read; where `last.pt` can't, the one before is all there is.

    Raises:
        UsageError: It can't be locked.
        OSError: It can't be deleted.
    """
    checkpoints = folder / "checkpoints"

    def is_spare(run: Run) -> bool:
        return has_previous(run) and is_whole(checkpoints / "last.pt")

    return _if_still(folder, is_spare, (checkpoints / "previous.pt").unlink)


def _if_still(folder: Path, so: Callable[[Run], bool], remove: Callable[[], None]) -> bool:
    if not folder.is_dir() or (lock := take(folder / ".lock")) is None:
        return False
    try:
        found, _ = scan.read([folder])
        if not any(so(replace(run, held=False)) for run in found):  # it is held by this process
            return False
        remove()
        return True
    finally:
        lock.release()


def remove_rest(folder: Path) -> bool:
    """Delete what is left of a failed run whose deletion was cut off."""
    if folder.is_dir() and not is_held(folder):
        shutil.rmtree(folder)
        return True
    return False
