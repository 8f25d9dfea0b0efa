"""Data sets: which there are and where, fetch them, check them.

    dlrun data list                  names, sizes, and where each was found
    dlrun data fetch NAME ...        download (or copy) what is not there yet
    dlrun data verify NAME ...       read the files and compare checksums (of your own pictures: open each)
    dlrun data show NAME             numbers of every class, and a contact sheet

Data lie below --root if given, else $DLRUN_DATA, else the user's cache folder.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlrun.config.groups import DATA, Data, ImageFolder, Target
from dlrun.config.overrides import hydra_value
from dlrun.data.catalogue import ENTRIES, WITH_FILES, CatalogueEntry
from dlrun.data.places import find, locate, roots
from dlrun.errors import DataError, UsageError, did_you_mean
from dlrun.output import Column, Fields, Table, column, say, terminal_width, write
from dlrun.text import visible
from dlrun.verbs import data_show
from dlrun.verbs.parser import Parser, add_json


def main(arguments: list[str]) -> int:
    """Run `dlrun data ...`; 0, or 2 where data are missing, damaged or out of reach."""
    parser, actions = _parser()
    if arguments[:1] == ["show"]:
        return data_show.show(actions["show"].parse_intermixed_args(arguments[1:]))
    options = parser.parse_args(arguments)
    if options.action == "list":
        return _list(options.root, "json" if options.json else "text")
    configs = {name: _config(name, options.root) for name in options.names}
    for name, config in configs.items():
        _refuse_without_files(name, config, options.action)
    act = _fetch if options.action == "fetch" else _verify
    return max(_attempt(act, name, config, options) for name, config in configs.items())


def _parser() -> tuple[Parser, dict[str, Parser]]:
    """The verb's parser, and those of its actions."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("dlrun data", description=__doc__, formatter_class=raw)
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|fetch|verify|show")
    for action in ("list", "fetch", "verify", "show"):
        about = data_show.__doc__ if action == "show" else None
        words = actions.add_parser(action, description=about, formatter_class=raw)
        words.add_argument("--root", type=Path, help="the folder that holds the data sets")
        if action == "list":
            add_json(words)
        if action in ("fetch", "verify"):
            words.add_argument(
                "names", nargs="+", metavar="NAME", help=f"{', '.join(WITH_FILES)}, or of your configs/data/"
            )
        if action == "fetch":
            words.add_argument("--from", dest="offline", type=Path, help="take the files from this folder only")
        if action == "show":
            data_show.add_arguments(words)
    return parser, actions.choices


def _refuse_without_files(name: str, config: Data | Target, action: str) -> None:
    own = config.target if isinstance(config, Target) else config.name
    has_pictures = isinstance(config, ImageFolder) and config.root is not None and action == "verify"
    if own not in WITH_FILES and not has_pictures:
        called = name if name == own else f"{name} ({own})"
        raise UsageError(f"{called} has no files to {action}; there are: {', '.join(WITH_FILES)}")


def _list(root: Path | None, form: str) -> int:
    columns = [
        column("name"),
        Column("pictures", _pictures, ("train", "test")),
        Column("shape", lambda record: "x".join(map(str, record["shape"] or ["any"])), ("shape",)),
        Column("classes", lambda record: str(record["classes"] or "any"), ("classes",), right=True),
        column("where"),
    ]
    records = [{"name": name, **_described(entry), "where": _where(name, root)} for name, entry in ENTRIES.items()]
    records += [_own_record(name, root) for name in _own_options()]
    print(write(Table(columns, records), form, terminal_width()), end="")
    return 0


def _pictures(record: Fields) -> str:
    return "any" if record["train"] is None else f"{record['train']:,} + {record['test']:,}"


def _described(entry: CatalogueEntry | None) -> dict[str, Any]:
    """What is known of a data set before it is read; None for what can be anything."""
    if entry is None or entry.pictures is None:
        return dict.fromkeys(("train", "test", "shape", "classes"))
    train, test = entry.pictures
    return {"train": train, "test": test, "shape": list(entry.shape), "classes": len(entry.classes)}


def _own_options() -> list[str]:
    """The names of the data sets in `configs/data/` of the working directory."""
    if not Path("configs", "data").is_dir():
        return []
    from dlrun.config.compose import options

    return [name for name in options("data") if name not in ENTRIES]


def _own_record(name: str, root: Path | None) -> dict[str, Any]:
    try:
        config = _config(name, root)
        if isinstance(config, Target):
            return {"name": name, **_described(None), "where": f"made by {config.target}"}
        where = _where(config.name, Path(config.root) if config.root else root)
        return {"name": name, **_described(ENTRIES[config.name]), "where": where}
    except UsageError as error:
        return {"name": name, **_described(None), "where": str(error)}


def _config(name: str, root: Path | None) -> Data | Target:
    """The data set of this name: dlrun's, or an option of the user's own.

    Raises:
        UsageError: There is none, or its file has a mistake.
    """
    if name in ENTRIES:
        return DATA[name](name=name, root=None if root is None else str(root))
    own = _own_options()
    if name not in own:
        raise UsageError(f"data set {name!r} is unknown{did_you_mean(name, [*ENTRIES, *own])}")
    from dlrun.config.compose import compose

    words = [] if root is None else [f"data.root={hydra_value(str(root))}"]
    return compose([f"data={name}", *words]).data


def _where(name: str, root: Path | None) -> str:
    if name == "synthetic":
        return "made on the spot"
    config = DATA[name](name=name, root=None if root is None else str(root))
    found = find(name, roots(config), explicit=root is not None)
    if found is not None:
        return str(found.folder)
    return {"image_folder": "set data.root", "image_table": "set data.table", "pixel_table": "set data.table"}.get(
        name, "missing"
    )


def _attempt(
    act: Callable[[Data, argparse.Namespace], str], name: str, config: Data | Target, options: argparse.Namespace
) -> int:
    """Do it for one data set; a failure is said and does not keep the next from being tried."""
    assert not isinstance(config, Target)
    try:
        say(f"{name}: {act(config, options)}")
    except DataError as error:
        print("\n".join(map(visible, f"dlrun data {options.action}: {error}".splitlines())), file=sys.stderr)
        return error.exit_status
    return 0


def _fetch(config: Data, options: argparse.Namespace) -> str:
    from dlrun.data.fetch import fetch  # Imports the readers.

    source, origin = fetch(config.name, Path(config.root) if config.root else None, options.offline)
    return f"{origin}, verified, in {source.folder}"


def _verify(config: Data, _options: argparse.Namespace) -> str:
    from dlrun.data.read import read  # Imports the readers.

    source = locate(config)
    decoded = read(config, source)
    counts = f"{len(decoded.train.labels):,} + {len(decoded.test.labels):,} pictures"
    return f"sound, {counts}, {len(decoded.classes)} classes, in {source.folder}"
