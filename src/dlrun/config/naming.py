"""What the parts of a run are called: by the option chosen for them, as long as they are what that option says."""

import functools
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlrun.config.compose import compose, config_folders
from dlrun.config.fields import fields_of
from dlrun.config.groups import Augment, Layers, Start, Target
from dlrun.config.schema import Config
from dlrun.errors import ConfigError


def called(config: Config, group: str, recorded: str = "") -> str:
    """The name of a config's network, data, optimizer or scheduler, decided from what it is, not what was typed.

    That is the option chosen, where it has the same layers, class or kind. An experiment's or any overlay's own
    layers are called by themselves, another class by its name. Numbers, such as a rate, change no name.

    Args:
        group: `data`, `model`, `optimizer` or `scheduler`.
        recorded: What it was called where it was made; counts where the option is not at hand.
    """
    part, choice = getattr(config, group), config.choices.get(group)
    if choice is not None:
        own = _option(group, choice, _settings(part), str(Path.cwd()))
        if own is None:
            return recorded or choice
        if _is_option(part, own):
            return choice
    if isinstance(part, Layers):
        return ", ".join(part.layers)
    if isinstance(part, Target):
        return part.target.rpartition(".")[2]
    return str(part.name)


def augmentation(config: Config) -> str:
    """The option chosen for augmentation; `as typed` where only single fields were."""
    chosen = config.choices.get("augment", "none")
    return "as typed" if chosen == "none" and config.augment != Augment() else chosen


def _is_option(part: Any, own: Mapping[str, Any]) -> bool:
    if isinstance(part, Target) or "_target_" in own:
        return isinstance(part, Target) and part.target == own.get("_target_")
    if isinstance(part, Layers):
        return bool(part.layers == own.get("layers"))
    # `nesterov` is `sgd` with one thing more.
    return all(getattr(part, name, None) == value for name, value in own.items() if name == "name" or value is True)


def _settings(part: Any) -> tuple[tuple[str, Any], ...]:
    """What the layers of an option may refer to, such as `conv_dropout`."""
    if not isinstance(part, Layers):
        return ()
    values = {**asdict(part), **part.named}
    others = ("layers", "named", *fields_of(Start))
    return tuple((name, value) for name, value in values.items() if name not in others)


@functools.lru_cache(maxsize=1000)
def _option(group: str, choice: str, settings: tuple[tuple[str, Any], ...], _folder: str) -> Mapping[str, Any] | None:
    """What the option's file says with these settings; None where there is no such option here."""
    try:
        paths = [folder / group / f"{choice}.yaml" for folder in config_folders()]
        text = next(path for path in paths if path.is_file()).read_text(encoding="utf-8")
        if "defaults:" not in text and "@package" not in text:
            # Without Hydra, which takes 50 ms, and a sweep may have as many settings as runs.
            found = OmegaConf.create({group: {**yaml.safe_load(text), **dict(settings)}})
            return OmegaConf.to_container(found, resolve=True)[group]  # type: ignore[call-overload,index,return-value]
        known = [f"{group}.{name}={value}" for name, value in settings]
        return _as_plain(getattr(compose([f"{group}={choice}", *known]), group))
    except (OSError, StopIteration, TypeError, ValueError, yaml.YAMLError, OmegaConfBaseException, ConfigError):
        return None


def _as_plain(part: Any) -> dict[str, Any]:
    return {"_target_": part.target} if isinstance(part, Target) else asdict(part)
