"""A run's row of TensorBoard's HParams table: all fields of its config."""

import math
from collections.abc import Mapping
from typing import Any

import yaml

from dlrun.config.naming import called
from dlrun.config.overrides import hydra_value
from dlrun.config.schema import Config, plain
from dlrun.store.scan import flat

OF_JOBS = ("sweep", "choices", "sinks")
"""Groups of fields that say how a run came about and not what it is."""


def fields_of_run(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config of plain values, flat, less those of `OF_JOBS`."""
    return flat({name: value for name, value in config.items() if name not in OF_JOBS})


def hyperparameters(config: Config, parameters: int) -> dict[str, str | float | bool]:
    """Every field as a text, a number or a truth value, and what the network is called and how large it is.

    A field that is not set is `null`, so that it differs from one that is.

    Args:
        parameters: How many the network has.
    """
    facts = {"model": called(config, "model"), "parameters": parameters, **fields_of_run(plain(config))}
    return {name: _value(value) for name, value in facts.items()}


def _value(value: Any) -> str | float | bool:
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return hydra_value(value)


def page(config: Config, facts: Mapping[str, str]) -> str:
    """Markdown for TensorBoard's text page: what the run is, and its config."""
    rows = "\n".join(f"| {name} | {value.replace('|', '/')} |" for name, value in facts.items())
    text = yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)
    code = "\n".join(f"    {line}" for line in text.splitlines())
    return f"| | |\n|---|---|\n{rows}\n\n{code}\n"
