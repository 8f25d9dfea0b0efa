"""All published tables on one page: how many printed numbers are reproduced, which differ, what was looked into."""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlrun import statistics as arithmetic
from dlrun.output import Column, Fields, Table, column, counted, markdown, write
from dlrun.tables.compare import Comparison
from dlrun.tables.lines import RowLine
from dlrun.tables.render import lessons_table, one_experiment, rows_table
from dlrun.text import visible

VERDICTS = ("reproduced", "close", "differs", "undecided")
OUTCOMES = ("holds", "contradicted", "open", "the same runs")
SHORT = ("row", "published", "measured", "n", "half-width (points)", "verdict")
"""Columns of a table that fit on a page with all tables."""
SHORT_LESSON = ("lesson", "published (points)", "difference (points)", "n", "p", "outcome")
REACH = 3
"""Half-widths to either side that the plot shows."""
STEPS = 8
"""Characters of the plot for one half-width."""
LABEL = 48
"""Characters of a row's name beside the plot."""


@dataclass(frozen=True)
class Calibration:
    """The spread that is expected before the second seed against the one found, over experiments with several seeds."""

    experiments: int
    squares: float
    """Sum of (n - 1) s² / v0; about as large as `degrees` where v0 fits."""
    degrees: int
    p: float
    """Of a sum at least as large."""
    unstable: int
    """Experiments left out, whose seeds differ far more than v0 explains."""


@dataclass(frozen=True)
class Overview:
    """Every table that has results."""

    comparisons: tuple[Comparison, ...]
    without: Mapping[str, int]
    """Tables that have no result yet, and how many accuracies they print."""

    @property
    def numbers(self) -> list[tuple[Comparison, RowLine]]:
        """Every printed accuracy once, in its main reading."""
        return [(one, line) for one in self.comparisons for line in main_lines(one)]


def overview(comparisons: Iterable[Comparison]) -> Overview:
    """Those with a completed run, and the names of the others."""
    every = list(comparisons)
    there = [one for one in every if any(line.n for line in one.lines)]
    without = {one.table: len(main_lines(one)) for one in every if one not in there}
    return Overview(tuple(there), without)


def main_lines(comparison: Comparison) -> list[RowLine]:
    """The lines of printed accuracies, those that only read another row's number left out."""
    return [line for line in comparison.lines if line.published is not None and line.reading_of is None]


def verdicts(lines: Iterable[RowLine]) -> Counter[str]:
    """How many there are of every verdict; without one a number is `not measured`."""
    return Counter(line.verdict or "not measured" for line in lines)


def calibration(comparisons: Iterable[Comparison]) -> Calibration | None:
    """Over all experiments with two seeds or more, readings included; None where there is none."""
    found: dict[tuple[Any, ...], RowLine] = {}
    for comparison in comparisons:
        for line in {line.row: line for line in reversed(comparison.lines)}.values():
            if line.expected_std and line.n > 1 and not line.same:
                found.setdefault((line.metric, *line.measured.items()), line)
    stable = [line for line in found.values() if not line.unstable]
    degrees = sum(line.n - 1 for line in stable)
    if not degrees:
        return None
    squares = math.fsum(_square(line) for line in stable)
    return Calibration(len(stable), squares, degrees, arithmetic.chi2_above(squares, degrees), len(found) - len(stable))


def _square(line: RowLine) -> float:
    assert line.expected_std is not None
    mean = math.fsum(line.measured.values()) / line.n
    return math.fsum((value - mean) ** 2 for value in line.measured.values()) / line.expected_std**2


# --- in words ---------------------------------------------------------------------------------------------


def headline(found: Overview) -> str:
    """The first sentences of the page."""
    counts = verdicts(line for _, line in found.numbers)
    said = [f"{counts.pop(name, 0)} {'differ' if name == 'differs' else name}" for name in VERDICTS]
    missing = counts.pop("not measured", 0)
    further = [f"{number} {name}" for name, number in counts.items()]
    sentence = f"Of {counted(len(found.numbers), 'printed number')}: {', '.join([*said, *further])}"
    lessons = Counter(lesson.outcome for one in found.comparisons for lesson in one.lessons)
    held = f"Of {counted(lessons.total(), 'lesson')}: {lessons['holds']} hold, {lessons['contradicted']} contradicted"
    same = f", {lessons['the same runs']} about the same runs" if lessons["the same runs"] else ""
    return f"{sentence}, {missing} not measured. {held}, {lessons['open']} open{same}."


def notes(found: Overview) -> list[str]:
    """What else holds for all tables."""
    said = []
    if fit := calibration(found.comparisons):
        ratio = math.sqrt(fit.squares / fit.degrees)
        apart = f"; {counted(fit.unstable, 'experiment')} with unstable seeds left out" if fit.unstable else ""
        said.append(
            f"Calibration: over {counted(fit.experiments, 'experiment')} with two seeds or more the seeds lie "
            f"{ratio:.2f} times as far apart as is expected before the second one (sum of (n - 1) s²/v0 "
            f"{fit.squares:.1f} on {fit.degrees}, p = {fit.p:.2g}{apart})."
        )
    if found.without:
        said.append(f"Without results: {', '.join(f'{name} ({number})' for name, number in found.without.items())}.")
    return said


# --- tables -----------------------------------------------------------------------------------------------


def summary_table(found: Overview) -> Table:
    """A record a table."""
    columns = [
        column("table"),
        column("numbers", right=True),
        *(column(name, right=True) for name in (*VERDICTS, "not measured")),
        Column("lessons", lambda record: record["lessons"], ("lessons",)),
    ]
    records = []
    for one in found.comparisons:
        lines, outcomes = main_lines(one), Counter(lesson.outcome for lesson in one.lessons)
        said = ", ".join(f"{outcomes[name]} {name}" for name in OUTCOMES if outcomes[name])
        records.append({"table": one.table, "numbers": len(lines), "lessons": said, **_counts(lines)})
    return Table(columns, records)


def _counts(lines: Sequence[RowLine]) -> dict[str, int]:
    counts = verdicts(lines)
    return {name: counts[name] for name in (*VERDICTS, "not measured")}


def differing_table(found: Overview) -> Table:
    """A record for every number that differs: by how much, and what was looked into."""
    columns = [
        column("table"),
        column("row"),
        column("published", right=True),
        column("measured", right=True),
        column("what was looked into", "looked_into"),
    ]
    records = [_differing(found, one, line) for one, line in found.numbers if line.verdict == "differs"]
    return Table(columns, records)


def _differing(found: Overview, comparison: Comparison, line: RowLine) -> dict[str, Any]:
    assert line.published is not None
    assert line.mean is not None
    others = [
        f"read as {other.label}: {other.mean:.{other.digits}f} ({other.verdict})"
        for one in found.comparisons
        for other in one.lines
        if other.reads == (comparison.table, line.label) and other.mean is not None
    ]
    parts = [line.looked_into, line.note, *(f"{remark}." for remark in line.remarks), *others]
    return {
        "table": comparison.table,
        "row": line.label,
        "published": f"{line.published:.{line.digits}f}",
        "measured": f"{line.mean:.{line.digits}f} (n = {line.n})",
        "looked_into": " ".join(part for part in parts if part) or "nothing yet",
    }


def short_tables(comparison: Comparison) -> list[Table]:
    """Rows and lessons with the columns that fit."""
    rows = rows_table(comparison)
    tables = [_only(dataclasses.replace(rows, notes=[*rows.notes[:1], *one_experiment(comparison)]), SHORT)]
    return [*tables, _only(lessons_table(comparison), SHORT_LESSON)] if comparison.lessons else tables


def _only(table: Table, titles: Sequence[str]) -> Table:
    return dataclasses.replace(table, columns=[item for item in table.columns if item.title in titles])


# --- the plot ---------------------------------------------------------------------------------------------


def placed(found: Overview) -> list[tuple[Comparison, RowLine]]:
    """Measured numbers with an uncertainty: the one farthest above its printed number first, farthest below last."""
    known = [(one, line) for one, line in found.numbers if line.normalized_error is not None]
    return sorted(known, key=lambda pair: -(pair[1].normalized_error or 0.0))


def plot(found: Overview) -> str:
    """The plot as lines of text."""
    rows = placed(found)
    width = max((min(len(_name(one, line)), LABEL) for one, line in rows), default=0)
    head = " " * width + "  " + _ruler()
    lines = [f"{_cut(_name(one, line)):<{width}}  {_strip(line)}  {line.verdict}" for one, line in rows]
    return "\n".join([head, *lines]) + "\n" if rows else ""


def _name(comparison: Comparison, line: RowLine) -> str:
    best = ", best epoch" if line.metric == "best_accuracy" else ""
    return visible(f"{comparison.table} {line.row} {line.label}{best}")


def _cut(text: str) -> str:
    return text if len(text) <= LABEL else text[: LABEL - 1] + "…"


def _ruler() -> str:
    marks = {-1: "-1", 0: "0", 1: "+1"}
    line = [" "] * (2 * REACH * STEPS + 1)
    for place, text in marks.items():
        at = (place + REACH) * STEPS - len(text) + 1
        line[at : at + len(text)] = text
    return "".join(line)


def _strip(line: RowLine) -> str:
    """`o` where the difference is, in half-widths of its 95 % interval; `<` or `>` beyond the plot."""
    error = line.normalized_error or 0.0
    signs = ["."] * (2 * REACH * STEPS + 1)
    for mark in (-1, 0, 1):
        signs[(mark + REACH) * STEPS] = "|"
    at = round((error + REACH) * STEPS)
    if at < 0 or at >= len(signs):
        signs[0 if at < 0 else -1] = "<" if at < 0 else ">"
    else:
        signs[at] = "o"
    return "".join(signs)


# --- forms ------------------------------------------------------------------------------------------------

UNITS = (
    "Measured less published, in half-widths of its own 95 % interval, which holds the published run's own chance: "
    "between -1 and +1 the two may be one experiment."
)


def render(found: Overview, form: str, width: int | None = None) -> str:
    """All of it as text of one of `dlrun.output.FORMATS`; CSV has the rows, JSON everything."""
    if form == "json":
        values = {"headline": headline(found), **dataclasses.asdict(found)}
        return json.dumps(values, indent=2, allow_nan=False) + "\n"
    if form == "csv":
        return write(_all_rows(found), form)
    heading = (lambda text: f"## {markdown(text)}\n\n") if form == "md" else (lambda text: f"{text}\n")
    fence = ("```text\n", "```\n") if form == "md" else ("", "")
    parts = [headline(found) + "\n", write(summary_table(found), form, width)]
    parts += [f"{markdown(note) if form == 'md' else note}\n" for note in notes(found)]
    if picture := plot(found):
        parts.append(f"{heading('Differences')}{UNITS}\n\n{fence[0]}{picture}{fence[1]}")
    differing = differing_table(found)
    none = "No measured number differs.\n"
    parts.append(heading("What differs") + (write(differing, form, width) if differing.records else none))
    for one in found.comparisons:
        tables = [write(table, form, width) for table in short_tables(one)]
        parts.append((f"## {one.table}\n\n" if form == "md" else "") + "\n".join(tables))
    return "\n".join(parts)


def _all_rows(found: Overview) -> Table:
    """The rows of all tables as one, for spreadsheets."""
    tables = [(one.table, rows_table(one, readings=True)) for one in found.comparisons]
    columns = {item.title: item for _, table in tables for item in table.columns}
    records: list[Fields] = [{"table": name, **record} for name, table in tables for record in table.records]
    return Table([column("table"), *columns.values()], records)
