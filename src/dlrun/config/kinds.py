"""What kind of value the field of a name takes, from the dataclasses of `schema.py` and `groups.py`."""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from dlrun.config.fields import fields_of
from dlrun.config.groups import DATA, OPTIMIZERS, SCHEDULERS, Augment, Layers
from dlrun.config.schema import Config

OF_GROUPS: Mapping[str, Sequence[type]] = {
    "data": tuple(DATA.values()),
    "model": (Layers,),
    "optimizer": tuple(OPTIMIZERS.values()),
    "scheduler": tuple(SCHEDULERS.values()),
    "augment": (Augment,),
}


def kind_of(keys: Sequence[str]) -> Any:
    """The type of the field that keys such as `("data", "root")` name; None where there is no such field."""
    first, *rest = keys
    if not rest:
        return None if first in OF_GROUPS else _hints(Config).get(first)
    parts = [kind for kind in _kinds(_hints(Config).get(first)) if isinstance(kind, type)]
    specs = OF_GROUPS.get(first) or [kind for kind in parts if dataclasses.is_dataclass(kind)]
    found = [_hints(spec)[rest[0]] for spec in specs if rest[0] in fields_of(spec)] if len(rest) == 1 else []
    return found[0] if found else None


def is_field(name: str) -> bool:
    """Whether a field or a group has this name, such as `epochs`, `optimizer.lr` or `model`.

    >>> is_field("epochs"), is_field("data.root"), is_field("csv")
    (True, True, False)
    """
    return name in (*OF_GROUPS, *fields_of(Config)) or kind_of(name.split(".")) is not None


def takes_text_alone(kind: Any) -> bool:
    """Whether text, or a list of texts, is all that fits (null aside)."""
    return {*_kinds(kind)} - {type(None)} in ({str}, {list[str]})


def takes_list(kind: Any) -> bool:
    """Whether lists fit."""
    return any(typing.get_origin(one) is list for one in _kinds(kind))


def takes_truth(kind: Any) -> bool:
    """Whether true and false fit."""
    return bool in _kinds(kind)


def _kinds(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


_hints = functools.cache(typing.get_type_hints)
