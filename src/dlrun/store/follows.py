"""Runs of other sweeps that a sweep takes as its own: nothing is copied, `follows.json` lists them."""

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dlrun.errors import UsageError
from dlrun.files import write_atomically
from dlrun.store.result import Result
from dlrun.store.status import Status

log = logging.getLogger("dlrun")

FOLLOWS = "follows.json"


@dataclass(frozen=True)
class Followed:
    """A complete run elsewhere, as it was when a sweep took it."""

    run_dir: Path
    hash: str
    history: str | None
    """Checksum of its epochs, times included: another one is another training of the same experiment."""

    @classmethod
    def of(cls, run_dir: Path, result: Result) -> "Followed":
        """What to remember of a run with this result."""
        return cls(run_dir, result.hash, result.history)

    def changed(self) -> str:
        """What has become of it since, as the end of a sentence; empty if it is as it was."""
        if not self.run_dir.is_dir():
            return "is gone"
        try:
            result = Result.read(self.run_dir)
        except UsageError:
            return "has no result any more that can be read"
        if result.hash != self.hash:
            return "is another run now"
        if result.status != Status.COMPLETED:
            return f"is {result.status} now"
        return "" if result.history == self.history else "was trained again since"


def read_follows(sweep: Path) -> list[Followed]:
    """The runs that the sweep in a folder follows; none where nothing says so, or it can't be read, which is logged."""
    path = sweep / FOLLOWS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return [Followed(_resolved(sweep, one["path"]), str(one["hash"]), one["history"]) for one in values]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("%s: can't be read (%s); the runs that it lists are left out", path, type(error).__name__)
        return []


def _resolved(sweep: Path, path: str) -> Path:
    return Path(os.path.normpath(sweep / path))


def write_follows(sweep: Path, followed: Iterable[Followed]) -> None:
    """List the runs that the sweep in a folder follows, by paths from there; no file for none."""
    values = [
        {"path": Path(os.path.relpath(one.run_dir, sweep)).as_posix(), "hash": one.hash, "history": one.history}
        for one in followed
    ]
    if values:
        write_atomically(sweep / FOLLOWS, json.dumps(values, indent=1) + "\n")
    else:
        (sweep / FOLLOWS).unlink(missing_ok=True)


def followed_runs(sweep: Path) -> list[Path]:
    """The runs that the sweep in a folder follows, as long as they are what they were; of others a warning tells."""
    found = []
    for one in read_follows(sweep):
        if changed := one.changed():
            log.warning("%s follows %s, which %s: left out", sweep, one.run_dir, changed)
        else:
            found.append(one.run_dir)
    return found
