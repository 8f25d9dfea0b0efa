"""Run the rows of a published table that are missing, then print published beside measured.

A run that is complete on the same data is not run again, an interrupted one goes on. Runs lie in outputs/runs
and are shared by all tables.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlrun.config import Data, Target, identity
from dlrun.errors import DataError, UsageError
from dlrun.report.output import visible
from dlrun.tables.compare import compare
from dlrun.tables.plan import QUICK, Found, Planned, find, plan
from dlrun.tables.render import render
from dlrun.tables.table import Table, choose, load


def main(arguments: list[str]) -> int:
    """Run the verb; the exit status is 1 if a run of the table is not complete in the end.

    Raises:
        UsageError: An unknown table, row or override, a wrong table file, missing data.
    """
    options = _parser().parse_intermixed_args(arguments)
    table = load(options.table)
    rows = choose(table, options.rows)
    own = (*QUICK, *options.override) if options.quick else tuple(options.override)
    planned = plan(table, rows, options.seeds or table.seeds, own)
    if options.dry_run:
        print("\n".join(visible(one.command()) for one in planned))
        return 0
    found = complete(planned)
    comparison = compare(table, rows, found, _changes(table, planned, own), options.quick)
    print(render(comparison, "text", _width()), end="")
    return 0 if all(one.status == "completed" for one in found) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("dlrun reproduce", description=__doc__)
    parser.add_argument(
        "table", metavar="TABLE", help="name of a table: configs/table/NAME.yaml, shipped or yours"
    )
    parser.add_argument(
        "override", metavar="OVERRIDE", nargs="*", help="changes every run, e.g. device=cuda epochs=1"
    )
    parser.add_argument("--rows", metavar="1-4,7", help="only these rows")
    parser.add_argument(
        "--seeds", type=_count, metavar="N", help="seeds 0 … N-1 (default: what the table says)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print a line to type for every run, and run nothing"
    )
    parser.add_argument("--quick", action="store_true", help=f"cut every run short ({QUICK[0]}): no verdicts")
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 to 1000")
    return int(text)


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _changes(table: Table, planned: Sequence[Planned], own: Sequence[str]) -> Sequence[str]:
    """The overrides, if they make other runs than the published ones (`device=cuda` does not)."""
    if not own:
        return ()
    first = planned[0]
    published = plan(table, [first.row], first.seed + 1)[-1]
    return () if identity(published.config) == first.hash else own


def complete(planned: Sequence[Planned]) -> list[Found]:
    """Run what is not complete yet; what is on the disk afterwards.

    Raises:
        UsageError: A mistake that shows before anything runs, such as missing data.
    """
    contents = Contents()
    found = find(planned, contents.fingerprint)
    todo = [one for one in found if _to_run(one)]
    for one in todo:
        _check(one.planned)
    for one in todo:
        if one.status == "other data":
            _set_aside(one)
    if not todo:
        return found
    print(f"{len(todo)} of {len(planned)} runs to do", flush=True)
    launch(
        [
            Job(one.planned.overrides, one.planned.folder)
            for one in sorted(todo, key=lambda one: one.planned.seed)
        ]
    )
    return find(planned, contents.fingerprint)


def _to_run(found: Found) -> bool:
    sweep = found.planned.config.sweep
    if sweep.fresh:
        raise UsageError(
            "sweep.fresh: the runs of a table are known by their hash; move outputs/runs away instead"
        )
    return found.status in ("missing", "interrupted", "other data") or (
        found.status == "failed" and sweep.failed == "retry"
    )


def _check(planned: Planned) -> None:
    from dlrun.runs import check

    check(planned.config)


def _set_aside(found: Found) -> None:
    """Make room for a run on the data as they are now; nothing is deleted."""
    assert found.result is not None
    folder = found.planned.folder
    folder.rename(folder.with_name(f"{folder.name}-data-{found.result.data['fingerprint']}"))


class Contents:
    """The content of data sets as they are now; each is read once."""

    def __init__(self) -> None:
        self.known: dict[str, str | None] = {}

    def fingerprint(self, config: Data | Target) -> str | None:
        """The fingerprint, or None where the data are not on this machine."""
        from dlrun.data.load import load as load_data

        if repr(config) not in self.known:
            try:
                self.known[repr(config)] = load_data(config).fingerprint
            except DataError:
                self.known[repr(config)] = None
        return self.known[repr(config)]


@dataclass(frozen=True)
class Job:
    """One run to launch."""

    overrides: tuple[str, ...]
    run_dir: Path


def launch(jobs: Sequence[Job]) -> None:
    """Run the jobs one after the other, a process each; what becomes of them shows on the disk."""
    for job in jobs:
        command = [sys.executable, "-m", "dlrun", *job.overrides, f"hydra.run.dir={job.run_dir.as_posix()}"]
        with subprocess.Popen(command) as process:
            try:
                process.wait()
            except KeyboardInterrupt:
                process.wait()  # the run has had the signal too and saves its state
                raise
