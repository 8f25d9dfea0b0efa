"""Submit and wait: what `hydra/launcher=slurm` does for sweeps, and for tables."""

from collections.abc import Sequence

from dlrun.arrays.submitted import shown
from dlrun.config.schema import Sweep
from dlrun.errors import Interrupted
from dlrun.output import counted, say
from dlrun.slurm.manifest import submitting
from dlrun.slurm.settings import SlurmSettings
from dlrun.slurm.status import Seen, wait
from dlrun.slurm.submit import Sorted, submit
from dlrun.store.content import unread
from dlrun.store.status import Status
from dlrun.sweeps.jobs import Job, Outcome, reason_of, standing_of


def run_on_slurm(jobs: Sequence[Job], settings: SlurmSettings, sweep: Sweep, name: str, of: str) -> list[Outcome]:
    """Submit the jobs that are missing, wait until all are over, and say what became of each.

    Where Slurm does not take all of them at once, the rest follows when those are over.

    Args:
        name, of: As `dlrun.slurm.manifest.submitting` takes them.

    Raises:
        UsageError: Slurm can't be reached or refuses; data that are missing.
        Interrupted: Ctrl-C ended the waiting; the jobs go on.
    """
    before: list[Job] | None = None
    seen: dict[str, Seen] = {}
    left = jobs
    while True:
        with submitting(name, of) as manifest:
            sort = submit(left, settings, sweep, manifest)
        print(told(sort, settings), flush=True)
        before = sort.done if before is None else before
        folders = [shown(job.run_dir) for job in (*sort.queued, *sort.missing)]
        try:
            over = wait(manifest, folders, say)
        except KeyboardInterrupt:
            called = manifest.name
            raise Interrupted(
                f"no longer waiting; the jobs go on: dlrun slurm status {called}, dlrun slurm cancel {called}", 2
            ) from None
        seen |= {one.run.folder: one for one in over}
        if not sort.held:
            break
        left = sort.held
    return [_outcome(job, job in before, seen.get(shown(job.run_dir))) for job in jobs]


def told(sort: Sorted, settings: SlurmSettings) -> str:
    """What was submitted and what was not, in one line."""
    runs = len(sort.missing)
    jobs = -(-runs // settings.runs_per_job)
    parts = [f"{counted(runs, 'run')} submitted in {counted(jobs, 'job')}"]
    parts[0] += f" ({sort.arrays} arrays, as large as the cluster takes them)" if sort.arrays > 1 else ""
    parts += [f"{len(sort.queued)} in the queue already"] if sort.queued else []
    parts += [f"{len(sort.done)} complete before"] if sort.done else []
    parts += [f"{len(sort.failed)} failed before (again with sweep.failed=retry)"] if sort.failed else []
    parts += [f"{len(sort.held)} more when Slurm takes them"] if sort.held else []
    return ", ".join(parts)


def _outcome(job: Job, before: bool, seen: Seen | None) -> Outcome:
    found = seen.run.standing() if seen and not before else standing_of(job, unread)
    if found.done:
        return Outcome(job, Status.SKIPPED if before else Status.COMPLETED, found.result)
    if found.result and found.status == Status.FAILED:
        return Outcome(job, Status.FAILED, found.result, reason_of(found.result))
    reason = seen.reason if seen else "its job has left the queue without a result"
    return Outcome(job, Status.INTERRUPTED, found.result, reason)
