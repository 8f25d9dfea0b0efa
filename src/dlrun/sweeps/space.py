"""What a search chooses from: the dimensions of a sweep as Optuna's distributions, and points in it as overrides."""

from collections.abc import Mapping, Sequence
from typing import Any

from dlrun.config.overrides import pair
from dlrun.errors import ConfigError
from dlrun.sweeps.points import Dimension, Interval, Overrides, overrides_in, value_of

Space = dict[str, Dimension]
"""Dimensions by name."""
GIVEN = "given"
"""What a trial of Optuna's notes of a first point: by dimension the text typed, which drawn values round."""


def space_of(dimensions: Sequence[Dimension]) -> Space:
    """The dimensions by their names."""
    return {_name(one): one for one in dimensions}


def _name(dimension: Dimension) -> str:
    """The field of a dimension; of lists that go in step, all of them."""
    if isinstance(dimension, Interval):
        return dimension.key
    return " ".join(dict.fromkeys(pair(text)[0] for overrides in dimension for text in overrides))


def ends(dimension: Dimension) -> list[Overrides]:
    """Its values; of an interval the lowest and the highest."""
    if isinstance(dimension, Interval):
        return [(f"{dimension.key}={dimension.low}",), (f"{dimension.key}={dimension.high}",)]
    return dimension


def distributions(space: Space) -> dict[str, Any]:
    """What Optuna calls the dimensions."""
    return {name: _distribution(one) for name, one in space.items()}


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(dimension, Interval):
        return CategoricalDistribution([" ".join(overrides) for overrides in dimension])
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def chosen(space: Space, trial: Any) -> Overrides:
    """The overrides of a trial: drawn numbers to four digits, given ones as they were typed."""
    return point(space, trial.params, trial.user_attrs.get(GIVEN, {}))


def point(space: Space, values: Mapping[str, Any], given: Mapping[str, str]) -> Overrides:
    """The overrides of what Optuna calls `values`; `given` has those of intervals that were typed."""
    return tuple(
        text for name, one in space.items() for text in ((given[name],) if name in given else _drawn(one, values[name]))
    )


def _drawn(dimension: Dimension, value: Any) -> Overrides:
    if isinstance(dimension, Interval):
        return (f"{dimension.key}={value if dimension.whole else float(f'{value:.4g}')}",)
    return next(overrides for overrides in dimension if " ".join(overrides) == value)


def first_points(space: Space, texts: Sequence[str]) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """The points of `sweep.first`: what Optuna calls their values, and those of intervals as they were typed.

    Raises:
        ConfigError: A value is none of those that are searched.
    """
    return [_first_point(space, text) for text in texts]


def _first_point(space: Space, text: str) -> tuple[dict[str, Any], dict[str, str]]:
    typed = {pair(override)[0]: override for override in overrides_in("sweep.first", text)}
    searched = [key for name in space for key in name.split()]
    for key in typed:
        if key not in searched:
            raise ConfigError(f"sweep.first: {typed[key]}: is not searched over; what is: {', '.join(searched)}")
    values: dict[str, Any] = {}
    given: dict[str, str] = {}
    for name, one in space.items():
        if not typed.keys().isdisjoint(name.split()):
            values[name] = _number(one, typed[name]) if isinstance(one, Interval) else _listed(name, one, typed)
            if isinstance(one, Interval):
                given[name] = typed[name]
    return values, given


def _number(interval: Interval, override: str) -> float:
    value = value_of(override)
    kinds = int if interval.whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not interval.low <= value <= interval.high:
        what = "a whole number" if interval.whole else "a number"
        raise ConfigError(f"sweep.first: {override}: expected {what} from {interval.low:g} to {interval.high:g}")
    return value if interval.whole else float(value)


def _listed(name: str, dimension: list[Overrides], typed: Mapping[str, str]) -> str:
    """The alternative with the values typed; of lists that go in step, all of them are typed."""
    wanted = {key: value_of(typed[key]) for key in name.split() if key in typed}
    for overrides in dimension:
        if {pair(text)[0]: value_of(text) for text in overrides} == wanted:
            return " ".join(overrides)
    said = " ".join(typed[key] for key in wanted)
    listed = " | ".join(" ".join(overrides) for overrides in dimension)
    raise ConfigError(f"sweep.first: {said}: is none of the values searched: {listed}")
