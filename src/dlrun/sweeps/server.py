"""A process that has imported torch once and forks a process for every job it is told of.

It must never run a parallel torch operation itself: the threads of its pool would not exist in the forks,
which then wait for them for ever. It reads tasks, a JSON line each, from standard input, and writes a line
when a job has started and when it has ended. When its parent is gone it stops the jobs and itself.
"""

import contextlib
import gc
import importlib
import json
import os
import random
import select
import signal
import time
import warnings
from typing import Any

from dlrun import git
from dlrun.linux import die_with
from dlrun.sweeps.child import Task, leave

PRELOADED = (
    "torch",
    *(f"PIL.{name}ImagePlugin" for name in ("Bmp", "Gif", "Jpeg", "Ppm", "Png")),  # saving any picture loads them
    "dlrun.runs.parts",
    "dlrun.runs.loading",
    "dlrun.runs.run",
    "dlrun.training.loop",
    "dlrun.store.checkpoint",
    "dlrun.data.facts",
    "dlrun.data.load",
    "dlrun.data.prepare",
    "dlrun.models.build",
    "dlrun.models.phrases",
    "dlrun.optim.average",
    "dlrun.optim.build",
    "dlrun.optim.quick_start",
    "dlrun.optim.schedule",
    "dlrun.sinks.checkpoints",
    "dlrun.sinks.figures",
    "dlrun.sinks.history",
    "dlrun.sinks.shown",
    "dlrun.sinks.tensorboard",
    "dlrun.sweeps.jobs",
)
OF_PARENT = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that the parent answers, not the server."""
GRACE = 2.0
"""Seconds that jobs get to save when the parent is gone."""


class Server:
    """Forks, reaps and reports."""

    def __init__(self, reports: int) -> None:
        self.reports = reports
        self.jobs: dict[int, int] = {}
        """Job number by process id."""

    def serve(self) -> None:
        """Work until standard input is closed and every job has ended."""
        awake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        pending = b""
        while True:
            ready, _, _ = select.select([0, awake], [], [])
            if awake in ready:
                os.read(awake, 4096)
                self._reap()
            if 0 in ready:
                received = os.read(0, 65536)
                if not received:
                    break
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    self._fork(json.loads(line))
        self._end()

    def _fork(self, message: dict[str, Any]) -> None:
        server = os.getpid()
        with warnings.catch_warnings():
            # Python warns of forks beside threads; numpy's, the only ones here, are made anew in the fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            # Until the job has its own way with them, signals wait: one that the server ignores would be lost.
            signal.pthread_sigmask(signal.SIG_BLOCK, OF_PARENT)
            process = os.fork()
        if process == 0:
            self._become_job(server, Task(**message["task"]))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_PARENT)
        self.jobs[process] = message["job"]
        self._report({"job": message["job"], "pid": process})

    def _become_job(self, server: int, task: Task) -> None:
        die_with(server)
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, *OF_PARENT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_PARENT)
        os.close(self.reports)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        random.seed()
        leave(task)

    def _reap(self) -> None:
        while self.jobs:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            if process in self.jobs:
                self._report({"job": self.jobs.pop(process), "status": os.waitstatus_to_exitcode(status)})

    def _report(self, message: dict[str, int]) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self.reports, json.dumps(message).encode() + b"\n")

    def _end(self) -> None:
        """Ask the jobs that are left to save; after `GRACE` they are killed, with all that they started."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while self.jobs and time.monotonic() < deadline:
            time.sleep(0.02)
            self._reap()
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        for process in self.jobs:
            for send in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    send(process, number)
                    break


def main() -> None:
    """Import what jobs need, then serve; standard output is kept for reports."""
    parent = os.getppid()
    reports = os.dup(1)
    os.dup2(2, 1)
    # Slurm signals every process of a job. This one ends when its parent does, else all jobs would go with it.
    for number in (signal.SIGPIPE, *OF_PARENT):
        signal.signal(number, signal.SIG_IGN)
    die_with(parent)  # while it imports, it can't see that its parent is gone
    git.remember()
    for name in PRELOADED:
        importlib.import_module(name)
    die_with(parent, 0)
    gc.collect()
    gc.freeze()
    Server(reports).serve()


if __name__ == "__main__":
    main()
