"""Run the rows of a published table that are missing, then print published beside measured.

A run that is complete on the same data is not run again, an interrupted one goes on. Runs lie in outputs/runs
and are shared by all tables.
"""

import argparse
import contextlib
import hashlib
import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.config.compose import composing
from dlrun.config.schema import Sweep
from dlrun.errors import UsageError
from dlrun.lab import settings as lab_settings
from dlrun.output import say, starting, terminal_width
from dlrun.runs.on_end import followed_by
from dlrun.sinks.console import make_console
from dlrun.slurm import settings
from dlrun.store.content import Contents, unread
from dlrun.store.standing import on_any_data, standing
from dlrun.store.status import Status
from dlrun.sweeps.fingerprints import reading_data
from dlrun.tables.compare import Comparison, compare
from dlrun.tables.entries import precise
from dlrun.tables.evidence import Pool, gather, pool
from dlrun.tables.parameters import check_parameters
from dlrun.tables.planned import MOST_SEEDS, QUICK, RUNS, Found, Planned, in_precision, plan, seeds_typed
from dlrun.tables.render import render
from dlrun.tables.table import PublishedTable, Row, available, choose, load, load_all
from dlrun.text import visible
from dlrun.verbs.parser import Parser, add_json, add_records, records_and_words

if TYPE_CHECKING:
    from dlrun.sweeps.jobs import Job

Elsewhere = lab_settings.DaskSettings | settings.SlurmSettings | None
"""Where runs go; None: they stay here."""

MOST = 10
"""Seeds of a row at most, unless `--most` says otherwise."""


def main(arguments: list[str]) -> int:
    """Run the verb; the exit status is 1 if a run of the table is not complete in the end.

    Raises:
        UsageError: An unknown table, row or override, a wrong table file, missing data.
    """
    lab, words = lab_settings.asked(arguments)
    slurm, words = settings.asked(words)
    if not {"--dry-run", "--json"} & set(words):
        starting()
    with reading_data() as data:
        asked = requests(words, data.now)
    if asked[0].dry_run:
        planned = [planned for one in asked for planned in one.planned]
        print("\n".join(dict.fromkeys(visible(one.command()) for one in planned)))
        return 0
    if len(asked) > 1:
        for one in asked:  # A mistake in the last table shows before the first one trains.
            to_run(one)
    statuses: list[int] = []
    if asked[0].json:
        with contextlib.redirect_stdout(sys.stderr), _followed(asked, statuses):  # where what happens meanwhile is told
            answers = [_answer(*_reproduce(one, lab or slurm)) for one in asked]
            statuses += [status for _, status in answers]
        whole = [json.loads(render(comparison, "json")) for comparison, _ in answers]
        print(json.dumps(whole if len(whole) > 1 else whole[0], indent=2))
        return max(statuses)
    with _followed(asked, statuses):
        for one in asked:
            statuses.append(show(*_reproduce(one, lab or slurm)))
    if len(asked) > 1:
        print("All tables on one page: dlrun report --tables")
    return max(statuses)


def _followed(asked: Sequence["Request"], statuses: Sequence[int]) -> contextlib.AbstractContextManager[None]:
    """The command that was typed as `on_end`, behind all tables."""
    folders = list(dict.fromkeys(planned.folder for one in asked for planned in one.planned))
    return followed_by(asked[0].on_end, RUNS, lambda: folders, lambda: not any(statuses))


def _reproduce(asked: "Request", elsewhere: Elsewhere) -> tuple["Request", Sequence[Found]]:
    """Run what a table lacks; what was asked for in the end, and what is there for it."""
    found = run_missing(asked, elsewhere)
    while asked.most and (wider := _with_more_seeds(asked, found)):
        asked, found = wider, run_missing(wider, elsewhere)
    return asked, found


@dataclass(frozen=True)
class Request:
    """What was typed: which rows of a table, with which changes."""

    table: PublishedTable
    rows: Sequence[Row]
    own: Sequence[str]
    planned: Sequence[Planned]
    dry_run: bool
    records: Pool
    """Those that can stand for its rows, among those of all that was asked for."""
    more_seeds: bool
    """Whether results of further seeds in records count: no seeds were typed."""
    check: bool
    """Whether a row that differs is a failure."""
    most: int | None
    """Seeds a row may get until it is decided; None: as many as were asked for."""
    elsewhere: Sequence[Planned]
    """Of rows of other tables that lessons name: looked up, never trained."""
    json: bool
    """Whether the answer is for a program."""

    @property
    def on_end(self) -> str | None:
        """What was typed to follow."""
        return self.planned[0].config.on_end

    @property
    def called(self) -> str:
        """The table's name; where not all of it is meant, or it is changed, with a mark of rows, seeds and changes."""
        every = {(row.number, seed) for row in self.table.rows for seed in range(self.table.seeds)}
        asked = {(one.row.number, one.seed) for one in self.planned}
        if asked == every and not self.own:
            return self.table.name
        mark = hashlib.sha256(repr((sorted(asked), list(self.own))).encode()).hexdigest()[:6]
        return f"{self.table.name}-{mark}"

    def found(self) -> list[Found]:
        """What is there for its runs by now."""
        return gather(self.planned, self.records, self.table.precisions, more=self.more_seeds)

    def found_elsewhere(self) -> list[Found]:
        """What is there for rows of other tables."""
        return gather(self.elsewhere, self.records, self.table.precisions, more=self.more_seeds)


def request(arguments: Sequence[str], contents: Contents = unread, verb: str = "reproduce") -> Request:
    """Read what stands after `dlrun reproduce` where one table is meant.

    Args:
        contents: As `dlrun.tables.planned.plan` takes it.
        verb: The one that was typed.

    Raises:
        UsageError: An unknown table, row or override, a wrong table file; all tables are asked for.
    """
    options = _parser(verb).parse_intermixed_args(list(arguments))
    if options.all:
        raise UsageError("--all: only with dlrun reproduce; name one table here")
    return _requests(options, [_named(options)], contents)[0]


def requests(arguments: Sequence[str], contents: Contents = unread) -> list[Request]:
    """Read what stands after `dlrun reproduce`: a table, or all of them.

    Raises:
        UsageError: As of `request`.
    """
    options = _parser().parse_intermixed_args(list(arguments))
    if not options.all:
        return _requests(options, [_named(options)], contents)
    if options.rows:
        raise UsageError("--rows: of which table? --all takes every row of every table")
    if options.table is not None:
        if "=" not in options.table:
            raise UsageError(f"--all: {options.table} is one of all tables; leave one of the two out")
        options.override, options.table = [options.table, *options.override], None
    with composing():
        return _requests(options, load_all(), contents)


def _named(options: argparse.Namespace) -> PublishedTable:
    if options.table is None:
        raise UsageError(f"reproduce: which table? There are: {', '.join(sorted(available()))}; --all takes them all")
    return load(options.table)


def _requests(options: argparse.Namespace, tables: Iterable[PublishedTable], contents: Contents) -> list[Request]:
    files, words = records_and_words(options)
    own = (*(QUICK if options.quick else ()), *options.override, *words)
    asked = [_request(options, table, own, contents) for table in tables]
    every = [([*one.planned, *one.elsewhere], one.table.precisions) for one in asked]
    records = pool(files, every, contents)
    return [replace(one, records=records) for one in asked]


def _request(options: argparse.Namespace, table: PublishedTable, own: Sequence[str], contents: Contents) -> Request:
    """Without records."""
    rows = choose(table, options.rows)
    most = _most(options)
    seeds = options.seeds or range(1 if most else table.seeds)
    return Request(
        table,
        rows,
        own,
        plan(table, rows, seeds, own, contents),
        options.dry_run,
        records={},
        more_seeds=options.seeds is None,
        check=options.check,
        most=most,
        elsewhere=plan(table, table.others, options.seeds or range(table.seeds), contents=contents),
        json=options.json,
    )


def _most(options: argparse.Namespace) -> int | None:
    if not options.until:
        if options.most:
            raise UsageError("--most: only with --until decided")
        return None
    most: int = options.most or MOST
    if options.seeds and len(options.seeds) > most:
        raise UsageError(f"--seeds: {len(options.seeds)} are more than --most {most}")
    return most


def show(asked: Request, found: Sequence[Found]) -> int:
    """Print published beside measured; the exit status is 1 if a run is not complete."""
    comparison, status = _answer(asked, found)
    print(render(comparison, "text", terminal_width()), end="")
    words = shlex.join([asked.table.name, *asked.own])
    print()
    say(f"The same as a page that opens in a browser: dlrun report --table {words}")
    return status


def _answer(asked: Request, found: Sequence[Found]) -> tuple[Comparison, int]:
    """Published beside measured, and the exit status: 1 if a run is not complete, or with --check a number differs."""
    comparison = compare(asked.table, asked.rows, [*found, *asked.found_elsewhere()], asked.own)
    if asked.check and any(line.verdict == "differs" and line.reading_of is None for line in comparison.lines):
        return comparison, 1
    return comparison, 0 if all(one.status == Status.COMPLETED for one in found) else 1


def _with_more_seeds(asked: Request, found: Sequence[Found]) -> Request | None:
    """One more seed for every row that is complete and not precise enough yet; None where there is no such row.

    Precision decides, never the verdict: whoever stops at a verdict finds more differences than there are.
    """
    more: list[Planned] = []
    with reading_data() as data:
        for row in asked.rows:
            own = [one for one in found if one.planned.row == row]
            seeds = {one.planned.seed for one in own}
            complete = all(one.status == Status.COMPLETED for one in own)
            if complete and len(seeds) < (asked.most or 0) and not precise(asked.table, row, own):
                unused = min(set(range(len(seeds) + 1)) - seeds)
                more += plan(asked.table, [row], {unused}, asked.own, data.now)
    planned = sorted([*asked.planned, *more], key=lambda one: (one.row.number, one.seed))
    return replace(asked, planned=planned) if more else None


def _parser(verb: str = "reproduce") -> Parser:
    parser = Parser(f"dlrun {verb}", description=__doc__)
    parser.add_argument(
        # Not demanded of argparse, which would not say which tables there are.
        "table",
        nargs="?",
        metavar="TABLE",
        help="name of a table: configs/table/NAME.yaml, shipped or yours",
    )
    parser.add_argument(
        "override", nargs="*", default=(), metavar="OVERRIDE", help="changes every run, e.g. device=cuda epochs=1"
    )
    parser.add_argument("--all", action="store_true", help="every table there is, one after the other")
    parser.add_argument("--rows", metavar="1-4,7", help="only these rows")
    parser.add_argument(
        "--seeds",
        type=_seeds,
        metavar="N",
        help="seeds 0 … N-1 (default: what the table says), or which: 30-32, or 0,5,7",
    )
    add_records(parser)
    parser.add_argument(
        "--until",
        choices=("decided",),
        help="start with one seed (or --seeds) and add seeds to every row until more would not decide it",
    )
    parser.add_argument(
        "--most", type=_count, metavar="N", help=f"with --until decided: so many seeds a row at most (default: {MOST})"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a row differs from what is published")
    parser.add_argument("--dry-run", action="store_true", help="print a line to type for every run, and run nothing")
    add_json(parser)
    parser.add_argument("--quick", action="store_true", help=f"cut every run short ({QUICK[0]}): no verdicts")
    return parser


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return seeds_typed(text)
    except ValueError:
        expected = "expected a whole number from 1 to 1000, or seeds such as 30-32 or 0,5,7"
        raise argparse.ArgumentTypeError(f"{text}: {expected}") from None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 to {MOST_SEEDS}")
    return int(text)


def run_missing(asked: Request, elsewhere: Elsewhere) -> list[Found]:
    """Run what is not complete yet, here or where it is said; what is on the disk afterwards.

    Raises:
        UsageError: A mistake that shows before anything runs, such as missing data.
        Interrupted: A signal stopped it; running jobs have saved, the rest was not started.
    """
    jobs = to_run(asked)
    sweep = asked.planned[0].config.sweep
    if not jobs:
        return asked.found()
    if isinstance(elsewhere, settings.SlurmSettings):
        from dlrun.slurm.waiting import run_on_slurm

        run_on_slurm(jobs, elsewhere, sweep, asked.called, asked.called)
    else:
        _launch(jobs, sweep, elsewhere)
    return asked.found()


def to_run(asked: Request) -> list["Job"]:
    """The planned runs that no record stands for as checked jobs, all rows with seed 0 first.

    Raises:
        UsageError: A mistake that shows before anything runs, such as missing data.
    """
    from dlrun.runs.check import check
    from dlrun.sweeps.jobs import Job

    done = [one for one in asked.found() if one.status == Status.COMPLETED]
    filled = {(one.planned.row.number, one.planned.seed) for one in done}
    on_disk = {one.folder for one in done}
    precisions = {one.planned.row.number: one.planned.config.precision for one in done}
    planned = [_in(one, precisions.get(one.row.number)) for one in asked.planned]
    lacking = [one for one in planned if (one.row.number, one.seed) not in filled]
    for one in lacking:
        _refuse_foreign(one)
    for config in {one.row.number: one.config for one in lacking}.values():
        check(config)
    check_parameters(asked.table, lacking)
    wanted = [one for one in planned if one in lacking or one.folder in on_disk]
    # Rows that compute the same share their runs: the first of them gives the name.
    once: dict[Path, Planned] = {}
    for one in wanted:
        once.setdefault(one.folder, one)
    ordered = sorted(once.values(), key=lambda one: one.seed)
    return [Job(one.overrides, one.folder, one.settled, one.name) for one in ordered]


def _in(planned: Planned, precision: str | None) -> Planned:
    """The run in the precision that fills its row already: seeds of two would not count together."""
    return planned if precision in (None, planned.config.precision) else in_precision(planned, precision)


def _refuse_foreign(planned: Planned) -> None:
    """A run that was extended keeps its folder's name; nothing may be written over it."""
    if planned.config.sweep.fresh:
        raise UsageError("sweep.fresh: runs of tables are known by their hash; move outputs/runs away instead")
    if standing(planned.folder, planned.hash, on_any_data).status == Status.ANOTHER:
        raise UsageError(
            f"{planned.folder}: holds another run by now (extended with dlrun resume?); move it away, "
            f"so that row {planned.row.number} can be run"
        )


def _launch(jobs: Sequence["Job"], sweep: Sweep, lab: lab_settings.DaskSettings | None) -> None:
    """Run them on this machine's slots, or on workers of Dask; the outcome is on the disk."""
    from dlrun.lab.workers import Workers
    from dlrun.sweeps.display import Display
    from dlrun.sweeps.launch import launch

    folder = jobs[0].run_dir.parent
    workers = contextlib.closing(Workers(lab, folder, sweep.slots)) if lab else contextlib.nullcontext()
    with workers as there, Display(make_console(), jobs) as display:
        launch(jobs, sweep, [display], there, there.places if there else None)
