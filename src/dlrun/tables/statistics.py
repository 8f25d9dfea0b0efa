"""The arithmetic of a comparison: intervals, verdicts, lessons and rank agreement (definitions: docs)."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CLOSE = 0.005
"""Half a percentage point: a mean within it of the published number is close."""
PRECISE = 0.01
"""One percentage point: an interval wider than this to each side decides nothing."""
ENOUGH = 3
"""Seeds from which on an interval is taken seriously."""

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """n values as mean, sample standard deviation and half-width; the latter two are None for one value."""

    n: int
    mean: float
    std: float | None
    half_width: float | None


def interval(values: Sequence[float], digits: int) -> Interval | None:
    """The interval of measured fractions beside a number printed with `digits` decimals; None of no values.

    half-width = t(0.975, n-1) s sqrt(1 + 1/n) + half a unit of the last printed digit: where one more run
    would lie, with what the printed number was rounded by.
    """
    if not values:
        return None
    n, mean = len(values), statistics.fmean(values)
    if n == 1:
        return Interval(1, mean, None, None)
    std = statistics.stdev(values)
    half_width = t_quantile(n - 1) * std * math.sqrt(1 + 1 / n) + 0.5 * 10**-digits
    return Interval(n, mean, std, half_width)


def verdict(published: float, measured: Interval) -> str:
    """`reproduced`, `close`, `differs` or `undecided`, in this order of precedence but for the last two."""
    distance = abs(measured.mean - published)
    wide = measured.half_width
    inside = measured.n >= ENOUGH and wide is not None and distance <= wide + _ROUNDING
    if inside and wide is not None and wide <= PRECISE + _ROUNDING:
        return "reproduced"
    if distance <= CLOSE + _ROUNDING:
        return "close"
    return "undecided" if inside else "differs"


@dataclass(frozen=True)
class Paired:
    """The mean difference over n seeds that both rows have, and its standard error."""

    n: int
    difference: float | None
    error: float | None
    outcome: str
    """`holds`, `contradicted` or `open`."""


def lesson(differences: Sequence[float], direction: str) -> Paired:
    """Whether the first row is better (`higher`) or worse (`lower`) than the second, over paired seeds.

    It holds when the mean difference exceeds twice its standard error in the claimed direction, is
    contradicted when it does in the other; with fewer than three pairs it stays open.
    """
    n = len(differences)
    if n == 0:
        return Paired(0, None, None, "open")
    mean = statistics.fmean(differences)
    if n == 1:
        return Paired(1, mean, None, "open")
    error = statistics.stdev(differences) / math.sqrt(n)
    claimed = mean if direction == "higher" else -mean
    if n < ENOUGH or abs(mean) <= 2 * error + _ROUNDING:
        return Paired(n, mean, error, "open")
    return Paired(n, mean, error, "holds" if claimed > 0 else "contradicted")


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's tau-b of two equally long sequences, from -1 to 1; None where one of them has no order."""
    pairs = [(i, j) for i in range(len(first)) for j in range(i)]
    a = [_sign(first[i] - first[j]) for i, j in pairs]
    b = [_sign(second[i] - second[j]) for i, j in pairs]
    scale = math.sqrt(sum(map(abs, a)) * sum(map(abs, b)))
    return sum(x * y for x, y in zip(a, b, strict=True)) / scale if scale else None


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def t_quantile(degrees: int, probability: float = 0.975) -> float:
    """The quantile of Student's t with a whole number of degrees of freedom, by bisection.

    Args:
        probability: 0.5 to less than 1.

    >>> round(t_quantile(2), 4)
    4.3027
    """
    low, high = 0.0, 1.0
    while _t_within(high, degrees) < 2 * probability - 1:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        below = _t_within(middle, degrees) < 2 * probability - 1
        low, high = (middle, high) if below else (low, middle)
    return high


def _t_within(t: float, degrees: int) -> float:
    """P(|T| <= t) in closed form (Abramowitz & Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= (k - 1) / k * cosine**2
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
