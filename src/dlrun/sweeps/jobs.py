"""What is launched and what became of it: the seam between who wants runs and the processes that train."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from dlrun.config.compose import compose
from dlrun.config.naming import called
from dlrun.config.schema import Config
from dlrun.config.settled import OfOneRun, Settled, settle
from dlrun.environment import versions
from dlrun.errors import UsageError
from dlrun.store.content import Contents, same_data, unread
from dlrun.store.folders import hold, write_config
from dlrun.store.history import history_of
from dlrun.store.result import Result
from dlrun.store.standing import Standing, standing
from dlrun.store.status import Status


@dataclass(frozen=True)
class Job(OfOneRun):
    """One run to be: what was typed for it, its folder, and what that comes to."""

    overrides: tuple[str, ...]
    run_dir: Path
    settled: Settled
    label: str = ""
    """What people know it by, where that is not the name of its folder."""
    varied: tuple[str, ...] = ()
    """The overrides that tell it from a sweep's other runs."""

    @property
    def name(self) -> str:
        """What it is called where it is shown."""
        return self.label or self.run_dir.name

    @classmethod
    def of(cls, overrides: tuple[str, ...], run_dir: Path) -> "Job":
        """The job of what was typed, composed and settled here.

        Raises:
            ConfigError: It does not compose.
        """
        return cls(overrides, run_dir, settle(compose(overrides)))


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    status: Status
    """`completed`, `skipped` (was complete before), `elsewhere` (another sweep completed it), `failed`,
    `kept` (failed in an earlier call), `pruned`, `interrupted`, or `waiting` (never started)."""
    result: Result | None = None
    reason: str = ""
    """Of a failure: one line."""
    seconds: float = 0.0
    """Wall time in this call."""
    killed: bool = False
    """Whether its process was killed, so that another attempt may go better."""

    @property
    def good(self) -> bool:
        """Whether the run has a complete result."""
        return self.status in (Status.COMPLETED, Status.SKIPPED, Status.ELSEWHERE)


def standing_of(job: Job, contents: Contents) -> Standing:
    """How a job stands in its folder."""
    return standing(job.run_dir, job.hash, lambda result: same_data(job.settled, result, contents))


def reason_of(result: Result) -> str:
    """The error of a failed run in one line."""
    error = result.error or {}
    return str(error.get("message") or error.get("type") or "unknown reason").splitlines()[0]


def record_failure(job: Job, kind: str, message: str) -> None:
    """Write a failed result for a run whose process could not write one itself; what it has stays.

    Does nothing if another process works in the folder, it holds a completed result or another run, or can't be
    written.
    """
    try:
        job.run_dir.mkdir(parents=True, exist_ok=True)
        with hold(job.run_dir):
            if standing_of(job, unread).may_be_replaced:
                _write_failure(job, kind, message)
    except (UsageError, OSError):
        return


def _write_failure(job: Job, kind: str, message: str) -> None:
    config = job.config
    if not (job.run_dir / "config.yaml").exists():
        write_config(job.run_dir, config, job.overrides)
    with (job.run_dir / "run.log").open("a", encoding="utf-8") as log:
        log.write(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} ERROR {message}\n")
    _unfinished(job, config, {"type": kind, "message": message}).write(job.run_dir)


def _unfinished(job: Job, config: Config, error: dict[str, str]) -> Result:
    return Result(
        status=Status.FAILED,
        hash=job.hash,
        name=config.name or job.run_dir.name,
        seed=config.seed,
        overrides=list(job.overrides),
        data={"name": getattr(config.data, "name", ""), "fingerprint": "", "verified": False},
        model=called(config, "model"),
        parameters={},
        epochs=len(history_of(job.run_dir)),
        train=None,
        test=None,
        best=None,
        seconds={},
        images_per_second=None,
        device=config.device,
        precision=config.precision,
        threads=config.threads or 0,
        cpu_capability="",
        versions=versions(),
        git=None,
        error=error,
    )
