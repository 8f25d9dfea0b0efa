"""Data sets: which there are and where, fetch them, check them.

    dlrun data list                  names, sizes, and where each was found
    dlrun data fetch NAME ...        download (or copy) what is not there yet
    dlrun data verify NAME ...       read the files and compare checksums
    dlrun data show NAME             numbers of every class, and a contact sheet

Data lie below --root if given, else $DLRUN_DATA, else the user's cache folder.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from dlrun.data.catalogue import ENTRIES, Entry
from dlrun.data.places import find, locate, roots
from dlrun.errors import DataError, UsageError, did_you_mean
from dlrun.groups import DATA, Data
from dlrun.report.output import Table, column, terminal_width, visible, write
from dlrun.verbs import data_show
from dlrun.verbs.parser import Parser

FETCHED = [name for name in ENTRIES if name not in ("image_folder", "synthetic")]
"""Data sets with files of their own."""


def main(arguments: list[str]) -> int:
    """Run `dlrun data ...`; 0, or 2 where data are missing, damaged or out of reach."""
    parser, actions = _parser()
    if arguments[:1] == ["show"]:
        return data_show.show(actions["show"].parse_intermixed_args(arguments[1:]))
    options = parser.parse_args(arguments)
    if options.action == "list":
        return _list(options.root)
    for name in options.names:
        if name not in ENTRIES:
            raise UsageError(f"data set {name!r} is unknown{did_you_mean(name, ENTRIES)}")
        if name not in FETCHED:
            raise UsageError(f"{name} has no files to {options.action}; there are: {', '.join(FETCHED)}")
    act = _fetch if options.action == "fetch" else _verify
    return max(_attempt(act, name, options) for name in options.names)


def _parser() -> tuple[Parser, dict[str, Parser]]:
    """The verb's parser, and those of its actions."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("dlrun data", description=__doc__, formatter_class=raw)
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|fetch|verify|show")
    for action in ("list", "fetch", "verify", "show"):
        about = data_show.__doc__ if action == "show" else None
        words = actions.add_parser(action, description=about, formatter_class=raw)
        words.add_argument("--root", type=Path, help="the folder that holds the data sets")
        if action in ("fetch", "verify"):
            words.add_argument("names", nargs="+", metavar="NAME", help=", ".join(FETCHED))
        if action == "fetch":
            words.add_argument("--from", dest="offline", type=Path, help="take the files from this folder only")
        if action == "show":
            data_show.add_arguments(words)
    return parser, actions.choices


def _list(root: Path | None) -> int:
    headings = ("name", "pictures", "shape", "classes", "where")
    columns = [column(heading, right=heading == "classes") for heading in headings]
    rows = [(name, *_described(entry), _where(name, root)) for name, entry in ENTRIES.items()]
    table = Table(columns, [dict(zip(headings, row, strict=True)) for row in rows])
    print(write(table, "text", terminal_width()), end="")
    return 0


def _described(entry: Entry) -> tuple[str, str, str]:
    if entry.pictures is None:
        return "any", "any", "any"
    train, test = entry.pictures
    return f"{train:,} + {test:,}", "x".join(map(str, entry.shape)), str(len(entry.classes))


def _config(name: str, root: Path | None) -> Data:
    return DATA[name](name=name, root=None if root is None else str(root))


def _where(name: str, root: Path | None) -> str:
    if name == "synthetic":
        return "made on the spot"
    found = find(name, roots(_config(name, root)), explicit=root is not None)
    if found is not None:
        return str(found.folder)
    return "set data.root" if name == "image_folder" else "missing"


def _attempt(act: Callable[[str, argparse.Namespace], str], name: str, options: argparse.Namespace) -> int:
    """Do it for one data set; a failure is said and does not keep the next from being tried."""
    try:
        print(f"{name}: {act(name, options)}")
    except DataError as error:
        print("\n".join(map(visible, f"dlrun data {options.action}: {error}".splitlines())), file=sys.stderr)
        return error.exit_status
    return 0


def _fetch(name: str, options: argparse.Namespace) -> str:
    from dlrun.data.fetch import fetch  # Imports the readers.

    source, origin = fetch(name, options.root, options.offline)
    return f"{origin}, verified, in {source.folder}"


def _verify(name: str, options: argparse.Namespace) -> str:
    from dlrun.data.read import read  # Imports the readers.

    config = _config(name, options.root)
    source = locate(config)
    decoded = read(config, source)
    counts = f"{len(decoded.train.labels):,} + {len(decoded.test.labels):,} pictures"
    return f"sound, {counts}, {len(decoded.classes)} classes, in {source.folder}"
