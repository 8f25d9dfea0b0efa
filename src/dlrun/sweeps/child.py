"""The process of one job: trains, writes its result, ends with the exit status of `dlrun`.

As a program it reads one task from standard input and dies when that is closed, which is how it notices that
its parent is gone; under the fork server of `dlrun.sweeps.server` it is a fork that has torch already.
"""

import faulthandler
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import dlrun
from dlrun.config.schema import parse, plain
from dlrun.config.settled import Settled

NO_ROOM = 75
"""Exit status of a job that met the first of `dlrun.errors.SHORTAGES`; that of the second is one more, and so on."""


@dataclass(frozen=True)
class Task:
    """What a process is told: plain values only, nothing pickled."""

    run_dir: str
    config: dict[str, Any]
    hash: str
    overrides: Sequence[str]
    environment: dict[str, str]
    purpose: str = "train"
    """`train`, or `data`: only load the data and write down what they are."""

    @classmethod
    def of(cls, settled: Settled, run_dir: Path, overrides: Sequence[str], environment: dict[str, str]) -> "Task":
        """The task of training a config in `run_dir`."""
        return cls(str(run_dir), plain(settled.config), settled.hash, list(overrides), environment)

    @property
    def settled(self) -> Settled:
        """What is to be trained, as the parent settled it."""
        return Settled(parse(self.config), self.hash)


def work(task: Task) -> int:
    """Do the task and return the exit status; whatever is printed goes to the run's log."""
    os.environ.update(task.environment)
    dlrun.STARTED = time.perf_counter()
    _log_to(Path(task.run_dir) / "run.log")
    return _describe_data(task) if task.purpose == "data" else _train(task)


def _describe_data(task: Task) -> int:
    from dlrun.data.load import load
    from dlrun.errors import DlrunError

    try:
        found = load(task.settled.config.data)
    except DlrunError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    described = {"fingerprint": found.fingerprint, "train": len(found.train), "test": len(found.test)}
    if found.val is not None:
        described["val"] = len(found.val)
    (Path(task.run_dir) / "data.json").write_text(json.dumps(described))
    return 0


def _train(task: Task) -> int:
    from dlrun.errors import DlrunError
    from dlrun.runs.check import check
    from dlrun.runs.outcome import explain
    from dlrun.runs.run import run
    from dlrun.sweeps.jobs import Job, record_failure

    settled, run_dir = task.settled, Path(task.run_dir)
    try:
        check(settled.config)
        run(settled, run_dir, task.overrides)
    except DlrunError as error:
        print(error, file=sys.stderr)
        if error.exit_status == 2:
            record_failure(Job(tuple(task.overrides), run_dir, settled), type(error).__name__, str(error))
        return _no_room(error.__cause__) or error.exit_status
    except OSError as error:
        print(explain(error, settled.config), file=sys.stderr)
        return _no_room(error) or 1
    return 0


def _no_room(error: BaseException | None) -> int | None:
    from dlrun.errors import SHORTAGES

    return NO_ROOM + SHORTAGES.index(error.errno) if isinstance(error, OSError) and error.errno in SHORTAGES else None


def _log_to(path: Path) -> None:
    """Let standard output and error, also of C code and of crashes, end in the log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    faulthandler.enable(sys.__stderr__ or sys.stderr)


def leave(task: Task) -> None:
    """Do the task and end this process, without the clean-up of the parent or of Python; never returns."""
    status = 1
    try:
        status = work(task)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*cast(Any, sys.exc_info()))
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status & 0xFF)


def _watch(pipe: Any) -> None:
    pipe.read()
    os._exit(1)


def main() -> None:
    """Read a task from standard input and train."""
    values = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_watch, args=(sys.stdin.buffer,), daemon=True).start()
    leave(Task(**values))


if __name__ == "__main__":
    main()
