"""The YAML files that users write below `configs/`: a slip has a file and a line, and a word means what it would typed.

Hydra composes from these files; here they are read once more, as text, for what it does not say or would drop.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from dlrun.config.groups import GROUPS
from dlrun.config.kinds import kind_of, takes_text_alone, takes_truth
from dlrun.config.yaml_numbers import Scalar, advice, built_on, scalars, shown
from dlrun.errors import ConfigError

HEADER = "# @package _global_"


def own_file(group: str, option: str) -> Path | None:
    """The user's file for an option of a group, if there is one."""
    path = Path.cwd() / "configs" / group / f"{option}.yaml"
    try:
        return path if path.is_file() else None
    except OSError:  # a value too long for a name
        return None


def check_file(path: Path) -> None:
    """Read a file as Hydra will, for the slips of which it does not say where they are.

    Raises:
        ConfigError: With file and line.
    """
    text = _text(path)
    header = [line for line in text.removeprefix("\ufeff").splitlines()[:5] if line.lstrip().startswith("#")]
    is_experiment = path.parent.name == "experiment"
    if text.startswith("\ufeff") and any("@package" in line for line in header):
        raise ConfigError(f"{shown(path)}, line 1: a byte order mark hides the header; save it as UTF-8 without BOM")
    node = _node(path, text)
    if node is None:
        if is_experiment:
            raise ConfigError(f"{shown(path)}: is empty; an experiment begins with `{HEADER}`, then its fields")
        return
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(
            f"{shown(path)}, line {_line(node)}: expected lines of KEY: VALUE (with a blank behind the colon)"
        )
    if is_experiment:
        if not any(re.search(r"@package\s+_global_", line) for line in header):
            raise ConfigError(f"{shown(path)}, line 1: an experiment begins with the line `{HEADER}`")
        _check_defaults(path, node)


def node_of(path: Path) -> yaml.Node | None:
    """What is in a YAML file, less its meaning; None of an empty one.

    Raises:
        ConfigError: It is no YAML or not UTF-8, with file and line.
    """
    return _node(path, _text(path))


def _check_defaults(path: Path, node: yaml.MappingNode) -> None:
    """An experiment replaces the options that are chosen already."""
    for key, value in node.value:
        if key.value != "defaults" or not isinstance(value, yaml.SequenceNode):
            continue
        for pair in (pair for item in value.value if isinstance(item, yaml.MappingNode) for pair in item.value):
            name = str(pair[0].value).removeprefix("override ").strip().lstrip("/")
            if name in GROUPS and pair[0].value != f"override /{name}":
                raise ConfigError(
                    f"{shown(path)}, line {_line(pair[0])}: expected `- override /{name}: {pair[1].value}`"
                )


def located(error: yaml.YAMLError) -> str:
    """A sentence for what a YAML reader found in a file, with file and line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"a YAML file can't be read: {str(error).splitlines()[0]}"
    problem = str(getattr(error, "problem", "") or error)
    if "'\\t'" in problem:
        problem = "a tab; YAML wants blanks there"
    if "duplicate key" in problem:
        problem = f"{problem.rpartition(' ')[2]}: given twice"
    return f"{shown(Path(mark.name))}, line {mark.line + 1}: {problem}"


def undecodable() -> str:
    """Which of the user's files is no UTF-8 text; empty if none is."""
    for path in sorted((Path.cwd() / "configs").rglob("*.yaml")):
        try:
            _text(path)
        except ConfigError as error:
            return str(error)
    return ""


def as_typed(config: DictConfig, choices: Mapping[str, Any]) -> None:
    """Give fields of text what the user's files say in letters (`name: 2024`, `tensorboard: off`).

    Args:
        config: Composed; changed in place where a value is still the file's.
        choices: The option chosen for each group.

    Raises:
        ConfigError: A word means one thing in a file and another one typed (`010`, `1:30`), and both fit its field.
    """
    ahead = [(str(group), str(option)) for group, option in choices.items() if not str(group).startswith("hydra")]
    seen: set[Path] = set()
    while ahead:
        group, option = ahead.pop()
        path = own_file(group, option)
        if path is None or path in seen:
            continue
        seen.add(path)
        found = _contents(path, path.stat().st_mtime_ns)
        ahead += [(group, one) for one in found.built_on]
        above = tuple(group.split("/")) if found.package is None else found.package
        for scalar in found.scalars:
            _take(config, (*above, *scalar.keys), scalar, path)


def _take(config: DictConfig, keys: tuple[str | int, ...], scalar: Scalar, path: Path) -> None:
    *above, last = keys
    holder: Any = config
    for key in above:
        holder = holder[key] if _has(holder, key) and not OmegaConf.is_missing(holder, key) else None
    if not _has(holder, last) or OmegaConf.is_interpolation(holder, last) or holder[last] != scalar.value:
        return
    names = [key for key in keys if isinstance(key, str)]
    # Arguments of a part of the user's own have no kind.
    kind = None if _has(config.get(names[0]), "_target_") else kind_of(names)
    if kind is not None and takes_text_alone(kind):
        holder[last] = scalar.text
    elif not scalar.clear and not (kind is not None and takes_truth(kind) and isinstance(scalar.value, bool)):
        read = str(scalar.value).lower() if isinstance(scalar.value, bool) else scalar.value
        raise ConfigError(f"{shown(path)}, line {scalar.line}: {last}: {scalar.text} {advice(scalar.text, read)}")


def _has(holder: Any, key: str | int) -> bool:
    if isinstance(key, int):
        return OmegaConf.is_list(holder) and key < len(holder)
    return OmegaConf.is_dict(holder) and key in holder


@dataclass(frozen=True)
class _Contents:
    """What `as_typed` needs of a file."""

    package: tuple[str, ...] | None
    """Which the header names; None: the file's group."""
    built_on: list[str]
    scalars: tuple[Scalar, ...]


@functools.lru_cache(maxsize=200)
def _contents(path: Path, _changed: int) -> _Contents:
    """Read once as long as it stays: every point of a sweep asks."""
    text = _text(path)
    found = re.search(r"^#\s*@package\s+(\S+)", text, re.MULTILINE)
    name = found[1] if found else "_group_"
    package = None if name == "_group_" else () if name == "_global_" else tuple(name.split("."))
    node = _node(path, text)
    return _Contents(package, built_on(text), tuple(scalars(node)) if node is not None else ())


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{shown(path)}, line {line}: not UTF-8; save the file as UTF-8") from None


def _node(path: Path, text: str) -> yaml.Node | None:
    loader = yaml.SafeLoader(text)
    loader.name = str(path)
    try:
        return loader.get_single_node()
    except yaml.YAMLError as error:
        raise ConfigError(located(error)) from None
    finally:
        loader.dispose()


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
