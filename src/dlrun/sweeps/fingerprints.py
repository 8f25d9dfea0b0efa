"""Whether the data are still those that a completed run was made with."""

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from dlrun.config import Config, Data, ImageFolder
from dlrun.result import Result
from dlrun.sweeps.child import Task
from dlrun.sweeps.processes import Processes

PATIENCE = 600.0
"""Seconds that reading a data set may take."""


class Fingerprints:
    """Reads each data set once, in a process of its own, and only where no checksum pins its content."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.known: dict[str, str | None] = {}

    def fit(self, config: Config, result: Result) -> bool:
        """False if the data changed since `result`; data that can't be read now say nothing against it."""
        if _pinned(config) and result.data.get("verified"):
            return True
        key = repr(config.data)
        if key not in self.known:
            self.known[key] = self._read(config)
        return self.known[key] in (None, result.data.get("fingerprint"))

    def _read(self, config: Config) -> str | None:
        with tempfile.TemporaryDirectory() as folder:
            task = replace(Task.of(config, Path(folder), (), {}), purpose="fingerprint")
            process = self.processes.start(task)
            deadline = time.monotonic() + PATIENCE
            while process.status is None and time.monotonic() < deadline:
                self.processes.poll(0.1)
            answer = Path(folder) / "fingerprint.json"
            return json.loads(answer.read_text()) if process.status == 0 else None


def _pinned(config: Config) -> bool:
    return isinstance(config.data, Data) and config.data.verify and not isinstance(config.data, ImageFolder)
