"""What listens to a run: each sink is a callable that takes the events of `dlrun.training.events`."""

import contextlib
import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from dlrun.training.events import Event

log = logging.getLogger("dlrun")


class Closable(Protocol):
    """A sink with files to close."""

    def __call__(self, event: Event) -> None:
        """Take an event."""

    def close(self) -> None:
        """Close the files; may be called once only."""


S = TypeVar("S", bound=Closable)
T = TypeVar("T")


def attempt(what: str, action: Callable[[], T]) -> T | None:
    """What `action` returns; where it fails, a warning that names `what`, and None."""
    try:
        return action()
    except Exception as error:
        log.warning("%s failed, the run goes on without: %s: %s", what, type(error).__name__, error)
        log.debug("%s failed", what, exc_info=True)
        return None


class Guarded(Generic[S]):
    """A sink that a run can do without: when it fails, it is closed and dropped with one warning.

    Args:
        what: Its name in the warning.
    """

    def __init__(self, what: str, sink: S) -> None:
        self.what = what
        self.sink: S | None = sink

    def do(self, action: Callable[[S], object]) -> None:
        """Do something with the sink, unless it has failed before."""
        sink = self.sink
        if sink is not None and attempt(self.what, lambda: action(sink) or True) is None:
            self.sink = None
            with contextlib.suppress(Exception):
                sink.close()
