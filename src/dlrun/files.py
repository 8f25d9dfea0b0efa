"""Files that a user would miss: written whole or not at all."""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dlrun.errors import UsageError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content` (text as UTF-8) so that a reader sees the old file or the new one.

    The content is on the disk (fsync) before the name points to it, so a crash leaves one of the two whole.

    Raises:
        OSError: The folder can't be written or the disk is full; `path` is then unchanged and named.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def check_place(path: Path) -> Path:
    """The path itself, if a file of that name can be made; asked before the work whose outcome goes there.

    Raises:
        UsageError: It is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise UsageError(f"{path}: a folder; name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: no such folder: {path.parent}")
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` in the end, as `write_atomically`, which holds all in memory.

    Raises:
        OSError: As `write_atomically`.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
    sync_folder(path.parent)


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a file; a pipe or a device in its place would never end.

    Raises:
        OSError: It can't be read, is no regular file, or larger than `most` bytes.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if about.st_size > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    return path.read_bytes()


def remove_drafts(folder: Path) -> None:
    """Delete what `write_atomically` had begun in `folder` when its process was killed.

    Only for a folder that no other process writes to.
    """
    for draft in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            draft.unlink()


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut, where the system allows opening a folder."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network and FUSE file systems can't do this to folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(handle)


def expanded(path: str) -> Path:
    """The path with the home folder in place of a leading `~` or `~user`.

    Raises:
        UsageError: There is no such user, or no home folder is known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{path}: there is no home folder of {path.partition('/')[0]}") from None


def cache_home() -> Path:
    """The user's cache folder for dlrun: `$XDG_CACHE_HOME/dlrun`, or the system's usual place."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "dlrun"
    try:
        if os.name == "nt":
            return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "dlrun" / "Cache"
        return Path.home() / ".cache" / "dlrun"
    except RuntimeError:
        raise UsageError("no home folder is known; name a cache folder in XDG_CACHE_HOME") from None
