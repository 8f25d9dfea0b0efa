"""Published beside measured: each row with its uncertainty and verdict, lessons, ranks (no torch)."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dlrun.result import Result
from dlrun.tables import statistics as arithmetic
from dlrun.tables.plan import Found
from dlrun.tables.table import Row, Table

NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Line:
    """One published number of one row beside its measurements. Accuracies are fractions 0-1."""

    row: int
    label: str
    metric: str
    """`test_accuracy` (last epoch) or `best_accuracy` (largest of all epochs, so selected on test)."""
    selected_on: str | None
    """Of `best_accuracy`: `test`, or `val` where images were held out."""
    published: float | None
    measured: dict[int, float]
    """By seed, of the completed runs only."""
    n: int
    mean: float | None
    std: float | None
    half_width: float | None
    difference: float | None
    """Measured mean less published, as a fraction."""
    verdict: str | None
    """As of `dlrun.tables.statistics.verdict`, or `NOT_COMPARABLE`; None where nothing is published or measured."""
    statuses: dict[str, int]
    """How many seeds are `completed`, `failed`, `interrupted`, `missing`, `other data`."""
    epochs: int
    """Planned."""
    seconds: float | None
    """Mean total time of a completed run."""
    published_train: float | None
    measured_train: float | None
    note: str
    records: dict[str, int] = field(default_factory=dict)
    """Results that come from records, by file."""
    longer: tuple[int, ...] = ()
    """Epochs of the longer runs whose first epochs fill the row, where such ones do."""
    precision: str | None = None
    """What it was computed in, where that is not the first of the table's `precisions`."""
    repeats: dict[int, tuple[float, ...]] = field(default_factory=dict)
    """By seed the results that differ from each other, where there are such; their mean counts."""


@dataclass(frozen=True)
class LessonLine:
    """One claim and what the seeds say of it; `difference` is first row less second, as a fraction."""

    claim: str
    rows: tuple[str, str]
    direction: str
    n: int
    difference: float | None
    error: float | None
    outcome: str


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
    lines: tuple[Line, ...]
    lessons: tuple[LessonLine, ...]
    tau: float | None
    """Kendall's tau-b between the published and the measured order."""
    tau_rows: int
    """Rows that it rests on."""
    failures: tuple[str, ...]
    """A sentence for every failed run."""
    made: dict[str, list[str]] = field(default_factory=dict)
    """Every `device`, `precision`, `threads`, `versions`, `data` among the completed runs."""

    @property
    def warning(self) -> str:
        """What stands above all verdicts where the user's overrides changed what was run; else empty."""
        return f"Not the published settings: run with {' '.join(self.changes)}" if self.changes else ""


def compare(
    table: Table,
    rows: Sequence[Row],
    found: Sequence[Found],
    own: Sequence[str] = (),
) -> Comparison:
    """Compare some rows of a table with the runs found for them.

    Rows that the user's `own` overrides make other experiments get no verdict, and no lesson or rank rests on them.
    """
    by_row = {row.number: [one for one in found if one.planned.row.number == row.number] for row in rows}
    changed = {one.planned.row.number for one in found if one.planned.changed}
    lines = [line for row in rows for line in _lines(table, row, by_row[row.number])]
    main = {line.label: line for line in lines if line.metric == table.metric}
    as_published = {label: line for label, line in main.items() if line.row not in changed}
    ranked = [line for line in as_published.values() if line.published is not None and line.mean is not None]
    completed = [one.result for one in found if one.status == "completed" and one.result]
    return Comparison(
        table=table.name,
        path=f"configs/table/{table.path.name}",
        title=table.title,
        document=table.document,
        heading=table.heading,
        digits=table.digits,
        seeds=max((len({one.planned.seed for one in runs}) for runs in by_row.values()), default=0),
        changes=tuple(own) if changed else (),
        lines=tuple(lines),
        lessons=_lessons(table, as_published),
        tau=arithmetic.kendall_tau([line.published or 0 for line in ranked], [line.mean or 0 for line in ranked]),
        tau_rows=len(ranked),
        failures=tuple(_failure(one) for one in found if one.status == "failed"),
        made=_made(completed),
    )


def _failure(found: Found) -> str:
    error = (found.result.error if found.result else None) or {}
    planned = found.planned
    return f"Row {planned.row.number} ({planned.row.label}), seed {planned.seed} failed: {error.get('message')}"


def _lines(table: Table, row: Row, runs: Sequence[Found]) -> list[Line]:
    """A line for the table's metric and one for every other published accuracy on the test set."""
    metrics = [table.metric]
    metrics += [name for name in ("test_accuracy", "best_accuracy") if name not in metrics]
    kept = [name for name in metrics if name == table.metric or getattr(row.published, name) is not None]
    return [_line(table, row, runs, metric) for metric in kept]


def _line(table: Table, row: Row, runs: Sequence[Found], metric: str) -> Line:
    completed = [one for one in runs if one.status == "completed" and one.result]
    results = [one.result for one in completed if one.result]
    values = _by_seed((one.planned.seed, _value(one.result, metric)) for one in completed if one.result)
    measured = {seed: _one_of(several) for seed, several in values.items()}
    trained = [_one_of(several) for several in _by_seed(map(_trained, results)).values()]
    interval = arithmetic.interval(list(measured.values()), table.digits)
    published = getattr(row.published, metric)
    return Line(
        row=row.number,
        label=row.label,
        metric=metric,
        selected_on=_selected_on(results) if metric == "best_accuracy" else None,
        published=published,
        measured=measured,
        n=len(measured),
        mean=interval.mean if interval else None,
        std=interval.std if interval else None,
        half_width=interval.half_width if interval else None,
        difference=interval.mean - published if interval and published is not None else None,
        verdict=_verdict(published, interval, changed=any(one.planned.changed for one in runs)),
        statuses=_statuses(runs),
        epochs=runs[0].planned.config.epochs if runs else 0,
        seconds=_mean([result.seconds["total"] for result in results if "total" in result.seconds]),
        published_train=row.published.train_accuracy,
        measured_train=_mean(trained),
        note=row.note,
        records=dict(sorted(Counter(one.source for one in completed if one.source).items())),
        longer=tuple(sorted({one.longer for one in completed if one.longer})),
        precision=_other_precision(table, results),
        repeats={seed: tuple(sorted(several)) for seed, several in values.items() if len(set(several)) > 1},
    )


def _by_seed(values: Iterable[tuple[int, float | None]]) -> dict[int, list[float]]:
    """The results of every seed: several where it was run on several machines."""
    found: dict[int, list[float]] = {}
    for seed, value in values:
        if value is not None:
            found.setdefault(seed, []).append(value)
    return dict(sorted(found.items()))


def _one_of(repeats: Sequence[float]) -> float:
    """The mean; of equal values just that, without rounding."""
    return statistics.fmean(repeats) if len(set(repeats)) > 1 else repeats[0]


def _other_precision(table: Table, results: Iterable[Result]) -> str | None:
    return (
        next((result.precision for result in results if result.precision not in table.precisions[:1]), None)
        if table.precisions
        else None
    )


def _trained(result: Result) -> tuple[int, float | None]:
    return result.seed, result.train["accuracy"] if result.train else None


def _statuses(runs: Sequence[Found]) -> dict[str, int]:
    """How many seeds have which status; one that is completed anywhere is."""
    found: dict[int, str] = {}
    for one in runs:
        if one.status == "completed" or one.planned.seed not in found:
            found[one.planned.seed] = one.status
    return dict(sorted(Counter(found.values()).items()))


def _value(result: Result, metric: str) -> float | None:
    part = result.best if metric == "best_accuracy" else result.test
    return part["accuracy"] if part else None


def _selected_on(results: Sequence[Result]) -> str:
    return ", ".join(sorted({result.best["selected_on"] for result in results if result.best})) or "test"


def _verdict(published: float | None, interval: arithmetic.Interval | None, changed: bool) -> str | None:
    if published is None or interval is None:
        return None
    return NOT_COMPARABLE if changed else arithmetic.verdict(published, interval)


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _lessons(table: Table, lines: dict[str, Line]) -> tuple[LessonLine, ...]:
    """The lessons both of whose rows are among the lines (by label); seeds are paired by their number."""
    judged: list[LessonLine] = []
    for lesson in table.lessons:
        if not all(label in lines for label in lesson.rows):
            continue
        first, second = (lines[label].measured for label in lesson.rows)
        both = sorted(first.keys() & second.keys())
        paired = arithmetic.lesson([first[seed] - second[seed] for seed in both], lesson.direction)
        judged.append(LessonLine(lesson.claim, lesson.rows, lesson.direction, **vars(paired)))
    return tuple(judged)


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
