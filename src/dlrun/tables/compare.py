"""Published beside measured: the lines of a table, its lessons, readings and foot (no torch)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dlrun import statistics as arithmetic
from dlrun.store.result import Result
from dlrun.store.status import Status
from dlrun.tables.entries import (
    PLAIN,
    Entry,
    beside_in_runs,
    entries_of,
    experiments_of,
    is_printed,
    judged_together,
    printed_beside,
    printed_together,
    reference_of,
)
from dlrun.tables.lessons import LessonLine, Recipe, lessons_of, recipes_of
from dlrun.tables.lines import RowLine, adjusted_for_all, line_of
from dlrun.tables.planned import Found
from dlrun.tables.readings import Held, RowBlock, block
from dlrun.tables.table import PublishedTable, Reference, Row


@dataclass(frozen=True)
class Comparison:
    """A published table beside its runs."""

    table: str
    path: str
    """Of the file, below the folder that holds `configs`."""
    title: str
    document: str
    heading: str
    digits: int
    seeds: int
    changes: tuple[str, ...]
    """The user's overrides, where they make a row another experiment than the published one."""
    lines: tuple[RowLine, ...]
    lessons: tuple[LessonLine, ...]
    recipes: tuple[Recipe, ...]
    """By time, the quickest first; none where one row is the quickest and the best."""
    readings: tuple[RowBlock, ...]
    """Of rows that name their reading."""
    foot: arithmetic.Foot | None
    """Over the experiments that have a published number, each counted once."""
    rank: arithmetic.Rank | None
    """Kendall's tau-b between the published and the measured order."""
    failures: tuple[str, ...]
    """A sentence for every failed run."""
    made: dict[str, list[str]] = field(default_factory=dict)
    """Every `device`, `precision`, `threads`, `versions`, `data` among the completed runs."""
    records: dict[str, int] = field(default_factory=dict)
    """By file of records the trainings that rows rest on; one that several rows share, or begin with, counts once."""

    @property
    def warning(self) -> str:
        """What stands above all verdicts where the user's overrides changed what was run; else empty."""
        return f"Not the published settings: run with {' '.join(self.changes)}" if self.changes else ""


def compare(
    table: PublishedTable,
    rows: Sequence[Row],
    found: Sequence[Found],
    own: Sequence[str] = (),
) -> Comparison:
    """Compare some rows of a table with the runs found for them.

    Rows that the user's `own` overrides make other experiments get no verdict, and no lesson or rank rests on them.
    Lessons that name rows of other tables rest on those of `found` that were planned for `table.others`.
    """
    by_row: dict[Reference, list[Found]] = defaultdict(list)
    for one in found:
        by_row[reference_of(one.planned.row)].append(one)
    entries = [entry for row in rows for entry in entries_of(table, row, by_row[reference_of(row)])]
    adjusted = adjusted_for_all(table, entries)
    confirmed = any(entry.confirms for entry in entries)
    here = [one for row in rows for one in by_row[reference_of(row)]]
    changed = any(one.planned.changed for one in here)
    completed = [one.result for one in here if one.status == Status.COMPLETED and one.result]
    main = [entry for entry in entries if entry.main and entry.comparable and not entry.row.reading_of]
    experiments = experiments_of(main)
    return Comparison(
        table=table.name,
        path=f"configs/table/{table.path.name}",
        title=table.title,
        document=table.document,
        heading=table.heading,
        digits=table.digits,
        seeds=max((len({one.planned.seed for one in by_row[reference_of(row)]}) for row in rows), default=0),
        changes=tuple(own) if changed else (),
        lines=tuple(line_of(table, entry, adjusted.get(id(entry)), confirmed) for entry in entries),
        lessons=lessons_of(table, rows, by_row),
        recipes=recipes_of(table, main, by_row),
        readings=_readings(entries),
        foot=arithmetic.foot([one for one in map(judged_together, experiments) if one and one.known]),
        rank=arithmetic.rank(
            [printed_together(one).centre for one in experiments],
            [one[0].runs.mean for one in experiments if one[0].runs],
        ),
        failures=tuple(_failure(one) for one in here if one.status == Status.FAILED),
        made=_made(completed),
        records=_trainings(here),
    )


def _failure(found: Found) -> str:
    error = (found.result.error if found.result else None) or {}
    planned = found.planned
    return f"Row {planned.row.number} ({planned.row.label}), seed {planned.seed} failed: {error.get('message')}"


def _readings(entries: Sequence[Entry]) -> tuple[RowBlock, ...]:
    """The readings of each table whose numbers are read, as far as its rows were asked for."""
    blocks: dict[str, dict[str, dict[str, Entry]]] = defaultdict(lambda: defaultdict(dict))
    for entry in entries:
        if entry.row.reading and entry.main and entry.printed_number is not None:
            printed = entry.row.printed_in
            blocks[printed.table][printed.label].setdefault(entry.row.reading, entry)
    return tuple(
        block(
            table,
            {
                label: (one.printed_number, one.row.digits, {name: _held(entry) for name, entry in readings.items()})
                for label, readings in rows.items()
                for one in [next(iter(readings.values()))]
            },
        )
        for table, rows in blocks.items()
    )


def _held(entry: Entry) -> Held:
    judged, likelihoods = entry.judged, {}
    if judged and judged.known:
        likelihoods[entry.metric] = judged.log_likelihood
        done = [one for one in entry.found if one.status == Status.COMPLETED]
        for name in PLAIN:
            if is_printed(entry.published, name):
                values = beside_in_runs(entry, done, name)
                found = arithmetic.plain(values, printed_beside(entry, name)) if values else None
                if found and found.log_likelihood is not None:
                    likelihoods[name] = found.log_likelihood
    row, n = entry.row, len(entry.measured)
    return Held(
        label=row.label,
        n=n,
        mean=judged.runs.mean if judged else None,
        difference=judged.difference if judged else None,
        log_likelihood=likelihoods,
        reaches=judged.reached if judged else None,
        main=row.printed_in in (row.same_as, Reference(row.table, row.label)),
        uncounted=tuple(name for name in PLAIN if is_printed(entry.published, name)) if 0 < n < 3 else (),
    )


def _trainings(found: Sequence[Found]) -> dict[str, int]:
    """By file of records how many trainings there are of it."""
    several: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for one in found:
        if one.status == Status.COMPLETED and one.record:
            epochs = one.longer or one.planned.config.epochs
            several[one.source].add((one.record.any_length, one.planned.seed, epochs, one.record.environment))
    return {source: len(trainings) for source, trainings in sorted(several.items())}


def _made(results: Sequence[Result]) -> dict[str, list[str]]:
    """What the numbers rest on, every value that occurs."""
    sets: dict[str, set[str]] = {
        "device": set(),
        "precision": set(),
        "threads": set(),
        "versions": set(),
        "data": set(),
    }
    for result in results:
        sets["device"].add(result.device)
        sets["precision"].add(result.precision)
        sets["threads"].add(str(result.threads))
        sets["versions"] |= {
            f"{name} {result.versions[name]}" for name in ("dlrun", "torch") if name in result.versions
        }
        sets["data"].add(_data(result))
    return {name: sorted(values) for name, values in sets.items()}


def _data(result: Result) -> str:
    verified = "verified" if result.data.get("verified") else "NOT the official files"
    return f"{result.data.get('name')} ({verified}, {str(result.data.get('fingerprint'))[:8]})"
