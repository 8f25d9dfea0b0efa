"""Numbers that YAML reads otherwise than people write them: `1:30:00` is 5400 to it, `010` is 8, `0x10` is 16."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dlrun.errors import ConfigError

ODD = re.compile(r"[-+]?(0[0-7_]+|0[xXbB][0-9a-fA-F_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
"""Such a number; on the command line each of them is text."""
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
TRUTH = "tag:yaml.org,2002:bool"


@dataclass(frozen=True)
class Scalar:
    """A number or a truth value in a file."""

    keys: tuple[str | int, ...]
    """Where it stands: keys and places in lists, from the top of the file."""
    text: str
    """As it is written."""
    value: float | bool
    """As OmegaConf reads it: by YAML 1.1, and `1e3` as a number."""
    line: int
    clear: bool
    """Whether the command line would read it likewise."""


def scalars(node: yaml.Node, keys: tuple[str | int, ...] = ()) -> Iterator[Scalar]:
    """The numbers and truth values of a YAML text, in their order; what is in quotes is text."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from scalars(value, (*keys, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield from scalars(value, (*keys, place))
    elif isinstance(node, yaml.ScalarNode) and node.style is None:
        line = node.start_mark.line + 1
        if re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", node.value):  # text to YAML 1.1
            yield Scalar(keys, node.value, float(node.value), line, clear=True)
        elif node.tag in (*NUMBERS, TRUTH):
            value = yaml.SafeLoader("").construct_object(node)
            clear = node.value.lower() in ("true", "false") if node.tag == TRUTH else not ODD.fullmatch(node.value)
            yield Scalar(keys, node.value, value, line, clear)


def misread(text: str) -> tuple[int, str] | None:
    """The first number of a YAML text that YAML reads otherwise than it is written: its line, and what to do.

    Text that is no YAML has none.
    """
    if not ODD.search(text):
        return None
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        numbers = (one for one in scalars(node) if not isinstance(one.value, bool)) if node else iter(())
        found = next((one for one in numbers if not one.clear), None)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if found is None:
        return None
    key = next((f"{key}: " for key in reversed(found.keys) if isinstance(key, str)), "")
    return found.line, f"{key}{found.text} {advice(found.text, found.value)}"


def advice(text: str, read: Any) -> str:
    """What to do about a text that is something else to YAML."""
    return f"is {read} to YAML; write '{text}' in quotes, or a plain number"


def refuse_misread(text: str, where: str = "") -> None:
    """Refuse a YAML file with a number that YAML reads otherwise than it is written.

    Args:
        text: What is in the file.
        where: What stands before the line in the message, such as `mine.yaml, `.

    Raises:
        ConfigError: It has one.
    """
    found = misread(text)
    if found:
        raise ConfigError(f"{where}line {found[0]}: {found[1]}")


def refuse_misread_options(choices: Mapping[str, Any], folders: Iterable[Path]) -> None:
    """`refuse_misread` for the files of the options that Hydra chose, and for those they build on.

    Args:
        choices: The option of each group, as `hydra.runtime.choices` has it.

    Raises:
        ConfigError: As of `refuse_misread`.
    """
    ahead = [(Path(str(group).partition("@")[0]), str(option)) for group, option in choices.items()]
    seen = set[Path]()
    for folder in folders:
        todo = list(ahead)
        while todo:
            group, option = todo.pop()
            path = folder / group / f"{option.removesuffix('.yaml')}.yaml"
            if path in seen:
                continue
            seen.add(path)
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, ValueError):
                continue
            refuse_misread(text, f"{shown(path)}, ")
            todo += [(group, one) for one in built_on(text)]


def built_on(text: str) -> list[str]:
    """The options of the same group in a file's list of defaults."""
    if not re.search(r"^defaults *:", text, re.MULTILINE):
        return []
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    listed = values.get("defaults") if isinstance(values, dict) else None
    return [one for one in listed if isinstance(one, str) and one != "_self_"] if isinstance(listed, list) else []


def shown(path: Path) -> str:
    """The path as the user would type it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
