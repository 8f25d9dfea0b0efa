"""From what was typed to the points of a sweep: grids, rows, zipped lists, exclusions, random draws.

A dimension is a list of alternatives, each a tuple of overrides, or an interval. Every swept override typed
is one; so is each text of `sweep.zip` (its lists go in step) and all of `sweep.rows` together (each row may
itself be a grid). The points are the product of the dimensions, or `sweep.random` draws from it; `seed` and
`fold` are never drawn but always crossed, so that every draw gets all seeds and folds.
"""

import itertools
import math
import random
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.errors import HydraException

from dlrun.config.compose import compose, options, permit, sentence
from dlrun.config.overrides import bare, last_of_each, pair
from dlrun.config.schema import Config, Sweep
from dlrun.errors import ConfigError

MOST_POINTS = 100_000
"""Of a sweep: each is composed and checked before the first one starts, at some 200 a second."""

Overrides = tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """One run's overrides: all of them, and those that tell it from the sweep's other runs."""

    overrides: Overrides
    varied: Overrides


@dataclass(frozen=True)
class Interval:
    """Numbers between two bounds, for draws and searches."""

    key: str
    low: float
    high: float
    log: bool
    whole: bool

    def draw(self, generator: random.Random) -> Overrides:
        """One uniform (or log-uniform) draw, to four significant digits."""
        if self.log:
            value = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = generator.uniform(self.low, self.high)
        return (f"{self.key}={round(value) if self.whole else float(f'{value:.4g}')}",)


Dimension = list[Overrides] | Interval


def settings_of(arguments: Sequence[str]) -> Sweep:
    """The `sweep` fields that were typed or come from an `experiment`.

    Raises:
        ConfigError: A field does not exist or has a value it can't take.
    """
    return _of_whole(arguments)[0]


def on_end_of(arguments: Sequence[str]) -> str | None:
    """The command that was typed, or comes from an `experiment`, for the end of the whole sweep.

    Raises:
        ConfigError: As `settings_of`.
    """
    return _of_whole(arguments)[1]


def _of_whole(arguments: Sequence[str]) -> tuple[Sweep, str | None]:
    """`sweep` and `on_end`, of which a sweep has one each."""
    typed = [one for one in parse(arguments) if _is_of_sweep(one)]
    for one in typed:
        if _is_swept(one):
            raise ConfigError(f"{one.input_line}: can't itself take several values in a sweep")
    words = [one.input_line or "" for one in typed]
    chosen = [one for one in parse(arguments) if one.key_or_group == "experiment"][-1:]
    if not chosen:
        return _both(compose(words))
    names = [(_plain(chosen[0]),)] if not _is_swept(chosen[0]) else _dimension(chosen[0])
    assert not isinstance(names, Interval)
    found = {repr(both): both for both in (_both(compose([*name, *words])) for name in names)}
    if len(found) > 1:
        raise ConfigError(
            f"{chosen[0].input_line}: these experiments have different fields of sweep or on_end, and a sweep has "
            "one of each; type them, or take them out of the files"
        )
    return next(iter(found.values()))


def _both(config: Config) -> tuple[Sweep, str | None]:
    return config.sweep, config.on_end


def expand(arguments: Sequence[str]) -> list[Point]:
    """The points of what was typed after `-m`, in order; what was typed twice is there twice.

    Raises:
        ConfigError: Something can't be read, a field has values at two places, lists of a zip differ in length, an
            exclusion fits no point, an interval without `sweep.random`.
    """
    fixed, dimensions = dimensions_of(arguments)
    settings = settings_of(arguments)
    if settings.random is None:
        combined: Iterable[Overrides] = _product(dimensions)
    else:
        combined = _draws(dimensions, settings.random)
    points = [Point(fixed + varied, varied) for varied in combined]
    return _without(points, settings.exclude)


def dimensions_of(arguments: Sequence[str]) -> tuple[Overrides, list[Dimension]]:
    """The overrides that hold for every point, and the dimensions in the order of their importance."""
    # Of a field typed twice the last counts, as without -m.
    typed = list({one.get_key_element(): one for one in parse(arguments)}.values())
    settings = settings_of(arguments)
    fixed = tuple(_plain(one) for one in typed if not _is_swept(one) and not _is_of_sweep(one))
    rows: list[Dimension] = [[row for text in settings.rows for row in _row(text)]] if settings.rows else []
    zipped: list[Dimension] = [_zipped(text) for text in settings.zip]
    dimensions = [*rows, *zipped, *(_dimension(one) for one in typed if _is_swept(one))]
    _refuse_two_places(fixed, dimensions)
    return fixed, dimensions


def _refuse_two_places(fixed: Overrides, dimensions: Sequence[Dimension]) -> None:
    """A field has its values at one place: else those of the other would be dropped."""
    places = [{pair(text)[0] for text in fixed}, *map(_keys, dimensions)]
    counts = Counter(key for place in places for key in place)
    for key in (key for key, count in counts.items() if count > 1):
        raise ConfigError(
            f"{key}: typed on its own, and in sweep.rows or sweep.zip as well (or in two of these); "
            "leave it out at one of the two places"
        )


def _keys(dimension: Dimension) -> set[str]:
    if isinstance(dimension, Interval):
        return {dimension.key}
    return {pair(text)[0] for overrides in dimension for text in overrides}


def parse(arguments: Iterable[str]) -> list[Override]:
    """The arguments as Hydra reads them; `++` in front, which dlrun adds for Hydra, goes.

    Raises:
        ConfigError: One can't be read.
    """
    return [_parsed(bare(text)) for text in permit([one for one in arguments if not one.startswith("hydra")])]


def _parsed(text: str) -> Override:
    try:
        return OverridesParser.create().parse_overrides([text])[0]
    except HydraException as error:
        raise ConfigError(sentence(error)) from error


def _is_swept(override: Override) -> bool:
    return bool(override.is_sweep_override())


def _is_of_sweep(override: Override) -> bool:
    return str(override.key_or_group).split(".")[0] in ("sweep", "on_end")


def _plain(override: Override) -> str:
    if override.is_delete():
        return override.input_line or ""
    return f"{override.get_key_element()}={override.get_value_element_as_str()}"


def _dimension(override: Override) -> Dimension:
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return _interval(key, value)
    if isinstance(value, Glob):
        return _matching(override, value)
    values: list[Overrides] = [
        (f"{key}={text}",) for text in itertools.islice(override.sweep_string_iterator(), MOST_POINTS + 1)
    ]
    if len(values) > MOST_POINTS:
        raise ConfigError(f"{key}: more than {MOST_POINTS:,} values; an interval with sweep.random=N draws from many")
    if not values:
        raise ConfigError(f"{override.input_line}: has no value")
    return values


def _matching(override: Override, pattern: Glob) -> Dimension:
    """The options of a group that a pattern fits."""
    key = override.get_key_element()
    known = options(key)
    found = pattern.filter(known)
    if not known:
        raise ConfigError(f"{override.input_line}: glob picks from the options of a group, and {key} is none")
    if not found:
        raise ConfigError(f"{override.input_line}: fits no option; there are: {', '.join(known)}")
    return [(f"{key}={name}",) for name in found]


def _interval(key: str, value: IntervalSweep) -> Interval:
    low, high, log = value.start, value.end, "log" in value.tags
    if low is None or high is None or not low < high or (log and low <= 0):
        raise ConfigError(f"{key}: an interval needs low < high{', both above 0 on a log scale' if log else ''}")
    return Interval(key, low, high, log, isinstance(low, int) and isinstance(high, int))


def overrides_in(field: str, text: str) -> Overrides:
    """The overrides of one point, as `field` has it in a text.

    Raises:
        ConfigError: It can't be read, or has several values.
    """
    for one in (words := _words(field, text)):
        if _is_swept(one):
            raise ConfigError(f"{field}: {one.input_line}: a point has one value of each field")
    return tuple(_plain(one) for one in words)


def value_of(override: str) -> object:
    """What an override sets, as Hydra reads it: `0.10` is `1e-1`."""
    return _parsed(override).value()


def _words(field: str, text: str) -> list[Override]:
    try:
        return parse(_split(text))
    except ValueError as error:
        raise ConfigError(f"{field}: {text!r} can't be split into words ({error})") from None


def _split(text: str) -> list[str]:
    """Words as a shell splits them, but brackets keep together what is between them.

    >>> _split("model.layers=[flatten, dense 16] seed=0,1")
    ['model.layers=[flatten, dense 16]', 'seed=0,1']
    """
    words: list[str] = []
    for word in re.split(r"\s+", text.strip()):
        whole = words and any(words[-1].count(opening) > words[-1].count(closing) for opening, closing in BRACKETS)
        words[-1:] = [f"{words[-1]} {word}"] if whole else [*words[-1:], word]
    if any(sign in text for sign in "'\"\\") or any(one.count(a) != one.count(b) for one in words for a, b in BRACKETS):
        return shlex.split(text)
    return words


BRACKETS = (("[", "]"), ("{", "}"), ("(", ")"))


def _row(text: str) -> list[Overrides]:
    lists = [_listed("sweep.rows", one) for one in _words("sweep.rows", text)]
    return [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*lists)]


def _zipped(text: str) -> list[Overrides]:
    lists = [_listed("sweep.zip", one) for one in _words("sweep.zip", text)]
    if len({len(one) for one in lists}) > 1:
        lengths = ", ".join(f"{pair(one[0][0])[0]} has {len(one)}" for one in lists)
        raise ConfigError(f"sweep.zip: lists that go in step must be equally long: {lengths}")
    return [tuple(itertools.chain(*chosen)) for chosen in zip(*lists, strict=True)]


def _listed(field: str, override: Override) -> list[Overrides]:
    if not _is_swept(override):
        return [(_plain(override),)]
    found = _dimension(override)
    if isinstance(found, Interval):
        raise ConfigError(f"{field}: {found.key} is an interval; type it as a dimension of its own")
    return found


# --- combining --------------------------------------------------------------------------------------------


def _product(dimensions: Sequence[Dimension]) -> Iterator[Overrides]:
    lists = []
    for one in dimensions:
        if isinstance(one, Interval):
            raise ConfigError(
                f"{one.key}: an interval has no end of values; add sweep.random=N or hydra/sweeper=search"
            )
        lists.append(one)
    count = math.prod(map(len, lists))
    if count > MOST_POINTS:
        raise ConfigError(f"the sweep has {count:,} points, more than {MOST_POINTS:,}; sweep.random=N draws N of them")
    for chosen in itertools.product(*lists):
        yield last_of_each(itertools.chain(*chosen))


def _draws(dimensions: Sequence[Dimension], count: int) -> Iterator[Overrides]:
    """`count` different draws; a larger count begins with the same ones, so that a sweep can be extended."""
    repeats = [one for one in dimensions if _is_repeat(one)]
    drawn = [one for one in dimensions if not _is_repeat(one)]
    generator = random.Random(0)
    found: dict[Overrides, None] = {}
    for _ in range(100 * count):
        chosen = [one.draw(generator) if isinstance(one, Interval) else generator.choice(one) for one in drawn]
        found[last_of_each(itertools.chain(*chosen))] = None
        if len(found) == count:
            break
    for point in found:
        for repeat in _product(repeats):
            yield point + repeat


def _is_repeat(dimension: Dimension) -> bool:
    """Whether it asks for runs of one configuration: seeds, or folds."""
    return isinstance(dimension, list) and all(pair(text)[0] in ("seed", "fold") for one in dimension for text in one)


def _without(points: list[Point], exclusions: Sequence[str]) -> list[Point]:
    for text in exclusions:
        wanted = [{choice for (choice,) in _listed("sweep.exclude", one)} for one in _words("sweep.exclude", text)]
        kept = [point for point in points if not all(set(point.overrides) & choices for choices in wanted)]
        if len(kept) == len(points):
            raise ConfigError(f"sweep.exclude: {text!r} fits no point of the sweep")
        points = kept
    if not points:
        raise ConfigError("sweep.exclude leaves no point of the sweep")
    return points
