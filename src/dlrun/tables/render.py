"""A comparison for the terminal, Markdown, CSV, LaTeX and JSON."""

import dataclasses
import json
from typing import Any

from dlrun.records.summary import ranges
from dlrun.report.output import Column, Record, Table, column, counted, write
from dlrun.tables.compare import Comparison, LessonLine, Line

MOST_REPEATS = 5
"""Seeds with several results that are written out."""


def render(comparison: Comparison, form: str, width: int | None = None) -> str:
    """The comparison as text of one of `dlrun.report.output.FORMATS`.

    CSV holds the rows only, accuracies as fractions; JSON holds everything; the others also have the lessons.
    """
    if form == "json":
        return json.dumps(dataclasses.asdict(comparison), indent=2, allow_nan=False) + "\n"
    rows = rows_table(comparison, readings=form in ("md", "csv"))
    if form == "csv" or not comparison.lessons:
        return write(rows, form, width)
    return write(rows, form, width) + "\n" + write(lessons_table(comparison), form, width)


def rows_table(comparison: Comparison, readings: bool = False) -> Table:
    """A record for every published number; `readings` adds training accuracies and the rows' notes."""
    records = [_record(line) for line in comparison.lines]
    columns = _columns(comparison.digits) + (_training_columns(comparison.digits) if readings else [])
    notes = _summary(comparison) + (_readings(comparison) if readings else [])
    return Table(columns, records, f"{comparison.title} ({comparison.table})", notes)


def lessons_table(comparison: Comparison) -> Table:
    """A record for every lesson."""
    columns = [
        column("lesson", "claim"),
        Column("means", _claimed, ("first", "direction", "second")),
        Column("difference (points)", lambda record: _points(record["difference"]), ("difference",), right=True),
        Column("standard error", lambda record: _points(record["error"], sign=""), ("error",), right=True),
        column("n", right=True),
        column("outcome"),
    ]
    return Table(columns, [_lesson_record(line) for line in comparison.lessons])


def _columns(digits: int) -> list[Column]:
    return [
        column("#", "row", right=True),
        Column("row", _label, ("label", "metric", "selected_on", "precision", "longer")),
        column("published", digits=digits, right=True),
        Column("measured", lambda record: _measured(record, digits), ("mean", "std"), right=True),
        column("n", right=True),
        Column("difference (points)", lambda record: _points(record["difference"]), ("difference",), right=True),
        Column(
            "half-width (points)",
            lambda record: _points(record["half_width"], sign=""),
            ("half_width",),
            right=True,
        ),
        Column("verdict", _verdict, ("verdict", "completed", "failed", "interrupted", "missing", "other_data")),
        column("epochs", right=True),
        column("seconds", digits=1, right=True),
    ]


def _training_columns(digits: int) -> list[Column]:
    return [
        column("train, published", "published_train", digits, right=True),
        column("train, measured", "measured_train", digits, right=True),
    ]


def _record(line: Line) -> dict[str, Any]:
    record = dataclasses.asdict(line)
    statuses = record.pop("statuses")
    for name in ("completed", "failed", "interrupted", "missing", "other data"):
        record[name.replace(" ", "_")] = statuses.get(name, 0)
    return record


def _lesson_record(line: LessonLine) -> dict[str, Any]:
    first, second = line.rows
    return {**dataclasses.asdict(line), "first": first, "second": second}


def _label(record: Record) -> str:
    remarks = []
    if record["metric"] == "best_accuracy":
        remarks.append(f"best epoch, selected on {record['selected_on']}")
    if record["precision"]:
        remarks.append(f"in {record['precision']}")
    if record["longer"]:
        lengths = " or ".join(map(str, record["longer"]))
        remarks.append(f"the first {record['epochs']} of {lengths} epochs")
    return f"{record['label']} ({'; '.join(remarks)})" if remarks else str(record["label"])


def _fraction(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _measured(record: Record, digits: int) -> str:
    spread = "" if record["std"] is None else f" ± {record['std']:.{digits}f}"
    return _fraction(record["mean"], digits) + spread


def _points(value: float | None, sign: str = "+") -> str:
    """A fraction as percentage points with two decimals."""
    return "" if value is None else f"{100 * value:{sign}.2f}"


def _verdict(record: Record) -> str:
    """The verdict, and which seeds have no completed run."""
    names = {
        "failed": "failed",
        "interrupted": "interrupted",
        "missing": "missing",
        "other_data": "on other data",
    }
    lacking = [f"{record[key]} {name}" for key, name in names.items() if record[key]]
    return "; ".join([*filter(None, [record["verdict"]]), *lacking])


def _claimed(record: Record) -> str:
    return f"{record['first']} {'>' if record['direction'] == 'higher' else '<'} {record['second']}"


def _summary(comparison: Comparison) -> list[str]:
    notes = [f"Published: {comparison.document}, {comparison.heading} (file {comparison.path})."]
    if comparison.warning:
        notes.append(f"{comparison.warning}.")
    notes += comparison.failures
    if comparison.tau is not None:
        notes.append(f"Rank agreement over {counted(comparison.tau_rows, 'row')}: Kendall's tau {comparison.tau:+.2f}.")
    notes += [*_from_records(comparison), *_repeats(comparison)]
    made = "; ".join(f"{name} {', '.join(values)}" for name, values in comparison.made.items() if values)
    return [*notes, f"Measured on: {made}."] if made else notes


def _from_records(comparison: Comparison) -> list[str]:
    """Which rows rest on records, and on which files."""
    rows: dict[str, dict[int, int]] = {}
    for line in comparison.lines:
        for source, number in line.records.items():
            rows.setdefault(source, {})[line.row] = number
    return [
        f"From records, not trained here: {source} ({counted(sum(numbers.values()), 'run')} of "
        f"{'row' if len(numbers) == 1 else 'rows'} {ranges(numbers)})."
        for source, numbers in sorted(rows.items())
    ]


def _repeats(comparison: Comparison) -> list[str]:
    """Seeds that have several results."""
    main = {(line.row, seed): values for line in comparison.lines for seed, values in line.repeats.items()}
    if not main:
        return []
    shown = [
        f"row {row} seed {seed}: {', '.join(f'{value:.{comparison.digits}f}' for value in values)}"
        for (row, seed), values in list(main.items())[:MOST_REPEATS]
    ]
    rest = [f"{len(main) - MOST_REPEATS} more"] if len(main) > MOST_REPEATS else []
    return [f"Results of one seed that disagree are averaged first: {'; '.join([*shown, *rest])}."]


def _readings(comparison: Comparison) -> list[str]:
    noted = {line.row: line for line in comparison.lines if line.note}
    return [f"Row {number}, {line.label}: {line.note}" for number, line in noted.items()]
