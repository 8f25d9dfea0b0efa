"""List the runs there are, the newest first: when, what, how it stands, how good it is, where it lies.

    dlrun list                              all runs below outputs
    dlrun list failed                       a word: part of a name, tag, status, data set, network, date or folder
    dlrun list fashion model=fc_64 seed=0   KEY=VALUE: a field, or data, model, status, name, tag, hash
    dlrun list --tag thesis --since 3d      the days 2026-11-20, today and yesterday are dates, too

A run must have all that is asked. `*` in a value stands for any text: name='first*'.
The newest run is called `last` wherever the folder of a run is typed: dlrun show last.
"""

import argparse
import datetime
import sys
from pathlib import Path
from typing import Any

from dlrun.errors import UsageError
from dlrun.output import Column, Fields, Table, column, counted, duration, say, terminal_width, write
from dlrun.store import scan
from dlrun.store.chosen import Chosen, since
from dlrun.store.scan import Run
from dlrun.store.status import Status
from dlrun.text import typeable
from dlrun.verbs.parser import OUTPUTS, Parser


def main(arguments: list[str]) -> int:
    """Run the verb: 0, 1 where a run folder is damaged.

    Raises:
        UsageError: No folder of runs, or a mistake in what is asked.
    """
    options = _parser().parse_intermixed_args(arguments)
    if options.below == [] and not OUTPUTS.is_dir():
        raise UsageError(f"list: there is no folder {OUTPUTS} here; --below names a folder of runs")
    found, damaged = scan.read(scan.find(options.below or [OUTPUTS]))
    chosen = Chosen(options.words, options.tag, options.name, options.since and since(options.since))
    listed = sorted(chosen.of(found), key=lambda run: (-run.changed, run.folder))
    if listed or options.form != "text":
        print(write(_table(listed), options.form, terminal_width()), end="")
    if not listed:
        why = f"; {chosen.missed(found)}" if found else ""
        say(f"none of {counted(len(found), 'run')}{why}", sys.stderr)
    for sentence in damaged:
        say(f"left out: {sentence}", sys.stderr)
    return 1 if damaged else 0


def _parser() -> Parser:
    parser = Parser("dlrun list", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", default=(), metavar="WORD", help="what a run must have; see above")
    parser.add_argument(
        "--tag", action="append", default=[], help="only runs with this tag (several: with all of them)"
    )
    parser.add_argument("--name", metavar="PATTERN", help="only runs of this name, e.g. 'first*'")
    parser.add_argument("--since", metavar="WHEN", help="only runs that ended or were begun since then")
    parser.add_argument(
        "--below", action="append", default=[], type=Path, metavar="FOLDER", help="look there (default: outputs)"
    )
    form = parser.add_mutually_exclusive_group()
    for name, what in (("md", "Markdown"), ("csv", "CSV"), ("json", "JSON")):
        form.add_argument(
            f"--{name}", dest="form", action="store_const", const=name, default="text", help=f"write {what}"
        )
    return parser


def _table(runs: list[Run]) -> Table:
    """What people see is less than what programs get; the folder comes last, whole, so that it can be pasted.

    What was given (names, tags) stands behind the numbers: where a line is short, it goes first.
    """
    records = [_record(run) for run in runs]
    given = [name for name in ("name", "tags") if any(record[name] for record in records)]
    columns = [
        Column("date", lambda record: _date(record["date"]), ("date",), right=True),  # whole, as numbers are
        column("data"),
        column("model"),
        Column("status", _status, ("status", "epoch", "epochs")),
        *([column("val accuracy", "val_accuracy", digits=4, right=True)] if any(map(_validated, records)) else []),
        column("test accuracy", "test_accuracy", digits=4, right=True),
        Column("time", lambda record: duration(record["seconds"]), ("seconds",), right=True),
        *map(column, given),
        Column(
            "run", lambda record: typeable(record["folder"]), ("folder", "hash", "seed", "name", "tags"), whole=True
        ),
    ]
    return Table(columns, records)


def _record(run: Run) -> dict[str, Any]:
    result = run.result
    tested = result.test if result is not None else None
    rows = run.history
    return {
        "date": datetime.datetime.fromtimestamp(run.changed).astimezone().isoformat(timespec="seconds"),
        "data": run.names.get("data"),
        "model": run.names.get("model"),
        "name": run.fields.get("name"),
        "tags": run.tags,
        "status": run.status,
        "epoch": run.epoch,
        "epochs": run.fields.get("epochs"),
        "val_accuracy": run.val["accuracy"] if run.val else None,
        "test_accuracy": tested["accuracy"] if tested else rows[-1].get("test_accuracy") if rows else None,
        "seconds": result.seconds.get("total") if result is not None else None,
        "folder": str(run.folder),
        "hash": result.hash if result is not None else None,
        "seed": run.fields.get("seed"),
    }


def _validated(record: Fields) -> bool:
    return record["val_accuracy"] is not None


def _date(text: str) -> str:
    return text[:16].replace("T", " ")


def _status(record: Fields) -> str:
    """How a run stands, and how far it is where it is not at its end."""
    if record["status"] == Status.COMPLETED:
        return str(record["status"])
    return f"{record['status']} {record['epoch']}/{record['epochs']}"
