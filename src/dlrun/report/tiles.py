"""What the page opens with: a few numbers, and which runs belong together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dlrun.output import Table, duration
from dlrun.report.leaderboard import Board, Group, accuracies
from dlrun.statistics import SeedMean
from dlrun.store.scan import Run
from dlrun.store.status import Status
from dlrun.tables.compare import Comparison
from dlrun.tables.lines import NOT_COMPARABLE
from dlrun.tables.overview import main_lines


@dataclass(frozen=True)
class LabelledRuns:
    """Runs that belong together (seeds of one configuration, of one row), by what they are called."""

    label: str
    runs: Sequence[Run]


@dataclass(frozen=True)
class LabelledBoard:
    """A board of the page, the best first: its table, and in the order of its rows what each one is of."""

    board: Board
    table: Table
    entries: Sequence[LabelledRuns]
    groups: Sequence[Group]


@dataclass(frozen=True)
class Tile:
    """One number that the page opens with."""

    title: str
    value: str
    note: str = ""


MOST_BEST = 3
"""Boards whose best is among the numbers at the top."""


def tiles(runs: Sequence[Run], boards: Sequence[LabelledBoard], comparison: Comparison | None) -> list[Tile]:
    """The numbers at the top: how good, how many, how large, how long."""
    first = _verdict_tiles(comparison) if comparison else _best_tiles(boards)
    counts = Counter(run.status for run in runs)
    others = ", ".join(f"{number} {status}" for status, number in counts.items() if status != Status.COMPLETED)
    seconds = sum(run.result.seconds.get("total", 0.0) for run in runs if run.result)
    size = _parameters(runs)
    return [
        *first,
        _progress(runs[0])
        if len(runs) == 1
        else Tile("runs completed", f"{counts[Status.COMPLETED]} of {len(runs)}", others),
        *([Tile("parameters", size)] if size else []),
        Tile("time of all runs" if len(runs) > 1 else "time", duration(seconds)),
    ]


def _progress(run: Run) -> Tile:
    return Tile("epochs", f"{run.epoch} of {run.fields.get('epochs', '?')}", run.status)


def _parameters(runs: Sequence[Run]) -> str:
    sizes = {run.result.parameters.get("total") for run in runs if run.result}
    return f"{sizes.pop():,}" if len(sizes) == 1 and None not in sizes else ""


def _verdict_tiles(comparison: Comparison) -> list[Tile]:
    lines = main_lines(comparison)
    verdicts = Counter(line.verdict for line in lines if line.verdict not in (None, NOT_COMPARABLE))
    judged = ", ".join(f"{verdicts[name]} {name}" for name in ("close", "undecided", "differs") if verdicts[name])
    tiles = []
    if verdicts:
        tiles.append(Tile("numbers reproduced", f"{verdicts['reproduced']} of {verdicts.total()}", judged))
    if comparison.lessons:
        held = sum(lesson.outcome == "holds" for lesson in comparison.lessons)
        tiles.append(Tile("lessons that hold", f"{held} of {len(comparison.lessons)}"))
    if rank := comparison.rank:
        tiles.append(Tile("rank agreement", f"{rank.tau:+.2f}", f"Kendall's tau-b, {rank.rows} rows"))
    return tiles


def _best_tiles(boards: Sequence[LabelledBoard]) -> list[Tile]:
    several = len(boards) > 1
    return [
        tile
        for one in boards[:MOST_BEST]
        for tile in _accuracy_tiles(one.entries, one.board.split, one.board.title if several else "")
    ]


def _accuracy_tiles(entries: Sequence[LabelledRuns], split: str, title: str) -> list[Tile]:
    best = max(entries, key=lambda entry: _mean(entry.runs, split), default=None)
    spread = SeedMean.of(accuracies(best.runs, split)) if best else None
    if best is None or spread is None:
        return []
    alone = len(entries) == 1
    note = f"{best.label}; {title}" if title else "after the last epoch" if alone else best.label
    found = [Tile(f"{'' if alone else 'best '}{split} accuracy", spread.text(4), note)]
    tested = SeedMean.of(accuracies(best.runs, "test"))
    if split == "val" and tested is not None:
        found.append(Tile("its test accuracy", tested.text(4), "no part of the choice"))
    return found


def _mean(runs: Sequence[Run], split: str) -> float:
    spread = SeedMean.of(accuracies(runs, split))
    return spread.mean if spread else -1.0
