"""Submit and wait: what `hydra/launcher=slurm` does for sweeps, and for tables."""

from collections.abc import Sequence

from dlrun.arrays.submitted import SubmittedRun, shown
from dlrun.config.schema import Sweep
from dlrun.errors import Interrupted
from dlrun.output import counted
from dlrun.slurm.manifest import begun
from dlrun.slurm.settings import SlurmSettings
from dlrun.slurm.status import wait
from dlrun.slurm.submit import Sorted, submit
from dlrun.store.content import unread
from dlrun.store.status import Status
from dlrun.sweeps.jobs import Job, Outcome, reason_of, standing_of
from dlrun.text import visible


def run_on_slurm(jobs: Sequence[Job], settings: SlurmSettings, sweep: Sweep, name: str) -> list[Outcome]:
    """Submit the jobs that are missing, wait until all are over, and say what became of each.

    Raises:
        UsageError: Slurm can't be reached or refuses; data that are missing.
        Interrupted: Ctrl-C ended the waiting; the jobs go on.
    """
    manifest = begun(name, [])
    sort = submit(jobs, settings, sweep, manifest)
    print(told(sort, settings), flush=True)
    folders = [shown(job.run_dir) for job in (*sort.queued, *sort.missing)]
    try:
        wait(manifest, folders, lambda line: print(visible(line), flush=True))
    except KeyboardInterrupt:
        raise Interrupted(
            f"no longer waiting; the jobs go on: dlrun slurm status {name}, dlrun slurm cancel {name}", 2
        ) from None
    runs = {run.folder: run for run in manifest.runs}
    return [_outcome(job, job in sort.done, runs.get(shown(job.run_dir))) for job in jobs]


def told(sort: Sorted, settings: SlurmSettings) -> str:
    """What was submitted and what was not, in one line."""
    runs = len(sort.missing)
    jobs = -(-runs // settings.runs_per_job)
    parts = [f"{counted(runs, 'run')} submitted in {counted(jobs, 'job')}"]
    parts += [f"{len(sort.queued)} in the queue already"] if sort.queued else []
    parts += [f"{len(sort.done)} complete before"] if sort.done else []
    parts += [f"{len(sort.failed)} failed before (again with sweep.failed=retry)"] if sort.failed else []
    return ", ".join(parts)


def _outcome(job: Job, before: bool, run: SubmittedRun | None) -> Outcome:
    found = run.standing() if run and not before else standing_of(job, unread)
    if found.done:
        return Outcome(job, Status.SKIPPED if before else Status.COMPLETED, found.result)
    if found.result and found.status == Status.FAILED:
        return Outcome(job, Status.FAILED, found.result, reason_of(found.result))
    return Outcome(job, Status.INTERRUPTED, found.result, "its job has left the queue without a result")
