"""Two configurations against each other: what they differ in, how much better one is, by the rule of verdicts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dlrun.errors import UsageError
from dlrun.output import few
from dlrun.report.leaderboard import Group, images_of, measured, varying
from dlrun.statistics import Pair, pair
from dlrun.store.result import Result
from dlrun.store.scan import Run

FOLDERS = ("image_folder", "image_table")
"""Data whose fingerprint is that of the pictures at the size and in the colours in which they are read."""
READ = ("data.size", "data.color")
SAME_FILES = ("data.name", "data.root", "data.table", "data.test_fraction", "data.damaged")
MOST = 5
"""Values of one side that a line names."""

MADE: dict[str, Callable[[Result], Any]] = {
    "device": lambda result: result.device,
    "threads": lambda result: result.threads,
    "dlrun": lambda result: result.versions.get("dlrun"),
    "torch": lambda result: result.versions.get("torch"),
    "commit": lambda result: str((result.git or {}).get("commit") or "")[:12],
}
"""What runs are made with, besides their settings."""


@dataclass(frozen=True)
class Versus:
    """The first configuration against the second."""

    groups: tuple[Group, Group]
    settings: dict[str, tuple[Any, Any]]
    """What differs, by field; of what an option alone has, the option."""
    made: dict[str, tuple[str, str]]
    """What they were made with, as far as that differs."""
    pair: Pair
    """Of the test accuracies after the last epoch."""
    notes: tuple[str, ...]
    """What a reader of the difference should know."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the difference; None where nothing tells how far runs lie apart."""
        if not math.isfinite(self.pair.half_width):
            return None
        return self.pair.difference - self.pair.half_width, self.pair.difference + self.pair.half_width

    @property
    def verdict(self) -> str:
        """`A is better`, `B is better`, `not told apart` or `undecided`."""
        return {"higher": "A is better", "lower": "B is better"}.get(self.pair.verdict, self.pair.verdict)


def versus(first: Group, second: Group) -> Versus:
    """Compare two configurations, each with a complete run at least.

    Raises:
        UsageError: They were tested on different pictures, or are the same runs.
    """
    runs = [group.completed() for group in (first, second)]
    if {run.folder.resolve() for run in runs[0]} & {run.folder.resolve() for run in runs[1]}:
        raise UsageError(f"compare: {runs[0][0].folder} is on both sides")
    _check_test_sets(runs[0][0], runs[1][0])
    settings = {name: (first.fields.get(name), second.fields.get(name)) for name in varying([first, second])}
    found = pair(measured(first, "test"), measured(second, "test"))
    notes = tuple(_notes(runs, settings, found))
    return Versus((first, second), settings, _made(runs), found, notes)


def _check_test_sets(first: Run, second: Run) -> None:
    """Refuse runs that were tested on different pictures."""
    one, other = (run.result.data if run.result else {} for run in (first, second))
    if one.get("fingerprint") != other.get("fingerprint") and not _are_same_files(first, second):
        said = " and ".join(f"{data.get('name')} {str(data.get('fingerprint'))[:8]}" for data in (one, other))
        raise UsageError(f"compare: tested on different data ({said}): their difference says nothing of the settings")
    limits = [run.fields.get("limit") for run in (first, second)]
    sizes = [images_of(run.fields, "test") for run in (first, second)]
    if sizes[0] != sizes[1] or (sizes[0] is None and limits[0] != limits[1]):
        said = " and ".join(f"limit={'null' if limit is None else limit}" for limit in limits)
        raise UsageError(
            f"compare: {said}: not the same test pictures; train_limit shortens the training set and leaves these alone"
        )


def _are_same_files(first: Run, second: Run) -> bool:
    """Whether the same pictures were but read at another size or in other colours, as far as the settings tell."""
    folders = all(run.fields.get("data.name") in FOLDERS for run in (first, second))
    return folders and _equal(first, second, SAME_FILES) and not _equal(first, second, READ)


def _equal(first: Run, second: Run, names: Sequence[str]) -> bool:
    return all(first.fields.get(name) == second.fields.get(name) for name in names)


def _made(runs: Sequence[Sequence[Run]]) -> dict[str, tuple[str, str]]:
    found = {}
    for name, value in MADE.items():
        sides = [dict.fromkeys(str(value(run.result)) for run in some if run.result) for some in runs]
        if set(sides[0]) != set(sides[1]):
            found[name] = (few(list(sides[0]), MOST), few(list(sides[1]), MOST))
    return found


def _notes(runs: Sequence[Sequence[Run]], settings: dict[str, Any], found: Pair) -> list[str]:
    notes = []
    fingerprints = {str((run.result.data if run.result else {}).get("fingerprint")) for some in runs for run in some}
    if len(fingerprints) > 1:
        notes.append(
            "The pictures were read at another size or in other colours, so their fingerprints do not tell that the "
            "files were the same; --pictures compares the files that are there now."
        )
    if not settings:
        seeds = [{run.fields.get("seed") for run in some} for some in runs]
        but = " but the seed" if seeds[0] != seeds[1] else ""
        notes.append(f"No setting{but} differs: what differs is chance, or what they were made with.")
    if not math.isfinite(found.error):
        notes.append(
            "One run of each on a test set of unknown size says nothing of how far another would lie "
            "(seed=0,1,2 tells)."
        )
    elif found.blind:
        notes.append(
            "A single run of fewer than ten epochs says nothing of how far another would lie (seed=0,1,2 tells)."
        )
    return notes
