"""Dot plots: an axis that fits some accuracies, and where their marks stand on it."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEFT, RIGHT = 4.0, 96.0
"""Where the axis begins and ends, in percent of the drawing's width."""


@dataclass(frozen=True)
class Dots:
    """What one row shows: fractions 0-1, None where there is none."""

    mean: float | None = None
    half_width: float | None = None
    """Half the interval around the mean."""
    values: Sequence[float] = ()
    """The single seeds."""
    published: float | None = None

    def all(self) -> list[float]:
        """Every number to be drawn, the ends of the interval included."""
        reach = self.half_width or 0.0
        ends = [] if self.mean is None else [self.mean - reach, self.mean, self.mean + reach]
        return [*ends, *self.values, *([] if self.published is None else [self.published])]


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high` with `ticks`, all fractions; `digits` decimals tell ticks apart."""

    low: float
    high: float
    ticks: Sequence[float]
    digits: int

    def place(self, value: float) -> float:
        """Percent of the drawing's width; what lies outside the axis stands at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(LEFT + (RIGHT - LEFT) * share, 2)

    def is_off(self, value: float) -> bool:
        """Whether the value lies below the axis."""
        return value < self.low

    def label(self, tick: float) -> str:
        """A tick as text."""
        return f"{tick:.{self.digits}f}"


def axis(rows: Iterable[Dots]) -> Axis | None:
    """An axis for all rows, None where there is nothing to draw.

    A few values far below the others (a run that learnt nothing) stay outside and don't squeeze the rest.
    """
    values = [value for row in rows for value in row.all() if math.isfinite(value)]
    if not values:
        return None
    # An interval may reach beyond 1; no accuracy does.
    high, middle = min(max(values), 1.0), statistics.median(values)
    low = min(value for value in values if value >= middle - 5 * max(high - middle, 0.01))
    step = _step(max(high - low, 0.002))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    first, last = (first, last) if last > first else (first - 1, last + 1)
    ticks = [number * step for number in range(first, last + 1)]
    return Axis(first * step, last * step, ticks, max(0, -math.floor(math.log10(step) + 1e-9)))


def _step(span: float) -> float:
    """The round number of which three to five fit into the span."""
    power = float(10 ** math.floor(math.log10(span)))
    return next(size * power for size in (0.2, 0.5, 1, 2) if span / (size * power) <= 5)
