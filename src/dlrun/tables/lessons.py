"""What a source concludes from its rows, and which of them are worth their time, by the runs (no torch)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dlrun import statistics as arithmetic
from dlrun.store.status import Status
from dlrun.tables.entries import Entry, finite, mean_of, measured_of, printed_of, reference_of, runs_of, same_runs
from dlrun.tables.planned import Found
from dlrun.tables.table import Lesson, PublishedTable, Reference, Row


@dataclass(frozen=True)
class LessonLine:
    """One claim and what the runs say of it; `difference` is first row less second, as a fraction."""

    claim: str
    rows: tuple[str, str]
    direction: str
    margin: float
    """Of `not better`."""
    n: tuple[int, int]
    published: float | None
    """The difference in print."""
    by_chance: float | None
    """How far apart the printed numbers may lie where neither row is better (95 %), by the variances of the runs."""
    difference: float | None
    error: float | None
    """Standard error of the difference."""
    p: float | None
    """Two-sided, adjusted for the lessons of the table."""
    chance: float | None
    """That the next run of the first beats the next run of the second."""
    outcome: str
    """`holds`, `contradicted`, `open`, or `the same runs`."""

    @property
    def within_chance(self) -> bool:
        """Whether a difference is claimed that the printed numbers alone do not show."""
        if self.direction == "not better" or self.published is None or self.by_chance is None:
            return False
        return abs(self.published) <= self.by_chance


@dataclass(frozen=True)
class Recipe:
    """A row that no quicker one beats."""

    row: int
    label: str
    epochs: int
    seconds: float
    """Mean time of a whole run."""
    n: int
    mean: float
    digits: int
    chance: float | None
    """That its next run beats the next run of the recipe before it; None of the first."""


def lessons_of(
    table: PublishedTable, rows: Sequence[Row], by_row: dict[Reference, list[Found]]
) -> tuple[LessonLine, ...]:
    """The lessons all of whose own rows were asked for and run as published."""
    asked = {reference_of(row): row for row in (*rows, *table.others)}
    changed = {reference for reference, runs in by_row.items() if any(one.planned.changed for one in runs)}
    kept = [one for one in table.lessons if all(ref in asked and ref not in changed for ref in one.rows)]
    pairs: dict[int, arithmetic.Pair] = {}
    by_chance: dict[int, float | None] = {}
    same = set()
    for place, lesson in enumerate(table.lessons):
        first, second = (asked.get(reference) for reference in lesson.rows)
        runs = [by_row[reference] for reference in lesson.rows]
        if first and second and same_runs(runs[0]) == same_runs(runs[1]):
            same.add(place)
        elif lesson in kept and first and second:
            a, b = (_in_lesson(table, row, its) for row, its in zip((first, second), runs, strict=True))
            if a and b:
                pairs[place] = arithmetic.pair(a, b)
                by_chance[place] = _by_chance(table, (first, second), (a, b))
    family = [place for place in range(len(table.lessons)) if place not in same]
    adjusted = dict(
        zip(
            family,
            arithmetic.holm([pairs[place].p if place in pairs else 1.0 for place in family]),
            strict=True,
        )
    )
    return tuple(
        _lesson_line(
            table,
            lesson,
            by_row,
            pairs.get(place),
            adjusted.get(place),
            _InPrint(_difference(table, lesson, asked), by_chance.get(place)),
        )
        for place, lesson in enumerate(table.lessons)
        if lesson in kept
    )


def _in_lesson(table: PublishedTable, row: Row, found: Sequence[Found]) -> arithmetic.Measured | None:
    done = [one for one in found if one.status == Status.COMPLETED and one.result]
    runs = runs_of(done, table.metric, measured_of(done, table.metric))
    if runs is None:
        return None
    if row.deterministic:
        return arithmetic.exactly(runs.mean)
    printed = _printed(table, row, done)
    return arithmetic.Measured(runs, arithmetic.spread(runs, printed.centre if printed else None))


def _printed(table: PublishedTable, row: Row, found: Sequence[Found]) -> arithmetic.Printed | None:
    number = getattr(row.published, table.metric)
    return None if number is None else printed_of(row, number, row.published, True, found)


class _InPrint(NamedTuple):
    difference: float | None
    by_chance: float | None
    """As of `LessonLine`."""


def _by_chance(
    table: PublishedTable, rows: tuple[Row, Row], measured: tuple[arithmetic.Measured, arithmetic.Measured]
) -> float | None:
    """None where a number is not printed, or nothing tells how far runs lie apart."""
    first, second = (_printed(table, row, ()) for row in rows)
    if first is None or second is None or any(one.blind for one in measured):
        return None
    return finite(arithmetic.apart_in_print((first, measured[0].spread), (second, measured[1].spread)))


def _difference(table: PublishedTable, lesson: Lesson, rows: dict[Reference, Row]) -> float | None:
    """Of the printed numbers; None where one of them is not printed."""
    first, second = (getattr(rows[reference].published, table.metric) for reference in lesson.rows)
    return None if first is None or second is None else first - second


def _lesson_line(
    table: PublishedTable,
    lesson: Lesson,
    by_row: dict[Reference, list[Found]],
    found: arithmetic.Pair | None,
    p: float | None,
    in_print: _InPrint,
) -> LessonLine:
    counts = [
        len(measured_of([one for one in by_row[ref] if one.status == Status.COMPLETED], table.metric))
        for ref in lesson.rows
    ]
    outcome = "the same runs" if p is None else "open"
    if found and p is not None:
        outcome = arithmetic.lesson(found, lesson.direction, p, lesson.margin)
    names = [ref.label if ref.table == table.name else f"{ref.label} ({ref.table})" for ref in lesson.rows]
    return LessonLine(
        claim=lesson.claim,
        rows=(names[0], names[1]),
        direction=lesson.direction,
        margin=lesson.margin,
        n=(counts[0], counts[1]),
        published=in_print.difference,
        by_chance=in_print.by_chance,
        difference=found.difference if found else None,
        error=finite(found.error) if found else None,
        p=p if found else None,
        chance=_chance(found) if found else None,
        outcome=outcome,
    )


def recipes_of(
    table: PublishedTable, entries: Sequence[Entry], by_row: dict[Reference, list[Found]]
) -> tuple[Recipe, ...]:
    """The rows that no quicker row beats, experiments that several rows share once."""
    measured: dict[tuple[Any, ...], tuple[float, Entry, arithmetic.Measured]] = {}
    for entry in entries:
        runs = _in_lesson(table, entry.row, by_row[reference_of(entry.row)])
        seconds = mean_of([one.result.seconds["total"] for one in entry.found if _is_timed(one) and one.result])
        if runs and seconds:
            measured.setdefault(same_runs(entry.found), (seconds, entry, runs))
    found: list[Recipe] = []
    before: arithmetic.Measured | None = None
    for seconds, entry, runs in sorted(measured.values(), key=lambda one: (one[0], -one[2].runs.mean)):
        if before and runs.runs.mean <= before.runs.mean:
            continue
        row, chance = entry.row, _chance(arithmetic.pair(runs, before)) if before else None
        epochs = entry.found[0].planned.config.epochs
        found.append(
            Recipe(row.number, row.label, epochs, seconds, len(entry.measured), runs.runs.mean, row.digits, chance)
        )
        before = runs
    return tuple(found) if len(found) > 1 else ()


def _chance(found: arithmetic.Pair) -> float | None:
    """That the first beats the second; None where nothing tells how far runs lie apart."""
    return found.chance if math.isfinite(found.error) else None


def _is_timed(found: Found) -> bool:
    return found.status == Status.COMPLETED and found.result is not None and "total" in found.result.seconds
