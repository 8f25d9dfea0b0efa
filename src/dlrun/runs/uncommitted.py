"""Keeps with a run what its commit does not have: uncommitted changes, and the user's own parts that git ignores."""

import logging
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlrun
from dlrun import git
from dlrun.config.groups import Target
from dlrun.config.schema import Config
from dlrun.files import write_atomically

log = logging.getLogger("dlrun")

NAME = "uncommitted.diff"
PACKAGES = "-packages" + os.sep
INSTALLED = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib"))
"""What the paths of installed modules have in them, and at their beginning."""


@dataclass(frozen=True)
class Code:
    """The code that a run began with, where it is not a commit alone."""

    about: dict[str, Any] | None
    """`commit` and whether it is `dirty`, for the result; None outside a repository."""
    diff: bytes
    """What is not committed, as git's `diff` says it; empty if nothing is."""

    @classmethod
    def of(cls, config: Config) -> "Code":
        """The code of this process, once the parts of `config` are built and their modules loaded."""
        try:
            return cls._of(own_files(config))
        except OSError as error:  # the working directory may be gone
            log.warning("what is not committed can't be found out: %s", error)
            return cls(None, b"")

    @classmethod
    def _of(cls, own: list[Path]) -> "Code":
        changes = git.changes(own)
        top = Path.cwd() if changes is None else changes.top
        bodies = [_as_new(file, top) for file in (own if changes is None else changes.untracked(own))]
        if changes is not None:
            bodies.append(b"# git gave no diff\n" if changes.diff is None else changes.diff)
        diff = b"".join(bodies)
        if len(diff) > git.LIMIT:
            whole_lines = diff[: git.LIMIT].rpartition(b"\n")[0]
            diff = whole_lines + f"\n# cut here: dlrun keeps {git.LIMIT:,} bytes of it\n".encode()
        if diff:
            diff = f"# not in {'any commit' if changes is None else f'commit {changes.commit}'}\n".encode() + diff
        return cls(None if changes is None else {"commit": changes.commit, "dirty": changes.dirty}, diff)


def keep(code: Code, run_dir: Path, epoch: int, begun: bool) -> None:
    """Write what is not committed into the run's folder, beside what earlier parts of the run left there.

    A part that goes on with the same code adds nothing, and one that has no git knows nothing. A folder that can't be
    written to is no reason to fail here.

    Args:
        epoch: The epoch that is trained next, from 1.
        begun: Whether an earlier part of the run has trained.
    """
    try:
        files = kept(run_dir)
        if not begun:
            for file in files:
                file.unlink()
            files = []
        before = files[-1].read_bytes().partition(b"\n")[2] if files else b""
        if code.diff != before and (code.diff or code.about):
            head = f"# from epoch {epoch} on{'' if code.diff else ': nothing but the commit'}\n"
            name = f"uncommitted-{len(files) + 1}.diff" if files else NAME
            write_atomically(run_dir / name, head.encode() + code.diff)
    except OSError as error:
        log.warning("uncommitted changes can't be kept: %s", error)


def kept(run_dir: Path) -> list[Path]:
    """The files that `keep` left in a run's folder: one for each part of the run that began with other code."""
    return sorted(run_dir.glob("uncommitted*.diff"), key=lambda path: int(re.sub(r"\D", "", path.name) or 1))


def own_files(config: Config) -> list[Path]:
    """The files of loaded modules that are the user's own: below the working directory, or named by a `_target_`."""
    parts = (getattr(config, group) for group in ("data", "model", "optimizer"))
    named = {part.target.partition(".")[0] for part in parts if isinstance(part, Target)}
    below = str(Path.cwd()) + os.sep
    installed = (str(Path(dlrun.__file__).parent) + os.sep, *INSTALLED)
    found = {
        os.path.realpath(path) for name, path in _loaded() if path.startswith(below) or name.partition(".")[0] in named
    }
    return [Path(path) for path in sorted(found) if not path.startswith(installed) and PACKAGES not in path]


def _loaded() -> Iterator[tuple[str, str]]:
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__dict__", {}).get("__file__")  # a module's own __getattr__ may import anything
        if isinstance(path, str) and path.endswith(".py"):
            yield name, path


def _as_new(file: Path, top: Path) -> bytes:
    """A file as a diff that adds it; `top` is the folder of the repository, or the working directory."""
    try:
        with file.open("rb") as opened:
            content = opened.read(git.LIMIT + 1)
    except OSError as error:
        return f"# {file}: {error.strerror}\n".encode(errors="replace")
    name = (file.relative_to(top) if file.is_relative_to(top) else file.relative_to(file.anchor)).as_posix()
    head = f"diff --git a/{name} b/{name}\nnew file mode 100644\n".encode(errors="surrogateescape")
    if not content:
        return head
    lines = content.removesuffix(b"\n").split(b"\n")
    head += f"--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n".encode(errors="surrogateescape")
    end = b"" if content.endswith(b"\n") else b"\\ No newline at end of file\n"
    return head + b"".join(b"+" + line + b"\n" for line in lines) + end
