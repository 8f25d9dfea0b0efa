"""Runs of a sweep or a table as an array of jobs, on any scheduler.

    dlrun array prepare -m OVERRIDE … --tasks N            the sweep of dlrun -m OVERRIDE …
    dlrun array prepare TABLE [OVERRIDE …] --tasks N       the runs of dlrun reproduce TABLE …; same options
    dlrun array run MANIFEST                               in each job of the array

`prepare` deals the runs out to N tasks, writes that down once and says what to submit; `run` takes the share of its
task. A run that is complete is left alone, an interrupted one goes on: what a job that died has left, the same job
takes up when it is submitted again.
"""

import argparse
import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.arrays.manifest import Shares, read, shared_out
from dlrun.arrays.task import SCHEDULERS, task_number
from dlrun.config.schema import Sweep
from dlrun.errors import UsageError
from dlrun.output import counted, say
from dlrun.runs.on_end import refuse_on_end
from dlrun.runs.trust import BUILT, hint
from dlrun.text import typeable
from dlrun.verbs.loaded import fields
from dlrun.verbs.parser import Parser

if TYPE_CHECKING:
    from dlrun.sweeps.jobs import Job

MULTIRUN = ("-m", "--multirun")


def main(arguments: list[str]) -> int:
    """Run the verb; `run` ends with 1 if a run of its share failed, with 128 + N if signal N stopped it.

    Raises:
        UsageError: A mistake in what was typed, missing data, no manifest, no task of it.
        RunFailed: A run of the share failed.
        Interrupted: A signal came; the state is saved.
    """
    parser = _parser()
    options, words = parser.parse_known_args(arguments)
    if options.action == "prepare":
        return _prepare(words, options.tasks)
    if any(word.startswith("-") for word in words):
        parser.error(f"unrecognized arguments: {' '.join(words)}")
    return _run(options.manifest, options.task, fields(words, ("trust",)).get("trust") is True)


def _parser() -> Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("dlrun array", description=__doc__, formatter_class=raw)
    actions = parser.add_subparsers(dest="action", required=True, metavar="prepare | run")
    what = "deal the runs out to tasks, and write that down"
    usage = "dlrun array prepare (-m OVERRIDE … | TABLE [OVERRIDE …]) --tasks N"
    prepare = actions.add_parser("prepare", help=what, description=what, usage=usage, allow_abbrev=False)
    prepare.add_argument("--tasks", type=_whole, metavar="N", required=True, help="jobs of the array")
    what = "train the share of a task"
    usage = "dlrun array run MANIFEST [--task K] [trust=true]"
    epilog = "trust=true is needed where the runs name code of your own"
    run = actions.add_parser("run", help=what, description=what, usage=usage, epilog=epilog, allow_abbrev=False)
    run.add_argument("manifest", metavar="MANIFEST", type=Path, help="the file that prepare wrote")
    run.add_argument("--task", type=_whole, metavar="K", help="which task, from 0 (default: as the scheduler says)")
    return parser


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number")
    return int(text)


# --- prepare ----------------------------------------------------------------------------------------------


def _prepare(words: Sequence[str], tasks: int) -> int:
    from dlrun.arrays.submitted import submitted

    name, jobs, sweep, afterwards = _asked(words)
    if not jobs:
        say(f"nothing to run: {afterwards}")
        return 0
    if not 1 <= tasks <= len(jobs):
        raise UsageError(f"--tasks {tasks}: these are {counted(len(jobs), 'run')}; expected 1 to {len(jobs)}")
    shares = Shares(shared_out(submitted(jobs), tasks), sweep)
    path = shares.write(name)
    trust = " trust=true" if any(job.config.sinks or hint(job.config, BUILT) for job in jobs) else ""
    say(f"{counted(len(jobs), 'run')} in {counted(tasks, 'task')}: {path}")
    say(f"each task: dlrun array run {typeable(path)}{trust}")
    for one in SCHEDULERS:
        print(f"  {one.name:<12} {one.submit.format(count=tasks, last=tasks - 1)}")
    say(f"afterwards: {afterwards}")
    return 0


def _asked(words: Sequence[str]) -> tuple[str, list["Job"], Sweep, str]:
    """Name, runs and settings of what was typed, and the command that shows what came of it."""
    typed = [word for word in words if word not in MULTIRUN]
    if not typed:
        raise UsageError("array prepare: what? -m OVERRIDE …, or TABLE")
    return _sweep(typed) if len(typed) < len(words) else _table(typed)


def _sweep(typed: Sequence[str]) -> tuple[str, list["Job"], Sweep, str]:
    from dlrun.sweeps.files import with_file
    from dlrun.sweeps.fingerprints import reading_data
    from dlrun.sweeps.folder import note_typed
    from dlrun.sweeps.words import typed_sweep

    typed = with_file(typed)
    for word in typed:
        if word.startswith(("hydra.", "hydra/")) and not word.startswith("hydra.sweep.dir="):
            raise UsageError(f"{word}: of Hydra's fields array prepare knows hydra.sweep.dir only")
    with reading_data() as data:
        sweep = typed_sweep(typed, data.now)
    refuse_on_end(sweep.on_end)
    note_typed(sweep.folder, [word for word in typed if not word.startswith("hydra.")], sweep.jobs)
    return sweep.folder.name, sweep.jobs, sweep.settings, f"dlrun report {typeable(sweep.folder)}"


def _table(typed: Sequence[str]) -> tuple[str, list["Job"], Sweep, str]:
    from dlrun.sweeps.fingerprints import reading_data
    from dlrun.verbs.reproduce import request, to_run

    with reading_data() as data:
        table = request(typed, data.now)
    refuse_on_end(table.on_end)
    command = f"dlrun reproduce {shlex.join(typed)}"
    return table.table.name, to_run(table), table.planned[0].config.sweep, command


# --- run --------------------------------------------------------------------------------------------------


def _run(manifest: Path, typed: int | None, trust: bool) -> int:
    from dlrun.arrays.work import train
    from dlrun.sweeps.session import demand_success

    folder, shares = read(manifest)
    number = task_number(len(shares.tasks), typed)
    runs = shares.tasks[number]
    say(f"task {number} of 0 to {len(shares.tasks) - 1}: {counted(len(runs), 'run')} in {folder}")
    with contextlib.chdir(folder):  # schedulers begin jobs in the home folder, or where they like
        outcomes = train(runs, shares.sweep, trust)
    demand_success(outcomes, manifest)
    return 0
