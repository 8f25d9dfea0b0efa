"""Sinks from the config (`sinks: [mlflow, my.Sink]`): told of each epoch in a thread, so that training never waits."""

import importlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dlrun.config.targets import named
from dlrun.errors import ConfigError, UsageError, did_you_mean
from dlrun.extras import command
from dlrun.sinks import attempt
from dlrun.store.result import Result
from dlrun.store.status import Status
from dlrun.training.events import EpochEnded, Event

log = logging.getLogger("dlrun")

READY = ("mlflow", "wandb", "trackio")
"""The sinks of `dlrun.sinks.trackers`; each is called as the package that it needs."""
LINGER = 60.0
"""Seconds that a sink gets at the end of a run for what it has not yet passed on."""
LINGER_STOPPED = 20.0
"""The same after a signal: a sweep kills after 30."""


@dataclass(frozen=True)
class About:
    """What a sink is given of the run when it begins."""

    folder: Path
    name: str
    hash: str
    config: dict[str, Any]
    """The resolved config as plain values, groups as dicts."""
    parameters: int
    """Of the network."""
    epoch: int
    """Epochs that were done before: 0 unless the run is resumed."""


Make = Callable[[About], Any]
"""A class or function that gives a sink: it is called with every `EpochEnded`, and its `close(result)`, if it has one,
at the end with the `Result` (None if none could be written)."""


def check_sinks(names: Sequence[str]) -> None:
    """Find what can be found without importing anything.

    Raises:
        ConfigError: A name is neither that of a ready sink nor a dotted one.
        UsageError: The package of a ready sink is not installed.
    """
    for name in names:
        if name in READY:
            spec = find_spec(name)
            if spec is None or spec.origin is None:  # a folder wandb/, where wandb leaves its files, is no package
                raise UsageError(f"sinks=[{name}]: needs {name}; install it with:\n{command(name)}")
        elif "." not in name:
            ready = ", ".join(READY)
            raise ConfigError(
                f"sinks=[{name}]: no such sink{did_you_mean(name, READY)} "
                f"(there are {ready}; one of your own is package.Class)"
            )


def makers(names: Sequence[str]) -> dict[str, Make]:
    """What makes the sinks, by name. Importing takes a while, and would slow down the first steps from a thread.

    Raises:
        ConfigError: One can't be imported.
    """
    return {name: _maker(name) for name in names}


def _maker(name: str) -> Make:
    where = f"sinks=[{name}]: "
    if name not in READY:
        make: Make = named(name, where)
        return make
    try:
        importlib.import_module(name)
    except Exception as error:
        raise ConfigError(f"{where}importing {name} failed: {type(error).__name__}: {error}") from error
    from dlrun.sinks.trackers import SINKS

    return SINKS[name]


class Told:
    """A sink in a thread of its own. What it raises is said, and ends the sink alone."""

    def __init__(self, name: str, make: Make, about: About) -> None:
        self.name = name
        self.events: queue.SimpleQueue[EpochEnded | _End] = queue.SimpleQueue()
        # A daemon: Python does not wait at its end for a sink that hangs.
        self.thread = threading.Thread(target=self._work, args=(make, about), name=f"sink {name}", daemon=True)
        self.thread.start()

    def __call__(self, event: Event) -> None:
        """Pass on an epoch that has ended."""
        if isinstance(event, EpochEnded):
            self.events.put(event)

    def close(self, result: Result | None) -> None:
        """Let the sink take what is left, for `LINGER` seconds."""
        self.events.put(_End(result))
        seconds = LINGER_STOPPED if result is None or result.status == Status.INTERRUPTED else LINGER
        self.thread.join(seconds)
        if self.thread.is_alive():
            log.warning("sink %s has not taken everything in %g s after the run, and is left", self.name, seconds)

    def _work(self, make: Make, about: About) -> None:
        attempt(f"sink {self.name}", lambda: self._tell(make, about))

    def _tell(self, make: Make, about: About) -> None:
        try:
            sink = make(about)
            for event in self._taken():
                sink(event)
            if hasattr(sink, "close"):
                sink.close(self.ended.result)
        except SystemExit as error:  # the end of a thread alone, which nobody would notice
            raise RuntimeError(f"it called sys.exit({error.code})") from error

    def _taken(self) -> Iterator[EpochEnded]:
        while isinstance(event := self.events.get(), EpochEnded):
            yield event
        self.ended = event


@dataclass(frozen=True)
class _End:
    result: Result | None
