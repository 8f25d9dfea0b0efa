"""Imports what a `_target_` names; the working directory is the last place that is searched for its module."""

import contextlib
import importlib
import inspect
import logging
import sys
import traceback
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dlrun.config.groups import Target
from dlrun.errors import ConfigError, DlrunError, did_you_mean, first_line, is_out_of_memory

log = logging.getLogger("dlrun")


def imported(target: str, group: str) -> Any:
    """The class or function with the dotted name `target`, for the config group `group`.

    Raises:
        ConfigError: As `named`.
    """
    return named(target, f"{group}._target_={target}: ")


def named(target: str, where: str) -> Any:
    """The class or function with the dotted name `target`; `where` begins each message.

    Raises:
        ConfigError: There is none of that name, it can't be called, or its module fails to import.
    """
    module, _, rest = target.partition(".")
    if not rest or not all(part.isidentifier() for part in target.split(".")):
        raise ConfigError(f"{where}expected a dotted name such as package.module.Class")
    _make_findable(module)
    found = _import(module, where)
    for name in rest.split("."):
        module = f"{module}.{name}"
        found = getattr(found, name) if hasattr(found, name) else _import(module, where)
    if not callable(found):
        raise ConfigError(f"{where}is no class or function")
    return found


@contextlib.contextmanager
def explained(make: Any, target: Target, group: str, filled: int = 0) -> Iterator[None]:
    """While `make` is called: whatever goes wrong in the user's code becomes a sentence.

    Args:
        filled: As `unknown_argument` takes it.

    Raises:
        ConfigError: In place of any error but those of dlrun's own and a lack of memory.
    """
    try:
        yield
    except DlrunError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        unknown = unknown_argument(make, target, group, filled)
        if unknown:
            raise ConfigError(unknown) from error
        log.error("%s %s failed", group, target.target, exc_info=True)  # in full for run.log alone
        said = first_line(error)
        inside = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if "-packages" not in frame.filename]
        place = f" ({Path(inside[-1].filename).name}, line {inside[-1].lineno})" if inside else ""
        if inside or not isinstance(error, TypeError | ValueError):
            said = f"{type(error).__name__}: {said}{place}"
        arguments = ", ".join(f"{name}={value!r}" for name, value in target.arguments.items())
        raise ConfigError(f"{group} {target.target}({arguments}): {said}") from error


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


def _make_findable(module: str) -> None:
    """Search the working directory, too, but last: a file there that is called as an installed one is not meant."""
    here = str(Path.cwd())
    if module not in sys.modules and here not in sys.path and find_spec(module) is None:
        sys.path.append(here)
        importlib.invalidate_caches()


def _import(name: str, where: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            parent, _, last = name.rpartition(".")
            missing = f"{parent} has no {last!r}" if parent else f"there is no module {name!r}"
            raise ConfigError(f"{where}{missing} ({_elsewhere(name)})") from error
        raise ConfigError(f"{where}importing {name} failed: {error}") from error
    except Exception as error:
        raise ConfigError(f"{where}importing {name} failed: {type(error).__name__}: {error}") from error


def _elsewhere(name: str) -> str:
    """What the working directory has to say of a name that was not found."""
    top = name.partition(".")[0]
    hidden = next((path for path in (Path(f"{top}.py"), Path(top)) if path.exists()), None)
    found = getattr(sys.modules.get(top), "__file__", None)
    if hidden is None or found is None or Path(found).resolve().is_relative_to(Path.cwd()):
        return "nor in the working directory"
    return f"{top} is {found}; the installed module goes before your {hidden}, which needs another name"
