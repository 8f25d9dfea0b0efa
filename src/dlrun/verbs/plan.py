"""Say what a sweep or a table would still run, and how long that would take; runs nothing but short trials.

    dlrun plan -m OVERRIDE …           the sweep that `dlrun -m OVERRIDE …` would run
    dlrun plan TABLE [OVERRIDE …]      the runs that `dlrun reproduce TABLE …` would run; same options
    dlrun plan --json …                the same for programs

The estimate is kept, and the sweep says in the end how far it was off.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlrun.config.overrides import typed_for
from dlrun.config.schema import Sweep
from dlrun.errors import UsageError
from dlrun.output import Column, Table, column, counted, duration, say, starting, terminal_width, write
from dlrun.sweeps.fingerprints import Fingerprints, reading_data
from dlrun.sweeps.jobs import Job
from dlrun.verbs.parser import Parser


def main(arguments: list[str]) -> int:
    """Run the verb; returns the exit status.

    Raises:
        UsageError: A mistake in what was typed.
        RunFailed: A trial failed.
    """
    words = _words([word for word in arguments if word != "--json"])
    as_json = "--json" in arguments
    # What is said of equal points and of runs elsewhere is no JSON.
    aside = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    if not as_json:
        starting()
    with reading_data() as data, aside:
        sweeping = words[0] in ("-m", "--multirun")
        folder, settings, jobs, total = _sweep(words[1:], data) if sweeping else _table(words, data)
        missing = [job for job in jobs if data.complete(job) is None]
    if as_json:
        print(json.dumps({"folder": str(folder), "runs": total, **_expected(missing, settings, folder)}, indent=2))
        return 0
    are = "is" if len(missing) == 1 else "are"
    say(f"{len(missing)} of {counted(total, 'run')} {are} missing in {folder}")
    if missing:
        _print(_expected(missing, settings, folder))
    return 0


def _words(arguments: list[str]) -> list[str]:
    parser = Parser("dlrun plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    if not arguments:
        raise UsageError("plan: what? dlrun plan -m OVERRIDE …, or dlrun plan TABLE")
    if arguments[0] in ("-h", "--help"):
        parser.parse_args(arguments)
    if len(arguments) == 1 and arguments[0] in ("-m", "--multirun"):
        raise UsageError("plan -m: give the overrides of the sweep, e.g. dlrun plan -m model=fc_64,fc_512")
    return arguments


def _sweep(arguments: Sequence[str], data: Fingerprints) -> tuple[Path, Sweep, list[Job], int]:
    from dlrun.sweeps.files import with_file
    from dlrun.sweeps.words import typed_sweep

    arguments = with_file(arguments)
    if "search" in typed_for(arguments, "hydra/sweeper"):
        raise UsageError("plan: a search makes up its points as it goes, so they can't be listed")
    sweep = typed_sweep(arguments, data.now)
    return sweep.folder, sweep.settings, sweep.jobs, len(sweep.jobs)


def _table(arguments: Sequence[str], data: Fingerprints) -> tuple[Path, Sweep, list[Job], int]:
    from dlrun.verbs.reproduce import request, to_run

    asked = request(arguments, data.now, "plan")
    first = asked.planned[0]
    return first.folder.parent, first.config.sweep, to_run(asked), len(asked.planned)


def _expected(missing: Sequence[Job], settings: Sweep, folder: Path) -> dict[str, Any]:
    """What is missing, and the seconds that it will take: of each run, of all, from start to end."""
    if not missing:
        return {"missing": [], "seconds": 0.0, "slots": 0, "wall_seconds": 0.0}
    from dlrun.sweeps.estimate import estimate, wall_time
    from dlrun.sweeps.session import write_plan
    from dlrun.sweeps.slots import slots_for

    seconds = estimate(missing, settings)
    write_plan(folder, seconds)
    slots = len(slots_for([job.config for job in missing], settings, len(missing)))
    return {
        "missing": [{"run": job.name, "seconds": seconds[job.hash]} for job in missing],
        "seconds": sum(seconds.values()),
        "slots": slots,
        "wall_seconds": wall_time([seconds[job.hash] for job in missing], slots),
    }


def _print(expected: Mapping[str, Any]) -> None:
    time = Column("time", lambda record: duration(record["seconds"]), ("seconds",), right=True)
    print(write(Table([column("run"), time], expected["missing"]), "text", terminal_width()), end="")
    together, wall = duration(expected["seconds"]), duration(expected["wall_seconds"])
    say(f"together {together}; {expected['slots']} at a time, so about {wall} from start to end")
