"""What a job's end means: completed, failed and why, killed, stopped."""

import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dlrun.config.schema import Sweep
from dlrun.errors import SHORTAGES
from dlrun.locks import Lock
from dlrun.store.content import unread
from dlrun.store.status import Status
from dlrun.sweeps.child import NO_ROOM
from dlrun.sweeps.jobs import Job, Outcome, reason_of, record_failure, standing_of
from dlrun.sweeps.processes import Process
from dlrun.sweeps.slots import Slot

SAME_ERRORS = 3
"""So many jobs in a row that fail with one and the same error end the sweep."""
OF_ONE_RUN = ("RunFailed", "TimedOut")
"""Failures that say something of one configuration (it diverged, it takes too long), not of the set-up."""


@dataclass
class Running:
    """A job in its slot; times are on `time.monotonic`'s clock."""

    job: Job
    slot: Slot
    process: Process
    claim: Lock
    attempt: int = 1
    asked_to_stop: float | None = None
    why: str = ""
    """Why it was asked to stop: `timeout`, `pruned` or `signal`."""
    rows: Sequence[Mapping[str, float]] = ()
    """Its history so far."""
    advanced: float = 0.0
    """When the last row was seen."""

    @property
    def started(self) -> float:
        """When its process began."""
        return self.process.since


def ending(running: Running, settings: Sweep) -> Outcome:
    """The outcome of a job whose process has ended; a failure that it could not write itself is recorded."""
    outcome = _ending(running, settings)
    return replace(outcome, seconds=time.monotonic() - running.started)


def _ending(running: Running, settings: Sweep) -> Outcome:
    job, status = running.job, running.process.status
    found = standing_of(job, unread)  # its process has read the data
    result = found.result
    if found.done:
        return Outcome(job, Status.COMPLETED, result)
    if running.why == "timeout":
        return _recorded(job, "TimedOut", f"stopped after {settings.timeout:g} minutes (sweep.timeout)")
    if running.why:
        return Outcome(job, Status.PRUNED if running.why == "pruned" else Status.INTERRUPTED, result)
    if result is not None and result.status == Status.FAILED:
        return Outcome(job, Status.FAILED, result, reason_of(result))
    if status is not None and 0 <= status - NO_ROOM < len(SHORTAGES):
        # Nothing is recorded as the run's own failure.
        lack = os.strerror(SHORTAGES[status - NO_ROOM])
        return Outcome(job, Status.FAILED, reason=f"{lack}; the same command goes on when there is room")
    if result is not None:
        return Outcome(job, Status.INTERRUPTED, result, "a signal from outside stopped it", killed=True)
    if status is not None and status < 0:
        return replace(_recorded(job, "Killed", _killed_by(-status)), killed=True)
    return _recorded(job, "Ended", _last_words(job) or f"ended with exit status {status} and no result")


def _recorded(job: Job, kind: str, message: str) -> Outcome:
    record_failure(job, kind, message)
    return Outcome(job, Status.FAILED, standing_of(job, unread).result, message)


def _killed_by(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = {
        "SIGKILL": " (the system does this when memory runs out)",
        "SIGSEGV": " (a crash in compiled code)",
    }
    return f"killed by {name}{hint.get(name, '')}"


def _last_words(job: Job) -> str:
    """The last line of the log, where a mistake is printed that was found before training."""
    try:
        lines = (job.run_dir / "run.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1].strip()[:500] if lines else ""


def same_error_throughout(outcomes: Sequence[Outcome]) -> bool:
    """Whether the last jobs failed with one error, numbers and folders aside, that is not about one configuration."""
    last = [outcome for outcome in outcomes if outcome.status in (Status.COMPLETED, Status.FAILED)][-SAME_ERRORS:]
    return len(last) == SAME_ERRORS and len({_error(outcome) for outcome in last}) == 1 and _error(last[0]) != ""


def _error(outcome: Outcome) -> str:
    kind = (outcome.result.error or {}).get("type", "?") if outcome.result else "?"
    if outcome.status == Status.COMPLETED or kind in OF_ONE_RUN:
        return ""
    folder = outcome.job.run_dir
    within = re.escape(folder.name) + r"\S*"  # a file of the run: another one for each
    return re.sub(r"\d+", "#", re.sub(rf"\S*{within}", "RUN", f"{kind}: {outcome.reason}"))
