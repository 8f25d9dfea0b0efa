"""What a job of an array does on its node: trains its runs, as many at once as it has room for."""

import contextlib
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dlrun.arrays.submitted import SubmittedRun
from dlrun.arrays.task import cores_given
from dlrun.config.schema import Sweep
from dlrun.errors import Interrupted, UsageError
from dlrun.locks import is_locked
from dlrun.output import say
from dlrun.runs.trust import BUILT, check_started, check_trust
from dlrun.store.content import unread
from dlrun.store.folders import hold
from dlrun.store.result import was_killed
from dlrun.sweeps.endings import Running
from dlrun.sweeps.jobs import Job, Outcome, standing_of
from dlrun.sweeps.launch import launch
from dlrun.sweeps.slots import gpus_for

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def train(runs: Sequence[SubmittedRun], settings: Sweep, trust: bool) -> list[Outcome]:
    """Train the runs of a job and say what became of each, one a line.

    A run that is complete is left alone, and one that was interrupted or killed goes on. One that another process
    works on is waited for, and taken over if that process dies.

    Args:
        settings: Without `slots` there is a run at a time, or `per_gpu` on each GPU.
        trust: Whether a run may build what its overrides name outside of dlrun, PyTorch and torchvision.

    Raises:
        Interrupted: A signal came; the state is saved.
        UsageError: A run is not any more what was submitted, or names what is not trusted.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    jobs = [_job(run, trust) for run in runs]
    slots = settings.slots or len(gpus_for([job.config for job in jobs])) * settings.per_gpu or 1
    threads = max(1, cores_given() // min(len(jobs), slots))
    placed = [replace(job, settled=job.settled.placed(threads=job.config.threads or threads)) for job in jobs]
    for job in placed:
        if is_locked(job.run_dir / ".claim"):
            _say("in the hands of another process, waited for", job)
        _forget_kill(job)
    return launch(placed, replace(settings, slots=slots), [_Log()])


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """While runs train, `launch` minds the signals; this is for before and after."""
    raise Interrupted(f"stopped by {signal.Signals(number).name} between runs", number)


def _job(run: SubmittedRun, trust: bool) -> Job:
    job = Job.of(tuple(run.overrides), Path(run.folder))
    if job.hash != run.hash:
        raise UsageError(
            f"{run.folder}: the configs have changed since this was written down; prepare or submit it again"
        )
    check_trust(job.config, BUILT, trust)
    check_started(job.config, trust)
    return job


def _forget_kill(job: Job) -> None:
    """Delete the result that says that the run's process was killed, so that this turn goes on with it."""

    def found() -> bool:
        result = standing_of(job, unread).result
        return result is not None and was_killed(result)

    if found():
        with contextlib.suppress(UsageError), hold(job.run_dir):  # a process that works there has its own result
            if found():
                (job.run_dir / "result.json").unlink()


def _say(what: str, job: Job, reason: str = "") -> None:
    say(f"{what}: {job.run_dir} {reason}".rstrip())


class _Log:
    """Writes a line when a run begins, and one when it ends: into the log of the job."""

    def started(self, running: Running) -> None:
        """A job has started."""
        _say("started", running.job)

    def advanced(self, _running: Running) -> bool:
        """Nobody is stopped."""
        return False

    def ended(self, outcome: Outcome) -> None:
        """A job has ended, or needs no run."""
        _say(outcome.status, outcome.job, outcome.reason)

    def looked(self, _running: Sequence[Running], _slots: int) -> None:
        """Nothing is shown meanwhile."""
