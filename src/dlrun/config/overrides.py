"""What an override sets: read from words and table files, in Hydra's grammar, laid over one another (no torch)."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from dlrun.config.groups import GROUPS
from dlrun.errors import ConfigError


def overrides_from(values: Any, where: str) -> tuple[str, ...]:
    """Overrides as one types them, from a mapping of keys to values or a list of `key=value`."""
    if isinstance(values, dict):
        return tuple(f"{_key(key, where)}={hydra_value(value)}" for key, value in values.items())
    for item in values:
        if not isinstance(item, str) or "=" not in item:
            raise ConfigError(f"{where}: expected key=value, got {shortened(item)}")
    return tuple(values)


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str) or not re.fullmatch(r"\+{0,2}[A-Za-z_][\w./@-]*", key):
        raise ConfigError(f"{where}: {shortened(key)} is no key of an override")
    return key


def hydra_value(value: Any) -> str:
    """A plain value in Hydra's grammar of overrides.

    >>> hydra_value(["conv 32", "dropout 0.5"]), hydra_value(True), hydra_value("a, b")
    ('[conv 32, dropout 0.5]', 'true', "'a, b'")
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return "[" + ", ".join(map(hydra_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{hydra_value(key)}: {hydra_value(item)}" for key, item in value.items()) + "}"
    if not isinstance(value, str) or _is_plain(value):
        return str(value)
    return quoted(value)


def quoted(text: str) -> str:
    """Text in quotes, which Hydra reads as text whatever is in it."""
    escaped = re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def _is_plain(text: str) -> bool:
    """Whether the text needs no quotes: words that are text to Hydra, or a number (1e-3 is text to YAML)."""
    words = re.fullmatch(r"[A-Za-z][\w.+-]*(?:[ /][\w.+-]+)*", text, re.ASCII)
    number = re.fullmatch(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", text, re.ASCII)
    special = ("null", "true", "false", "nan", "inf")
    return bool(number) or (bool(words) and text.lower() not in special)


def bare(override: str) -> str:
    """An override without Hydra's `+` or `++`, which say nothing to dlrun."""
    return override.lstrip("+")


def pair(override: str) -> tuple[str, str]:
    """What an override sets and to what, as text; of one that deletes, `~` and what it deletes.

    >>> pair("++model.layers=[dense 10]"), pair("~scheduler")
    (('model.layers', '[dense 10]'), ('~scheduler', ''))
    """
    key, _, value = bare(override).partition("=")
    return key, value


def key_of(override: str) -> str:
    """What an override sets or deletes: `model.layers` of `++model.layers=[…]`."""
    return pair(override)[0].lstrip("~+")


def typed_for(overrides: Iterable[str], key: str) -> list[str]:
    """The values that were typed for a key, in their order, as text less quotes around it.

    >>> typed_for(["seed=0", "hydra.sweep.dir='my sweep'"], "hydra.sweep.dir")
    ['my sweep']
    """
    pairs = (pair(text) for text in overrides if "=" in text)
    return [value.strip("'\"") for name, value in pairs if name == key]


def last_of_each(overrides: Iterable[str]) -> tuple[str, ...]:
    """Of several overrides of one key the last, in the place of the first."""
    return tuple({pair(text)[0]: text for text in overrides}.values())


def merged(earlier: Sequence[str], later: Sequence[str]) -> tuple[str, ...]:
    """Two layers of overrides as one: a later value replaces an earlier one of the same key, and a later
    choice for a group (`optimizer=adam`) also what was set inside the earlier choice (`optimizer.lr=…`).
    """
    replaced = {key_of(text) for text in later}
    groups = tuple(f"{key}." for key in replaced if key in GROUPS)
    kept = [text for text in earlier if key_of(text) not in replaced and not key_of(text).startswith(groups)]
    return (*kept, *later)


def shortened(value: Any) -> str:
    """A value as an error message shows it."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
