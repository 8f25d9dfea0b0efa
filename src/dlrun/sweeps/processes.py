"""Starts a process a job: forks of a server that has imported torch, or where that can't be, fresh ones."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dlrun import linux
from dlrun.errors import RunFailed
from dlrun.sweeps.child import Task

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
PYTHON = (sys.executable, "-P")
"""The interpreter; -P keeps the working directory off its path, whose files may be called as installed modules."""


@dataclass
class Process:
    """A job's process; `status` is as in `subprocess`: None while it runs, -N after signal N."""

    pid: int | None = None
    """None until the server has started it."""
    wanted: int | None = None
    """The signal that it is to get as soon as it has a process id."""
    status: int | None = None
    since: float = dataclasses.field(default_factory=time.monotonic)
    """When it began, on `time.monotonic`'s clock."""

    def send(self, number: int) -> None:
        """Send a signal to the process and everything it started."""
        if self.status is not None:
            return
        if self.pid is None:
            self.wanted = number
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg") and os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)


class Processes(Protocol):
    """A way to start processes."""

    def start(self, task: Task) -> Process:
        """Start the process of a job."""

    def poll(self, seconds: float) -> None:
        """Wait up to so long for news, and bring every `Process` up to date."""

    def close(self) -> None:
        """End what is left."""


class Borrowed:
    """Another's processes, which stay open when they are closed here, since more is to come."""

    def __init__(self, processes: Processes) -> None:
        self.start, self.poll = processes.start, processes.poll

    def close(self) -> None:
        """Leave them open."""


def make_processes(folder: Path | None = None, environment: Mapping[str, str] | None = None) -> Processes:
    """Forks where they are safe, else fresh interpreters.

    Args:
        folder: Their working directory, where it is not that of this process.
        environment: Further variables for them.
    """
    return Forks(folder, environment) if linux.FORKS else Fresh(folder, environment)


class Fresh:
    """A new interpreter a job; its standard input stays open as long as this process lives."""

    def __init__(self, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self.environment = folder, environment or {}
        self.running: list[tuple[Process, subprocess.Popen[bytes]]] = []

    def start(self, task: Task) -> Process:
        """Start `python -m dlrun.sweeps.child`."""
        started = subprocess.Popen(
            [*PYTHON, "-m", "dlrun.sweeps.child"],
            stdin=subprocess.PIPE,
            cwd=self.folder,
            env={**os.environ, **self.environment, **task.environment},
            start_new_session=True,
        )
        assert started.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            started.stdin.write(json.dumps(dataclasses.asdict(task)).encode() + b"\n")
            started.stdin.flush()
        process = Process(started.pid)
        self.running.append((process, started))
        return process

    def poll(self, seconds: float) -> None:
        """Look every 20 ms until something has ended."""
        deadline = time.monotonic() + seconds
        while not self._look() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _look(self) -> bool:
        for process, started in self.running:
            process.status = started.poll()
            if process.status is not None and started.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    started.stdin.close()
        ended = [process for process, _ in self.running if process.status is not None]
        self.running = [pair for pair in self.running if pair[0].status is None]
        return bool(ended)

    def close(self) -> None:
        """Kill what is left."""
        for process, started in self.running:
            process.send(KILL)
            started.wait()
        self._look()


class Forks:
    """Forks of a server; a server that died is replaced."""

    def __init__(self, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self.environment = folder, environment or {}
        self.server: subprocess.Popen[bytes] | None = None
        self.running: dict[int, Process] = {}
        self.started = 0
        self.partial = b""
        self.reported = False
        """Whether the server has started a job yet: importing torch takes it seconds."""

    def start(self, task: Task) -> Process:
        """Tell the server of a job; its process id arrives with the next poll."""
        if self.server is None:
            self.server = self._start_server()
        self.started += 1
        process = self.running[self.started] = Process()
        message = {"job": self.started, "task": dataclasses.asdict(task)}
        assert self.server.stdin is not None
        try:
            self.server.stdin.write(json.dumps(message).encode() + b"\n")
            self.server.stdin.flush()
        except BrokenPipeError:
            self._server_died()
        return process

    def _start_server(self) -> subprocess.Popen[bytes]:
        self.reported = False
        return subprocess.Popen(
            [*PYTHON, "-m", "dlrun.sweeps.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self.folder,
            env={**os.environ, **self.environment},
            start_new_session=True,
        )

    def poll(self, seconds: float) -> None:
        """Wait for reports of the server."""
        import select

        if self.server is None or self.server.stdout is None:
            time.sleep(seconds)
            return
        if self.running and not self.reported and all(process.wanted for process in self.running.values()):
            self.server.kill()  # nothing has begun that could be saved
        ready, _, _ = select.select([self.server.stdout], [], [], seconds)
        if not ready:
            return
        received = os.read(self.server.stdout.fileno(), 65536)
        if not received:
            self._server_died()
            return
        for message in self._messages(received):
            self.reported = True
            process = self.running[message["job"]]
            if "pid" in message:
                process.pid, process.since = message["pid"], time.monotonic()
                if process.wanted is not None:
                    process.send(process.wanted)
            process.status = message.get("status")
            if process.status is not None:
                del self.running[message["job"]]

    def _messages(self, received: bytes) -> Iterator[dict[str, int]]:
        *lines, self.partial = (self.partial + received).split(b"\n")
        for line in lines:
            yield json.loads(line)

    def _server_died(self) -> None:
        """Its jobs were killed with it (PR_SET_PDEATHSIG)."""
        assert self.server is not None
        status = self.server.wait()
        self._close_pipes()
        self.server, self.partial = None, b""
        if not self.reported and not all(process.wanted for process in self.running.values()):
            raise RunFailed(f"the process that starts jobs ended with status {status}; its message is above")
        for process in self.running.values():
            process.status = -signal.SIGKILL
        self.running.clear()

    def _close_pipes(self) -> None:
        assert self.server is not None
        for pipe in (self.server.stdin, self.server.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def close(self) -> None:
        """Let the server end; it stops jobs that are left."""
        if self.server is None:
            return
        if not self.reported:
            self.server.kill()
        self._close_pipes()
        self.server.wait()
        self.server = None

    def __del__(self) -> None:
        self.close()
