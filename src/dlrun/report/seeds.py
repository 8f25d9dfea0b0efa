"""Statistics over the seeds of one configuration."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def t_quantile(degrees: int) -> float:
    """The 0.975 quantile of Student's t with `degrees` >= 1 of freedom, to 0.001.

    Beyond a table of ten: the expansion around the normal quantile (Abramowitz & Stegun 26.7.5).

    >>> [round(t_quantile(n), 3) for n in (1, 10, 11, 30)]
    [12.706, 2.228, 2.201, 2.042]
    """
    if degrees <= len(_T):
        return _T[degrees - 1]
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


@dataclass(frozen=True)
class Spread:
    """n values as their mean and sample standard deviation (None for one value)."""

    n: int
    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """The spread of the values, None of none."""
        if not values:
            return None
        return cls(
            len(values), statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
        )

    @property
    def half_width(self) -> float | None:
        """Half the 95 % confidence interval of the mean; None for one value."""
        return None if self.std is None else t_quantile(self.n - 1) * self.std / math.sqrt(self.n)

    def overlaps(self, other: "Spread") -> bool:
        """Whether the 95 % intervals touch; a single value counts as a point."""
        reach = (self.half_width or 0.0) + (other.half_width or 0.0)
        return abs(self.mean - other.mean) <= reach

    def text(self, digits: int) -> str:
        """`0.9284 ± 0.0012`, without the second part for one value."""
        return f"{self.mean:.{digits}f}" + ("" if self.std is None else f" ± {self.std:.{digits}f}")
