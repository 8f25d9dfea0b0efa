"""Imports what a `_target_` names; the working directory counts as a place for modules."""

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from dlrun.errors import ConfigError, did_you_mean
from dlrun.groups import Target


def imported(target: str, group: str) -> Any:
    """The class or function with the dotted name `target`, for the config group `group`.

    Raises:
        ConfigError: There is none of that name, it can't be called, or its module fails to import.
    """
    where = f"{group}._target_={target}: "
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    module, _, rest = target.partition(".")
    if not rest or not all(part.isidentifier() for part in target.split(".")):
        raise ConfigError(f"{where}expected a dotted name such as package.module.Class")
    found = _import(module, where)
    for name in rest.split("."):
        module = f"{module}.{name}"
        found = getattr(found, name) if hasattr(found, name) else _import(module, where)
    if not callable(found):
        raise ConfigError(f"{where}is no class or function")
    return found


def unknown_argument(make: Any, target: Target, group: str, filled: int = 0) -> str | None:
    """A sentence on the first argument of the target's that `make` does not take; None if the signature names none.

    Args:
        filled: So many of its first parameters are not the user's to give.
    """
    try:
        parameters = list(inspect.signature(make).parameters.values())[filled:]
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    taken = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    for name in target.arguments:
        if name not in taken:
            return f"{group}.{name}: {target.target} takes no such argument{did_you_mean(name, taken)}"
    return None


def _import(name: str, where: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            parent, _, last = name.rpartition(".")
            missing = f"{parent} has no {last!r}" if parent else f"there is no module {name!r}"
            raise ConfigError(f"{where}{missing} (nor in the working directory)") from error
        raise ConfigError(f"{where}importing {name} failed: {error}") from error
    except Exception as error:
        raise ConfigError(f"{where}importing {name} failed: {type(error).__name__}: {error}") from error
