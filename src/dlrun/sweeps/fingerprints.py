"""What the data are now: how many images, and whether they are still those of a completed run."""

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlrun.config.settled import Settled
from dlrun.errors import DataError
from dlrun.store.result import Result
from dlrun.sweeps.child import Task
from dlrun.sweeps.jobs import Job, standing_of
from dlrun.sweeps.processes import KILL, Processes, make_processes

PATIENCE = 600.0
"""Seconds that reading a data set may take."""


class Fingerprints:
    """Reads each data set once, in a process of its own, since that imports torch."""

    def __init__(self, processes: Processes, stopped: Callable[[], bool] = lambda: False) -> None:
        """`stopped` tells that nobody waits for an answer any more."""
        self.processes, self.stopped = processes, stopped
        self.known: dict[str, dict[str, Any] | str] = {}
        """What the data are, or why they can't be read."""

    def complete(self, job: Job) -> Result | None:
        """The result of a job that is done already, on the data as they are now."""
        return standing_of(job, self.now).done

    def now(self, settled: Settled) -> str | None:
        """The fingerprint of what the data hold now; None if they can't be read."""
        found = self._known(settled)
        return None if isinstance(found, str) else str(found["fingerprint"])

    def describe(self, settled: Settled) -> dict[str, Any]:
        """`fingerprint` and the numbers of `train`, `test` and perhaps `val` images.

        Raises:
            DataError: The data can't be read; the message says why.
        """
        found = self._known(settled)
        if isinstance(found, str):
            raise DataError(found)
        return found

    def _known(self, settled: Settled) -> dict[str, Any] | str:
        key = repr(settled.config.data)
        if key not in self.known:
            self.known[key] = self._read(settled)
        return self.known[key]

    def _read(self, settled: Settled) -> dict[str, Any] | str:
        with tempfile.TemporaryDirectory() as folder:
            task = replace(Task.of(settled, Path(folder), (), {}), purpose="data")
            process = self.processes.start(task)
            deadline = time.monotonic() + PATIENCE
            while process.status is None and time.monotonic() < deadline and not self.stopped():
                self.processes.poll(0.1)
            process.send(KILL)
            if process.status != 0:
                return _said(Path(folder) / "run.log") or "the data can't be read; see: dlrun data list"
            described: dict[str, Any] = json.loads((Path(folder) / "data.json").read_text())
            return described


def _said(log: Path) -> str:
    """The last line that a process has written; empty if none."""
    try:
        return log.read_text(errors="replace").strip().rpartition("\n")[2]
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def reading_data() -> Iterator[Fingerprints]:
    """Fingerprints whose processes start when they are needed, and end afterwards."""
    with contextlib.closing(make_processes()) as processes:
        yield Fingerprints(processes)
