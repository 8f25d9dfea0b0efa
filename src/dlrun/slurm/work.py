"""What submitit calls on a node: the runs of a job, as an exit status that says if they were stopped early."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dlrun.arrays.submitted import SubmittedRun
from dlrun.arrays.work import train
from dlrun.config.fields import fill
from dlrun.config.schema import Sweep
from dlrun.errors import Interrupted


def work(runs: Sequence[Mapping[str, Any]], sweep: Mapping[str, Any]) -> None:
    """Train the runs of this job; what they build is what was typed for `dlrun slurm submit`.

    Args:
        runs: The fields of `dlrun.arrays.submitted.SubmittedRun`, plain values.
        sweep: The fields of `dlrun.config.schema.Sweep`, plain values.

    Raises:
        SystemExit: With 1 if a run failed; with 128 + N if signal N came, the state saved: the batch script
            then puts the job back into the queue.
        UsageError: A run is not any more what was submitted.
    """
    settings: Sweep = fill(Sweep, sweep, "sweep.")
    try:
        outcomes = train([SubmittedRun(**run) for run in runs], settings, trust=True)
    except Interrupted as error:
        print(error, flush=True)
        sys.exit(error.exit_status)
    if any(not outcome.good for outcome in outcomes):
        sys.exit(1)
