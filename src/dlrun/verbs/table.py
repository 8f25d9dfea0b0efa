"""Make a table file from a printed table, and say what it still lacks.

    dlrun table new NAME --from FILE      configs/table/NAME.yaml from Markdown or CSV
    dlrun table new NAME < FILE           the same from standard input, e.g. what was copied from a spreadsheet
    dlrun table check NAME                row by row: what is missing, what does not compose, what it will cost

Cells that are no numbers are a row's label. A column of numbers is known by its head (accuracy, test, val, train,
error, loss, parameters, std, n); one with other words in it is not taken. A column is percent where its head or a cell
says so, or an accuracy in it is larger than 1. `check` trains short trials to say how long the rows will take, unless
--no-trials is given; its exit status is 1 if something is missing.
"""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.errors import ConfigError, DlrunError, UsageError
from dlrun.files import write_atomically
from dlrun.output import Table, column, counted, duration, say, terminal_width, write
from dlrun.tables.printed import SHARES, parse, written
from dlrun.tables.table import PublishedTable, Row, available, load, of_text
from dlrun.verbs.parser import Parser

if TYPE_CHECKING:
    from dlrun.sweeps.fingerprints import Fingerprints
    from dlrun.sweeps.jobs import Job

FOLDER = Path("configs/table")
LARGEST = 1_000_000


def main(arguments: list[str]) -> int:
    """Run the verb; returns the exit status.

    Raises:
        UsageError: What was handed over is no table, or there is one of that name.
        ConfigError: The table file can't be read at all.
    """
    options = _parser().parse_args(arguments)
    return _new(options.name, options.source) if options.action == "new" else _check(options.name, options.trials)


def _parser() -> Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("dlrun table", description=__doc__, formatter_class=raw)
    actions = parser.add_subparsers(dest="action", required=True, metavar="new|check")
    new = actions.add_parser("new", help="a table file from a printed table", description=__doc__, formatter_class=raw)
    new.add_argument("name", metavar="NAME", help="of the table: lower case, digits, _")
    new.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="Markdown or CSV (default: standard input)"
    )
    check = actions.add_parser("check", help="what a table lacks", description=__doc__, formatter_class=raw)
    check.add_argument("name", metavar="TABLE", help="name of a table")
    check.add_argument(
        "--no-trials", dest="trials", action="store_false", help="neither read the data nor measure how long rows take"
    )
    return parser


def _new(name: str, source: Path | None) -> int:
    if not re.fullmatch("[a-z0-9][a-z0-9_]{0,60}", name):
        raise UsageError(f"{name[:80]}: expected a name of lower case letters, digits and _")
    path = FOLDER / f"{name}.yaml"
    if path.exists() or name in available():
        raise UsageError(f"{name}: there is a table of this name; take another one")
    printed = parse(_text(source))
    text = written(name, printed)
    try:
        of_text(path, text)
    except ConfigError as error:
        raise UsageError(f"{source or 'standard input'}: {error}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())
    say(f"{path}: {counted(len(printed.rows), 'row')}")
    for one in printed.columns:
        unit = {True: ", percent", False: ", fractions"}[one.percent] if one.kind in SHARES else ""
        say(f"{one.kind}{unit}: {f'the column {one.head}' if one.head else 'the last column of numbers'}")
    for head in printed.left_out:
        say(f"not taken: the column {head}")
    say(f"next: fill in source, common and overrides there, then dlrun table check {name}")
    return 0


def _text(source: Path | None) -> str:
    try:
        if source is None:
            if sys.stdin.isatty():
                raise UsageError("table new: give --from FILE, or the table on standard input")
            content = sys.stdin.buffer.read(LARGEST + 1)
        elif not source.is_file():
            raise UsageError(f"{source}: no such file")
        else:
            with source.open("rb") as file:
                content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UsageError(f"{source or 'standard input'}: too long for a printed table")
        return content.decode("utf-8-sig")
    except UnicodeError:
        raise UsageError(f"{source or 'standard input'}: not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{source or 'standard input'}: can't be read ({error.strerror})") from None


def _check(name: str, trials: bool) -> int:
    from dlrun.sweeps.fingerprints import reading_data

    table = load(name)
    top = _of_the_top(table)
    jobs: dict[int, Sequence[Job]] = {}
    found = {}
    with reading_data() as data:
        for row in table.rows:
            missing = _of_a_row(table, row)
            if not missing:
                try:
                    runs = _runs(table, row, data)
                    if runs and trials:
                        data.describe(runs[0].settled)
                    jobs[row.number] = runs
                except DlrunError as error:
                    missing = str(error).splitlines()[0]
            found[row.number] = missing
    seconds = _seconds([job for some in jobs.values() for job in some]) if trials else {}
    records = [
        {
            "row": row.number,
            "label": row.label,
            "published": _published(row),
            "state": found[row.number] or _cost(jobs[row.number], seconds),
        }
        for row in table.rows
    ]
    columns = [column("row", right=True), column("label"), column("published", right=True), column("state")]
    print(write(Table(columns, records), "text", terminal_width()), end="")
    for sentence in top:
        say(sentence)
    wrong = sum(map(bool, found.values()))
    if wrong or top:
        print(f"{counted(wrong, 'row')} of {len(found)} can't be run yet" if wrong else "all rows can be run")
        return 1
    together = sum({job.hash: seconds.get(job.hash, 0.0) for some in jobs.values() for job in some}.values())
    say(
        f"all rows can be run{f', {duration(together)} one after the other' if seconds else ''}: "
        f"dlrun reproduce {shlex.quote(name)}"
    )
    return 0


def _of_the_top(table: PublishedTable) -> list[str]:
    empty = [
        key for key, text in (("document", table.document), ("heading", table.heading)) if text.strip() in ("", "?")
    ]
    return [f"source.{key}: missing" for key in empty]


def _of_a_row(table: PublishedTable, row: Row) -> str:
    """What nobody has filled in yet; empty if nothing."""
    if not row.overrides:
        return "overrides: missing"
    same = [
        other.number
        for other in table.rows
        if other.number < row.number and other.overrides == row.overrides and not (row.same_as or row.reading_of)
    ]
    return f"overrides: the same as row {same[0]}; if they compute the same, write same_as" if same else ""


def _runs(table: PublishedTable, row: Row, data: "Fingerprints") -> "list[Job]":
    """The runs that the row still lacks.

    Raises:
        DlrunError: It can't be run.
    """
    from dlrun.verbs.reproduce import request, to_run

    runs = to_run(request([table.name, "--rows", str(row.number)], data.now))
    return [job for job in runs if not data.complete(job)]


def _seconds(jobs: "Sequence[Job]") -> dict[str, float]:
    if not jobs:
        return {}
    from dlrun.sweeps.estimate import estimate

    return estimate(jobs, jobs[0].config.sweep)


def _published(row: Row) -> str:
    printed = row.published
    numbers = (printed.test_accuracy, printed.val_accuracy, printed.best_accuracy)
    known = next((number for number in numbers if number is not None), None)
    return "nothing" if known is None else f"{known:.{row.digits}f}"


def _cost(jobs: "Sequence[Job]", seconds: dict[str, float]) -> str:
    if not jobs:
        return "complete"
    runs = counted(len(jobs), "run")
    together = sum(seconds.get(job.hash, 0.0) for job in jobs)
    return f"{runs}, about {duration(together)}" if seconds else runs
