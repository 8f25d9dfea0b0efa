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
        self.known: dict[str, dict[str, Any] | None] = {}

    def complete(self, job: Job) -> Result | None:
        """The result of a job that is done already, on the data as they are now."""
        return standing_of(job, self.now).done

    def now(self, settled: Settled) -> str | None:
        """The fingerprint of what the data hold now; None if they can't be read."""
        found = self.describe(settled)
        return None if found is None else str(found["fingerprint"])

    def describe(self, settled: Settled) -> dict[str, Any] | None:
        """`fingerprint` and the numbers of `train` and `test` images; None if the data can't be read."""
        key = repr(settled.config.data)
        if key not in self.known:
            self.known[key] = self._read(settled)
        return self.known[key]

    def _read(self, settled: Settled) -> dict[str, Any] | None:
        with tempfile.TemporaryDirectory() as folder:
            task = replace(Task.of(settled, Path(folder), (), {}), purpose="data")
            process = self.processes.start(task)
            deadline = time.monotonic() + PATIENCE
            while process.status is None and time.monotonic() < deadline and not self.stopped():
                self.processes.poll(0.1)
            process.send(KILL)
            if process.status != 0:
                return None
            described: dict[str, Any] = json.loads((Path(folder) / "data.json").read_text())
            return described


@contextlib.contextmanager
def reading_data() -> Iterator[Fingerprints]:
    """Fingerprints whose processes start when they are needed, and end afterwards."""
    with contextlib.closing(make_processes()) as processes:
        yield Fingerprints(processes)
