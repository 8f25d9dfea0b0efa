"""Signals that ask a run to stop are noted, so that it can end at a step and save."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dlrun.errors import Interrupted

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]


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

    def notice(number: int, _frame: Any) -> None:
        if noticed.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        noticed.signal = number
        if noticed.at_once:
            raise _AtOnce

    if threading.current_thread() is not threading.main_thread():
        yield noticed
        return
    before = {number: signal.signal(number, notice) for number in STOP_SIGNALS}
    try:
        yield noticed
    except _AtOnce:
        assert noticed.signal is not None
        name = signal.Signals(noticed.signal).name
        raise Interrupted(f"stopped by {name} before training began", noticed.signal) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
