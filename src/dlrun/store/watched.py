"""Runs looked at again and again while they go on."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dlrun.store import scan
from dlrun.store.scan import Run
from dlrun.store.status import Status

SEARCH_SECONDS = 10.0
"""Between two searches for new ones, which takes longer where there are thousands."""


@dataclass
class Watched:
    """The runs below some folders; those that are at their end are read once, not at every look."""

    paths: Sequence[Path]
    searched: float = float("-inf")
    folders: Sequence[Path] = ()
    ended: dict[Path, tuple[float, Run]] = field(default_factory=dict)
    """With when they changed last: an end may be followed by an extension."""
    damaged: list[str] = field(default_factory=list)
    """Sentences about those that could not be read at the last look."""

    def look(self) -> list[Run]:
        """All runs as they are now, damaged ones left out.

        Raises:
            UsageError: A path is no folder.
        """
        if time.monotonic() - self.searched >= SEARCH_SECONDS:
            self.folders, self.searched = scan.find(self.paths), time.monotonic()
        runs = []
        self.damaged = []
        for folder in self.folders:
            changed = scan.changed(folder)
            known = self.ended.get(folder)
            if known is not None and known[0] == changed:
                runs.append(known[1])
                continue
            found, damaged = scan.read([folder])
            runs += found
            self.damaged += damaged
            if found and found[0].status == Status.COMPLETED:
                self.ended[folder] = (changed, found[0])
        return runs
