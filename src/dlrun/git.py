"""What git says of the working directory: its commit, and what is not committed.

A folder may have come with a repository of somebody else's, whose configuration names programs: hooks, file system
monitors, drivers, filters. Nothing here runs any of them.
"""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LIMIT = 256 * 1024
"""Bytes of uncommitted changes that are kept."""
PATIENCE = 5.0
"""Seconds that git gets for an answer."""
QUIET = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "--no-pager", "--literal-pathspecs")
DIFF = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative", "--src-prefix=a/", "--dst-prefix=b/"),
    *("--submodule=short", "--ignore-submodules=dirty", "HEAD", "--"),
)
"""Submodules are not looked into: they have a configuration of their own."""


@dataclass(frozen=True)
class Changes:
    """What is not committed in the repository around the working directory."""

    folder: Path
    """The working directory."""
    top: Path
    """The folder of the whole repository."""
    commit: str
    diff: bytes | None
    """Up to one byte more than `LIMIT`, in git's own format; None if git gave no answer in time."""
    asked: float
    """When, in seconds since the epoch."""

    @property
    def dirty(self) -> bool:
        """Whether anything differs from the commit, so far as is known."""
        return self.diff is None or bool(self.diff)

    def untracked(self, files: Sequence[Path]) -> list[Path]:
        """Those of the files that neither the commit nor the diff has."""
        inside = {str(file.relative_to(self.top)): file for file in files if file.is_relative_to(self.top)}
        listed = _git("-C", str(self.top), "ls-files", "-z", "--", *inside) if inside else b""
        known = {inside[name] for name in (listed or b"").decode(errors="replace").split("\0") if name in inside}
        return [file for file in files if file not in known]


_remembered: Changes | None = None


def remember() -> None:
    """Ask git now; `changes` in this process and its forks then gives the same answer.

    For jobs that have loaded their code from one process, and at a time when it was as git says now.
    """
    global _remembered
    _remembered = _ask()


def changes(code: Sequence[Path] = ()) -> Changes | None:
    """What is not committed; None outside a repository, before its first commit, and where there is no git.

    Args:
        code: Files that were read just now. An answer older than one of them is not taken.
    """
    known = _remembered
    if known is not None and known.folder == Path.cwd() and all(_modified(file) < known.asked for file in code):
        return known
    return _ask()


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return float("inf")


def _ask() -> Changes | None:
    asked = time.time()
    lines = (_git("rev-parse", "HEAD", "--show-toplevel") or b"").decode(errors="surrogateescape").splitlines()
    if len(lines) != 2:
        return None
    return Changes(Path.cwd(), Path(lines[1]), lines[0], _diff(), asked)


def _diff() -> bytes | None:
    """The diff; files that a filter of the repository's own would change are compared as they lie."""
    listed = _git("config", "--show-scope", "-z", "--name-only", "--get-regexp", r"^filter\.", fine=(0, 1))
    if listed is None:
        return None
    scopes_and_names = listed.decode(errors="surrogateescape").split("\0")
    drivers = {
        name.removeprefix("filter.").rpartition(".")[0]
        for scope, name in zip(scopes_and_names[::2], scopes_and_names[1::2], strict=False)
        if scope in ("local", "worktree")
    }
    if any("=" in driver for driver in drivers):  # can't be said with -c
        return None
    off = [
        word
        for driver in sorted(drivers)
        for setting in ("clean=", "process=", "required=false")
        for word in ("-c", f"filter.{driver}.{setting}")
    ]
    return _git(*off, *DIFF)


def _git(*arguments: str, fine: Sequence[int] = (0,)) -> bytes | None:
    """The first bytes that git prints, `LIMIT` and one; None if it fails or takes too long."""
    # Without locks nothing is written to the index, of which a hook would be told; nothing is fetched either.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
    try:
        process = subprocess.Popen(
            ["git", *QUIET, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
    except OSError:
        return None
    too_late = threading.Timer(PATIENCE, process.kill)
    too_late.start()
    try:
        assert process.stdout is not None
        with process.stdout:
            printed = process.stdout.read(LIMIT + 1)
        if len(printed) > LIMIT:
            process.kill()  # what it would still print is not kept
            process.wait()
            return printed
        return printed if process.wait() in fine else None
    finally:
        too_late.cancel()
        too_late.join()  # a process that forks must have no threads
