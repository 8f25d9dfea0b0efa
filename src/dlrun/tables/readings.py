"""What rows may mean that do not say it: one reading is judged over all of them together (no torch)."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlrun.output import counted

BARE_MENTION = 1.0
"""A log-likelihood less by under this says next to nothing (Kass and Raftery 1995, Bayes factors, section 3.2)."""


@dataclass(frozen=True)
class Held:
    """One reading held against one printed row."""

    label: str
    """Of the row that reads it so."""
    n: int
    mean: float | None
    difference: float | None
    """Measured less published."""
    log_likelihood: Mapping[str, float]
    """By what is printed (`test_accuracy`, `train_loss` …) the density of the difference under the verdict's
    variances; a loss or training accuracy is there from three runs on."""
    reaches: bool | None
    """Whether it comes within the margin of the printed number; None: not measured."""
    main: bool = False
    """Whether it is the main reading."""
    uncounted: tuple[str, ...] = ()
    """What else is printed and does not count yet: there are fewer than three runs."""


@dataclass(frozen=True)
class PrintedRow:
    """One printed row under its readings."""

    label: str
    published: float | None
    digits: int
    readings: Mapping[str, Held]
    log_likelihood: Mapping[str, float]
    """By reading, summed over what is printed and known of every reading that is measured."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Readings without a completed run."""
        return tuple(name for name, held in self.readings.items() if held.mean is None)

    @property
    def alone(self) -> tuple[str, ...]:
        """Readings measured by a run of which nothing tells how far another one would lie."""
        return tuple(name for name, held in self.readings.items() if held.mean is not None and not held.log_likelihood)

    @property
    def comparable(self) -> bool:
        """Whether every reading has a likelihood."""
        return not self.missing and not self.alone

    @property
    def unreached(self) -> bool:
        """Whether all its readings are measured, the main one among them, and none reaches the printed number."""
        measured = not self.missing and any(held.main for held in self.readings.values())
        return measured and not any(held.reaches for held in self.readings.values())

    @property
    def outcome(self) -> str:
        """Which readings reach the printed number."""
        reaching = [name for name, held in self.readings.items() if held.reaches]
        said = [f"reached by {', '.join(reaching)}"] if reaching else []
        if self.missing:
            said.append(f"not measured: {', '.join(self.missing)}")
        undetermined = ": the source's words do not determine it" if self.unreached else " of these"
        return "; ".join(said) or f"reached by none{undetermined}"


@dataclass(frozen=True)
class RowBlock:
    """Rows of one table that are read in one of several ways, all of them alike."""

    table: str
    """Where the numbers are printed."""
    names: tuple[str, ...]
    """Of the readings, those that a row has not included."""
    lacking: Mapping[str, tuple[str, ...]]
    """By reading the labels of printed rows that can't be read so."""
    main: str | None
    rows: tuple[PrintedRow, ...]
    counted: tuple[str, ...]
    """Labels of the rows that have a likelihood in every reading that they have."""
    sums: Mapping[str, float]
    """By reading that every row has, the log-likelihood over the counted rows."""
    common: Mapping[str, float]
    """By reading, the log-likelihood over those of the counted rows that have all readings."""
    common_rows: int
    likeliest: tuple[str, ...]
    """The likeliest reading of all rows, and behind it those that are hardly less likely; none as long as a row is not
    measured in one."""


def block(table: str, rows: Mapping[str, tuple[float | None, int, Mapping[str, Held]]]) -> RowBlock:
    """Judge the readings of some printed rows.

    Args:
        rows: By label of the printed row: its number, the decimals of it, and its readings by name.
    """
    printed = tuple(
        PrintedRow(label, number, digits, readings, _known_of_all(readings))
        for label, (number, digits, readings) in rows.items()
    )
    names = tuple(dict.fromkeys(name for row in printed for name in row.readings))
    lacking = {name: tuple(row.label for row in printed if name not in row.readings) for name in names}
    whole = [name for name in names if not lacking[name]]
    counted = [row for row in printed if row.comparable]
    sums = {name: _sum(counted, name) for name in whole} if counted else {}
    alike = [row for row in counted if len(row.readings) == len(names)]
    done = len(counted) == len(printed) and len(sums) > 1
    mains = {name for row in printed for name, held in row.readings.items() if held.main}
    return RowBlock(
        table=table,
        names=names,
        lacking={name: labels for name, labels in lacking.items() if labels},
        main=mains.pop() if len(mains) == 1 else None,
        rows=printed,
        counted=tuple(row.label for row in counted),
        sums=sums,
        common={name: _sum(alike, name) for name in names} if alike else {},
        common_rows=len(alike),
        likeliest=_likeliest(sums) if done else (),
    )


def _likeliest(sums: Mapping[str, float]) -> tuple[str, ...]:
    best = max(sums.values())
    return tuple(name for name in sorted(sums, key=sums.__getitem__, reverse=True) if best - sums[name] < BARE_MENTION)


def _sum(rows: Sequence[PrintedRow], name: str) -> float:
    return math.fsum(row.log_likelihood[name] for row in rows)


def _known_of_all(readings: Mapping[str, Held]) -> dict[str, float]:
    """Sums over the same printed numbers, since a further one would only ever change a sum for some of the readings."""
    measured = {name: held.log_likelihood for name, held in readings.items() if held.log_likelihood}
    shared = set.intersection(*map(set, measured.values())) if measured else set()
    return {name: math.fsum(known[key] for key in shared) for name, known in measured.items()}


def sentences(found: RowBlock) -> list[str]:
    """What the block says, for people."""
    said = []
    for name, labels in found.lacking.items():
        said.append(f"{name} can't be the reading of {'; '.join(labels)}, so it is none of the whole block.")
    missing = Counter(name for row in found.rows for name in row.missing)
    alone = Counter(name for row in found.rows for name in row.alone)
    if found.likeliest:
        best = found.likeliest[0]
        others = "; ".join(f"{name} {found.sums[best] - found.sums[name]:.1f}" for name in found.sums if name != best)
        over = f"Over all {len(found.rows)} rows " if len(found.rows) > 1 else ""
        said.append(f"{over}{_first(found.likeliest, ' reading')} (less by ln L: {others}).")
        if found.main is not None and found.main not in found.likeliest:
            said.append(f"The main reading in {found.table} is still {found.main}.")
    elif missing or alone:
        if missing:
            said.append(f"Not decided yet: without a completed run are {_in_rows(missing)}.")
        if alone:
            said.append(f"Not decided yet: nothing tells how far a second seed of {_in_rows(alone)} would lie.")
        if len(found.sums) > 1:
            so_far = f"So far, over {len(found.counted)} of {len(found.rows)} rows, "
            said.append(f"{so_far}{_first(_likeliest(found.sums))}.")
    uncounted = {name for row in found.rows for held in row.readings.values() for name in held.uncounted}
    if uncounted:
        names = ", ".join(name.replace("_", " ") for name in sorted(uncounted))
        said.append(f"Also printed, and counted from three runs on: {names}.")
    if unreached := [row.label for row in found.rows if row.unreached]:
        said.append(f"No reading reaches {'; '.join(unreached)}: the source's words do not determine it.")
    return said


def _first(likeliest: Sequence[str], noun: str = "") -> str:
    if len(likeliest) > 1:
        return f"{' and '.join(likeliest)} are about equally likely"
    return f"{likeliest[0]} is the likeliest{noun}"


def _in_rows(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({counted(number, 'row')})" for name, number in numbers.items())
