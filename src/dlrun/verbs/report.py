"""Compare finished and running runs below one or more folders: a leaderboard, averaged over seeds."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from dlrun.report import leaderboard, runs
from dlrun.report.output import Table, visible, write


def main(arguments: list[str]) -> int:
    """Run the verb; returns the exit status."""
    options = _parser().parse_args(arguments)
    found, damaged = runs.read(runs.find(options.path))
    for sentence in damaged:
        print(visible(f"left out: {sentence}"), file=sys.stderr)
    if not found:
        print(f"no runs below {' '.join(map(str, options.path))}", file=sys.stderr)
        return 1 if damaged else 2
    table = leaderboard.leaderboard(found, options.sort, options.columns, options.only_changed, options.hide_failed)
    print(write(table, options.form, _width()), end="")
    if options.form == "text":
        _print_searches(options.path)
    if options.form == "text" and not options.hide_failed:
        _print_failures(leaderboard.failures(found))
    if options.html or options.form == "text":
        _write_page(options.html or _beside(options.path), found, damaged)
    return 0


def _beside(paths: Sequence[Path]) -> Path:
    """Where the page goes: into the reported folder; of several, into the working directory."""
    return (paths[0] if len(paths) == 1 else Path()) / "report.html"


def _write_page(path: Path, found: Sequence[runs.Run], damaged: Sequence[str]) -> None:
    from dlrun.report.page import write_page

    try:
        write_page(path, runs=found, damaged=damaged)
    except OSError as error:
        # The tables are printed; folders of results are often read-only.
        print(visible(f"no page: {path}: {error.strerror}; --html FILE puts it elsewhere"), file=sys.stderr)
    else:
        print(visible(f"page: {path}"), file=sys.stderr)


def _print_failures(table: Table) -> None:
    if table.records:
        print("\n" + write(table, "text", _width()), end="")


def _print_searches(paths: Sequence[Path]) -> None:
    """What searches left in these folders: the best point and what mattered."""
    for path in paths:
        if (path / "search.json").is_file():
            from dlrun.sweeps.search import read_summary, sentences

            for sentence in sentences(read_summary(path)):
                print(visible(sentence))


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("dlrun report", description=__doc__)
    parser.add_argument("path", nargs="+", type=Path, help="folders of runs or sweeps, or folders above them")
    parser.add_argument(
        "--sort",
        default=leaderboard.DEFAULT_SORT,
        metavar="FIELD",
        help="sort by a column: accuracies best first, all else smallest first; --sort=-FIELD turns it round",
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
    parser.add_argument("--html", type=Path, metavar="FILE", help="where the page goes (default: report.html in PATH)")
    form = parser.add_mutually_exclusive_group()
    for name, what in (("md", "Markdown"), ("csv", "CSV"), ("json", "JSON"), ("latex", "a LaTeX tabular")):
        form.add_argument(
            f"--{name}", dest="form", action="store_const", const=name, default="text", help=f"write {what}"
        )
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
