"""Signals that ask to stop: a run notes them, so that it can end at a step and save; else Ctrl-C ends the command."""

import atexit
import contextlib
import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from dlrun.errors import Interrupted

STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
]
LAST_SECONDS = 3.0
"""What a command gets for cleaning up after Ctrl-C before it is ended."""


def to_catch() -> list[int]:
    """`STOP_SIGNALS`, less HUP where it is ignored: `nohup dlrun …` outlives its terminal."""
    ignored = signal.SIG_IGN
    return [
        number
        for number in STOP_SIGNALS
        if signal.Signals(number).name != "SIGHUP" or signal.getsignal(number) != ignored
    ]


@contextlib.contextmanager
def ctrl_c_ends(*, last: bool) -> Iterator[None]:
    """Let Ctrl-C end this command for sure, not only raise KeyboardInterrupt.

    An exception that is raised while modules are imported runs through other people's C code, some of which
    swallows it or crashes of it: there the process is ended at once. Elsewhere it is after `LAST_SECONDS`.

    Args:
        last: The process ends with the command. From then on Ctrl-C raises nothing, since the command has its status
            and its sentence; if something holds the process up, it is ended after `LAST_SECONDS`.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        leave_if_importing(number, frame)
        _leave_later(number)
        raise KeyboardInterrupt

    if last:
        atexit.register(_ignore_ctrl_c)  # first of all, so that it is called last of all
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        if last:
            signal.signal(signal.SIGINT, lambda number, _: _leave_later(number))
        else:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _stay()


def _leave_later(number: int) -> None:
    if hasattr(signal, "setitimer") and not signal.getitimer(signal.ITIMER_REAL)[0]:  # again and again is no delay
        signal.signal(signal.SIGALRM, lambda *_: _leave(number))
        signal.setitimer(signal.ITIMER_REAL, LAST_SECONDS)


def _stay() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _ignore_ctrl_c() -> None:
    """Before Python gives every signal its default again, of which the process would die in place of its status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _stay()


def let_go_of_terminal(number: int) -> None:
    """After HUP: a terminal that is gone answers every write with an error, which would pass for the run's failure."""
    if signal.Signals(number).name != "SIGHUP":
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nothing, stream)
    os.close(nothing)


def leave_if_importing(number: int, frame: FrameType | None) -> None:
    """End this process with status 128 + `number` if a module is being imported where the signal came."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _leave(number)
        frame = frame.f_back


def _leave(number: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # it may be in the middle of a write
            stream.flush()
    with contextlib.suppress(OSError):
        os.write(2, b"dlrun: stopped\n")
    os._exit(128 + number)


@dataclass
class Noticed:
    """The last signal that asked the run to stop."""

    signal: int | None = None
    at_once: bool = False
    """Whether a signal ends the run where it stands, since there is nothing yet that must be saved."""


class _AtOnce(BaseException):
    """Passes through whatever is under way; reading data catches every Exception."""


@contextlib.contextmanager
def noticing_signals() -> Iterator[Noticed]:
    """Note the signals that ask to stop instead of dying of them; a second Ctrl-C ends the run at once.

    Raises:
        Interrupted: A signal came while `at_once` was set.
    """
    noticed = Noticed()

    def notice(number: int, frame: Any) -> None:
        if noticed.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        let_go_of_terminal(number)
        noticed.signal = number
        if noticed.at_once:
            leave_if_importing(number, frame)
            raise _AtOnce

    if threading.current_thread() is not threading.main_thread():
        yield noticed
        return
    before = {number: signal.signal(number, notice) for number in to_catch()}
    try:
        yield noticed
    except _AtOnce:
        assert noticed.signal is not None
        name = signal.Signals(noticed.signal).name
        raise Interrupted(f"stopped by {name} before training began", noticed.signal) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
