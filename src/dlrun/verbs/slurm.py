"""Slurm without waiting: submit a sweep or a table, look later, collect what there is.

What was submitted goes by the name of the sweep's folder or of the table; it lies below outputs/slurm, with
the batch scripts and the logs of the jobs. Fields of a job (hydra.launcher.time=120 …) are those of
configs/hydra/launcher/slurm.yaml.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.errors import UsageError
from dlrun.output import counted, near, say, terminal_width, write
from dlrun.runs.on_end import refuse_on_end
from dlrun.slurm import manifest, queue, status
from dlrun.slurm.settings import SlurmSettings, asked
from dlrun.store.status import Status
from dlrun.text import typeable
from dlrun.verbs.parser import Parser, add_json

if TYPE_CHECKING:
    from dlrun.config.schema import Sweep
    from dlrun.sweeps.jobs import Job

MULTIRUN = ("-m", "--multirun")
HYDRA_FIELDS = ("hydra.", "hydra/")


def main(arguments: list[str]) -> int:
    """Run the verb; the exit status of `collect` is 1 while runs are missing.

    Raises:
        UsageError: Nothing of this name, no Slurm here, or Slurm refuses what is asked.
    """
    if arguments[:1] == ["submit"] and not {"-h", "--help"} & set(arguments):
        return _submit(arguments[1:])
    options = _parser().parse_args(arguments)
    if options.action == "status":
        return _status(options.name, options.json)
    return {"collect": _collect, "cancel": _cancel}[options.action](options.name)


def _parser() -> Parser:
    parser = Parser("dlrun slurm", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="submit | status | collect | cancel")
    what = "-m OVERRIDE …, or TABLE [OVERRIDE …] [--rows 1-4,7] [--seeds N] [--quick]"
    submit = actions.add_parser("submit", help="submit the runs that are missing, and return", description=what)
    submit.add_argument("words", nargs="*", metavar="WORD", help="as for dlrun -m, or dlrun reproduce")
    named = (
        ("status", "queued, running, done, failed, preempted, lost"),
        ("collect", "the leaderboard or the table, from the runs that are complete"),
        ("cancel", "end the jobs; runs save first, and submit goes on with them"),
    )
    for action, what in named:
        one = actions.add_parser(action, help=what, description=what)
        one.add_argument("name", nargs="?", help="of what was submitted (default: the only one)")
        if action == "status":
            add_json(one)
    return parser


# --- submit -----------------------------------------------------------------------------------------------


def _submit(words: Sequence[str]) -> int:
    settings, rest = asked(words, always=True)
    assert settings is not None
    typed = [word for word in rest if word not in MULTIRUN]
    if not typed:
        raise UsageError("submit: what? dlrun slurm submit -m OVERRIDE …, or dlrun slurm submit TABLE")
    if len(typed) == len(rest):
        return _submit_table(typed, settings, list(words))
    return _submit_sweep(typed, settings, list(words))


def _submit_sweep(typed: Sequence[str], settings: SlurmSettings, words: list[str]) -> int:
    from dlrun.sweeps.files import with_file
    from dlrun.sweeps.fingerprints import reading_data
    from dlrun.sweeps.folder import note_typed
    from dlrun.sweeps.words import typed_sweep

    typed = with_file(typed)
    _refuse_other_fields(typed)
    with reading_data() as data:
        sweep = typed_sweep(typed, data.now)
    refuse_on_end(sweep.on_end)
    of = f"sweep {sweep.folder.resolve()}"
    status = _send(sweep.folder.name, of, words, sweep.jobs, settings, sweep.settings)
    note_typed(sweep.folder, [word for word in typed if not word.startswith(HYDRA_FIELDS)], sweep.jobs)
    return status


def _refuse_other_fields(typed: Sequence[str]) -> None:
    """Fields of Hydra's that mean nothing here; those of the launcher are read already."""
    for word in typed:
        if word.startswith(HYDRA_FIELDS) and not word.startswith("hydra.sweep.dir="):
            raise UsageError(f"{word}: submit knows hydra/launcher, hydra.launcher.… and hydra.sweep.dir only")


def _submit_table(typed: Sequence[str], settings: SlurmSettings, words: list[str]) -> int:
    from dlrun.sweeps.fingerprints import reading_data
    from dlrun.verbs.reproduce import request, to_run

    with reading_data() as data:
        table = request(typed, data.now)
    refuse_on_end(table.on_end)
    return _send(table.called, table.called, words, to_run(table), settings, table.planned[0].config.sweep)


def _send(name: str, of: str, words: list[str], jobs: Sequence["Job"], settings: SlurmSettings, sweep: "Sweep") -> int:
    """Submit, and say what is next; the exit status is 1 while Slurm takes no more and runs are left."""
    from dlrun.slurm.submit import submit
    from dlrun.slurm.waiting import told

    with manifest.submitting(name, of, words) as begun:
        sort = submit(jobs, settings, sweep, begun)
    say(told(sort, settings))
    if sort.held:
        say("the same command submits the rest when some are done")
    say(f"next: dlrun slurm status {typeable(begun.name)}")
    print(near(begun.folder))
    return 1 if sort.held else 0


# --- afterwards -------------------------------------------------------------------------------------------


def _chosen(name: str | None) -> manifest.Manifest:
    known = manifest.names()
    if name is None and len(known) != 1:
        raise UsageError(f"which? {' '.join(known)}" if known else "nothing was submitted from this folder yet")
    return manifest.read(name or known[0])


def _status(name: str | None, as_json: bool) -> int:
    """Print every submission in full, or the one that is named."""
    known = [name] if name else manifest.names()
    if not known:
        raise UsageError("nothing was submitted from this folder yet")
    waiting = queue.queue()
    read = [manifest.read(one) for one in known]
    tables = {found.name: status.table(found, status.look(found, waiting)) for found in read}
    if as_json:
        print(json.dumps({name: json.loads(write(table, "json")) for name, table in tables.items()}, indent=2))
    else:
        print("".join(write(table, "text", terminal_width()) for table in tables.values()), end="")
    return 0


def _collect(name: str | None) -> int:
    """Print what the words that were submitted would print after the last run."""
    found = _chosen(name)
    rest = asked(found.words, always=True)[1]
    if rest and not set(MULTIRUN) & set(rest):
        return _collect_table(rest)
    from dlrun.sinks.console import make_console
    from dlrun.sweeps.session import print_answer

    print_answer(make_console(), [Path(run.folder) for run in found.runs])
    seen = status.look(found)
    say(status.summary(seen), sys.stderr)
    return 0 if all(one.status == Status.DONE for one in seen) else 1


def _collect_table(words: Sequence[str]) -> int:
    from dlrun.sweeps.fingerprints import reading_data
    from dlrun.verbs.reproduce import request, show

    with reading_data() as data:
        table = request(words, data.now)
    return show(table, table.found())


def _cancel(name: str | None) -> int:
    found = _chosen(name)
    waiting = queue.queue()
    jobs = [job.id for job in found.jobs if job.id in waiting]
    queue.cancel(jobs)
    print(f"{counted(len(jobs), 'job')} cancelled")
    return 0
