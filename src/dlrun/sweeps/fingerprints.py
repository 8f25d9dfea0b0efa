"""What the data are now: how many images, and whether they are still those of a completed run."""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlrun.groups import Data, ImageFolder, Target
from dlrun.result import Result
from dlrun.settled import Settled
from dlrun.sweeps.child import Task
from dlrun.sweeps.processes import KILL, Processes

PATIENCE = 600.0
"""Seconds that reading a data set may take."""


class Fingerprints:
    """Reads each data set once, in a process of its own, since that imports torch."""

    def __init__(self, processes: Processes, stopped: Callable[[], bool] = lambda: False) -> None:
        """`stopped` tells that nobody waits for an answer any more."""
        self.processes, self.stopped = processes, stopped
        self.known: dict[str, dict[str, Any] | None] = {}

    def fit(self, settled: Settled, result: Result) -> bool:
        """False if the data changed since `result`; data that can't be read now say nothing against it."""
        if _pinned(settled.config.data) and result.data.get("verified"):
            return True
        now = self.describe(settled)
        return now is None or now["fingerprint"] == result.data.get("fingerprint")

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


def _pinned(data: Data | Target) -> bool:
    """Whether checksums tell that the content is the official one."""
    return isinstance(data, Data) and data.verify and not isinstance(data, ImageFolder)
