"""A printed number beside its runs as a line: verdict, uncertainty, what a reader should know (no torch)."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dlrun import statistics as arithmetic
from dlrun.store.result import Result
from dlrun.store.status import Status
from dlrun.tables.curves import Curve, curve
from dlrun.tables.entries import (
    PLAIN,
    Entry,
    beside_in_runs,
    by_seed,
    course_of,
    finite,
    is_printed,
    mean_of,
    printed_beside,
    printed_numbers,
    value_of,
)
from dlrun.tables.planned import Found
from dlrun.tables.table import PublishedTable

NOT_COMPARABLE = "not comparable"
UNCONFIRMED = "one seed, and no other row of this table shows that its spread is what is expected"


@dataclass(frozen=True)
class Beside:
    """A printed loss, training accuracy or best epoch beside the measured one, outside the verdict."""

    published: float
    measured: float | None
    difference: float | None
    p: float | None
    """Two-sided, of no difference; None below three runs."""
    digits: int
    """Decimals that are printed."""


@dataclass(frozen=True)
class RowLine:
    """One published number of one row beside its measurements. Accuracies are fractions 0-1."""

    row: int
    label: str
    metric: str
    """`test_accuracy`, `val_accuracy` (last epoch) or `best_accuracy` (of all epochs, so selected on test)."""
    selected_on: str | None
    """Of `best_accuracy`: `test`, or `val` where images were held out."""
    published: float | None
    published_n: int
    published_std: float | None
    digits: int
    """Decimals that are printed."""
    measured: dict[int, float]
    """By seed, of the completed runs only."""
    n: int
    mean: float | None
    std: float | None
    expected_std: float | None
    """Of one run, as it is expected before the second seed; None where nothing is known."""
    unstable: bool
    """Whether the seeds differ far more than that."""
    same: bool
    """Whether all seeds gave the same accuracy and loss: the seed has no effect."""
    half_width: float | None
    """Of the 95 % interval of the difference."""
    difference: float | None
    """Measured mean less published, as a fraction."""
    normalized_error: float | None
    """E_n of ISO 13528: the difference in half-widths."""
    margin: float | None
    """A difference below it does not matter."""
    margin_reason: str
    p: float | None
    """Two-sided, of no difference, adjusted for all printed rows of the table."""
    verdict: str | None
    """As of `dlrun.statistics.verdict`, or `NOT_COMPARABLE`; None where nothing is published or measured."""
    seeds_that_decide: int | None
    """Of an undecided row; None where no number would."""
    remarks: tuple[str, ...]
    """What a reader of the verdict should know."""
    statuses: dict[Status, int]
    """How many seeds are `completed`, `failed`, `interrupted`, `missing`, `other data`."""
    epochs: int
    """Planned."""
    seconds: float | None
    """Mean total time of a completed run."""
    published_train: float | None
    measured_train: float | None
    beside: dict[str, Beside]
    """By name of `PLAIN`, what is printed of it."""
    reading_of: str | None
    """The row whose printed number this one reads in another way."""
    reads: tuple[str, str] | None
    """That row with the name of its table before it."""
    note: str
    source: str = ""
    """Where its number is printed, if that is not where the table's are."""
    looked_into: str = ""
    """What was found where it differs, as the table says."""
    curve: Curve | None = None
    """Of `test_accuracy`, where a curve is printed or the epochs are not."""
    records: dict[str, int] = field(default_factory=dict)
    """Results that come from records, by file."""
    longer: tuple[int, ...] = ()
    """Epochs of the longer runs whose first epochs fill the row, where such ones do."""
    precision: str | None = None
    """What it was computed in, where that is not the first of the table's `precisions`."""
    repeats: dict[int, tuple[float, ...]] = field(default_factory=dict)
    """By seed the results that differ from each other, where there are such; their mean counts."""
    same_as: tuple[str, str] | None = None
    """Table and label of another row that is the same experiment."""
    elsewhere: tuple[float, ...] = ()
    """What that row prints of single runs."""


class _Adjusted(NamedTuple):
    p: float
    """After Holm over all that is printed in the table, measured or not."""
    others: list[float]
    """The p-values of the other numbers, not adjusted."""


def adjusted_for_all(table: PublishedTable, entries: Sequence[Entry]) -> dict[int, _Adjusted]:
    """Of every judged entry."""
    judged = [entry for entry in entries if entry.judged]
    unmeasured = sum(printed_numbers(table, row) for row in table.rows) - len(judged)
    values = [entry.judged.p for entry in judged if entry.judged] + [1.0] * unmeasured
    adjusted = arithmetic.holm(values)
    return {
        id(entry): _Adjusted(adjusted[place], values[:place] + values[place + 1 :])
        for place, entry in enumerate(judged)
    }


def line_of(table: PublishedTable, entry: Entry, adjusted: _Adjusted | None, confirmed: bool) -> RowLine:
    """One printed number beside its runs."""
    row, judged, runs, printed = entry.row, entry.judged, entry.runs, entry.printed
    p, others = adjusted or (None, [])
    completed = [one for one in entry.found if one.status == Status.COMPLETED and one.result]
    results = [one.result for one in completed if one.result]
    verdict = _verdict(entry, p)
    values = by_seed((one, value_of(one, entry.metric)) for one in completed)
    return RowLine(
        row=row.number,
        label=row.label,
        metric=entry.metric,
        selected_on=_selected_on(results) if entry.metric == "best_accuracy" else None,
        published=printed.value if printed else None,
        published_n=entry.published.n,
        published_std=printed.std if printed else None,
        digits=row.digits,
        measured=entry.measured,
        n=len(entry.measured),
        mean=runs.mean if runs else None,
        std=_std(runs),
        expected_std=math.sqrt(judged.spread.prior) or None if judged else None,
        unstable=judged is not None and judged.spread.unstable,
        same=runs is not None and runs.same,
        half_width=finite(judged.half_width) if judged else None,
        difference=runs.mean - printed.centre if runs and printed else None,
        normalized_error=judged.normalized_error if judged and judged.known else None,
        margin=_margin(entry),
        margin_reason=row.margin_reason,
        p=p,
        verdict=verdict,
        seeds_that_decide=arithmetic.seeds_that_decide(judged, others) if judged and verdict == "undecided" else None,
        remarks=tuple(_remarks(entry, confirmed)) if verdict not in (None, NOT_COMPARABLE) else (),
        statuses=_statuses(entry.found),
        epochs=entry.found[0].planned.config.epochs if entry.found else 0,
        seconds=mean_of([result.seconds["total"] for result in results if "total" in result.seconds]),
        published_train=entry.published.train_accuracy,
        measured_train=mean_of(beside_in_runs(entry, completed, "train_accuracy")),
        beside={name: _beside(entry, name, completed) for name in PLAIN if is_printed(entry.published, name)},
        reading_of=row.reading_of.label if row.reading_of else None,
        reads=(row.reading_of.table, row.reading_of.label) if row.reading_of else None,
        note=row.note,
        source=f"{row.source.document}, {row.source.heading}" if row.source else "",
        looked_into=row.looked_into,
        curve=_course(entry, completed),
        records=dict(sorted(Counter(one.source for one in completed if one.source).items())),
        longer=tuple(sorted({one.longer for one in completed if one.longer})),
        precision=_other_precision(table, results),
        repeats={seed: tuple(sorted(several)) for seed, several in values.items() if len(set(several)) > 1},
        same_as=(row.same_as.table, row.same_as.label) if row.same_as else None,
        elsewhere=tuple(
            getattr(one, entry.metric)
            for one in row.elsewhere
            if one.n == 1 and getattr(one, entry.metric) is not None and not row.reading_of
        ),
    )


def _other_precision(table: PublishedTable, results: Iterable[Result]) -> str | None:
    return (
        next((result.precision for result in results if result.precision not in table.precisions[:1]), None)
        if table.precisions
        else None
    )


def _statuses(runs: Sequence[Found]) -> dict[Status, int]:
    """How many seeds have which status; one that is completed anywhere is."""
    found: dict[int, Status] = {}
    for one in runs:
        if one.status == Status.COMPLETED or one.planned.seed not in found:
            found[one.planned.seed] = one.status
    return dict(sorted(Counter(found.values()).items()))


def _std(runs: arithmetic.Runs | None) -> float | None:
    """From three runs on: of two it says next to nothing."""
    return runs.std if runs and runs.n >= 3 else None


def _verdict(entry: Entry, p: float | None) -> str | None:
    if entry.printed is None or entry.runs is None:
        return None
    if not entry.comparable:
        return NOT_COMPARABLE
    if entry.judged is None or p is None:
        return arithmetic.exact_verdict(entry.runs.mean, entry.printed, entry.row.margin)
    return arithmetic.verdict(entry.judged, p)


def _margin(entry: Entry) -> float | None:
    if entry.row.margin is not None or entry.printed is None:
        return entry.row.margin
    return arithmetic.default_margin(entry.printed.centre)


def _remarks(entry: Entry, confirmed: bool) -> Iterable[str]:
    if entry.row.deterministic:
        yield "no chance enters"
    if entry.judged is None:
        return
    if entry.judged.runs.same:
        yield "the seed has no effect"
    if entry.judged.spread.unstable:
        yield "unstable: its seeds differ far more than images drawn anew would"
    if entry.judged.runs.n == 1 and not entry.judged.runs.same and not confirmed:
        yield UNCONFIRMED
    if entry.judged.runs.images is None:
        yield "the number of test images is not known, so its seeds alone tell its spread"


def _beside(entry: Entry, name: str, done: Sequence[Found]) -> Beside:
    printed, values = printed_beside(entry, name), beside_in_runs(entry, done, name)
    if not values or not entry.comparable:
        return Beside(printed.value, mean_of(values), None, None, printed.digits)
    found = arithmetic.plain(values, printed)
    return Beside(printed.value, mean_of(values), found.difference, found.p, printed.digits)


def _course(entry: Entry, done: Sequence[Found]) -> Curve | None:
    """The test accuracy epoch by epoch; of several results of one seed the first."""
    if entry.metric != "test_accuracy" or not entry.comparable:
        return None
    histories: dict[int, list[float]] = {}
    for one in done:
        if values := course_of(one, "test_accuracy"):
            histories.setdefault(one.planned.seed, values)
    published, row = entry.published, entry.row
    number = published.test_accuracy
    measured = dict(sorted(histories.items()))
    return curve(measured, published.curve, number, row.digits, published.n, row.epochs_printed, published.cut)


def _selected_on(results: Sequence[Result]) -> str:
    return ", ".join(sorted({result.best["selected_on"] for result in results if result.best})) or "test"
