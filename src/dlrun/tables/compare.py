"""Published beside measured: each row with its uncertainty and verdict, lessons, the foot of the table (no torch)."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dlrun import statistics as arithmetic
from dlrun.config.groups import Target
from dlrun.config.schema import Config, evaluated_on
from dlrun.data.facts import images_in
from dlrun.data.heldout import how_many
from dlrun.store.result import Result
from dlrun.store.status import Status
from dlrun.tables.curves import Curve, curve
from dlrun.tables.planned import Found
from dlrun.tables.readings import Held, RowBlock, block
from dlrun.tables.table import METRICS, Lesson, Published, PublishedTable, Reference, Row

NOT_COMPARABLE = "not comparable"
UNCONFIRMED = "one seed, and no other row of this table shows that its spread is what is expected"
PLAIN = {
    "train_accuracy": ("train", "accuracy"),
    "train_loss": ("train", "loss"),
    "test_loss": ("test", "loss"),
    "best_epoch": ("best", "epoch"),
}
"""What is compared beside the accuracy: parts of a result."""


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
    difference: float | None
    error: float | None
    """Standard error of the difference."""
    p: float | None
    """Two-sided, adjusted for the lessons of the table."""
    chance: float | None
    """That the next run of the first beats the next run of the second."""
    outcome: str
    """`holds`, `contradicted`, `open`, or `the same runs`."""


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
        by_row[_reference(one.planned.row)].append(one)
    entries = [entry for row in rows for entry in _entries(table, row, by_row[_reference(row)])]
    adjusted = _adjusted(table, entries)
    confirmed = any(entry.confirms for entry in entries)
    here = [one for row in rows for one in by_row[_reference(row)]]
    changed = any(one.planned.changed for one in here)
    completed = [one.result for one in here if one.status == Status.COMPLETED and one.result]
    main = [entry for entry in entries if entry.main and entry.comparable and not entry.row.reading_of]
    experiments = _experiments(main)
    return Comparison(
        table=table.name,
        path=f"configs/table/{table.path.name}",
        title=table.title,
        document=table.document,
        heading=table.heading,
        digits=table.digits,
        seeds=max((len({one.planned.seed for one in by_row[_reference(row)]}) for row in rows), default=0),
        changes=tuple(own) if changed else (),
        lines=tuple(_line(table, entry, adjusted.get(id(entry)), confirmed) for entry in entries),
        lessons=_lessons(table, rows, by_row),
        recipes=_recipes(table, main, by_row),
        readings=_readings(entries),
        foot=arithmetic.foot([one for one in map(_judged_together, experiments) if one and one.known]),
        rank=arithmetic.rank(
            [_printed_together(one).centre for one in experiments],
            [one[0].runs.mean for one in experiments if one[0].runs],
        ),
        failures=tuple(_failure(one) for one in here if one.status == Status.FAILED),
        made=_made(completed),
        records=_trainings(here),
    )


def _reference(row: Row) -> Reference:
    return Reference(row.table, row.label)


def _failure(found: Found) -> str:
    error = (found.result.error if found.result else None) or {}
    planned = found.planned
    return f"Row {planned.row.number} ({planned.row.label}), seed {planned.seed} failed: {error.get('message')}"


# --- a printed number and its runs ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    """What becomes a line."""

    row: Row
    metric: str
    main: bool
    """Whether it is what the row is ranked by and counts with in the foot."""
    published: Published
    found: Sequence[Found]
    measured: dict[int, float]
    runs: arithmetic.Runs | None
    printed: arithmetic.Printed | None
    judged: arithmetic.Judged | None
    """Of comparable rows that are published and measured and in which chance enters."""

    @property
    def printed_number(self) -> float | None:
        number: float | None = getattr(self.published, self.metric)
        return number

    @property
    def comparable(self) -> bool:
        return not any(one.planned.changed for one in self.found)

    @property
    def confirms(self) -> bool:
        """Whether its seeds show the spread that is expected."""
        if self.judged is None or self.judged.runs.n < 3:
            return False
        return self.judged.spread.prior > 0 and not self.judged.spread.unstable


def _entries(table: PublishedTable, row: Row, found: Sequence[Found]) -> list[_Entry]:
    """One for every published accuracy that is not a training accuracy; where there is none, for the table's metric."""
    ordered = sorted(METRICS, key=lambda name: name != table.metric)
    entries: list[_Entry] = []
    for published in (row.published, *row.more):
        names = [name for name in ordered if getattr(published, name) is not None]
        if not names and published is row.published:
            names = [table.metric]
        entries += [
            _entry(row, name, name == table.metric or (not entries and name == names[0]), published, found)
            for name in names
        ]
    return entries


def _entry(row: Row, metric: str, main: bool, published: Published, found: Sequence[Found]) -> _Entry:
    done = [one for one in found if one.status == Status.COMPLETED and one.result]
    measured = _measured(done, metric)
    runs = _runs(done, metric, measured)
    number = getattr(published, metric)
    printed = _printed(row, number, published, main, done) if number is not None else None
    comparable = not any(one.planned.changed for one in found)
    judged = None
    if runs and printed and comparable and not row.deterministic:
        judged = arithmetic.judge(runs, printed, row.margin)
    return _Entry(row, metric, main, published, found, measured, runs, printed, judged)


def _measured(done: Sequence[Found], metric: str) -> dict[int, float]:
    """By seed; of several results of one seed the mean."""
    return {seed: _one_of(several) for seed, several in _by_seed((one, _value(one, metric)) for one in done).items()}


def _by_seed(values: Iterable[tuple[Found, float | None]]) -> dict[int, list[float]]:
    """The results of every seed: several where it was run on several machines."""
    found: dict[int, list[float]] = {}
    for one, value in values:
        if value is not None:
            found.setdefault(one.planned.seed, []).append(value)
    return dict(sorted(found.items()))


def _one_of(repeats: Sequence[float]) -> float:
    """The mean; of equal values just that, without rounding."""
    return statistics.fmean(repeats) if len(set(repeats)) > 1 else repeats[0]


def _value(found: Found, metric: str) -> float | None:
    result = found.result
    if result is None:
        return None
    if metric == "val_accuracy":
        return found.history[-1].get("val_accuracy") if found.history else None
    part = result.best if metric == "best_accuracy" else result.test
    return part["accuracy"] if part else None


def _runs(done: Sequence[Found], metric: str, measured: dict[int, float]) -> arithmetic.Runs | None:
    if not measured:
        return None
    config = done[0].planned.config
    # What is selected on held-out images is reported of them.
    held_out = metric == "val_accuracy" or (metric == "best_accuracy" and evaluated_on(config) == "val")
    images = _held_out(config) if held_out else _images(config, "test", config.limit)
    last = f"{evaluated_on(config)}_accuracy" if metric == "best_accuracy" else metric
    jitter = arithmetic.jitter([_curve(one, last) for one in done])
    if metric == "best_accuracy" and jitter is not None:
        jitter = 0.0  # of the last epochs: no matter here
    return arithmetic.Runs(tuple(measured.values()), images or None, jitter, _seed_has_no_effect(done, measured))


def _seed_has_no_effect(done: Sequence[Found], seeds: Collection[int]) -> bool:
    """Whether all seeds gave the same accuracy and loss, on each machine by itself: machines round in their ways."""
    by_machine: dict[tuple[Any, ...], dict[int, tuple[float, float]]] = defaultdict(dict)
    for one in done:
        result, test = one.result, one.result.test if one.result else None
        if result and test:
            machine = (result.device, result.threads, result.ranks, result.cpu_capability, result.cpu)
            by_machine[machine][one.planned.seed] = (test["loss"], test["accuracy"])
    alike = all(len(set(numbers.values())) == 1 for numbers in by_machine.values())
    return len(seeds) > 1 and alike and any(numbers.keys() == set(seeds) for numbers in by_machine.values())


def _curve(found: Found, metric: str) -> list[float]:
    """The metric of every epoch that evaluated it."""
    return [epoch[metric] for epoch in found.history if metric in epoch]


def _printed(row: Row, number: float, published: Published, main: bool, done: Sequence[Found]) -> arithmetic.Printed:
    return arithmetic.Printed(
        number,
        row.digits,
        n=published.n,
        std=published.std if main else None,
        ddof=published.ddof,
        cut=published.cut,
        other_images=published.images or _whole_test_set(done),
        shared=published.shared,
        as_error=published.as_error and number == published.test_accuracy,
    )


def _whole_test_set(done: Sequence[Found]) -> int | None:
    """Its size, where the runs used a part of it only."""
    limits = {one.planned.config.limit for one in done}
    if limits <= {None}:
        return None
    config = done[0].planned.config
    whole = _images(config, "test", None)
    return whole if whole != _images(config, "test", config.limit) else None


def _images(config: Config, split: str, limit: int | None) -> int | None:
    """Pictures in the training or the test set, where that is known without reading it."""
    data = config.data
    name = "" if isinstance(data, Target) else data.name
    return images_in(split, name, limit, getattr(data, f"{split}_images", None))


def _held_out(config: Config) -> int | None:
    """Images held out of the training set, where that is known without reading it."""
    images = _images(config, "train", config.limit)
    return how_many(config, images) if images else None


class _Adjusted(NamedTuple):
    p: float
    """After Holm over all that is printed in the table, measured or not."""
    others: list[float]
    """The p-values of the other numbers, not adjusted."""


def _adjusted(table: PublishedTable, entries: Sequence[_Entry]) -> dict[int, _Adjusted]:
    """Of every judged entry."""
    judged = [entry for entry in entries if entry.judged]
    unmeasured = sum(_printed_numbers(table, row) for row in table.rows) - len(judged)
    values = [entry.judged.p for entry in judged if entry.judged] + [1.0] * unmeasured
    adjusted = arithmetic.holm(values)
    return {
        id(entry): _Adjusted(adjusted[place], values[:place] + values[place + 1 :])
        for place, entry in enumerate(judged)
    }


def _printed_numbers(table: PublishedTable, row: Row) -> int:
    """Numbers of a row that get a verdict from chance."""
    return 0 if row.deterministic else sum(entry.printed is not None for entry in _entries(table, row, ()))


def precise(table: PublishedTable, row: Row, found: Sequence[Found]) -> bool:
    """Whether more seeds would not decide the row: it is precise enough, or what is published is not."""
    entries = [entry for entry in _entries(table, row, found) if entry.runs]
    return bool(entries) and all(entry.judged is None or arithmetic.enough(entry.judged) for entry in entries)


def _line(table: PublishedTable, entry: _Entry, adjusted: _Adjusted | None, confirmed: bool) -> RowLine:
    row, judged, runs, printed = entry.row, entry.judged, entry.runs, entry.printed
    p, others = adjusted or (None, [])
    completed = [one for one in entry.found if one.status == Status.COMPLETED and one.result]
    results = [one.result for one in completed if one.result]
    verdict = _verdict(entry, p)
    values = _by_seed((one, _value(one, entry.metric)) for one in completed)
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
        half_width=_finite(judged.half_width) if judged else None,
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
        seconds=_mean([result.seconds["total"] for result in results if "total" in result.seconds]),
        published_train=entry.published.train_accuracy,
        measured_train=_mean(_numbers(entry, completed, "train_accuracy")),
        beside={name: _beside(entry, name, completed) for name in PLAIN if _is_printed(entry.published, name)},
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


def _is_printed(published: Published, name: str) -> bool:
    return getattr(published, name) is not None


def _numbers(entry: _Entry, done: Sequence[Found], name: str) -> list[float]:
    """What every seed has of a name of `PLAIN`, averaged where a seed has several results.

    Where a row is of best epochs, losses and training accuracies are of those, too.
    """
    of_best = entry.main and entry.metric == "best_accuracy" and name != "best_epoch"
    values = ((one, (_in_best_epoch if of_best else _in_result)(one, name)) for one in done)
    return [_one_of(several) for several in _by_seed(values).values()]


def _in_result(found: Found, name: str) -> float | None:
    part, key = PLAIN[name]
    return (getattr(found.result, part) or {}).get(key)


def _in_best_epoch(found: Found, name: str) -> float | None:
    best = (found.result.best if found.result else None) or {}
    return next((row.get(name) for row in found.history if row["epoch"] == best.get("epoch")), None)


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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _verdict(entry: _Entry, p: float | None) -> str | None:
    if entry.printed is None or entry.runs is None:
        return None
    if not entry.comparable:
        return NOT_COMPARABLE
    if entry.judged is None or p is None:
        return arithmetic.exact_verdict(entry.runs.mean, entry.printed, entry.row.margin)
    return arithmetic.verdict(entry.judged, p)


def _margin(entry: _Entry) -> float | None:
    if entry.row.margin is not None or entry.printed is None:
        return entry.row.margin
    return arithmetic.default_margin(entry.printed.centre)


def _remarks(entry: _Entry, confirmed: bool) -> Iterable[str]:
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


def _beside(entry: _Entry, name: str, done: Sequence[Found]) -> Beside:
    printed, values = _printed_beside(entry, name), _numbers(entry, done, name)
    if not values or not entry.comparable:
        return Beside(printed.value, _mean(values), None, None, printed.digits)
    found = arithmetic.plain(values, printed)
    return Beside(printed.value, _mean(values), found.difference, found.p, printed.digits)


def _printed_beside(entry: _Entry, name: str) -> arithmetic.Printed:
    published, digits = entry.published, entry.published.digits_of(name, entry.row.digits)
    cut = published.cut and name != "best_epoch"
    return arithmetic.Printed(getattr(published, name), digits, n=published.n, cut=cut)


def _course(entry: _Entry, done: Sequence[Found]) -> Curve | None:
    """The test accuracy epoch by epoch; of several results of one seed the first."""
    if entry.metric != "test_accuracy" or not entry.comparable:
        return None
    histories: dict[int, list[float]] = {}
    for one in done:
        if values := _curve(one, "test_accuracy"):
            histories.setdefault(one.planned.seed, values)
    published, row = entry.published, entry.row
    number = published.test_accuracy
    measured = dict(sorted(histories.items()))
    return curve(measured, published.curve, number, row.digits, published.n, row.epochs_printed, published.cut)


def _selected_on(results: Sequence[Result]) -> str:
    return ", ".join(sorted({result.best["selected_on"] for result in results if result.best})) or "test"


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _experiments(entries: Sequence[_Entry]) -> list[list[_Entry]]:
    """The entries that are published and measured, those whose numbers are printed for the same runs together."""
    by_runs: dict[tuple[Any, ...], list[_Entry]] = defaultdict(list)
    for entry in entries:
        if entry.printed and entry.runs:
            by_runs[entry.metric, *_same_runs(entry.found)].append(entry)
    return [*by_runs.values()]


def _same_runs(found: Sequence[Found]) -> tuple[tuple[str, str], ...]:
    """What is equal for rows that are one experiment, however they are typed."""
    return tuple((one.planned.hash, one.planned.settled.place) for one in found)


def _printed_together(experiment: Sequence[_Entry]) -> arithmetic.Printed:
    return arithmetic.together([entry.printed for entry in experiment if entry.printed])


def _judged_together(experiment: Sequence[_Entry]) -> arithmetic.Judged | None:
    """None where no chance enters."""
    first = experiment[0]
    if first.judged is None or first.runs is None:
        return None
    return arithmetic.judge(first.runs, _printed_together(experiment), first.row.margin)


# --- recipes ----------------------------------------------------------------------------------------------


def _recipes(
    table: PublishedTable, entries: Sequence[_Entry], by_row: dict[Reference, list[Found]]
) -> tuple[Recipe, ...]:
    """The rows that no quicker row beats, experiments that several rows share once."""
    measured: dict[tuple[Any, ...], tuple[float, _Entry, arithmetic.Measured]] = {}
    for entry in entries:
        runs = _in_lesson(table, entry.row, by_row[_reference(entry.row)])
        seconds = _mean([one.result.seconds["total"] for one in entry.found if _is_timed(one) and one.result])
        if runs and seconds:
            measured.setdefault(_same_runs(entry.found), (seconds, entry, runs))
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


# --- readings ---------------------------------------------------------------------------------------------


def _readings(entries: Sequence[_Entry]) -> tuple[RowBlock, ...]:
    """The readings of each table whose numbers are read, as far as its rows were asked for."""
    blocks: dict[str, dict[str, dict[str, _Entry]]] = defaultdict(lambda: defaultdict(dict))
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


def _held(entry: _Entry) -> Held:
    judged, likelihoods = entry.judged, {}
    if judged and judged.known:
        likelihoods[entry.metric] = judged.log_likelihood
        done = [one for one in entry.found if one.status == Status.COMPLETED]
        for name in PLAIN:
            if _is_printed(entry.published, name):
                values = _numbers(entry, done, name)
                found = arithmetic.plain(values, _printed_beside(entry, name)) if values else None
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
        uncounted=tuple(name for name in PLAIN if _is_printed(entry.published, name)) if 0 < n < 3 else (),
    )


# --- lessons ----------------------------------------------------------------------------------------------


def _lessons(
    table: PublishedTable, rows: Sequence[Row], by_row: dict[Reference, list[Found]]
) -> tuple[LessonLine, ...]:
    """The lessons all of whose own rows were asked for and run as published."""
    asked = {_reference(row): row for row in (*rows, *table.others)}
    changed = {reference for reference, runs in by_row.items() if any(one.planned.changed for one in runs)}
    kept = [one for one in table.lessons if all(ref in asked and ref not in changed for ref in one.rows)]
    pairs: dict[int, arithmetic.Pair] = {}
    same = set()
    for place, lesson in enumerate(table.lessons):
        first, second = (asked.get(reference) for reference in lesson.rows)
        runs = [by_row[reference] for reference in lesson.rows]
        if first and second and _same_runs(runs[0]) == _same_runs(runs[1]):
            same.add(place)
        elif lesson in kept and first and second:
            a, b = (_in_lesson(table, row, its) for row, its in zip((first, second), runs, strict=True))
            if a and b:
                pairs[place] = arithmetic.pair(a, b)
    family = [place for place in range(len(table.lessons)) if place not in same]
    adjusted = dict(
        zip(
            family,
            arithmetic.holm([pairs[place].p if place in pairs else 1.0 for place in family]),
            strict=True,
        )
    )
    return tuple(
        _lesson_line(table, lesson, by_row, pairs.get(place), adjusted.get(place), _in_print(table, lesson, asked))
        for place, lesson in enumerate(table.lessons)
        if lesson in kept
    )


def _in_lesson(table: PublishedTable, row: Row, found: Sequence[Found]) -> arithmetic.Measured | None:
    done = [one for one in found if one.status == Status.COMPLETED and one.result]
    runs = _runs(done, table.metric, _measured(done, table.metric))
    if runs is None:
        return None
    if row.deterministic:
        return arithmetic.exactly(runs.mean)
    number = getattr(row.published, table.metric)
    centre = None if number is None else _printed(row, number, row.published, True, done).centre
    return arithmetic.Measured(runs, arithmetic.spread(runs, centre))


def _in_print(table: PublishedTable, lesson: Lesson, rows: dict[Reference, Row]) -> float | None:
    """The difference of the printed numbers; None where one of them is not printed."""
    first, second = (getattr(rows[reference].published, table.metric) for reference in lesson.rows)
    return None if first is None or second is None else first - second


def _lesson_line(
    table: PublishedTable,
    lesson: Lesson,
    by_row: dict[Reference, list[Found]],
    found: arithmetic.Pair | None,
    p: float | None,
    in_print: float | None,
) -> LessonLine:
    counts = [
        len(_measured([one for one in by_row[ref] if one.status == Status.COMPLETED], table.metric))
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
        published=in_print,
        difference=found.difference if found else None,
        error=_finite(found.error) if found else None,
        p=p if found else None,
        chance=_chance(found) if found else None,
        outcome=outcome,
    )


# --- what it rests on -------------------------------------------------------------------------------------


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
