"""`dlrun --help`: the verbs, every group's options and every field, from the same classes that check them."""

import dataclasses
import shutil
import textwrap
import typing
from typing import Any

from dlrun.config.compose import options
from dlrun.config.fields import default_of, expectation, fields_of
from dlrun.config.groups import DATA, GROUPS, OPTIMIZERS, SCHEDULERS, Augment, Layers
from dlrun.config.schema import Checkpoint, Config, Sweep
from dlrun.verbs import VERBS

USAGE = """\
dlrun [OVERRIDE …]       train one model; an override is KEY=VALUE, such as model=fc_64 optimizer.lr=0.1
dlrun -m KEY=A,B …       a sweep: every combination
dlrun VERB …             something else; dlrun VERB --help says more"""


def main(arguments: list[str]) -> int:
    """Print the help; `arguments` are ignored."""
    width = min(shutil.get_terminal_size().columns, 120)
    print(f"{USAGE}\n\nVerbs")
    for verb, meaning in VERBS.items():
        _entry(verb, meaning, width)
    print("\nGroups (GROUP=OPTION)")
    for group in (*GROUPS, "experiment"):
        _entry(group, " ".join(options(group)) or "none yet: your own files in configs/experiment/", width)
    for title, prefix, spec in _sections():
        print(f"\n{title}")
        for name, item in typed_fields(spec).items():
            _entry(prefix + name, _meaning(spec, name, item), width)
    print("\nHydra's own options: dlrun --hydra-help")
    return 0


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


def _entry(name: str, meaning: str, width: int) -> None:
    indent = 28
    head = f"  {name:<{indent - 2}}"
    if len(name) > indent - 4:
        print(f"  {name}")
        head = " " * indent
    print(textwrap.fill(meaning, width=max(width, 60), initial_indent=head, subsequent_indent=" " * indent))
