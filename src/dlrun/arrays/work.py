"""What a job of an array does on its node: trains its runs; its exit status says if they were stopped early."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from dlrun.arrays.submitted import SubmittedRun
from dlrun.config.fields import fill
from dlrun.config.schema import Sweep
from dlrun.errors import Interrupted, UsageError
from dlrun.linux import cores
from dlrun.sweeps.jobs import Job
from dlrun.sweeps.launch import launch

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def work(runs: Sequence[Mapping[str, Any]], sweep: Mapping[str, Any]) -> None:
    """Train the runs of this job; a run that is complete is left alone, one that was interrupted goes on.

    Args:
        runs: The fields of `dlrun.arrays.submitted.SubmittedRun`, plain values.
        sweep: The fields of `dlrun.config.schema.Sweep`, plain values.

    Raises:
        SystemExit: With 1 if a run failed; with 128 + N if signal N came, the state saved: the batch script
            then puts the job back into the queue.
        UsageError: A run is not any more what was submitted.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    settings: Sweep = fill(Sweep, sweep, "sweep.")
    try:
        at_once = min(len(runs), settings.slots or 1)
        outcomes = launch([_job(SubmittedRun(**run), at_once) for run in runs], settings)
    except Interrupted as error:
        print(error, flush=True)
        sys.exit(error.exit_status)
    for outcome in outcomes:
        print(f"{outcome.status}: {outcome.job.run_dir} {outcome.reason}".rstrip(), flush=True)
    if any(not outcome.good for outcome in outcomes):
        sys.exit(1)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """While runs train, `launch` minds the signals; this is for before and after."""
    raise Interrupted(f"stopped by {signal.Signals(number).name} between runs", number)


def _job(run: SubmittedRun, at_once: int) -> Job:
    job = Job.of(tuple(run.overrides), Path(run.folder))
    if job.hash != run.hash:
        raise UsageError(f"{run.folder}: the configs have changed since this was submitted; submit again")
    # Where Slurm binds no cores to jobs, a run would take all of the node.
    there = int(os.environ.get("SLURM_CPUS_PER_TASK") or cores())
    threads = job.config.threads or max(1, there // at_once)
    return replace(job, settled=job.settled.placed(threads=threads))
