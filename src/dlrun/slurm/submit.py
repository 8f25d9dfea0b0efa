"""Submits what is missing: an array of jobs, by submitit, each with the overrides and folders of its runs."""

import contextlib
import dataclasses
import io
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.arrays.submitted import SubmittedRun, shown, submitted
from dlrun.config.schema import Sweep
from dlrun.errors import DlrunError, RunFailed, UsageError
from dlrun.extras import command
from dlrun.output import counted
from dlrun.slurm.manifest import Manifest, Submitted, names, read
from dlrun.slurm.queue import limits, queue
from dlrun.slurm.refusals import is_too_many, options_to_change
from dlrun.slurm.settings import SlurmSettings
from dlrun.slurm.work import work
from dlrun.store.content import Contents, unread
from dlrun.store.folders import hold
from dlrun.store.result import was_killed
from dlrun.store.status import Status
from dlrun.sweeps.fingerprints import reading_data
from dlrun.sweeps.jobs import Job, standing_of

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
    """These were submitted."""
    held: list[Job]
    """Missing, too, but Slurm takes no more for now."""
    arrays: int = 0
    """In how many the jobs of `missing` went."""


LATER = "submit again when some are done, or pack more into each job: hydra.launcher.runs_per_job"


class Refused(UsageError):
    """What sbatch says no to."""


def submit(jobs: Sequence[Job], settings: SlurmSettings, sweep: Sweep, manifest: Manifest) -> Sorted:
    """Submit those of the jobs that have neither a result nor a place in the queue.

    Data are read and parsed here first, so that a thousand jobs find them in the cache. They go in as many arrays as
    the cluster's limits ask for. When Slurm refuses the first of them, everything is as it was.

    Raises:
        UsageError: No Slurm here, no submitit, or Slurm refuses what is asked of it; data that are missing; a run
            that another process works on.
        RunFailed: Slurm has taken some, and refuses the rest.
    """
    executor = _executor(settings, manifest)
    with reading_data() as data:
        in_queue = _in_queue()
        sort = sort_out(jobs, sweep, data.now, in_queue)
    _take_over(sort.queued, in_queue, manifest)
    if not sort.missing:
        return sort
    runs, packed = submitted(sort.missing), settings.runs_per_job
    groups = [runs[start : start + packed] for start in range(0, len(runs), packed)]
    out_of_date = {shown(folder) for folder in _out_of_date(sort.missing)}
    taken = arrays = 0
    for part, ids in _arrays(executor, groups, out_of_date, _on_node(sweep, settings), settings):
        manifest.add(run for group in part for run in group)
        manifest.jobs += [Submitted(id, [run.folder for run in group]) for id, group in zip(ids, part, strict=True)]
        manifest.write()
        taken, arrays = taken + sum(map(len, part)), arrays + 1
    return replace(sort, missing=sort.missing[:taken], held=sort.missing[taken:], arrays=arrays)


def _arrays(
    executor: "SlurmExecutor",
    groups: Sequence[Sequence[SubmittedRun]],
    out_of_date: Container[str],
    sweep: dict[str, Any],
    settings: SlurmSettings,
) -> Iterator[tuple[Sequence[Sequence[SubmittedRun]], list[str]]]:
    """Submit the groups, a job each; whenever Slurm has taken an array, its groups and the ids of its jobs.

    An array that is too large for a limit that the cluster's configuration doesn't name is halved. It ends early
    where Slurm has taken some and takes no more.

    Args:
        out_of_date: The folders with a result that the new run replaces.
    """
    there = limits()
    size, start = min(there.array, there.jobs), 0
    if size == 0:
        raise Refused(f"Slurm takes no more jobs now: its controller has as many as it keeps (MaxJobCount); {LATER}")
    while start < len(groups) and start < there.jobs:
        part = groups[start : min(start + size, there.jobs)]
        old = [Path(run.folder) for group in part for run in group if run.folder in out_of_date]
        try:
            with _removed_if_refused(executor.folder.parent), _set_aside(old):
                ids = _sbatch(executor, part, sweep)
        except Refused as error:
            if is_too_many(str(error)) and len(part) > 1:
                size = len(part) // 2
            elif is_too_many(str(error)) and start:
                return
            else:
                raise _explained(error, start, len(groups), settings) from None
            continue
        yield part, ids
        start += len(part)


def _explained(error: Refused, before: int, jobs: int, settings: SlurmSettings) -> DlrunError:
    """The refusal with the option that it is about, and what was submitted before it."""
    said = str(error)
    change = options_to_change(said, settings)
    lines = [said, f"to change: {change}"] if change else [said]
    if before:
        lines.append(f"{before} of {counted(jobs, 'job')} are submitted; the same command submits the rest")
        return RunFailed("\n".join(lines))
    if is_too_many(said):
        lines.append(LATER)
    return Refused("\n".join(lines))


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


def sort_out(jobs: Iterable[Job], sweep: Sweep, contents: Contents, in_queue: Container[str]) -> Sorted:
    """Look at the disk and the queue; a run whose process was killed counts as missing.

    Args:
        in_queue: The folders of runs that wait or run.
    """
    sort = Sorted([], [], [], [], [])
    for job in jobs:
        found = standing_of(job, contents)
        kept = found.result if found.status == Status.FAILED and sweep.failed == "keep" else None
        if found.done:
            sort.done.append(job)
        elif shown(job.run_dir) in in_queue:
            sort.queued.append(job)
        elif kept and not was_killed(kept):
            sort.failed.append(job)
        else:
            sort.missing.append(job)
    return sort


def _in_queue() -> dict[str, tuple[SubmittedRun, Submitted]]:
    """The runs that wait or run, by folder, under whatever name they were submitted; and their jobs."""
    waiting = queue()
    found = {}
    for manifest in map(read, names()):
        runs = {run.folder: run for run in manifest.runs}
        for job in manifest.jobs:
            if job.id in waiting:
                found.update({folder: (runs[folder], job) for folder in job.folders if folder in runs})
    return found


def _take_over(
    queued: Iterable[Job], in_queue: Mapping[str, tuple[SubmittedRun, Submitted]], manifest: Manifest
) -> None:
    """Runs that were submitted under another name, as a table's row may be, belong to this one, too."""
    known = {run.folder for run in manifest.runs}
    others = [in_queue[folder] for folder in map(shown, (job.run_dir for job in queued)) if folder not in known]
    if others:
        manifest.add(run for run, _ in others)
        manifest.jobs += {job.id: job for _, job in others}.values()
        manifest.write()


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
        with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it raises
            return [job.job_id for job in executor.map_array(work, plain, [sweep] * len(plain))]
    except (FailedJobError, FailedSubmissionError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise Refused(f"Slurm refuses the job: {_once(lines) or 'no reason given'}") from None


def _once(lines: Sequence[str]) -> str:
    """What sbatch said, its own name once: `sbatch: error: invalid partition: x; Batch job submission failed: …`."""
    prefix = "sbatch: error: "
    return "; ".join([*lines[:1], *(line.removeprefix(prefix) for line in lines[1:])])
