"""The course of a row's test accuracy: against a printed curve, and against one printed number (no torch)."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlrun.statistics import LEVEL, Printed, holm, plain


@dataclass(frozen=True)
class Curve:
    """Test accuracies by epoch, fractions 0-1; the first is epoch 1's."""

    published: tuple[float, ...]
    """Empty where one number is printed, or none."""
    measured: tuple[float, ...]
    """Means over the seeds, of the epochs that all of them have."""
    epochs_printed: bool
    passes: dict[int, int | None]
    """By seed the first epoch at or above the printed number; None where there is none."""
    mean_distance: float | None
    """Mean of the absolute differences between both curves, over the epochs that both have."""
    largest: float | None
    """The largest difference, measured less published."""
    largest_epoch: int | None
    apart: tuple[int, ...] | None
    """Epochs that differ by Student's t on the seeds' own variance, after Holm over the curve; None below 3 seeds."""


def curve(
    histories: Mapping[int, Sequence[float]],
    published: Sequence[float],
    number: float | None,
    digits: int,
    n: int = 1,
    epochs_printed: bool = True,
    cut: bool = False,
) -> Curve | None:
    """Compare; None where nothing is measured, or nothing asks for it: no curve is printed, but the epochs are.

    Args:
        histories: By seed the test accuracy of every epoch.
        number: The printed accuracy after the last epoch.
        digits: Decimals that are printed.
        n: Runs that the printed curve is the mean of.
        cut: Whether further decimals were cut off.
    """
    if not histories or not (published or (number is not None and not epochs_printed)):
        return None
    epochs = list(zip(*histories.values(), strict=False))
    pairs = [(values, Printed(one, digits, n, cut=cut)) for values, one in zip(epochs, published, strict=False)]
    apart = [statistics.fmean(values) - printed.centre for values, printed in pairs]
    worst = max(range(len(apart)), key=lambda place: abs(apart[place]), default=None)
    return Curve(
        published=tuple(published),
        measured=tuple(statistics.fmean(values) for values in epochs),
        epochs_printed=epochs_printed,
        passes={seed: _passed(values, number) for seed, values in histories.items()},
        mean_distance=statistics.fmean(map(abs, apart)) if apart else None,
        largest=None if worst is None else apart[worst],
        largest_epoch=None if worst is None else worst + 1,
        apart=_apart(pairs) if pairs and len(histories) >= 3 else None,
    )


def _passed(values: Sequence[float], number: float | None) -> int | None:
    """The first epoch, from 1, that is at or above a number."""
    reached = (epoch for epoch, value in enumerate(values, start=1) if number is not None and value >= number)
    return next(reached, None)


def _apart(pairs: Sequence[tuple[Sequence[float], Printed]]) -> tuple[int, ...]:
    found = [plain(values, printed) for values, printed in pairs]
    # Where all seeds are equal nothing is known of their spread.
    adjusted = holm([1.0 if one.p is None else one.p for one in found])
    return tuple(epoch for epoch, p in enumerate(adjusted, start=1) if p <= LEVEL)
