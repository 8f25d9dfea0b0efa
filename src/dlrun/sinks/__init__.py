"""What listens to a run: each sink is a callable that takes the events of `dlrun.events`."""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from dlrun.events import Sink

log = logging.getLogger("dlrun")

S = TypeVar("S", bound=Sink)
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
    """A sink that a run can do without: when it fails, it is dropped with one warning.

    Args:
        what: Its name in the warning.
        make: Gives the sink.
    """

    def __init__(self, what: str, make: Callable[[], S]) -> None:
        self.what = what
        self.sink = attempt(what, make)

    def do(self, action: Callable[[S], object]) -> None:
        """Do something with the sink, unless it has failed before."""
        sink = self.sink
        if sink is not None and attempt(self.what, lambda: action(sink) or True) is None:
            self.sink = None
