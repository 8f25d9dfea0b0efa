"""A comparison for the terminal, Markdown, CSV, LaTeX and JSON."""

import dataclasses
import json
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from dlrun.output import Column, Fields, Table, column, counted, write
from dlrun.records.summary import ranges
from dlrun.store.status import WRITTEN, Status
from dlrun.tables.compare import Comparison
from dlrun.tables.lessons import LessonLine
from dlrun.tables.lines import RowLine
from dlrun.tables.readings import PrintedRow, RowBlock, sentences

MOST_REPEATS = 5
"""Seeds with several results that are written out."""


def render(comparison: Comparison, form: str, width: int | None = None) -> str:
    """The comparison as text of one of `dlrun.output.FORMATS`.

    CSV holds the rows only, accuracies as fractions; JSON holds everything; the others also have the lessons.
    """
    if form == "json":
        return json.dumps(dataclasses.asdict(comparison), indent=2, allow_nan=False) + "\n"
    rows = rows_table(comparison, readings=form in ("md", "csv"))
    if form == "csv":
        return write(rows, form, width)
    return "\n".join(write(one, form, width) for one in [rows, *(one.table for one in further(comparison))])


class Further(NamedTuple):
    """A table below the rows."""

    id: str
    title: str
    table: Table
    header: int = 0
    """The column that names the records."""


def further(comparison: Comparison) -> list[Further]:
    """What stands below the rows, as far as there is any."""
    found = []
    if any(line.curve for line in comparison.lines):
        found.append(Further("epochs", "Epoch by epoch", curves_table(comparison), header=1))
    for block in comparison.readings:
        found.append(Further(f"readings-{block.table}", f"Readings of {block.table}", readings_table(block)))
    if comparison.lessons:
        found.append(Further("lessons", "Lessons", lessons_table(comparison)))
    if comparison.recipes:
        found.append(Further("recipes", "By time", recipes_table(comparison), header=1))
    return found


def recipes_table(comparison: Comparison) -> Table:
    """A record for every row that no quicker one beats."""
    columns = [
        Column("minutes", lambda record: f"{record['seconds'] / 60:.1f}", ("seconds",), right=True),
        column("no quicker row beats", "label"),
        column("epochs", right=True),
        Column("measured", lambda record: _fraction(record["mean"], record["digits"]), ("mean",), right=True),
        column("n", right=True),
        Column("P(better than the one above)", lambda record: _fraction(record["chance"], 2), ("chance",), right=True),
    ]
    notes = ["Minutes of a whole run on the machines named above, whatever else they did."]
    return Table(columns, [dataclasses.asdict(one) for one in comparison.recipes], notes=notes)


def rows_table(comparison: Comparison, readings: bool = False) -> Table:
    """A record for every published number; `readings` adds training accuracies and the rows' notes."""
    records = [_record(line) for line in comparison.lines]
    columns = _columns({line.row for line in comparison.lines if line.metric != "val_accuracy"}) + (
        columns_beside(comparison) if readings else []
    )
    notes = _summary(comparison) + (_readings(comparison) if readings else [])
    return Table(columns, records, f"{comparison.title} ({comparison.table})", notes)


def lessons_table(comparison: Comparison) -> Table:
    """A record for every lesson."""
    columns = [
        column("lesson", "claim"),
        Column("means", _claimed, ("first", "direction", "second", "margin")),
        Column("published (points)", lambda record: _points(record["published"]), ("published",), right=True),
        Column("by chance (points)", _by_chance, ("by_chance",), right=True),
        Column("difference (points)", lambda record: _points(record["difference"]), ("difference",), right=True),
        Column("standard error", lambda record: _points(record["error"], sign=""), ("error",), right=True),
        Column("n", lambda record: _counts(record["n"]), ("n",), right=True),
        Column("p", lambda record: _p(record["p"]), ("p",), right=True),
        Column("P(first > second)", lambda record: _fraction(record["chance"], 2), ("chance",), right=True),
        column("outcome"),
    ]
    return Table(columns, [_lesson_record(line) for line in comparison.lessons], notes=_claims_of_chance(comparison))


def _claims_of_chance(comparison: Comparison) -> list[str]:
    """Which printed differences are no more than what chance makes of the runs behind them."""
    claims = [
        line.claim for line in comparison.lessons if line.direction != "not better" and line.by_chance is not None
    ]
    shown = [line.claim for line in comparison.lessons if line.within_chance]
    if not shown:
        return []
    return [
        "Claimed differences that are no larger in print than what chance makes of two equally good rows (95 %): "
        f"{len(shown)} of {len(claims)}. {'; '.join(shown)}."
    ]


def curves_table(comparison: Comparison) -> Table:
    """A record for every row that prints a curve, or no epochs."""
    lines = [line for line in comparison.lines if line.curve]
    columns = [
        column("#", "row", right=True),
        column("row", "label"),
        column("published", right=True),
        Column("reaches it in epoch", _passes, ("passes",)),
        Column("measured, by epoch", lambda record: _course(record, "measured"), ("measured",)),
    ]
    if any(line.curve and line.curve.published for line in lines):
        columns += [
            Column("published, by epoch", lambda record: _course(record, "curve_published"), ("curve_published",)),
            Column("mean distance (points)", lambda record: _points(record["mean_distance"], ""), ("mean_distance",)),
            Column("largest (points)", _largest, ("largest", "largest_epoch")),
            Column("epochs apart", _apart, ("apart",)),
        ]
    records = []
    for line in lines:
        values = dataclasses.asdict(line.curve) if line.curve else {}
        values["curve_published"] = values.pop("published")
        values |= {"row": line.row, "label": line.label, "digits": line.digits}
        values["published"] = _fraction(line.published, line.digits)
        records.append(values)
    unprinted = [str(line.row) for line in lines if line.curve and not line.curve.epochs_printed]
    notes = [f"The source prints no epochs of {_rows(unprinted)}."] if unprinted else []
    return Table(columns, records, notes=notes)


def _rows(numbers: Sequence[str]) -> str:
    numbers = list(dict.fromkeys(numbers))
    return f"{'row' if len(numbers) == 1 else 'rows'} {', '.join(numbers)}"


def _passes(record: Fields) -> str:
    never = f"not in {len(record['measured'])}"
    return ", ".join(str(epoch) if epoch else never for epoch in record["passes"].values())


def _course(record: Fields, name: str) -> str:
    values = record[name]
    return ", ".join(f"{epoch}: {values[epoch - 1]:.{record['digits']}f}" for epoch in _milestones(len(values)))


def _milestones(last: int) -> list[int]:
    """1, 2, 5, 10 and so on, and the last epoch."""
    rounded = [size * 10**power for power in range(len(str(last))) for size in (1, 2, 5)]
    return [*(epoch for epoch in rounded if epoch < last), *([last] if last else [])]


def _largest(record: Fields) -> str:
    return "" if record["largest"] is None else f"{_points(record['largest'])} in epoch {record['largest_epoch']}"


def _apart(record: Fields) -> str:
    """Epochs that differ, as ranges; of fewer than three seeds nothing is known."""
    if record["apart"] is None:
        return ""
    return ranges(record["apart"]) if record["apart"] else "none"


def readings_table(block: RowBlock) -> Table:
    """A record for every printed row, and one or two for the sums of log-likelihoods."""
    columns = [column("printed row", "label"), column("published", right=True)]
    for name in block.names:
        columns += [
            column(name, f"{name}_measured", right=True),
            column(f"{name}, ln L", f"{name}_log_likelihood", right=True),
        ]
    records = [_reading_record(row) for row in block.rows]
    if block.sums:
        records.append(_sum_record(f"sum over {counted(len(block.counted), 'row')}", block.sums))
    if block.common and block.lacking:
        records.append(_sum_record(f"sum over the {block.common_rows} with all readings", block.common))
    return Table([*columns, column("outcome", "reached")], records, notes=sentences(block))


def _reading_record(row: PrintedRow) -> dict[str, Any]:
    record: dict[str, Any] = {
        "label": row.label,
        "published": _fraction(row.published, row.digits),
        "reached": row.outcome,
    }
    for name, held in row.readings.items():
        runs = f" (n = {held.n})" if held.mean is not None else ""
        record[f"{name}_measured"] = _fraction(held.mean, row.digits) + runs
        record[f"{name}_log_likelihood"] = _fraction(row.log_likelihood.get(name), 1)
    return record


def _sum_record(label: str, sums: Mapping[str, float]) -> dict[str, Any]:
    return {"label": label, **{f"{name}_log_likelihood": f"{value:.1f}" for name, value in sums.items()}}


def _columns(tested: Collection[int]) -> list[Column]:
    """Of rows; of those in `tested` what is printed of held-out images is named so."""
    return [
        column("#", "row", right=True),
        Column(
            "row",
            lambda record: _label(record, record["row"] in tested),
            ("label", "metric", "selected_on", "precision", "longer"),
        ),
        Column("published", _published, ("published", "published_n", "published_std"), right=True),
        Column("measured", _measured, ("mean", "std", "expected_std"), right=True),
        column("n", right=True),
        Column("difference (points)", lambda record: _points(record["difference"]), ("difference",), right=True),
        Column(
            "half-width (points)",
            lambda record: _points(record["half_width"], sign=""),
            ("half_width", "normalized_error", "p", "margin"),
            right=True,
        ),
        Column("verdict", _verdict, ("verdict", "completed", "failed", "interrupted", "missing", "other_data")),
        column("epochs", right=True),
        column("seconds", digits=1, right=True),
    ]


def columns_beside(comparison: Comparison) -> list[Column]:
    """Training accuracies, and the losses that are printed for some row."""
    columns = _beside("train", "published_train", "measured_train", "train_accuracy_p")
    for name in ("train_loss", "test_loss", "best_epoch"):
        if any(name in line.beside for line in comparison.lines):
            columns += _beside(name.replace("_", " "), f"{name}_published", f"{name}_measured", f"{name}_p")
    return columns


def _beside(title: str, published: str, measured: str, p: str) -> list[Column]:
    def shown(name: str) -> Callable[[Fields], str]:
        digits = f"{published.removesuffix('_published')}_digits"
        return lambda record: _fraction(record.get(name), record.get(digits, record["digits"]))

    return [
        Column(f"{title}, published", shown(published), (published,), right=True),
        Column(f"{title}, measured", shown(measured), (measured, p), right=True),
    ]


def _record(line: RowLine) -> dict[str, Any]:
    record = dataclasses.asdict(line)
    del record["curve"]
    statuses = record.pop("statuses")
    for status in (*WRITTEN, Status.MISSING, Status.OTHER_DATA):
        record[status.replace(" ", "_")] = statuses.get(status, 0)
    for name, numbers in record.pop("beside").items():
        record |= {f"{name}_{key}": numbers[key] for key in ("published", "measured", "p", "digits")}
    return record


def _lesson_record(line: LessonLine) -> dict[str, Any]:
    first, second = line.rows
    return {**dataclasses.asdict(line), "first": first, "second": second}


def _label(record: Fields, tested: bool) -> str:
    remarks = []
    if record["metric"] == "val_accuracy" and tested:
        remarks.append("on held-out images")
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


def _published(record: Fields) -> str:
    spread = "" if record["published_std"] is None else f" ± {record['published_std']:.{record['digits']}f}"
    runs = f" (n = {record['published_n']})" if record["published_n"] > 1 else ""
    return _fraction(record["published"], record["digits"]) + spread + runs


def _measured(record: Fields) -> str:
    spread = "" if record["std"] is None else f" ± {record['std']:.{record['digits']}f}"
    return _fraction(record["mean"], record["digits"]) + spread


def _counts(n: Sequence[int]) -> str:
    """Runs of either row, said once where they are equal."""
    return str(n[0]) if n[0] == n[1] else f"{n[0]}, {n[1]}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _points(value: float | None, sign: str = "+") -> str:
    """A fraction as percentage points with two decimals."""
    return "" if value is None else f"{100 * value:{sign}.2f}"


def _by_chance(record: Fields) -> str:
    return "" if record["by_chance"] is None else f"±{_points(record['by_chance'], sign='')}"


def _verdict(record: Fields) -> str:
    """The verdict, and which seeds have no completed run."""
    names = {
        "failed": "failed",
        "interrupted": "interrupted",
        "missing": "missing",
        "other_data": "on other data",
    }
    lacking = [f"{record[key]} {name}" for key, name in names.items() if record[key]]
    return "; ".join([*filter(None, [record["verdict"], _deciding(record)]), *lacking])


def _deciding(record: Fields) -> str:
    if record["verdict"] != "undecided":
        return ""
    seeds = record["seeds_that_decide"]
    if record["half_width"] is None:
        return "a second seed tells how far runs lie apart"
    return "no number of seeds decides" if seeds is None else f"{seeds} seeds would decide"


def _claimed(record: Fields) -> str:
    if record["direction"] == "not better":
        return f"{record['first']} < {record['second']} + {_points(record['margin'], sign='')} points"
    return f"{record['first']} {'>' if record['direction'] == 'higher' else '<'} {record['second']}"


def _summary(comparison: Comparison) -> list[str]:
    notes = [f"Published: {comparison.document}, {comparison.heading} (file {comparison.path})."]
    elsewhere = {line.row: line.source for line in comparison.lines if line.source}
    notes += [f"Row {number} is printed in {source}." for number, source in elsewhere.items()]
    if comparison.warning:
        notes.append(f"{comparison.warning}.")
    notes += comparison.failures
    notes += one_experiment(comparison)
    notes += [*_remarks(comparison), *_foot(comparison), *_from_records(comparison), *_repeats(comparison)]
    made = "; ".join(f"{name} {', '.join(values)}" for name, values in comparison.made.items() if values)
    return [*notes, f"Measured on: {made}."] if made else notes


def one_experiment(comparison: Comparison) -> list[str]:
    """A sentence for every experiment that is printed more than once: how far apart in print, how far over seeds."""
    printed: dict[tuple[tuple[str, str], str], list[RowLine]] = {}
    for line in comparison.lines:
        if line.published is not None and line.published_n == 1 and line.reading_of is None:
            first = line.same_as or (comparison.table, line.label)
            printed.setdefault((first, line.metric), []).append(line)
    return [
        _one_experiment(lines, first, comparison.table)
        for (first, _), lines in printed.items()
        if len(lines) + len(_elsewhere(lines, first)) > 1
    ]


def _elsewhere(lines: Sequence[RowLine], first: tuple[str, str]) -> tuple[float, ...]:
    """What is printed in the row that these name, where that is none of them."""
    there = any(line.same_as is None for line in lines)
    return () if there else next((line.elsewhere for line in lines if line.same_as == first), ())


def _one_experiment(lines: Sequence[RowLine], first: tuple[str, str], table: str) -> str:
    digits, elsewhere = lines[0].digits, _elsewhere(lines, first)
    where = ", on held-out images" if lines[0].metric == "val_accuracy" else ""
    own = [line.published for line in lines if line.published is not None]
    numbers, listed = [*own, *elsewhere], _listed(own, digits)
    if elsewhere:
        of_table = f" of {first[0]}" if first[0] != table else ""
        listed += f"; in row {first[1]}{of_table} {_listed(elsewhere, digits)}"
    rows = {line.row: f"{line.row} ({line.label})" for line in lines}
    named = f"Row {rows[lines[0].row]} is" if len(rows) == 1 else f"Rows {', '.join(rows.values())} are"
    seeds = [*lines[0].measured.values()]
    measured = f"{counted(len(seeds), 'seed')}: {_spread(seeds, digits)}" if seeds else "not measured"
    return (
        f"{named} one experiment, printed {len(numbers)} times{where}: {listed}. "
        f"In print {_spread(numbers, digits)}; {measured}."
    )


def _listed(values: Sequence[float], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def _spread(values: Sequence[float], digits: int) -> str:
    """From where to where, and from three values on their standard deviation."""
    deviation = f", standard deviation {statistics.stdev(values):.{digits + 1}f}" if len(values) > 2 else ""
    ends = dict.fromkeys(f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{' to '.join(ends)}{deviation}"


def _from_records(comparison: Comparison) -> list[str]:
    """Which rows rest on records, and on which files."""
    rows = {source: {line.row for line in comparison.lines if source in line.records} for source in comparison.records}
    return [
        f"From records, not trained here: {source} ({counted(number, 'run')} of "
        f"{'row' if len(rows[source]) == 1 else 'rows'} {ranges(rows[source])})."
        for source, number in comparison.records.items()
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


def _remarks(comparison: Comparison) -> list[str]:
    """What a reader of single verdicts should know; a remark that holds for many rows is made once."""
    rows: dict[str, list[str]] = {}
    for line in comparison.lines:
        for remark in line.remarks:
            rows.setdefault(remark, []).append(f"{line.row}")
        if line.margin_reason and line.margin is not None:
            remark = f"a difference below {_points(line.margin, sign='')} points does not matter: {line.margin_reason}"
            rows.setdefault(remark, []).append(f"{line.row}")
    return [f"{_rows(numbers).capitalize()}: {remark.rstrip('.')}." for remark, numbers in rows.items()]


def _foot(comparison: Comparison) -> list[str]:
    """What all rows say together."""
    notes = []
    foot, rank = comparison.foot, comparison.rank
    if foot and foot.rows > 1:
        notes.append(
            f"{foot.outside} of {counted(foot.rows, 'row')} outside their own 95 % interval, {foot.expected:.1f} "
            f"expected by chance; sum of z² {foot.squares:.1f} on {foot.rows} (p = {foot.squares_p:.2g}); measured "
            f"above the published number in {foot.above}, below in {foot.below} (sign test, p = {foot.sign_p:.2g})."
        )
    if rank:
        notes.append(f"Rank agreement over {rank.rows} rows: Kendall's tau-b {rank.tau:+.2f}, p = {rank.p:.2g}.")
    return notes
