"""The command that `on_end` names: run once when a run, or a whole sweep, has ended, whether well or not (no torch)."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dlrun.errors import ConfigError, Interrupted, UsageError
from dlrun.store.result import read_result
from dlrun.store.status import Status

log = logging.getLogger("dlrun")

SECONDS = 600.0
"""What the command gets before it is killed: it may mail, but not keep a machine for ever."""


@contextlib.contextmanager
def followed_by(
    command: str | None,
    folder: Path,
    runs: Callable[[], Iterable[Path]],
    good: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Run `command` after what is done inside, unless a mistake kept it from beginning (exit status 2).

    What the command prints is seen, and how it ends is said if it fails; it changes no exit status of dlrun's.

    Args:
        folder: Of the run or the sweep, for `DLRUN_FOLDER`.
        runs: The folders of all runs, whose results are counted when all is over.
        good: Whether what ended without an error went well.
    """
    try:
        yield
    except UsageError:
        raise
    except BaseException as error:
        stopped = isinstance(error, Interrupted | KeyboardInterrupt)
        _run(command, Status.INTERRUPTED if stopped else Status.FAILED, str(error), folder, runs)
        raise
    _run(command, Status.COMPLETED if good() else Status.FAILED, "", folder, runs)


def refuse_on_end(command: str | None) -> None:
    """Refuse it where jobs of a scheduler train, whose end no process of dlrun waits for.

    Raises:
        ConfigError: There is a command.
    """
    if command:
        raise ConfigError(f"on_end={command}: is not known to a scheduler's jobs; let the scheduler tell of their end")


def _run(command: str | None, status: Status, message: str, folder: Path, runs: Callable[[], Iterable[Path]]) -> None:
    if not command:
        return
    statuses = [result.status if (result := read_result(path)) else Status.MISSING for path in runs()]
    completed, failed = statuses.count(Status.COMPLETED), statuses.count(Status.FAILED)
    told = {
        "DLRUN_STATUS": status,
        "DLRUN_MESSAGE": message.partition("\n")[0],
        "DLRUN_FOLDER": folder.resolve(),
        "DLRUN_RUNS": len(statuses),
        "DLRUN_COMPLETED": completed,
        "DLRUN_FAILED": failed,
        "DLRUN_UNFINISHED": len(statuses) - completed - failed,
    }
    environment = {**os.environ, **{name: str(value) for name, value in told.items()}}
    try:
        ended = _ended(command, environment)
    except (OSError, ValueError) as error:  # a NUL in it, for example
        log.warning("on_end: the command can't be run: %s", error)
        return
    if ended is None:
        log.warning("on_end: the command took more than %g s and was killed", SECONDS)
    elif ended:
        how = f"was killed by {signal.Signals(-ended).name}" if ended < 0 else f"ended with exit status {ended}"
        log.warning("on_end: the command %s", how)


def _ended(command: str, environment: dict[str, str]) -> int | None:
    """The exit status of the command, None if it took too long; what it has started then dies with it."""
    output = 2 if sys.stdout is sys.stderr else None  # where standard output is for a program alone
    process = subprocess.Popen(
        command, shell=True, env=environment, stdin=subprocess.DEVNULL, stdout=output, start_new_session=True
    )
    try:
        return process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
