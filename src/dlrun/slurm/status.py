"""What became of what was submitted, from run folders and queue, without Slurm's accounting (no torch)."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlrun.arrays.submitted import SubmittedRun
from dlrun.output import Table, column, counted
from dlrun.slurm.manifest import Manifest
from dlrun.slurm.queue import queue
from dlrun.store.history import history_of
from dlrun.store.result import Result
from dlrun.store.status import Status
from dlrun.sweeps.jobs import reason_of, was_killed

STATUSES = (Status.DONE, Status.RUNNING, Status.PREEMPTED, Status.QUEUED, Status.FAILED, Status.LOST)
"""In the order in which they are counted."""
LISTED = (Status.RUNNING, Status.PREEMPTED, Status.QUEUED, Status.LOST, Status.FAILED, Status.DONE)
"""In the order in which runs are listed: what is over last."""
ACCURACIES = ("test_accuracy", "val_accuracy")
LOOK_SECONDS = 1.0
"""Time between two looks at the files."""
ASK_SECONDS = 10.0
"""Time between two questions to Slurm's controller, which all users share."""


@dataclass(frozen=True)
class Seen:
    """One run as it stands."""

    run: SubmittedRun
    status: Status
    """`queued`, `running`, `done`, `failed`, `preempted` (begun, and waits in the queue to go on), or `lost`
    (no result, and no job of Slurm will make one: killed, or cancelled)."""
    job: str | None
    epoch: int
    accuracy: float | None
    """On the test set (or on the images held out) after the last epoch so far."""
    reason: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen without another `submit`."""
        return self.status in (Status.DONE, Status.FAILED, Status.LOST)


def look(manifest: Manifest, waiting: Mapping[str, str] | None = None) -> list[Seen]:
    """How each run of the manifest stands.

    Args:
        waiting: The queue, if it is known already.

    Raises:
        UsageError: Slurm does not answer.
    """
    known = queue() if waiting is None else waiting
    return [_seen(run, manifest.job_of(run.folder), known) for run in manifest.runs]


def _seen(run: SubmittedRun, job: str | None, waiting: Mapping[str, str]) -> Seen:
    folder = Path(run.folder)
    found = run.standing()
    result = None if found.status == Status.OTHER_DATA else found.result
    rows = history_of(folder)
    epoch = int(rows[-1]["epoch"]) if rows else 0
    accuracy = next((value for name, value in (rows[-1] if rows else {}).items() if name in ACCURACIES), None)
    status = _status(folder, result, waiting.get(job or ""))
    return Seen(run, status, job, epoch, accuracy, _note(status, result))


def _note(status: Status, result: Result | None) -> str:
    failure = reason_of(result) if result and result.status == Status.FAILED else ""
    if status == Status.LOST:
        return f"{failure or 'no job has it'}: submit again"
    return failure if status == Status.FAILED else ""


def _status(folder: Path, result: Result | None, state: str | None) -> Status:
    if result and result.status == Status.COMPLETED:
        return Status.DONE
    if result and result.status == Status.FAILED and not was_killed(result):
        return Status.FAILED
    if state is None:
        return Status.LOST
    begun = (folder / "config.yaml").exists()
    if not begun:
        return Status.QUEUED
    return Status.RUNNING if state == "RUNNING" else Status.PREEMPTED


def table(manifest: Manifest, seen: Sequence[Seen]) -> Table:
    """A row a run, in the order of `LISTED`."""
    records = [
        {
            "status": one.status,
            "run": Path(one.run.folder).name,
            "job": one.job,
            "epoch": one.epoch or None,
            "accuracy": one.accuracy,
            "note": one.reason,
        }
        for one in sorted(seen, key=lambda one: LISTED.index(one.status))
    ]
    columns = [
        column("status"),
        column("run"),
        column("job"),
        column("epoch", right=True),
        column("accuracy", digits=4, right=True),
        column("note"),
    ]
    return Table(columns, records, title=f"{manifest.name}: {summary(seen)}")


def summary(seen: Sequence[Seen]) -> str:
    """`12 runs: 3 done, 2 running, 7 queued`."""
    counts = Counter(one.status for one in seen)
    parts = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
    return f"{counted(len(seen), 'run')}: {', '.join(parts)}"


def wait(manifest: Manifest, folders: Sequence[str], tell: Callable[[str], None]) -> None:
    """Return when the runs in these folders are over; `tell` gets a line whenever something changed.

    Raises:
        UsageError: Slurm does not answer.
    """
    told, lost, asked = "", set[str](), -math.inf
    while True:
        fresh = time.monotonic() - asked >= ASK_SECONDS
        if fresh:
            waiting, asked = queue(), time.monotonic()
        seen = [one for one in look(manifest, waiting) if one.run.folder in folders]
        # A shared file system may show a result seconds after its job has left the queue.
        over = all(one.over and (one.status != Status.LOST or one.run.folder in lost) for one in seen)
        if (fresh or over) and summary(seen) != told:
            told = summary(seen)
            tell(told)
        if over:
            return
        if fresh:
            lost = {one.run.folder for one in seen if one.status == Status.LOST}
        time.sleep(LOOK_SECONDS)
