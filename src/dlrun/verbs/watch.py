"""Watch the runs that go on below a folder, whoever started them: a sweep, Slurm, another terminal.

    dlrun watch               what runs below outputs, drawn anew until Ctrl-C
    dlrun watch FOLDER        below another folder
    dlrun watch --once        as it is now (what it does where standard output is no terminal)
    dlrun watch --json        the same for programs

Nothing is changed and no run is disturbed: how far a run is comes from its history.csv, written after each epoch.
"""

import argparse
import contextlib
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from dlrun.errors import UsageError
from dlrun.output import (
    LONGEST_WORD,
    Column,
    Fields,
    Table,
    column,
    counted,
    duration,
    folded,
    terminal_width,
    without_middle,
    write,
)
from dlrun.store.scan import Run
from dlrun.store.status import Status
from dlrun.store.watched import Watched
from dlrun.text import visible
from dlrun.verbs.parser import OUTPUTS, Parser, add_json

LOOK_SECONDS = 2.0
"""Between two looks at the runs that go on."""
NUMBERS = 48
"""Characters of a line that the columns of numbers take."""


def main(arguments: list[str]) -> int:
    """Run the verb: 0.

    Raises:
        UsageError: There is no such folder.
    """
    options = _parser().parse_args(arguments)
    if not options.paths and not OUTPUTS.is_dir():
        raise UsageError(f"watch: there is no folder {OUTPUTS} here; name one that holds runs")
    watched = Watched(options.paths or [OUTPUTS])
    if options.json:
        print(write(_table(watched.look()), "json"), end="")
    elif options.once or terminal_width() is None:
        print(_text(watched), end="")
    else:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(watched)
        print(_text(watched), end="")
    return 0


def _parser() -> Parser:
    parser = Parser("dlrun watch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, metavar="FOLDER", help="look there (default: outputs)")
    parser.add_argument("--once", action="store_true", help="print what runs now, and end")
    add_json(parser)
    return parser


def _watch(watched: "Watched") -> None:
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(Text(_text(watched)), refresh=True)
            time.sleep(LOOK_SECONDS)


def _text(watched: Watched) -> str:
    """The table of what runs, and a line about all that lies there."""
    runs = watched.look()
    width = terminal_width()
    table = _table(runs, None if width is None else max(width - NUMBERS, LONGEST_WORD))
    what = write(table, "text") + "\n" if table.records else ""
    return what + folded(visible(_summary(runs)), width) + "\n"


def _table(runs: Sequence[Run], most: int | None = None) -> Table:
    """What runs now, with names of so many characters at most."""
    going = sorted((run for run in runs if run.status == Status.RUNNING), key=lambda run: run.folder)
    columns = [
        Column("running", lambda record: without_middle(visible(record["name"]), most), ("name", "folder", "seed")),
        Column("epoch", lambda record: f"{record['epoch']}/{record['epochs']}", ("epoch", "epochs"), right=True),
        column("train", "train_accuracy", digits=4, right=True),
        Column("accuracy", _accuracy, ("test_accuracy", "val_accuracy"), right=True),
        Column("left", lambda record: duration(record["seconds_left"]), ("seconds_left",), right=True),
    ]
    return Table(columns, [_record(run) for run in going])


def _accuracy(record: Fields) -> str:
    """Of the held-out images where there are any."""
    value = record["test_accuracy"] if record["val_accuracy"] is None else record["val_accuracy"]
    return "" if value is None else f"{value:.4f}"


def _record(run: Run) -> dict[str, Any]:
    last = run.history[-1] if run.history else {}
    return {
        "name": _called(run),
        "folder": str(run.folder),
        "seed": run.fields.get("seed"),
        "epoch": run.epoch,
        "epochs": run.fields.get("epochs"),
        "train_accuracy": last.get("train_accuracy"),
        "test_accuracy": last.get("test_accuracy"),
        "val_accuracy": last.get("val_accuracy"),
        "seconds_left": _left(run),
    }


def _called(run: Run) -> str:
    """Its name; where the folder says but the time, network and data, too."""
    if run.fields.get("name") or not re.fullmatch(r"\d\d-\d\d-\d\d(-\d+)?", run.folder.name):
        return run.name
    return f"{run.name} {run.names['model']} {run.names['data']}"


def _left(run: Run) -> float | None:
    """Seconds that it still needs if all epochs take as long as the last one; None before the first one ends."""
    try:
        since = time.time() - (run.folder / "history.csv").stat().st_mtime
        return max((int(run.fields["epochs"]) - run.epoch) * run.history[-1]["seconds"] - since, 0.0)
    except (OSError, IndexError, KeyError):
        return None


def _summary(runs: Sequence[Run]) -> str:
    """How many stand how."""
    counts = Counter(run.status for run in runs)
    order = (Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.INTERRUPTED)
    words = ", ".join(f"{counts[status]:,} {status}" for status in order if counts[status])
    return f"{counted(len(runs), 'run')}: {words}" if runs else "no runs"
