"""Statistics over the seeds of one configuration."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dlrun.statistics import t_quantile


@dataclass(frozen=True)
class SeedMean:
    """n values as their mean and sample standard deviation (None for one value)."""

    n: int
    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "SeedMean | None":
        """The spread of the values, None of none."""
        if not values:
            return None
        return cls(len(values), statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    @property
    def half_width(self) -> float | None:
        """Half the 95 % confidence interval of the mean; None for one value."""
        return None if self.std is None else t_quantile(self.n - 1) * self.std / math.sqrt(self.n)

    def text(self, digits: int) -> str:
        """`0.9284 ± 0.0012`, without the second part for one value."""
        return f"{self.mean:.{digits}f}" + ("" if self.std is None else f" ± {self.std:.{digits}f}")
