"""A sweep from its jobs to its answer: header, live display, leaderboard, failures, exit status."""

import contextlib
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from dlrun.config.schema import Sweep
from dlrun.errors import Interrupted, RunFailed
from dlrun.files import write_atomically
from dlrun.output import counted, duration, near, terminal_width, write
from dlrun.report.leaderboard import boards, failures, printed
from dlrun.sinks.console import make_console, tell
from dlrun.store import scan
from dlrun.store.status import Status
from dlrun.sweeps.display import Display
from dlrun.sweeps.jobs import Job, Outcome
from dlrun.sweeps.launch import Places, Watcher, launch
from dlrun.sweeps.processes import Processes

PLAN = "plan.json"


def run_sweep(
    jobs: Iterable[Job],
    settings: Sweep,
    folder: Path,
    watchers: Sequence[Watcher] = (),
    total: int | None = None,
    processes: Processes | None = None,
    places: Places | None = None,
) -> list[Outcome]:
    """Run the jobs, show them, and print what they add up to.

    Args:
        folder: The sweep's folder, for the display; jobs know their own.
        total: Number of jobs where `jobs` is an iterator.
        processes, places: As `launch` takes them.

    Raises:
        Interrupted: As `launch`.
    """
    console = make_console()
    listed = jobs if isinstance(jobs, Sequence) else []
    count = total or len({job.run_dir for job in listed})
    tell(console, f"{counted(count, 'run')} in {folder}")
    planned = read_plan(folder)
    started = time.monotonic()
    try:
        with Display(console, listed, total, planned) as display:
            outcomes = launch(jobs, settings, [display, *watchers], processes, places)
    except Interrupted:
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C cuts the answer short, not how to go on
            print_answer(console, [job.run_dir for job in listed])
        raise
    # A search may draw a point again.
    print_answer(console, list(dict.fromkeys(outcome.job.run_dir for outcome in outcomes)))
    _print_plan_error(console, outcomes, planned, time.monotonic() - started)
    console.out(near(folder), highlight=False)
    return outcomes


def demand_success(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Raise `RunFailed` (exit status 1) unless every run has a result."""
    bad = [outcome for outcome in outcomes if not outcome.good and outcome.status != Status.PRUNED]
    if not bad:
        return
    kept = any(outcome.status == Status.KEPT for outcome in bad)
    never = sum(outcome.status == Status.WAITING for outcome in bad)
    words = [f"{len(bad) - never} of {counted(len(outcomes), 'run')} failed"]
    if never:
        words.append(f"{never} were not started: {next(one.reason for one in bad if one.status == Status.WAITING)}")
    if kept:
        words.append("failed runs are tried again with sweep.failed=retry")
    raise RunFailed("; ".join(words) + f" ({folder})")


def print_answer(console: Console, folders: Sequence[Path]) -> None:
    """Print the leaderboard of the runs in these folders, and the failures."""
    found, damaged = scan.read(folder for folder in folders if (folder / "result.json").exists())
    for sentence in damaged:
        tell(console, f"left out: {sentence}")
    if not found:
        return
    width = terminal_width()
    console.print()
    console.out(printed(boards(found), "text", width), end="", highlight=False)
    failed = failures(found)
    if failed.records:
        console.print()
        console.out(write(failed, "text", width), end="", highlight=False)


# --- the plan ---------------------------------------------------------------------------------------------


def read_plan(folder: Path) -> dict[str, float]:
    """What `dlrun plan` expected of the runs: seconds by hash; empty where there was no plan."""
    try:
        values = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        return {str(hash): float(seconds) for hash, seconds in values["seconds"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def write_plan(folder: Path, seconds: dict[str, float]) -> None:
    """Keep what is expected, so that the sweep can tell how wrong it was."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / PLAN, json.dumps({"seconds": seconds}, indent=2) + "\n")


def _print_plan_error(console: Console, outcomes: Sequence[Outcome], planned: dict[str, float], wall: float) -> None:
    ran = [outcome for outcome in outcomes if outcome.status == Status.COMPLETED and outcome.job.hash in planned]
    if not ran:
        return
    expected = sum(planned[outcome.job.hash] for outcome in ran)
    took = sum(outcome.seconds for outcome in ran)
    tell(
        console,
        f"planned {duration(expected)} for {counted(len(ran), 'run')} that took {duration(took)} "
        f"({(took / expected - 1) * 100:+.0f} %); wall time {duration(wall)}",
    )
