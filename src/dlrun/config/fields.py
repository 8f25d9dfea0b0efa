"""Documented fields: what a dataclass of options says of itself, and the check of values against it."""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from dlrun.errors import ConfigError, did_you_mean


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    fits: Callable[[Any], bool] | None = None,
    expected: str = "",
    hashed: bool = True,
    tells: Callable[[Any], bool] | None = None,
) -> Any:
    """A field of a config with its meaning, its range and whether it can change the numbers (`hashed`).

    Args:
        fits, expected: A range that is no interval: whether a value lies in it, and what does, in words.
        tells: Whether the field is part of a config's hash, where that is not "if it is not at its default".
    """
    limits = {"low": low, "above": above, "high": high, "below": below, "choices": choices}
    metadata = {"help": help, "hashed": hashed, "tells": tells, "fits": fits, "expected": expected, **limits}
    if isinstance(default, list | dict):
        return field(default_factory=functools.partial(type(default), default), metadata=metadata)
    return field(default=default, metadata=metadata)


_fields: dict[type, dict[str, dataclasses.Field[Any]]] = {}


def fields_of(spec: type) -> Mapping[str, dataclasses.Field[Any]]:
    """The fields of a dataclass by name; remembered, since a report asks for those of each of its runs."""
    if spec not in _fields:
        _fields[spec] = {item.name: item for item in dataclasses.fields(spec)}
    return _fields[spec]


def default_of(item: dataclasses.Field[Any]) -> Any:
    """The default of a field, made anew where it is a list, a dict or a part."""
    return item.default if item.default_factory is dataclasses.MISSING else item.default_factory()


def fill(spec: type, values: Mapping[str, Any], prefix: str) -> Any:
    """An instance of a class of `option` fields from plain values, each checked; defaults fill the gaps.

    Args:
        prefix: What stands before a field's name in messages, such as `optimizer.`.

    Raises:
        ConfigError: An unknown key, a wrong type, a value out of range.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{prefix.rstrip('.')}: expected a group of fields, got {values!r}")
    known = fields_of(spec)
    kinds = _kinds_of(spec)
    checked = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{prefix}{key}: no such field{did_you_mean(str(key), known)}")
        checked[key] = _value(value, kinds[key], known[key].metadata, f"{prefix}{key}")
    return spec(**checked)


_kinds_of = functools.cache(typing.get_type_hints)
"""Types by field of a class."""


def _value(value: Any, kind: Any, limits: Mapping[str, Any], where: str) -> Any:
    """`value` as `kind` if it is one and lies within the limits, else an error that says what would be valid."""
    if dataclasses.is_dataclass(value):
        return value
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and type(None) in kinds:
        return None
    if isinstance(value, float) and float in kinds and math.isfinite(value):
        fits = True
    elif isinstance(value, int) and not isinstance(value, bool) and (int in kinds or float in kinds):
        fits, value = True, value if int in kinds else float(value)
    else:
        fits = any(_is_a(value, one) for one in kinds)
    if not fits or not _within(value, limits):
        raise ConfigError(f"{where}={_shown(value)}: expected {expectation(kind, limits)}")
    if isinstance(value, int | float) and not _is_of_a_size(value):
        size = "whole numbers have 18 digits at most" if isinstance(value, int) else "sizes go from 1e-30 to 1e30"
        raise ConfigError(f"{where}={_shown(value)}: expected {expectation(kind, limits)}; {size}")
    return value


def _is_of_a_size(value: float) -> bool:
    """Whether PyTorch can take it: whole numbers of 64 bits, and others that are not lost in float32."""
    return abs(value) < 2**63 if isinstance(value, int) else value == 0 or 1e-30 <= abs(value) <= 1e30


def _is_a(value: Any, kind: Any) -> bool:
    if kind in (bool, str):
        return isinstance(value, kind)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        kinds = (int, float) if inner[0] is float else inner
        return isinstance(value, list) and all(isinstance(item, kinds) and not isinstance(item, bool) for item in value)
    return origin is dict and isinstance(value, Mapping)


def _within(value: Any, limits: Mapping[str, Any]) -> bool:
    if limits.get("choices"):
        return value in limits["choices"]
    if limits.get("fits"):
        return bool(limits["fits"](value))
    if not isinstance(value, int | float):
        return True
    low, above, high, below = (limits.get(name) for name in ("low", "above", "high", "below"))
    return (
        (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
        and (below is None or value < below)
    )


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


NAMES_OF_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


NAMES_OF_LISTS = {
    list[str]: "a list of texts",
    list[int]: "a list of whole numbers",
    list[float]: "a list of numbers",
}


def _name_of_kind(kind: Any) -> str:
    return NAMES_OF_KINDS.get(kind) or NAMES_OF_LISTS.get(kind, "fields")


def expectation(kind: Any, limits: Mapping[str, Any]) -> str:
    """What a field takes, in words: "a whole number >= 1 or null".

    >>> expectation(int, {"low": 1})
    'a whole number >= 1'
    """
    if limits.get("choices"):
        null = " or null" if type(None) in typing.get_args(kind) else ""
        return f"one of {', '.join(limits['choices'])}{null}"
    if limits.get("expected"):
        return str(limits["expected"])
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    names = [_name_of_kind(one) for one in kinds]
    signs = {"low": ">=", "above": ">", "high": "<=", "below": "<"}
    bounds = [f"{sign} {limits[name]:g}" for name, sign in signs.items() if limits.get(name) is not None]
    if bounds:
        names[0] += " " + " and ".join(bounds)
    return " or ".join(names)
