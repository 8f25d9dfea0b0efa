"""The numbers that a row prints, each with the runs that stand for it (no torch)."""

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dlrun import statistics as arithmetic
from dlrun.config.groups import Target
from dlrun.config.schema import Config, evaluated_on
from dlrun.data.facts import images_in
from dlrun.data.heldout import how_many
from dlrun.store.status import Status
from dlrun.tables.planned import Found
from dlrun.tables.table import METRICS, Published, PublishedTable, Reference, Row

PLAIN = {
    "train_accuracy": ("train", "accuracy"),
    "train_loss": ("train", "loss"),
    "test_loss": ("test", "loss"),
    "best_epoch": ("best", "epoch"),
}
"""What is compared beside the accuracy: parts of a result."""


@dataclass(frozen=True)
class Entry:
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
        """The number as it is printed; None where the metric is not."""
        number: float | None = getattr(self.published, self.metric)
        return number

    @property
    def comparable(self) -> bool:
        """Whether the runs are of the published settings."""
        return not any(one.planned.changed for one in self.found)

    @property
    def confirms(self) -> bool:
        """Whether its seeds show the spread that is expected."""
        if self.judged is None or self.judged.runs.n < 3:
            return False
        return self.judged.spread.prior > 0 and not self.judged.spread.unstable


def entries_of(table: PublishedTable, row: Row, found: Sequence[Found]) -> list[Entry]:
    """One for every published accuracy that is not a training accuracy; where there is none, for the table's metric."""
    ordered = sorted(METRICS, key=lambda name: name != table.metric)
    entries: list[Entry] = []
    for published in (row.published, *row.more):
        names = [name for name in ordered if getattr(published, name) is not None]
        if not names and published is row.published:
            names = [table.metric]
        entries += [
            _entry(row, name, name == table.metric or (not entries and name == names[0]), published, found)
            for name in names
        ]
    return entries


def _entry(row: Row, metric: str, main: bool, published: Published, found: Sequence[Found]) -> Entry:
    done = [one for one in found if one.status == Status.COMPLETED and one.result]
    measured = measured_of(done, metric)
    runs = runs_of(done, metric, measured)
    number = getattr(published, metric)
    printed = printed_of(row, number, published, main, done) if number is not None else None
    comparable = not any(one.planned.changed for one in found)
    judged = None
    if runs and printed and comparable and not row.deterministic:
        judged = arithmetic.judge(runs, printed, row.margin)
    return Entry(row, metric, main, published, found, measured, runs, printed, judged)


def measured_of(done: Sequence[Found], metric: str) -> dict[int, float]:
    """By seed; of several results of one seed the mean."""
    return {seed: _one_of(several) for seed, several in by_seed((one, value_of(one, metric)) for one in done).items()}


def by_seed(values: Iterable[tuple[Found, float | None]]) -> dict[int, list[float]]:
    """The results of every seed: several where it was run on several machines."""
    found: dict[int, list[float]] = {}
    for one, value in values:
        if value is not None:
            found.setdefault(one.planned.seed, []).append(value)
    return dict(sorted(found.items()))


def _one_of(repeats: Sequence[float]) -> float:
    """The mean; of equal values just that, without rounding."""
    return statistics.fmean(repeats) if len(set(repeats)) > 1 else repeats[0]


def value_of(found: Found, metric: str) -> float | None:
    """The metric of one run; None where it has none."""
    result = found.result
    if result is None:
        return None
    if metric == "val_accuracy":
        return found.history[-1].get("val_accuracy") if found.history else None
    part = result.best if metric == "best_accuracy" else result.test
    return part["accuracy"] if part else None


def runs_of(done: Sequence[Found], metric: str, measured: dict[int, float]) -> arithmetic.Runs | None:
    """The values by seed with what else tells of their spread; None of none."""
    if not measured:
        return None
    config = done[0].planned.config
    # What is selected on held-out images is reported of them.
    held_out = metric == "val_accuracy" or (metric == "best_accuracy" and evaluated_on(config) == "val")
    images = _held_out(config) if held_out else _images(config, "test", config.limit)
    last = f"{evaluated_on(config)}_accuracy" if metric == "best_accuracy" else metric
    jitter = arithmetic.jitter([course_of(one, last) for one in done])
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


def course_of(found: Found, metric: str) -> list[float]:
    """The metric of every epoch that evaluated it."""
    return [epoch[metric] for epoch in found.history if metric in epoch]


def printed_of(row: Row, number: float, published: Published, main: bool, done: Sequence[Found]) -> arithmetic.Printed:
    """A number of the source as the arithmetic takes it; its deviation is of the row's main number."""
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


def beside_in_runs(entry: Entry, done: Sequence[Found], name: str) -> list[float]:
    """What every seed has of a name of `PLAIN`, averaged where a seed has several results.

    Where a row is of best epochs, losses and training accuracies are of those, too.
    """
    of_best = entry.main and entry.metric == "best_accuracy" and name != "best_epoch"
    values = ((one, (_in_best_epoch if of_best else _in_result)(one, name)) for one in done)
    return [_one_of(several) for several in by_seed(values).values()]


def _in_result(found: Found, name: str) -> float | None:
    part, key = PLAIN[name]
    return (getattr(found.result, part) or {}).get(key)


def _in_best_epoch(found: Found, name: str) -> float | None:
    best = (found.result.best if found.result else None) or {}
    return next((row.get(name) for row in found.history if row["epoch"] == best.get("epoch")), None)


def is_printed(published: Published, name: str) -> bool:
    """Whether the source prints a number of this name."""
    return getattr(published, name) is not None


def printed_beside(entry: Entry, name: str) -> arithmetic.Printed:
    """What is printed of a name of `PLAIN`, with its own decimals."""
    published, digits = entry.published, entry.published.digits_of(name, entry.row.digits)
    cut = published.cut and name != "best_epoch"
    return arithmetic.Printed(getattr(published, name), digits, n=published.n, cut=cut)


def printed_numbers(table: PublishedTable, row: Row) -> int:
    """Numbers of a row that get a verdict from chance."""
    return 0 if row.deterministic else sum(entry.printed is not None for entry in entries_of(table, row, ()))


def precise(table: PublishedTable, row: Row, found: Sequence[Found]) -> bool:
    """Whether more seeds would not decide the row: it is precise enough, or what is published is not."""
    entries = [entry for entry in entries_of(table, row, found) if entry.runs]
    return bool(entries) and all(entry.judged is None or arithmetic.enough(entry.judged) for entry in entries)


def experiments_of(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The entries that are published and measured, those whose numbers are printed for the same runs together."""
    by_runs: dict[tuple[Any, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.printed and entry.runs:
            by_runs[entry.metric, *same_runs(entry.found)].append(entry)
    return [*by_runs.values()]


def same_runs(found: Sequence[Found]) -> tuple[tuple[str, str], ...]:
    """What is equal for rows that are one experiment, however they are typed."""
    return tuple((one.planned.hash, one.planned.settled.place) for one in found)


def printed_together(experiment: Sequence[Entry]) -> arithmetic.Printed:
    """All numbers that are printed for one experiment, as one."""
    return arithmetic.together([entry.printed for entry in experiment if entry.printed])


def judged_together(experiment: Sequence[Entry]) -> arithmetic.Judged | None:
    """None where no chance enters."""
    first = experiment[0]
    if first.judged is None or first.runs is None:
        return None
    return arithmetic.judge(first.runs, printed_together(experiment), first.row.margin)


def mean_of(values: Sequence[float]) -> float | None:
    """None of none."""
    return statistics.fmean(values) if values else None


def finite(value: float) -> float | None:
    """The value; None where it is infinite or none."""
    return value if math.isfinite(value) else None


def reference_of(row: Row) -> Reference:
    """A row by its table and label."""
    return Reference(row.table, row.label)
