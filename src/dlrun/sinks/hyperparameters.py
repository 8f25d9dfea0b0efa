"""A run's row of TensorBoard's HParams table: the same names with the same types in every run."""

from collections.abc import Mapping
from typing import Any

import yaml

from dlrun.config.groups import Augment, Layers, Target
from dlrun.config.naming import called
from dlrun.config.schema import Config, plain

FIRST = ("model", "optimizer", "lr", "batch_size", "seed")
"""The columns that are shown at first."""

HPARAM_METRICS = (
    ("test", "accuracy/epoch"),
    ("test", "loss/epoch"),
    ("train", "accuracy/epoch"),
    ("train", "loss/epoch"),
)
"""Its columns of results: the last values of these curves.

Only what every run has: the view of parallel coordinates leaves out runs that lack one of them.
"""


def hyperparameters(config: Config, parameters: int, held_out: int = 0) -> dict[str, str | float | bool]:
    """Texts, numbers and truth values; a number that is not set is 0.

    TensorBoard takes the columns from one run of a sweep.

    Args:
        parameters: How many the network has.
        held_out: How many images are held out.
    """
    optimizer, scheduler = config.optimizer, config.scheduler
    return {
        "data": called(config, "data"),
        "model": called(config, "model"),
        "layers": _layers(config.model),
        "parameters": float(parameters),
        "optimizer": called(config, "optimizer"),
        "lr": _number(optimizer, "lr"),
        "momentum": _number(optimizer, "momentum"),
        "weight_decay": _number(optimizer, "weight_decay"),
        "scheduler": called(config, "scheduler"),
        "warmup": _number(scheduler, "warmup"),
        "augment": _augment(config.augment),
        "batch_size": float(config.batch_size),
        "accumulate": float(config.accumulate),
        "epochs": float(config.epochs),
        "seed": float(config.seed),
        "normalize": str(getattr(config.data, "normalize", "")),
        "precision": config.precision,
        "label_smoothing": config.label_smoothing,
        "clip_norm": config.clip_norm or 0.0,
        "average": config.average or 0.0,
        "limit": float(config.limit or 0),
        "validation": float(held_out),
        "fold": "none" if config.folds is None else f"{config.fold} of {config.folds}",
    }


def page(config: Config, facts: Mapping[str, str]) -> str:
    """Markdown for TensorBoard's text page: what the run is, and its config."""
    rows = "\n".join(f"| {name} | {value.replace('|', '/')} |" for name, value in facts.items())
    text = yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)
    code = "\n".join(f"    {line}" for line in text.splitlines())
    return f"| | |\n|---|---|\n{rows}\n\n{code}\n"


def _layers(model: Layers | Target) -> str:
    if isinstance(model, Layers):
        return ", ".join(model.layers)
    return ", ".join([model.target, *(f"{key}={value}" for key, value in model.arguments.items())])


def _augment(augment: Augment) -> str:
    active = {key: value for key, value in vars(augment).items() if value != getattr(Augment, key)}
    return ", ".join(f"{key} {value:g}" if value is not True else key for key, value in active.items()) or "none"


def _number(part: Any, name: str) -> float:
    value = part.arguments.get(name, 0.0) if isinstance(part, Target) else getattr(part, name, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0
