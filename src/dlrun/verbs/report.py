"""Compare finished and running runs below one or more folders: a leaderboard, averaged over seeds."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.config.schema import plain
from dlrun.errors import UsageError
from dlrun.output import Table, counted, say, terminal_width, write
from dlrun.report import leaderboard
from dlrun.store import scan
from dlrun.store.chosen import Chosen
from dlrun.store.content import Contents
from dlrun.store.status import Status
from dlrun.store.watched import Watched
from dlrun.verbs.parser import OUTPUTS, Parser, add_records, records_and_words, run_folder

if TYPE_CHECKING:
    from dlrun.tables.compare import Comparison
    from dlrun.tables.overview import Overview
    from dlrun.tables.planned import Found, Planned
    from dlrun.tables.table import PublishedTable

PORT = 6007
"""Beside TensorBoard's, which is 6006."""
LAST_PORT = 65535


def main(arguments: list[str]) -> int:
    """Run the verb; returns the exit status."""
    options = _parser().parse_intermixed_args(arguments)
    if options.port is not None and not options.serve:
        raise UsageError("--port: goes with --serve")
    if options.serve and (options.html or options.form != "text" or options.tables or options.curves):
        raise UsageError("--serve: shows the page of runs or of one --table, and writes nothing")
    if options.serve and (options.sort or options.columns or options.only_changed or options.hide_failed):
        raise UsageError("--serve: --sort, --columns, --only-changed and --hide-failed are of what is printed")
    if options.table and options.tables:
        raise UsageError("--tables: all of them; --table NAME is one of them")
    if options.table or options.tables:
        if options.curves:
            raise UsageError("report: --curves goes with folders of runs; a table has none")
        if options.tag or options.name:
            raise UsageError("report: --tag and --name choose runs; a table takes those of its rows")
        return _report_tables(options) if options.tables else _report_table(options)
    chosen = Chosen(tags=options.tag, name=options.name)
    if options.records:
        raise UsageError("report: --records goes with --table and --tables; dlrun records show lists what is in files")
    if not options.path and not OUTPUTS.is_dir():
        raise UsageError(f"report: there is no folder {OUTPUTS} here; name a folder of runs")
    options.path = options.path or [OUTPUTS]
    if options.serve:
        return _serve(options, options.path, lambda runs, damaged: {"runs": chosen.of(runs), "damaged": damaged})
    found, damaged = scan.read(scan.find(options.path))
    for sentence in damaged:
        say(f"left out: {sentence}", sys.stderr)
    if not found:
        say(f"no runs below {' '.join(map(str, options.path))}", sys.stderr)
        return 1 if damaged else 2
    runs, found = found, chosen.of(found)
    if not found:
        raise UsageError(f"report: {chosen.missed(runs)}")
    boards = leaderboard.boards(found, options.sort, options.hide_failed)
    text = leaderboard.printed(boards, options.form, terminal_width(), options.columns, options.only_changed)
    print(text, end="")
    if options.form in ("csv", "json"):  # which have no place for notes
        for note in leaderboard.repeated(leaderboard.grouped(found)):
            say(note, sys.stderr)
    if options.form == "text":
        _print_searches(options.path)
    if options.form == "text" and not options.hide_failed:
        _print_failures(leaderboard.failures(found))
    if options.html or options.form == "text":
        _write_page(options.html or _beside(options.path), runs=found, damaged=damaged)
    if options.curves:
        _average_seeds(found, options.curves)
    return 0


def _average_seeds(found: Sequence[scan.Run], folder: Path) -> None:
    """Curves of the mean over seeds for TensorBoard."""
    from dlrun.report.aggregate import aggregate

    groups = [group for group in leaderboard.grouped(found) if len(group.completed()) > 1]
    names = leaderboard.varying(groups)
    labels = [" ".join(str(group.fields.get(name)) for name in names) or "runs" for group in groups]
    folders = [[run.folder for run in group.completed()] for group in groups]
    divided = [label for label, group in zip(labels, groups, strict=True) if group.fields.get("folds")]
    try:
        written = aggregate(dict(zip(labels, folders, strict=True)), folder, divided)
    except OSError as error:
        raise UsageError(f"--curves {folder}: {error.strerror}") from None
    made = (
        f"{counted(len(written), 'mean')} over seeds for TensorBoard: {folder}"
        if written
        else ("no curves over seeds: no configuration has two complete runs")
    )
    say(made, sys.stderr)


@dataclass(frozen=True)
class _Evidence:
    """Where the results of tables are looked for."""

    folder: Path
    measured: Sequence[scan.Run]
    damaged: Sequence[str]
    records: Sequence[Path]
    """Files."""


def _evidence(options: argparse.Namespace, folders: Sequence[Path], files: Sequence[Path]) -> _Evidence:
    folder = _one_folder(options, folders, files)
    measured, damaged = scan.read(scan.find([folder] if folders or folder.exists() else []))
    for sentence in damaged:
        say(f"not on the page: {sentence}", sys.stderr)
    return _Evidence(folder, measured, damaged, files)


def _one_folder(options: argparse.Namespace, folders: Sequence[Path], files: Sequence[Path] = ()) -> Path:
    """Where the runs of tables lie."""
    from dlrun.tables.planned import RUNS

    if len(folders) > 1:
        raise UsageError(
            f"--table{'s' if options.tables else ''}: the runs of a table lie in one folder; name one PATH"
        )
    if not folders and not RUNS.exists() and not files:
        name = options.table or "--all"
        raise UsageError(f"{RUNS}: no runs of tables here yet; dlrun reproduce {name} makes them")
    return folders[0] if folders else RUNS


def _report_table(options: argparse.Namespace) -> int:
    """Published beside measured, from runs and records; words with `=` are overrides as of `reproduce`."""
    from dlrun.sweeps.fingerprints import reading_data
    from dlrun.tables import table
    from dlrun.tables.render import render

    own = [str(word) for word in options.path if "=" in str(word) and not word.exists()]
    files, words = records_and_words(options)
    published = table.load(options.table)
    folders = [word for word in options.path if str(word) not in own]
    if options.serve:
        folder = _one_folder(options, folders)

        def content(runs: Sequence[scan.Run], damaged: Sequence[str]) -> dict[str, Any]:
            evidence = _Evidence(folder, runs, damaged, files)
            with reading_data() as data:
                (one,) = _compared([published], evidence, data.now, [*own, *words])
            return _table_page(*one, evidence)

        return _serve(options, [folder], content)
    evidence = _evidence(options, folders, files)
    with reading_data() as data:
        ((found, comparison),) = _compared([published], evidence, data.now, [*own, *words])
    print(render(comparison, options.form, terminal_width()), end="")
    if options.html or options.form == "text":
        path = options.html or evidence.folder / f"{published.name}.html"
        shown = _table_page(found, comparison, evidence)
        if shown["runs"] and path.parent.is_dir():
            _write_page(path, **shown)
    return 0


def _report_tables(options: argparse.Namespace) -> int:
    """Every published table that has results."""
    from dlrun.config.compose import composing
    from dlrun.sweeps.fingerprints import reading_data
    from dlrun.tables import overview, table

    files, words = records_and_words(options)
    if own := [*words, *(str(word) for word in options.path if "=" in str(word) and not word.exists())]:
        raise UsageError(f"{own[0]}: --tables compares with what is published; a change goes with --table NAME")
    evidence = _evidence(options, options.path, files)
    with composing(), reading_data() as data:
        found = overview.overview(one for _, one in _compared(table.load_all(), evidence, data.now))
    if not found.comparisons:
        raise UsageError("no table has a result there; dlrun reproduce --all runs what is missing")
    print(overview.render(found, options.form, terminal_width()), end="")
    if options.html or options.form == "text":
        _write_overview(options.html or evidence.folder / "tables.html", found)
    return 0


def _write_overview(path: Path, found: "Overview") -> None:
    from dlrun.report.overview_page import write_overview

    if path.parent.is_dir():
        _write(path, lambda: write_overview(path, found))


def _compared(
    tables: Iterable["PublishedTable"], evidence: _Evidence, contents: Contents, own: Sequence[str] = ()
) -> Iterator[tuple[list["Found"], "Comparison"]]:
    """What is there for the rows of each table, and the comparison.

    Args:
        contents: Asked only for data that lie elsewhere now than where a run of the same hash found them.
    """
    from dlrun.tables import evidence as filled
    from dlrun.tables.compare import compare

    planned = [(one, *_planned(one, evidence, contents, own)) for one in tables]
    every = [([*runs, *others], one.precisions) for one, runs, others in planned]
    records = filled.pool(evidence.records, every, contents)
    for one, runs, others in planned:
        found = filled.gather(runs, records, one.precisions, more=True)
        found = _measured_seeds(found, one.seeds)
        elsewhere = filled.gather(others, records, one.precisions, more=True)
        yield found, compare(one, one.rows, [*found, *elsewhere], own)


def _planned(
    table: "PublishedTable", evidence: _Evidence, contents: Contents, own: Sequence[str]
) -> tuple[list["Planned"], list["Planned"]]:
    """The runs of a table's rows with every seed that is there, and those of other tables that its lessons name."""
    from dlrun.tables.planned import plan

    seeds = {int(run.fields.get("seed", 0)) for run in evidence.measured}.union(range(table.seeds))
    planned = plan(table, table.rows, seeds, own, contents, evidence.folder)
    return planned, plan(table, table.others, seeds, (), contents, evidence.folder)


def _table_page(found: Sequence["Found"], comparison: "Comparison", evidence: _Evidence) -> dict[str, Any]:
    """What is on the page of a table."""
    by_folder = {run.folder: run for run in evidence.measured}
    labels: dict[Path, str] = {}
    shown: list[scan.Run] = []
    for number, one in enumerate(found):
        run = _recorded(one, number) if one.record else by_folder.get(one.folder) if one.folder else None
        # Of rows that share their runs, the first gives its name.
        if run is not None and labels.setdefault(run.folder, one.planned.row.label) == one.planned.row.label:
            shown.append(run)
    about = {"comparison": comparison, "labels": labels, "title": comparison.title}
    return {"runs": shown, "damaged": evidence.damaged, **about}


def _recorded(found: "Found", number: int) -> scan.Run:
    """The run of a record; its folder is a name of its own, as there is none."""
    assert found.record is not None
    name = found.planned.folder.name
    result = replace(found.record.result, name=name, overrides=list(found.planned.overrides))
    fields = scan.flat(plain(found.record.config))
    return scan.Run(Path(found.source, str(number), name), fields, result, found.record.rows, source=Path(found.source))


def _measured_seeds(found: Sequence["Found"], usual: int) -> list["Found"]:
    """Without the seeds that no row has: they belong to other tables. Where there is none, so many as are usual."""
    there = {one.planned.seed for one in found if one.status != Status.MISSING}
    here = {one.planned.seed for one in found if one.folder is not None}
    first = () if there and not here else range(min(usual, max(here, default=usual) + 1))
    return [one for one in found if one.planned.seed in there.union(first)]


def _serve(
    options: argparse.Namespace,
    folders: Sequence[Path],
    content: Callable[[Sequence[scan.Run], Sequence[str]], dict[str, Any]],
) -> int:
    """Show the page until Ctrl-C."""
    from dlrun.report.serve import Live, serve

    live = Live(Watched(folders), content)
    live.html()  # a mistake is said here, not in the browser

    def ready(address: str) -> None:
        print(f"page: {address} (Ctrl-C ends it)", flush=True)

    with contextlib.suppress(KeyboardInterrupt):
        serve(live, PORT if options.port is None else options.port, ready)
    return 0


def _beside(paths: Sequence[Path]) -> Path:
    """Where the page goes: into the reported folder; of several, into the working directory."""
    return (paths[0] if len(paths) == 1 else Path()) / "report.html"


def _write_page(path: Path, **content: Any) -> None:
    from dlrun.report.page import write_page

    _write(path, lambda: write_page(path, **content))


def _write(path: Path, written: Callable[[], None]) -> None:
    """Write a page, or say why there is none."""
    try:
        written()
    except (OSError, RuntimeError) as error:  # pathlib's error of a link to itself is a RuntimeError
        # The tables are printed; folders of results are often read-only.
        reason = getattr(error, "strerror", None) or error
        say(f"no page: {path}: {reason}; --html FILE puts it elsewhere", sys.stderr)
    else:
        say(f"page: {path}", sys.stderr)


def _print_failures(table: Table) -> None:
    if table.records:
        print("\n" + write(table, "text", terminal_width()), end="")


def _print_searches(paths: Sequence[Path]) -> None:
    """What searches left in these folders: the best point and what mattered."""
    for path in paths:
        if (path / "search.json").is_file():
            from dlrun.sweeps.found import read_summary, sentences

            for sentence in sentences(read_summary(path)):
                say(sentence)


def _parser() -> Parser:
    parser = Parser("dlrun report", description=__doc__)
    parser.add_argument(
        "path", nargs="*", type=run_folder, help="folders of runs or sweeps, or folders above them (default: outputs)"
    )
    parser.add_argument(
        "--table", metavar="NAME", help="compare the runs in PATH (default: outputs/runs) with a published table"
    )
    parser.add_argument("--tables", action="store_true", help="compare them with every published table, on one page")
    add_records(parser)
    parser.add_argument(
        "--sort",
        metavar="FIELD",
        help="sort by a column: accuracies best first, all else smallest first; --sort=-FIELD turns it round "
        "(default: val accuracy where all hold images out, else test accuracy)",
    )
    parser.add_argument(
        "--columns",
        type=_names,
        default=[],
        metavar="A,B,…",
        help="show these fields, e.g. model,lr,test_accuracy",
    )
    parser.add_argument("--only-changed", action="store_true", help="only columns that differ between rows")
    parser.add_argument("--hide-failed", action="store_true", help="leave out configurations that only failed")
    parser.add_argument(
        "--tag", action="append", default=[], help="only runs with this tag (several: with all of them)"
    )
    parser.add_argument("--name", metavar="PATTERN", help="only runs of this name, e.g. 'first*'")
    parser.add_argument(
        "--curves", type=Path, metavar="FOLDER", help="write curves of the mean over seeds there, for TensorBoard"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="where the page goes (default: report.html in PATH)")
    parser.add_argument(
        "--serve", action="store_true", help="show the page to this machine's browser, made anew while runs go on"
    )
    parser.add_argument("--port", type=_port, help=f"of --serve (default: {PORT}; 0: any that is free)")
    form = parser.add_mutually_exclusive_group()
    for name, what in (("md", "Markdown"), ("csv", "CSV"), ("json", "JSON"), ("latex", "a LaTeX tabular")):
        form.add_argument(
            f"--{name}", dest="form", action="store_const", const=name, default="text", help=f"write {what}"
        )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 0 to {LAST_PORT}")
    return int(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
