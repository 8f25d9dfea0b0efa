"""The arithmetic of verdicts: variances, intervals, tests (docs/verdicts.md says what they mean; no torch, no numpy).

Accuracies, margins and differences are fractions 0-1, variances their squares.
"""

import functools
import itertools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

PRIOR = 8
"""Degrees of freedom that the variance known before the second seed counts for."""
LEVEL = 0.05
"""Of every test: two-sided for differences, one-sided for each side of the equivalence test."""
UNSTABLE = 0.99
"""Point of F beyond which seeds vary more than the prior variance can explain."""
LEAST_MARGIN = 0.002
LARGEST_MARGIN = 0.01
LAST_EPOCHS = 5
"""Epochs at the end of a run that its jitter is taken from."""
JITTER_EPOCHS = 10
"""Epochs from which on a run's own jitter is known."""
MOST_SEEDS = 100
"""Up to which `seeds_that_decide` looks."""
TAU_ROWS = 5
"""From which on there is a Kendall's tau: of fewer, chance orders too many."""

_EXACT = 1e-12
"""What comparisons of decimal fractions allow for binary rounding."""


@dataclass(frozen=True)
class Printed:
    """A published number as it stands in its source."""

    value: float
    digits: int
    """Decimals of the fraction."""
    n: int = 1
    """Runs that it is the mean of."""
    std: float | None = None
    """Their standard deviation, where it is printed."""
    ddof: int = 1
    """What was subtracted from n in it: 1, or 0 (numpy's default)."""
    cut: bool = False
    """Whether further decimals were cut off instead of rounded."""
    other_images: int | None = None
    """Size of the test set, where it is another than the one measured on."""
    shared: bool = False
    """Whether the smaller of the two test sets is a part of the larger one."""
    as_error: bool = False
    """Whether it was printed as an error rate, so that what was cut off is to be taken away."""

    @property
    def centre(self) -> float:
        """The middle of what may have been printed so."""
        half = 0.5 * 10**-self.digits if self.cut else 0.0
        return self.value - half if self.as_error else self.value + half

    @property
    def rounding(self) -> float:
        """Variance of what was lost to the last digit."""
        return (10**-self.digits) ** 2 / 12


@dataclass(frozen=True)
class Runs:
    """What was measured of one experiment: a value a seed."""

    values: tuple[float, ...]
    images: int | None
    """Of the test set that was really used; None where that is not known."""
    jitter: float | None = None
    """Variance of one epoch's accuracy about its trend (`jitter`); None where unknown, 0 where it is no matter."""
    same: bool = False
    """Whether all seeds gave the same accuracy and the same loss, so that the seed has no effect."""

    @property
    def n(self) -> int:
        """Runs that count: one where the seed has no effect."""
        return 1 if self.same else len(self.values)

    @property
    def mean(self) -> float:
        """Of the values."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """Sample standard deviation; None of one run."""
        return statistics.stdev(self.values) if self.n > 1 else None

    @property
    def blind(self) -> bool:
        """Whether nothing tells how far another run might lie: one run, too short to show its own jitter."""
        return self.n == 1 and self.jitter is None


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


@dataclass(frozen=True)
class Spread:
    """The variance of one run of an experiment, and the degrees of freedom it is known with."""

    variance: float
    degrees: int
    prior: float
    """The variance expected before the second seed."""
    unstable: bool = False
    """Whether the seeds vary far more than that."""


def jitter(histories: Sequence[Sequence[float]]) -> float | None:
    """Variance of an epoch's test accuracy about the straight line through the last five, the mean over runs.

    Args:
        histories: Of every run, the test accuracy of each epoch.

    Returns:
        None where a run has fewer than ten epochs, or there is none.
    """
    if not histories or min(map(len, histories)) < JITTER_EPOCHS:
        return None
    return statistics.fmean(_residuals(history[-LAST_EPOCHS:]) for history in histories)


def _residuals(values: Sequence[float]) -> float:
    """Sum of squared residuals of the least-squares line over its degrees of freedom."""
    middle, mean = (len(values) - 1) / 2, statistics.fmean(values)
    across = sum((x - middle) ** 2 for x in range(len(values)))
    slope = sum((x - middle) * (y - mean) for x, y in enumerate(values)) / across
    return sum((y - mean - slope * (x - middle)) ** 2 for x, y in enumerate(values)) / (len(values) - 2)


def spread(runs: Runs, published: float | None = None) -> Spread:
    """The moderated variance: of the seeds, held by what is known before the second one.

    Args:
        published: The published accuracy, if there is one: its error rate counts where it is the larger.
    """
    prior = _prior(runs, published)
    n = runs.n
    if n == 1:
        return Spread(prior, PRIOR, prior) if prior else Spread(math.inf, 1, prior)
    own = statistics.variance(runs.values)
    if not prior:
        return Spread(own, n - 1, prior)
    if own > f_quantile(UNSTABLE, n - 1, PRIOR) * prior:
        return Spread(own, n - 1, prior, unstable=True)
    return Spread((PRIOR * prior + (n - 1) * own) / (PRIOR + n - 1), PRIOR + n - 1, prior)


def _prior(runs: Runs, published: float | None) -> float:
    """0 where nothing is known."""
    binomial = error_rate(runs, published) / (2 * runs.images) if runs.images else 0.0
    return max(binomial, runs.jitter or 0.0)


def error_rate(runs: Runs, published: float | None) -> float:
    """The larger of the measured and the published error rate, half an image at least."""
    least = 0.5 / runs.images if runs.images else 0.0
    return max(1 - runs.mean, 1 - (1.0 if published is None else published), least)


def default_margin(published: float) -> float:
    """Half of the published error rate, at least 0.2 and at most 1 point."""
    return min(max((1 - published) / 2, LEAST_MARGIN), LARGEST_MARGIN)


@dataclass(frozen=True)
class Judged:
    """A published number beside its runs, before the other rows of its table are looked at."""

    runs: Runs
    printed: Printed
    spread: Spread
    margin: float
    """A difference below it does not matter."""
    difference: float
    """Measured less published."""
    error: float
    """Standard error of the difference, the published number's own uncertainty included."""
    degrees: int
    p: float
    """Two-sided, of no difference."""

    @property
    def known(self) -> bool:
        """Whether anything tells how far another run would lie."""
        return math.isfinite(self.error)

    @property
    def half_width(self) -> float:
        """Of the 95 % interval of the difference."""
        return t_quantile(self.degrees, 1 - LEVEL / 2) * self.error

    @property
    def inside(self) -> bool:
        """Whether the true difference lies within the margin (two one-sided tests)."""
        return abs(self.difference) + t_quantile(self.degrees, 1 - LEVEL) * self.error <= self.margin

    @property
    def outside_own_interval(self) -> bool:
        """Whether the published number lies outside the 95 % interval, other rows not considered."""
        return abs(self.difference) > self.half_width

    @property
    def normalized_error(self) -> float:
        """ISO 13528's E_n: from -1 to 1 inside the 95 % interval."""
        return self.difference / self.half_width

    @property
    def z(self) -> float:
        """The normal deviate as likely as the difference."""
        return math.copysign(normal_quantile_above(self.p / 2), self.difference)

    @property
    def log_likelihood(self) -> float:
        """Natural logarithm of the density of the difference, were the printed run one of these."""
        return log_density(self.difference, self.error, self.degrees)

    @property
    def reached(self) -> bool:
        """Whether the measured mean comes within the margin of the published number."""
        return abs(self.difference) <= self.margin + _EXACT


def judge(runs: Runs, printed: Printed, margin: float | None = None) -> Judged:
    """Compare one published number with its runs; `margin` in place of `default_margin`."""
    found = spread(runs, printed.centre)
    return _judged(runs, printed, found, default_margin(printed.centre) if margin is None else margin, runs.n)


def _judged(runs: Runs, printed: Printed, found: Spread, margin: float, n: int) -> Judged:
    error, degrees = _error(runs, printed, found, n)
    difference = runs.mean - printed.centre
    p = 2 * t_above(abs(difference) / error, degrees)
    return Judged(runs, printed, found, margin, difference, error, degrees, p)


def _error(runs: Runs, printed: Printed, found: Spread, n: int) -> tuple[float, int]:
    """The standard error of a difference that rests on n runs, and its degrees of freedom."""
    measured = found.variance / n
    theirs, their_degrees = _their_variance(printed, found)
    published = theirs / printed.n
    degrees = found.degrees
    if theirs != found.variance:
        degrees = satterthwaite(((measured, found.degrees), (published, their_degrees)))
    sets = 0.0
    if printed.other_images and runs.images:
        err = error_rate(runs, printed.centre)
        here, there = 1 / runs.images, 1 / printed.other_images
        sets = err * (1 - err) * (abs(there - here) if printed.shared else here + there)
    return math.sqrt(measured + published + printed.rounding + sets), degrees


def _their_variance(printed: Printed, found: Spread) -> tuple[float, int]:
    """The variance of one published run, and its degrees of freedom; of a source that is silent, that of the runs."""
    if printed.std is None or printed.n == 1:
        return found.variance, found.degrees
    # An unknown prior counts for nothing: as a variance of 0 it would count as certainty.
    prior = PRIOR if found.prior else 0
    degrees = prior + printed.n - 1
    return (prior * found.prior + (printed.n - printed.ddof) * printed.std**2) / degrees, degrees


def satterthwaite(parts: Sequence[tuple[float, int]]) -> int:
    """Degrees of freedom of a sum of variances, each given with its own; rounded down."""
    total = sum(variance for variance, _ in parts)
    spent = sum(variance**2 / degrees for variance, degrees in parts if variance)
    least = min(degrees for _, degrees in parts)
    return max(math.floor(total**2 / spent * (1 + _EXACT)), 1) if 0 < spent < math.inf else least


def verdict(judged: Judged, adjusted_p: float) -> str:
    """`reproduced`, `close`, `differs` or `undecided`.

    Args:
        adjusted_p: Its p-value after `holm` over all printed rows of the table.
    """
    out = adjusted_p <= LEVEL
    if judged.inside:
        return "close" if out else "reproduced"
    return "differs" if out and not judged.runs.blind else "undecided"


def exact_verdict(measured: float, printed: Printed, margin: float | None = None) -> str:
    """The verdict on what no chance enters: `reproduced`, `close` or `differs`."""
    distance = abs(measured - printed.centre)
    if distance <= 0.5 * 10**-printed.digits + _EXACT:
        return "reproduced"
    allowed = default_margin(printed.centre) if margin is None else margin
    return "close" if distance <= allowed + _EXACT else "differs"


def seeds_that_decide(judged: Judged, others: Sequence[float] = ()) -> int | None:
    """The least number of seeds, up to 100, that would decide if mean and variance stayed as they are; None: none.

    It decides where the row would be inside its margin, or its published number outside the 95 % interval. Where it is
    outside already, it is undecided for the number of rows alone: then it decides where it would be out among them.

    Args:
        others: p-values of the other printed numbers of the table.
    """
    outside = judged.outside_own_interval
    if not judged.known or judged.runs.same:
        return None
    for n in range(judged.runs.n + 1, MOST_SEEDS + 1):
        found = judged.spread
        degrees = n - 1 if found.unstable or not found.prior else PRIOR + n - 1
        held = Spread(found.variance, degrees, found.prior, found.unstable)
        then = _judged(judged.runs, judged.printed, held, judged.margin, n)
        if then.inside or (holm([then.p, *others])[0] <= LEVEL if outside else then.outside_own_interval):
            return n
    return None


def enough(judged: Judged) -> bool:
    """Whether further seeds are not worth their time; it asks how precise the row is, never what it says."""
    reach = t_quantile(judged.degrees, 1 - LEVEL) * judged.error
    precise = reach <= judged.margin / 2 and not judged.runs.blind
    return precise or judged.runs.same or judged.runs.n >= 5 * judged.printed.n


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, so that one false claim among all is as likely as the level says."""
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


@dataclass(frozen=True)
class Plain:
    """A printed loss or training accuracy beside the runs: nothing is known of its variance but what they show."""

    difference: float
    p: float | None = None
    """Two-sided, of no difference; None below three runs or where all of them are equal."""
    log_likelihood: float | None = None
    """As of `Judged`; None where `p` is."""


def plain(values: Sequence[float], printed: Printed) -> Plain:
    """Compare with Student's t on the runs' own variance alone."""
    difference = statistics.fmean(values) - printed.centre
    own = statistics.variance(values) if len(values) >= 3 else 0.0
    if not own:
        return Plain(difference)
    error, degrees = math.sqrt(own / len(values) + own / printed.n + printed.rounding), len(values) - 1
    p = 2 * t_above(abs(difference) / error, degrees)
    return Plain(difference, p, log_density(difference, error, degrees))


# --- two rows against each other --------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """An experiment's runs with their variance; of variance 0 where no chance enters."""

    runs: Runs
    spread: Spread

    @property
    def blind(self) -> bool:
        """As of `Runs`."""
        return self.runs.blind and self.spread.variance > 0

    @property
    def half_width(self) -> float | None:
        """Of the 95 % interval of the mean; None where nothing tells how far another run would lie."""
        if self.blind or not math.isfinite(self.spread.variance):
            return None
        return t_quantile(self.spread.degrees, 1 - LEVEL / 2) * math.sqrt(self.spread.variance / self.runs.n)


def exactly(value: float) -> Measured:
    """What no chance enters."""
    return Measured(Runs((value,), None, 0.0), Spread(0.0, PRIOR, 0.0))


@dataclass(frozen=True)
class Pair:
    """The first experiment less the second."""

    difference: float
    error: float
    degrees: int
    p: float
    """Two-sided, of no difference."""
    chance: float
    """That the next run of the first beats the next run of the second."""
    blind: bool
    """Whether one of them is a single run that tells nothing of another one."""

    @property
    def half_width(self) -> float:
        """Of the 95 % interval of the difference; infinite where nothing tells how far runs lie apart."""
        return t_quantile(self.degrees, 1 - LEVEL / 2) * self.error

    @property
    def verdict(self) -> str:
        """`higher` or `lower`, `not told apart`, or `undecided` of a single run that tells nothing of another one.

        That is said of the first, and no other comparison is considered.
        """
        if self.p > LEVEL:
            return "not told apart"
        if self.blind:
            return "undecided"
        return "higher" if self.difference > 0 else "lower"


def pair(first: Measured, second: Measured) -> Pair:
    """Welch's test on moderated variances. Equal seeds do not pair runs of different networks."""
    a, b = first.spread, second.spread
    parts = ((a.variance / first.runs.n, a.degrees), (b.variance / second.runs.n, b.degrees))
    degrees = satterthwaite(parts)
    error = math.sqrt(parts[0][0] + parts[1][0])
    next_error = math.sqrt(a.variance * (1 + 1 / first.runs.n) + b.variance * (1 + 1 / second.runs.n))
    difference = first.runs.mean - second.runs.mean
    p = min(1.0, 2 * t_above(_ratio(abs(difference), error), degrees))
    chance = 1 - t_above(_ratio(difference, next_error), degrees)
    return Pair(difference, error, degrees, p, chance, first.blind or second.blind)


def apart_in_print(first: tuple[Printed, Spread], second: tuple[Printed, Spread]) -> float:
    """How far apart two printed numbers may lie by chance where neither experiment is better.

    This is half the 95 % interval of their difference, by what the runs of each tell of the published ones.
    """
    parts = []
    rounding = 0.0
    for printed, found in (first, second):
        variance, degrees = _their_variance(printed, found)
        parts.append((variance / printed.n, degrees))
        rounding += printed.rounding
    error = math.sqrt(sum(variance for variance, _ in parts) + rounding)
    return t_quantile(satterthwaite(parts), 1 - LEVEL / 2) * error


def _ratio(difference: float, error: float) -> float:
    if error:
        return difference / error
    return math.copysign(math.inf, difference) if difference else 0.0


def lesson(found: Pair, direction: str, adjusted_p: float, margin: float = 0.0) -> str:
    """`holds`, `contradicted` or `open`.

    Args:
        direction: The first is `higher` or `lower` than the second, or `not better` by as much as `margin`.
        adjusted_p: The pair's p-value after `holm` over the lessons of the table.
    """
    if found.blind:
        return "open"
    clear = adjusted_p <= LEVEL
    if direction == "not better":
        if upper_limit(found) < margin:
            return "holds"
        return "contradicted" if clear and found.difference > 0 else "open"
    if not clear:
        return "open"
    return "holds" if (found.difference > 0) == (direction == "higher") else "contradicted"


def upper_limit(found: Pair) -> float:
    """One-sided 95 % limit of the first less the second."""
    return found.difference + t_quantile(found.degrees, 1 - LEVEL) * found.error


# --- all rows of a table ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Foot:
    """What all rows of a table say together, every experiment counted once."""

    rows: int
    outside: int
    """Rows outside their own 95 % interval."""
    expected: float
    """As many are by chance."""
    squares: float
    """Sum of z²; about as large as `rows` where the rule's variances fit."""
    squares_p: float
    above: int
    """Rows measured above their published number."""
    below: int
    sign_p: float


def foot(judged: Sequence[Judged]) -> Foot | None:
    """Over one `Judged` an experiment; None of none."""
    if not judged:
        return None
    squares = math.fsum(one.z**2 for one in judged)
    above = sum(one.difference > _EXACT for one in judged)
    below = sum(one.difference < -_EXACT for one in judged)
    return Foot(
        rows=len(judged),
        outside=sum(one.outside_own_interval for one in judged),
        expected=LEVEL * len(judged),
        squares=squares,
        squares_p=chi2_above(squares, len(judged)),
        above=above,
        below=below,
        sign_p=sign_test(above, below),
    )


def together(printed: Sequence[Printed]) -> Printed:
    """Several printed numbers of one experiment as one: their mean, their runs summed."""
    if len(printed) == 1:
        return printed[0]
    sets = {one.other_images for one in printed}
    return Printed(
        statistics.fmean(one.centre for one in printed),
        min(one.digits for one in printed),
        sum(one.n for one in printed),
        other_images=max((one for one in sets if one), default=None),
        shared=all(one.shared for one in printed),
    )


def sign_test(above: int, below: int) -> float:
    """Exact two-sided p-value of as uneven a split of equally likely signs."""
    n = above + below
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(above, below) + 1)) / 2**n)


@dataclass(frozen=True)
class Rank:
    """Kendall's tau-b over some rows."""

    tau: float
    rows: int
    p: float
    """Two-sided, of no order in common."""


def rank(first: Sequence[float], second: Sequence[float]) -> Rank | None:
    """Kendall's tau-b of two equally long sequences; None below five rows, or where one of them has no order.

    Its p-value is exact, but where both have ties and eight rows or more: then by the normal approximation.
    """
    score = _score(first, second)
    scale = math.sqrt(_untied(first) * _untied(second))
    if len(first) < TAU_ROWS or not scale:
        return None
    return Rank(score / scale, len(first), _rank_p(first, second, abs(score)))


def _score(first: Sequence[float], second: Sequence[float]) -> int:
    """Pairs in the same order less pairs in the opposite one."""
    pairs = itertools.combinations(zip(first, second, strict=True), 2)
    return sum(_sign(a - c) * _sign(b - d) for (a, b), (c, d) in pairs)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _untied(values: Sequence[float]) -> int:
    """Pairs of different values."""
    return math.comb(len(values), 2) - sum(math.comb(count, 2) for count in Counter(values).values())


def _rank_p(first: Sequence[float], second: Sequence[float], score: int) -> float:
    n, tied = len(first), [sorted(Counter(values).values()) for values in (first, second)]
    free = [groups for groups in tied if groups[-1] == 1]
    if free:
        return _counted_p(tied[0] if tied[1] is free[0] else tied[1], score)
    if n < 8:
        scores = [abs(_score(first, order)) for order in itertools.permutations(second)]
        return sum(other >= score for other in scores) / len(scores)
    return math.erfc(score / math.sqrt(2 * _score_variance(n, tied)))


def _counted_p(groups: Sequence[int], score: int) -> float:
    """Share of orders of a multiset with a score at least as large, from the number of its inversions.

    Their generating function is the q-multinomial: the product over groups of Gaussian binomials.
    """
    counts, placed = [1], 0
    for size in groups:
        placed += size
        for k in range(1, size + 1):
            counts = _times(counts, placed - size + k)
            counts = _divided(counts, k)
    largest = len(counts) - 1
    return sum(c for i, c in enumerate(counts) if abs(largest - 2 * i) >= score) / sum(counts)


def _times(counts: Sequence[int], k: int) -> list[int]:
    """The polynomial times 1 + q + … + q^(k-1)."""
    longer = [0] * (len(counts) + k - 1)
    for i, count in enumerate(counts):
        for j in range(k):
            longer[i + j] += count
    return longer


def _divided(counts: Sequence[int], k: int) -> list[int]:
    """The polynomial by 1 + q + … + q^(k-1), which divides it."""
    rest, quotient = list(counts), []
    for i in range(len(counts) - k + 1):
        quotient.append(rest[i])
        for j in range(k):
            rest[i + j] -= quotient[i]
    return quotient


def _score_variance(n: int, tied: Sequence[Sequence[int]]) -> float:
    """Of the score of two sequences with ties, over all orders (Kendall 1970)."""
    whole = [sum(t * (t - 1) * (2 * t + 5) for t in groups) for groups in tied]
    triples = [sum(t * (t - 1) * (t - 2) for t in groups) for groups in tied]
    pairs = [sum(t * (t - 1) for t in groups) for groups in tied]
    return (
        (n * (n - 1) * (2 * n + 5) - sum(whole)) / 18
        + triples[0] * triples[1] / (9 * n * (n - 1) * (n - 2))
        + pairs[0] * pairs[1] / (2 * n * (n - 1))
    )


# --- distributions ----------------------------------------------------------------------------------------


def t_above(t: float, degrees: float) -> float:
    """The probability that Student's t exceeds `t`, with full relative accuracy in the upper tail."""
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    half = 0.5 * beta_below(degrees / (degrees + t * t), degrees / 2, 0.5)
    return half if t >= 0 else 1 - half


@functools.cache
def t_quantile(degrees: float, probability: float = 0.975) -> float:
    """The quantile of Student's t.

    Args:
        probability: 0.5 to less than 1.

    >>> round(t_quantile(2), 4)
    4.3027
    """
    # Newton's steps from the normal quantile, which is the smaller, never pass the root: the tail is convex.
    above, t = 1 - probability, statistics.NormalDist().inv_cdf(probability)
    while (further := t + (t_above(t, degrees) - above) / _t_density(t, degrees)) > t * (1 + 1e-14) + 1e-300:
        t = further
    return t


def log_density(difference: float, error: float, degrees: float) -> float:
    """Natural logarithm of the density at `difference` of Student's t about 0 with the scale `error`."""
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    return scale - (degrees + 1) / 2 * math.log1p((difference / error) ** 2 / degrees) - math.log(error)


def _t_density(t: float, degrees: float) -> float:
    return math.exp(log_density(t, 1.0, degrees))


def f_above(f: float, numerator: float, denominator: float) -> float:
    """The probability that Fisher's F exceeds `f`."""
    return beta_below(denominator / (denominator + numerator * f), denominator / 2, numerator / 2)


@functools.cache
def f_quantile(probability: float, numerator: float, denominator: float) -> float:
    """The quantile of Fisher's F.

    >>> round(f_quantile(0.99, 2, 8), 3)
    8.649
    """
    low, high = 0.0, 1.0
    while f_above(high, numerator, denominator) > 1 - probability:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if f_above(middle, numerator, denominator) > 1 - probability else (low, middle)
    return middle


def normal_quantile_above(probability: float) -> float:
    """What a standard normal deviate exceeds with this probability; 37 where it is too small for a number."""
    return -statistics.NormalDist().inv_cdf(max(probability, 1e-300))


def chi2_above(value: float, degrees: int) -> float:
    """The probability that chi-squared with a whole number of degrees of freedom exceeds `value`."""
    half, odd = value / 2, degrees % 2
    total = math.erfc(math.sqrt(half)) if odd else math.exp(-half)
    if not half:
        return 1.0
    powers = (k / 2 for k in range(1 if odd else 2, degrees, 2))
    return total + sum(math.exp(k * math.log(half) - half - math.lgamma(k + 1)) for k in powers)


def beta_below(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b), by its continued fraction (Lentz's method)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_below(1 - x, b, a)
    scale = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(scale) / a / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    value, c, d = 1.0, 1.0, 0.0
    for i in range(1, 10_000):
        m = i // 2
        if i % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d)
        c = 1 + term / c
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value
