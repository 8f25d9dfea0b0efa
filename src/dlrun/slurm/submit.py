"""Submits what is missing: an array of jobs, by submitit, each with the overrides and folders of its runs."""

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.arrays.submitted import SubmittedRun, shown, submitted
from dlrun.config.schema import Sweep
from dlrun.errors import UsageError
from dlrun.extras import command
from dlrun.slurm.manifest import Manifest, Submitted, names, read
from dlrun.slurm.queue import queue
from dlrun.slurm.settings import SlurmSettings
from dlrun.slurm.work import work
from dlrun.store.content import Contents, unread
from dlrun.store.folders import hold
from dlrun.store.status import Status
from dlrun.sweeps.fingerprints import reading_data
from dlrun.sweeps.jobs import Job, standing_of, was_killed

if TYPE_CHECKING:
    from submitit import SlurmExecutor


OUTLIVE = [
    "# Whoever cancels or preempts a job sends TERM to this script, too: it must live until the runs have saved.",
    "trap : TERM",
]
REQUEUE = [
    "status=$?",
    "job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}",
    "job=${job:-$SLURM_JOB_ID}",
    "# 128 + USR1, USR2 or TERM: stopped and saved. A job that is being cancelled is not RUNNING any more.",
    "case $status in",
    '    138|140|143) scontrol show job "$job" | grep -q JobState=RUNNING && scontrol requeue "$job" ;;',
    "esac",
    "exit $status",
]
"""What the batch script does after the runs: outside of any container, where Slurm's commands are."""


@dataclass(frozen=True)
class Sorted:
    """The jobs by what is to be done about them."""

    done: list[Job]
    failed: list[Job]
    """In an earlier call, and kept."""
    queued: list[Job]
    missing: list[Job]


def submit(jobs: Sequence[Job], settings: SlurmSettings, sweep: Sweep, manifest: Manifest) -> Sorted:
    """Submit those of the jobs that have neither a result nor a place in the queue.

    Data are read and parsed here first, so that a thousand jobs find them in the cache. When Slurm refuses,
    everything is as it was.

    Raises:
        UsageError: No Slurm here, no submitit, or Slurm refuses what is asked of it; data that are missing; a run
            that another process works on.
    """
    executor = _executor(settings, manifest)
    with reading_data() as data:
        sort = sort_out(jobs, sweep, data.now)
    if not sort.missing:
        return sort
    runs = submitted(sort.missing)
    groups = [runs[start : start + settings.runs_per_job] for start in range(0, len(runs), settings.runs_per_job)]
    with _removed_if_refused(manifest.folder), _set_aside(_out_of_date(sort.missing)):
        ids = _sbatch(executor, groups, _on_node(sweep, settings))
    manifest.add(runs)
    manifest.jobs += [Submitted(id, [run.folder for run in group]) for id, group in zip(ids, groups, strict=True)]
    manifest.write()
    return sort


@contextlib.contextmanager
def _set_aside(run_dirs: Iterable[Path]) -> Iterator[None]:
    """Without results that are out of date, which would pass for the new ones'; they come back if this fails."""
    moved: list[tuple[Path, Path]] = []
    try:
        for result in (run_dir / "result.json" for run_dir in run_dirs):
            if result.exists():
                aside = result.with_name(".result.json.submitted.tmp")
                with hold(result.parent):  # which deletes `.*.tmp`: also after a kill at this point
                    result.replace(aside)
                moved.append((aside, result))
        yield
    except BaseException:
        for aside, result in moved:
            aside.replace(result)
        raise
    for aside, _ in moved:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def _removed_if_refused(folder: Path) -> Iterator[None]:
    """What submitit writes to a folder for jobs that never come to be is deleted."""
    before = {folder, *folder.rglob("*")} if folder.exists() else set()
    try:
        yield
    except BaseException:
        for path in sorted({folder, *folder.rglob("*")} - before, reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def _out_of_date(jobs: Iterable[Job]) -> list[Path]:
    """The folders with a result that the new run replaces; one that is complete on other data stays until then."""
    return [job.run_dir for job in jobs if standing_of(job, unread).may_be_replaced]


def sort_out(jobs: Iterable[Job], sweep: Sweep, contents: Contents) -> Sorted:
    """Look at the disk and the queue; a run whose process was killed counts as missing."""
    waiting = _folders_in_queue()
    sort = Sorted([], [], [], [])
    for job in jobs:
        found = standing_of(job, contents)
        kept = found.result if found.status == Status.FAILED and sweep.failed == "keep" else None
        if found.done:
            sort.done.append(job)
        elif shown(job.run_dir) in waiting:
            sort.queued.append(job)
        elif kept and not was_killed(kept):
            sort.failed.append(job)
        else:
            sort.missing.append(job)
    return sort


def _folders_in_queue() -> set[str]:
    waiting = queue()
    every = [job for name in names() for job in read(name).jobs]
    return {folder for job in every if job.id in waiting for folder in job.folders}


def _on_node(sweep: Sweep, settings: SlurmSettings) -> dict[str, Any]:
    """The sweep's settings for inside a job: by default a run after the other, or `per_gpu` on each GPU."""
    slots = sweep.slots or (settings.gpus * sweep.per_gpu if settings.gpus else 1)
    inside = Sweep(slots=slots, per_gpu=sweep.per_gpu, retries=sweep.retries, timeout=sweep.timeout)
    return dataclasses.asdict(replace(inside, on_failure=sweep.on_failure))


def _executor(settings: SlurmSettings, manifest: Manifest) -> "SlurmExecutor":
    try:
        import submitit
    except ImportError:
        raise UsageError(f"Slurm needs the package submitit. To install it:\n{command('slurm')}") from None
    try:
        executor = submitit.SlurmExecutor(manifest.folder / "jobs", python=settings.interpreter())
    except RuntimeError:
        raise UsageError("srun: not found; submit on a login node of a Slurm cluster") from None
    executor.update_parameters(**_parameters(settings, manifest.name))
    return executor


def _parameters(settings: SlurmSettings, name: str) -> dict[str, Any]:
    """The settings in submitit's words."""
    wanted = {
        "job_name": f"dlrun-{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}",
        "partition": settings.partition,
        "account": settings.account,
        "time": settings.time,
        "gpus_per_node": settings.gpus or None,
        "cpus_per_task": settings.cpus,
        "mem": settings.memory,
        "constraint": settings.constraint,
        "array_parallelism": settings.array_parallelism,
        "setup": [*OUTLIVE, *settings.setup],
        "signal_delay_s": settings.warning,
        "teardown": REQUEUE,
        "stderr_to_stdout": True,
        # Since Slurm 22.05, srun does not take this over from sbatch.
        "srun_args": [f"--cpus-per-task={settings.cpus}"],
        "additional_parameters": {"requeue": True, **settings.further()},
    }
    return {key: value for key, value in wanted.items() if value is not None}


def _sbatch(executor: "SlurmExecutor", groups: Sequence[Sequence[SubmittedRun]], sweep: dict[str, Any]) -> list[str]:
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    plain = [
        [{**dataclasses.asdict(run), "folder": str(Path(run.folder).resolve())} for run in group] for group in groups
    ]
    try:
        return [job.job_id for job in executor.map_array(work, plain, [sweep] * len(plain))]
    except (FailedJobError, FailedSubmissionError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise UsageError(f"Slurm refuses the job: {lines[-1] if lines else 'no reason given'}") from None
