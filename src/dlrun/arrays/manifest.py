"""The shares of a sweep or a table, as one file that is written once and read by each job of an array (no torch)."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlrun.arrays.submitted import SubmittedRun
from dlrun.config.fields import fill
from dlrun.config.schema import Sweep
from dlrun.errors import UsageError
from dlrun.files import read_regular, write_atomically

PARENT = Path("outputs/arrays")
SCHEMA = 1
LARGEST = 200_000_000
"""Bytes of the largest manifest that is read, some hundred thousand runs."""
DIGITS = 8
"""Of the checksum in a manifest's name."""
KEPT = ("slots", "per_gpu", "on_failure", "retries", "timeout", "failed")
"""The fields of `sweep` that say how a task trains its runs."""


@dataclass(frozen=True)
class Shares:
    """Which task has which runs. It never changes: other runs, or another number of tasks, are another file."""

    tasks: list[list[SubmittedRun]]
    sweep: Sweep
    """How a task trains its runs; of its fields those in `KEPT` are written."""

    def write(self, name: str) -> Path:
        """Write the manifest below the working directory, where it is not there already; its path."""
        content = {
            "schema": SCHEMA,
            "sweep": {name: getattr(self.sweep, name) for name in KEPT},
            "tasks": [[dataclasses.asdict(run) for run in runs] for runs in self.tasks],
        }
        text = json.dumps(content, indent=1) + "\n"
        path = PARENT / f"{name}-{_checksum(text.encode())}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
        return path


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def shared_out(runs: Sequence[SubmittedRun], tasks: int) -> list[list[SubmittedRun]]:
    """The runs dealt out like cards, so that long ones, which often stand together, come to different tasks.

    >>> [[run.hash for run in share] for share in shared_out([SubmittedRun("", [], hash) for hash in "abcde"], 2)]
    [['a', 'c', 'e'], ['b', 'd']]
    """
    return [list(runs[number::tasks]) for number in range(tasks)]


def read(path: Path) -> tuple[Path, Shares]:
    """The working directory in which a manifest was written, and its shares.

    Raises:
        UsageError: It can't be read, was changed, or lies elsewhere than where it was written.
    """
    try:
        content = read_regular(path, LARGEST)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; a manifest of dlrun array prepare is needed") from None
    place = path.absolute()
    if place.parent.parts[-2:] != PARENT.parts:
        raise UsageError(f"{path}: not in {PARENT} of a working directory, where dlrun array prepare writes manifests")
    if not place.stem.endswith(f"-{_checksum(content)}"):
        raise UsageError(f"{path}: not as dlrun array prepare wrote it (changed, or renamed); prepare it again")
    return place.parents[2], _parsed(path, content)


def _parsed(path: Path, content: bytes) -> Shares:
    try:
        values: dict[str, Any] = json.loads(content)
        if values["schema"] != SCHEMA:
            raise UsageError(f"{path}: of another version of dlrun; prepare it again")
        tasks = [[SubmittedRun(**run) for run in runs] for runs in values["tasks"]]
        return Shares(tasks, fill(Sweep, values["sweep"], "sweep."))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: no manifest of dlrun array prepare ({type(error).__name__})") from None
