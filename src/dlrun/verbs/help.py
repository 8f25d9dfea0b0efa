"""`dlrun --help`: a screen; behind it a group, a field or all of them, from the same classes that check them."""

import dataclasses
import importlib
import shutil
import textwrap
import typing
from typing import Any

from dlrun.config.compose import options
from dlrun.config.fields import default_of, expectation, fields_of
from dlrun.config.groups import DATA, GROUPS, OPTIMIZERS, SCHEDULERS, Augment, Layers
from dlrun.config.schema import Checkpoint, Config, Sweep
from dlrun.errors import UsageError, did_you_mean
from dlrun.output import page
from dlrun.verbs import VERBS

USAGE = """\
dlrun KEY=VALUE …        train one model: dlrun model=fc_64 optimizer.lr=0.1
dlrun -m KEY=A,B …       a sweep: every combination
dlrun VERB …             something else; dlrun VERB --help says more"""
MORE = """\
dlrun --help GROUP       its options and fields: data, model, optimizer,
                         scheduler, augment, experiment, checkpoint, sweep
dlrun --help FIELD       one field, such as epochs or optimizer.lr
dlrun --help fields      all fields of a run; dlrun --help all: all there is
dlrun --hydra-help       Hydra's own options"""
FIELDS, ALL = "fields", "all"
INDENT = 28


def main(arguments: list[str]) -> int:
    """Print a screen of help, or what there is to know of a group, a field or a verb.

    Raises:
        UsageError: There is nothing of this name, or there are several.
    """
    if not arguments:
        page("\n".join(_screen(_width())) + "\n")
        return 0
    if len(arguments) > 1:
        raise UsageError(f"--help {' '.join(arguments)}: one verb, group or field at a time; dlrun --help all has all")
    topic = arguments[0].partition("=")[0].rstrip(".").lstrip("+~")
    if topic in VERBS:
        importlib.import_module(f"dlrun.verbs.{topic}").main(["--help"])
        return 0
    lines = _of_topic(topic, _width())
    if not lines:
        nearest = did_you_mean(topic, topics())
        raise UsageError(f"--help {topic}: no such verb, group or field{nearest or '; dlrun --help all has them all'}")
    page("\n".join(lines) + "\n")
    return 0


def topics() -> list[str]:
    """What can stand behind `dlrun --help`."""
    fields = {prefix + name for _, prefix, spec in _sections() for name in typed_fields(spec)}
    return sorted({*VERBS, *GROUPS, "experiment", "checkpoint", "sweep", FIELDS, ALL, *fields})


def _width() -> int:
    return max(min(shutil.get_terminal_size().columns, 120), 60)


def _screen(width: int) -> list[str]:
    verbs = [line for verb, meaning in VERBS.items() for line in _entry(verb, meaning, width, 14)]
    return [USAGE, "", "Verbs", *verbs, "", "More", MORE]


def _of_topic(topic: str, width: int) -> list[str]:
    sections = {title: (prefix, spec) for title, prefix, spec in _sections()}
    if topic == ALL:
        lines = [USAGE, "", "Groups (GROUP=OPTION)"]
        lines += [line for group in (*GROUPS, "experiment") for line in _options(group, width)]
    elif topic == FIELDS:
        sections, lines = {title: found for title, found in sections.items() if not found[0]}, []
    elif topic in (*GROUPS, "experiment", "checkpoint", "sweep"):
        sections = {title: found for title, found in sections.items() if found[0] == f"{topic}."}
        lines = _options(topic, width) if topic in (*GROUPS, "experiment") else []
    else:
        return _of_field(topic, width)
    known: dict[str, str] = {}
    for title, (prefix, spec) in sections.items():
        found = {prefix + name: _meaning(spec, name, item) for name, item in typed_fields(spec).items()}
        new = found if topic == ALL else {name: text for name, text in found.items() if known.get(name) != text}
        known |= found
        entries = [line for name, text in new.items() for line in _entry(name, text, width)]
        lines += [*([""] if lines else []), title, *(entries or ["  the fields above"])]
    return lines


def _options(group: str, width: int) -> list[str]:
    return _entry(group, " ".join(options(group)) or "none yet: your own files in configs/experiment/", width)


def _of_field(name: str, width: int) -> list[str]:
    """What a field is; where options of its group differ in it, of each."""
    found: dict[str, list[str]] = {}
    for title, prefix, spec in _sections():
        for field, item in typed_fields(spec).items():
            if prefix + field == name:
                found.setdefault(_meaning(spec, field, item), []).append(title)
    if len(found) == 1:
        return _entry(name, next(iter(found)), width)
    return [
        line
        for text, titles in found.items()
        for line in (*textwrap.wrap(", ".join(titles), width), *_entry(name, text, width))
    ]


def typed_fields(spec: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a class of options that people type, by name: not what the choice of an option sets."""
    unasked = {Config: ("choices",), Layers: ("named",), Sweep: ()}.get(spec, ("name",))
    return {name: item for name, item in fields_of(spec).items() if "help" in item.metadata and name not in unasked}


def as_typed(value: Any) -> str:
    """A default as one would type it: `null`, `true`, `''` for the empty text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "''" if value == "" else str(value)


def _sections() -> list[tuple[str, str, type]]:
    groups: list[tuple[str, str, type]] = [("Fields (FIELD=VALUE)", "", Config)]
    groups += [("Checkpoints", "checkpoint.", Checkpoint), ("Sweeps", "sweep.", Sweep)]
    groups += [("Data", "data.", DATA["mnist"]), ("Networks given as layers", "model.", Layers)]
    groups += [("Augmentation", "augment.", Augment)]
    groups += [(f"optimizer={name}", "optimizer.", spec) for name, spec in OPTIMIZERS.items()]
    groups += [(f"scheduler={name}", "scheduler.", spec) for name, spec in SCHEDULERS.items()]
    groups += [(f"data={name}", "data.", spec) for name, spec in DATA.items() if spec is not DATA["mnist"]]
    return groups


def _meaning(spec: type, name: str, item: dataclasses.Field[Any]) -> str:
    takes = expectation(typing.get_type_hints(spec)[name], item.metadata)
    return f"{item.metadata['help']} [{as_typed(default_of(item))}; {takes}]"


def _entry(name: str, meaning: str, width: int, indent: int = INDENT) -> list[str]:
    head = f"  {name:<{indent - 2}}"
    if len(name) > indent - 3:
        return [f"  {name}", *_entry("", meaning, width, indent)]
    return textwrap.wrap(meaning, width, initial_indent=head, subsequent_indent=" " * indent, break_on_hyphens=False)
