"""Complete verbs and overrides in bash.

    eval "$(dlrun completion bash)"      in this shell; put the line into ~/.bashrc for all shells

After that, the Tab key completes verbs, their options and tables, groups with their options, fields, and the
values of fields, those of your own configs/ included; everything else is completed as file names.
"""

import argparse
import contextlib
import importlib
import io
import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dlrun.config.compose import config_folders, options
from dlrun.config.groups import DATA, GROUPS, OPTIMIZERS, SCHEDULERS, Augment, Data, Layers, Optimizer, Scheduler
from dlrun.config.overrides import pair
from dlrun.config.schema import Checkpoint, Config, Sweep
from dlrun.verbs import VERBS
from dlrun.verbs.help import topics, typed_fields
from dlrun.verbs.parser import LAST, Parser

BASH = r"""# Completion of dlrun's verbs and overrides; made by: dlrun completion bash
_dlrun() {
    local line="${COMP_LINE:0:COMP_POINT}" breaks="" kept="" choice
    local word="${line##*[[:space:]]}"
    # bash splits words at these signs, and wants only what follows the last of them.
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+="="
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=":"
    [[ -n $breaks ]] && kept="${word%"${word##*[$breaks]}"}"
    COMPREPLY=()
    while IFS= read -r choice; do
        COMPREPLY+=("${choice#"$kept"}")
    done < <("${1/#\~/$HOME}" completion line "$line" 2>/dev/null)
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace 2>/dev/null
}
complete -o bashdefault -o default -F _dlrun dlrun"""

HYDRA = ("hydra.run.dir=", "hydra.sweep.dir=", "hydra/launcher=", "hydra/sweeper=")
SPECS: Mapping[str, tuple[Mapping[str, type], type]] = {
    "data": (DATA, Data),
    "model": ({}, Layers),
    "optimizer": (OPTIMIZERS, Optimizer),
    "scheduler": (SCHEDULERS, Scheduler),
    "augment": ({}, Augment),
    "checkpoint": ({}, Checkpoint),
    "sweep": ({}, Sweep),
}
"""The classes that hold the fields of a group: by the `name` in its YAML, and else."""


def main(arguments: list[str]) -> int:
    """Print the script for bash, or (for that script) what a line can go on with."""
    if arguments[:1] == ["line"]:
        print("\n".join(candidates(arguments[-1])))
        return 0
    _parser().parse_args(arguments)
    print(BASH)
    return 0


def _parser() -> Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("dlrun completion", description=__doc__, formatter_class=raw)
    parser.add_argument("shell", metavar="bash", choices=["bash"], help="print the script for bash")
    return parser


def candidates(line: str) -> list[str]:
    """What the last word of a command line can become; nothing where file names belong."""
    words = re.split(r"\s+", line.lstrip())
    before, current = words[1:-1], words[-1]
    if before in (["help"], ["--help"], ["-h"]):
        return [topic for topic in topics() if topic.startswith(current)]
    if before and before[0] in VERBS:
        known = _of_verb(before[0], before[1:], current)
    else:
        known = [*_overrides(before, current), *([] if before or "=" in current else [*VERBS, "help"])]
    return sorted({word for word in known if word.startswith(current)})


# --- verbs ------------------------------------------------------------------------------------------------


def _of_verb(verb: str, before: Sequence[str], current: str) -> list[str]:
    """The words that a verb's help names; the help is what there is to know of it."""
    text = _help_of(verb)
    if current.startswith("-"):
        return re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text)
    usage = text.partition("\n\n")[0]
    if not before and (actions := _actions(usage)):
        return actions
    if re.search(r"\bRUN\b", usage) and not [word for word in before if not word.startswith("-")]:
        return [LAST] if current else []
    known = [*(options("table") if "TABLE" in text else []), *(options("data") if verb == "data" else [])]
    takes_overrides = re.search("OVERRIDE|FIELD=VALUE", text.partition("positional arguments:")[0])
    return known + (_overrides(before, current) if takes_overrides else [])


def options_of(verb: str) -> list[str]:
    """The long options that a verb and its actions take, each at the head of its line in the help."""
    text = _help_of(verb)
    texts = [text, *(_help_of(verb, action) for action in _actions(text.partition("\n\n")[0]))]
    return re.findall(r"^ +(?:-\w, )?(--[a-z][a-z-]*)", "\n".join(texts), re.MULTILINE)


def _actions(usage: str) -> list[str]:
    found = re.search(r"\b[a-z]+(?: ?\| ?[a-z]+)+", usage)
    return re.findall(r"[a-z]+", found[0]) if found else []


def _help_of(verb: str, *actions: str) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit, ImportError):
        importlib.import_module(f"dlrun.verbs.{verb}").main([*actions, "--help"])
    return text.getvalue()


# --- overrides --------------------------------------------------------------------------------------------


def _overrides(before: Sequence[str], current: str) -> list[str]:
    """Keys up to the next dot, or the values of the key; of a list of values (-m) the last one."""
    signs = re.match(r"[+~]*", current)[0]  # type: ignore[index]
    key, equals, value = current[len(signs) :].partition("=")
    if equals:
        head = value.rpartition(",")[0]
        return [f"{signs}{key}={head + ',' if head else ''}{one}" for one in _values(before, key)]
    depth = key.count(".") + 1
    keys = (name.split(".") for name in _keys(before))
    found = {".".join(parts[:depth]) + ("." if len(parts) > depth else "") for parts in keys}
    return [signs + name for name in found]


def _keys(before: Sequence[str]) -> list[str]:
    groups = [f"{group}=" for group in (*GROUPS, "experiment", *(["sweep"] if options("sweep") else []))]
    return [*groups, *(f"{name}=" for name in _fields(before)), *HYDRA]


def _values(before: Sequence[str], key: str) -> list[str]:
    if key in (*GROUPS, "experiment", "sweep", "hydra/launcher", "hydra/sweeper"):
        return options(key)
    if key == "device":
        return ["auto", "cpu", "cuda", "cuda:0", "mps"]
    kind, choices = _fields(before).get(key, (None, ()))
    kinds = typing.get_args(kind) or (kind,)
    return [
        *choices,
        *(["true", "false"] if bool in kinds else []),
        *(["null"] if type(None) in kinds else []),
    ]


def _fields(before: Sequence[str]) -> dict[str, tuple[Any, Sequence[str]]]:
    """Type and choices of every field, those of the options that the line has chosen so far."""
    found = _fields_of(Config, "")
    for group in SPECS:
        values = _yaml_of(group, _chosen(before, group)) if group in GROUPS else {}
        by_name, other = SPECS[group]
        found.pop(group, None)
        if "_target_" not in values:
            found |= _fields_of(by_name.get(str(values.get("name")), other), f"{group}.")
        own = (name for name in values if name not in ("name", "_target_"))
        found |= {f"{group}.{name}": (None, ()) for name in own if f"{group}.{name}" not in found}
    return found


def _fields_of(spec: type, prefix: str) -> dict[str, tuple[Any, Sequence[str]]]:
    kinds = typing.get_type_hints(spec)
    return {
        prefix + item.name: (kinds[item.name], item.metadata.get("choices", ())) for item in typed_fields(spec).values()
    }


def _chosen(before: Sequence[str], group: str) -> str:
    for word in reversed(before):
        if word.startswith(f"{group}="):
            return pair(word)[1].rpartition(",")[2]
    defaults = _yaml(config_folders()[0] / "config.yaml").get("defaults", [])
    return next((str(one[group]) for one in defaults if isinstance(one, dict) and group in one), "")


def _yaml_of(group: str, option: str) -> dict[str, Any]:
    paths = [folder / group / f"{option}.yaml" for folder in config_folders()]
    return next((_yaml(path) for path in paths if path.is_file()), {})


def _yaml(path: Path) -> dict[str, Any]:
    """The keys of a YAML file; none of one that can't be read, since nobody wants an error at the Tab key."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}
