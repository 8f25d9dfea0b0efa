"""Accuracy against each value that was swept: a chart for every number that takes three values or more."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from dlrun.output import plain_text
from dlrun.report.dots import LEFT, RIGHT, Axis, Dots, axis
from dlrun.report.leaderboard import Group, varying
from dlrun.report.tiles import LabelledBoard

LEAST_VALUES = 3
"""Two values make a line that looks like a law."""
MOST_TICKS = 8

T = TypeVar("T")


@dataclass(frozen=True)
class Mark:
    """A configuration; places are percent of the drawing, from the left and from the top."""

    x: float
    y: float
    about: str
    """Its value and its accuracy."""
    best: bool
    told: str
    """What the configuration is called, and its accuracy."""


@dataclass(frozen=True)
class Swept:
    """A chart: configurations by one field, and a line through the best one at each value."""

    title: str
    axis: Axis
    """Of the accuracies, which run from the bottom to the top."""
    ticks: Sequence[tuple[float, str]]
    marks: Sequence[Mark]
    line: Sequence[Mark]
    logarithmic: bool
    edge: str
    """What to know where the best value is the last one that was tried; empty where it is none."""

    @property
    def steps(self) -> Sequence[tuple[Mark, Mark]]:
        """The pieces of the line."""
        return list(itertools.pairwise(self.line))

    @property
    def about(self) -> str:
        """The chart in words."""
        return f"{self.title}. Best at each value: {'; '.join(mark.about for mark in self.line)}. {self.edge}".strip()


def swept(one: LabelledBoard) -> list[Swept]:
    """The charts of a board, field by field."""
    split = one.board.split
    labelled = [(entry.label, group) for entry, group in zip(one.entries, one.groups, strict=True)]
    done = [(label, group) for label, group in labelled if group.mean_of(split)]
    found = []
    for name in varying(one.groups):
        known = [(label, group) for label, group in done if is_number(group.fields.get(name))]
        if len({group.fields[name] for _, group in known}) >= LEAST_VALUES:
            found.append(_chart(name, known, split))
    return found


def is_number(value: object) -> bool:
    """Whether the value has a place on an axis of numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _chart(name: str, labelled: Sequence[tuple[str, Group]], split: str) -> Swept:
    means = [mean.mean for _, group in labelled if (mean := group.mean_of(split))]
    values = [float(group.fields[name]) for _, group in labelled]
    scale = axis([Dots(mean) for mean in means])
    assert scale is not None
    tried = sorted(set(values))
    logarithmic = is_logarithmic(tried)
    top = max(means)
    marks = [
        Mark(
            _place(value, tried, logarithmic),
            _height(scale, mean),
            f"{plain_text(value)}: {mean:.4f}",
            mean == top,
            f"{label}: {mean:.4f}",
        )
        for (label, _), value, mean in zip(labelled, values, means, strict=True)
    ]
    marks.sort(key=lambda mark: (mark.x, -mark.y))
    highest = {mark.x: mark for mark in sorted(marks, key=lambda mark: -mark.y)}
    line = [highest[x] for x in sorted(highest)]
    ticks = [(_place(value, tried, logarithmic), plain_text(value)) for value in thinned(tried)]
    best = values[means.index(top)]
    title = f"{split} accuracy by {name.rpartition('.')[2]}"
    return Swept(title, scale, ticks, marks, line, logarithmic, _edge(best, tried))


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether ascending values are spaced more evenly by their logarithms.

    >>> is_logarithmic([0.001, 0.01, 0.1]), is_logarithmic([32, 64, 128]), is_logarithmic([0, 0.1, 0.2])
    (True, True, False)
    """
    if values[0] <= 0:
        return False
    return _unevenness([math.log(value) for value in values]) < _unevenness(values)


def _unevenness(values: Sequence[float]) -> float:
    gaps = [after - before for before, after in itertools.pairwise(values)]
    return max(gaps) / min(gaps)


def share(value: float, tried: Sequence[float], logarithmic: bool) -> float:
    """Where a value stands on an axis from the first (0) to the last (1) of ascending values, two at least.

    >>> share(0.01, [0.001, 0.1], logarithmic=True)
    0.5
    """
    low, at, high = (math.log(one) if logarithmic else one for one in (tried[0], value, tried[-1]))
    return (at - low) / (high - low)


def thinned(values: Sequence[T]) -> Sequence[T]:
    """Of many values those whose labels there is room for."""
    return values[:: math.ceil(len(values) / MOST_TICKS)]


def _place(value: float, tried: Sequence[float], logarithmic: bool) -> float:
    return round(LEFT + 8 + (RIGHT - LEFT - 12) * share(value, tried, logarithmic), 2)


def _height(scale: Axis, accuracy: float) -> float:
    return round(100 - scale.place(accuracy), 2)


def _edge(best: float, tried: Sequence[float]) -> str:
    if best not in (tried[0], tried[-1]):
        return ""
    end, further = ("smallest", "smaller") if best == tried[0] else ("largest", "larger")
    return f"The best is at {plain_text(best)}, the {end} value tried: {further} ones may be better."
