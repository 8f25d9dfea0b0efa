"""A sweep under a name: `configs/sweep/NAME.yaml` of the user's, put in the place of the word `sweep=NAME`."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from dlrun.config.compose import options
from dlrun.config.fields import fields_of
from dlrun.config.groups import GROUPS
from dlrun.config.kinds import is_field, kind_of, takes_list, takes_text_alone, takes_truth
from dlrun.config.overrides import bare, hydra_value, key_of, merged, pair, typed_for
from dlrun.config.own_files import node_of, own_file
from dlrun.config.schema import Config
from dlrun.config.yaml_numbers import advice, scalars, shown
from dlrun.errors import ConfigError, did_you_mean
from dlrun.sweeps.folder import default_name

GROUP = "sweep"
NULL = "tag:yaml.org,2002:null"


def with_file(words: Sequence[str]) -> list[str]:
    """The words of a sweep with what the file says that `sweep=NAME` chooses; what was typed beside it counts more.

    Its folder is called NAME, with six digits of all that it comes to, unless `sweep.name` says otherwise.

    Raises:
        ConfigError: There is no such file, or a slip in it, with file and line.
    """
    chosen = [word for word in words if bare(word).startswith(f"{GROUP}=")]
    if not chosen:
        return list(words)
    names = [pair(word)[1] for word in chosen]
    if len(names) > 1 or not names[0] or set(names[0]) & set(",()[]"):
        raise ConfigError(f"{' '.join(chosen)}: expected one name of a file in configs/sweep")
    typed = [word for word in words if word not in chosen and "=" in word and not word.startswith("-")]
    kept = merged(_overrides(names[0]), typed)[: -len(typed) or None]
    if not typed_for([*kept, *typed], "sweep.name"):
        own = [word for word in (*kept, *typed) if not key_of(word).startswith("hydra")]
        kept = (*kept, f"sweep.name={hydra_value(f'{names[0]}-{default_name(own)[-6:]}')}")
    place = words.index(chosen[0])
    return [*words[:place], *kept, *words[place + 1 :]]


def _overrides(name: str) -> tuple[str, ...]:
    path = own_file(GROUP, name)
    if path is None:
        known = options(GROUP)
        there = did_you_mean(name, known) if known else ""
        raise ConfigError(f"{GROUP}={name}: no such file: configs/{GROUP}/{name}.yaml{there}")
    where, node = shown(path), node_of(path)
    if node is None:
        raise ConfigError(f"{where}: is empty; a sweep is lines such as `seed: 0,1,2`")
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{where}, line {_line(node)}: expected lines of KEY: VALUE (with a blank behind the colon)")
    seen: dict[str, str] = {}
    for key, value in _entries(node, "", where):
        line = f"{where}, line {_line(value)}"
        if key in seen:
            raise ConfigError(f"{line}: {key}: given twice")
        seen[key] = f"{key}={_typed(value, key, line)}"
    return tuple(seen.values())


def _entries(node: yaml.MappingNode, prefix: str, where: str) -> Iterator[tuple[str, yaml.Node]]:
    """Every key with all that stands above it, and its value."""
    for name, value in node.value:
        key = f"{prefix}{name.value}"
        if isinstance(value, yaml.MappingNode):
            yield from _entries(value, f"{key}.", where)
            continue
        _check_key(key, f"{where}, line {_line(name)}")
        yield key, value


def _check_key(key: str, line: str) -> None:
    first, dot, _ = key.partition(".")
    known = [*fields_of(Config), *GROUPS, "experiment"]
    # What lies below a group may be an argument of a class of the user's.
    if is_field(key) or key == "experiment" or key.startswith("hydra") or (dot and first in GROUPS):
        return
    if dot and first in known:
        known = [f"{first}.{name}" for name in fields_of(kind_of([first]))]
    raise ConfigError(f"{line}: {key}: no such field{did_you_mean(key, known)}")


def _typed(node: yaml.Node, key: str, line: str) -> str:
    """What one would type: a text as it is, a list as the values, of a field that takes lists as one of them."""
    kind = kind_of(key.split("."))
    if not isinstance(node, yaml.SequenceNode):
        return _scalar(node, kind, key, line)
    if not node.value:
        raise ConfigError(f"{line}: {key}: an empty list")
    lists = all(isinstance(one, yaml.SequenceNode) for one in node.value)
    values = [_value(one, kind, key, line) for one in node.value]
    return ",".join(values) if lists or kind is None or not takes_list(kind) else f"[{', '.join(values)}]"


def _value(node: yaml.Node, kind: Any, key: str, line: str) -> str:
    """One value of a list, in Hydra's grammar."""
    if isinstance(node, yaml.SequenceNode):
        return f"[{', '.join(_value(one, kind, key, line) for one in node.value)}]"
    text = _scalar(node, kind, key, line)
    return hydra_value(text) if isinstance(node, yaml.ScalarNode) and _is_text(node) else text


def _scalar(node: yaml.Node, kind: Any, key: str, line: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{line}: {key}: expected a value, or a list of values")
    if node.tag == NULL and node.style is None:
        return "null"
    number = next(scalars(node), None)
    if number is None or (kind is not None and takes_text_alone(kind)):
        return str(node.value)
    if isinstance(number.value, bool) and (number.clear or (kind is not None and takes_truth(kind))):
        return str(number.value).lower()
    if not number.clear:
        read = str(number.value).lower() if isinstance(number.value, bool) else number.value
        raise ConfigError(f"{line}: {key}: {number.text} {advice(number.text, read)}")
    return number.text


def _is_text(node: yaml.ScalarNode) -> bool:
    return node.tag != NULL and next(scalars(node), None) is None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
