"""What became of what was submitted, from run folders and queue; Slurm's accounting adds why a job ended (no torch)."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dlrun.arrays.submitted import SubmittedRun
from dlrun.errors import UsageError
from dlrun.output import Table, column, counted
from dlrun.slurm.manifest import Manifest
from dlrun.slurm.queue import Queue, ended, queue
from dlrun.slurm.refusals import about, waits_in_vain
from dlrun.slurm.settings import FIELD
from dlrun.store.history import history_of
from dlrun.store.result import Result, was_killed
from dlrun.store.status import Status
from dlrun.sweeps.jobs import reason_of

STATUSES = (Status.DONE, Status.RUNNING, Status.PREEMPTED, Status.QUEUED, Status.FAILED, Status.LOST)
"""In the order in which they are counted."""
LISTED = (Status.RUNNING, Status.PREEMPTED, Status.QUEUED, Status.LOST, Status.FAILED, Status.DONE)
"""In the order in which runs are listed: what is over last."""
ACCURACIES = ("test_accuracy", "val_accuracy")
LOOK_SECONDS = (1.0, 5.0)
"""Time between two looks at the files: at first, and after many that have shown nothing new."""
ASK_SECONDS = (10.0, 60.0)
"""Time between two questions to Slurm's controller, which all users share; the longer the less happens."""
MORE = {"TIMEOUT": "time", "OUT_OF_MEMORY": "memory"}
"""Of what a job had too little, by the state that accounting gives it."""


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


def look(manifest: Manifest, waiting: Queue | None = None) -> list[Seen]:
    """How each run of the manifest stands; what is lost with Slurm's reason, where accounting has it.

    Args:
        waiting: The queue, if it is known already.

    Raises:
        UsageError: Slurm does not answer.
    """
    known = queue() if waiting is None else waiting
    return with_reasons([_seen(run, manifest.job_of(run.folder), known) for run in manifest.runs])


def with_reasons(seen: Sequence[Seen]) -> list[Seen]:
    """The same, with what accounting says of the jobs of those that are lost."""
    jobs = [one.job for one in seen if one.status == Status.LOST and one.job]
    states = ended(jobs) if jobs else {}
    return [
        replace(one, reason=_of_accounting(states[one.job])) if one.status == Status.LOST and one.job in states else one
        for one in seen
    ]


def _of_accounting(state: str) -> str:
    more = f" (more of it: {FIELD}{MORE[state]})" if state in MORE else ""
    return f"its job ended with {state}{more}: submit again"


def _seen(run: SubmittedRun, job: str | None, waiting: Queue) -> Seen:
    folder = Path(run.folder)
    found = run.standing()
    result = None if found.status == Status.OTHER_DATA else found.result
    rows = history_of(folder)
    epoch = int(rows[-1]["epoch"]) if rows else 0
    accuracy = next((value for name, value in (rows[-1] if rows else {}).items() if name in ACCURACIES), None)
    status = _status(folder, result, waiting.get(job or ""))
    return Seen(run, status, job, epoch, accuracy, _note(status, result, waiting.reason(job or "")))


def _note(status: Status, result: Result | None, waits_for: str) -> str:
    if waits_in_vain(waits_for):
        return f"waits in vain: {waits_for} ({', '.join(FIELD + name for name in about(waits_for))})"
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


def wait(manifest: Manifest, folders: Sequence[str], tell: Callable[[str], None]) -> list[Seen]:
    """The runs in these folders when all of them are over; `tell` gets a line whenever something changed.

    What is over is not read again. A question that Slurm's controller does not answer is asked later, and its last
    answer holds until then.
    """
    asking, looking = Pause(*ASK_SECONDS), Pause(*LOOK_SECONDS)
    wanted = set(folders)
    left = [run for run in manifest.runs if run.folder in wanted]
    over: list[Seen] = []
    told, lost, states, fresh = "", set[str](), Queue({}), False
    while left:
        if asking.is_over():
            states, fresh = _asked_again(states, asking, tell)
        seen = [_seen(run, manifest.job_of(run.folder), states) for run in left]
        # A shared file system may show a result seconds after its job has left the queue.
        settled = [one for one in seen if one.over and (one.status != Status.LOST or one.run.folder in lost)]
        over += settled
        left = [one.run for one in seen if one not in settled]
        line = _line([*over, *(one for one in seen if one not in settled)])
        if (fresh or not left) and line != told:
            told = line
            tell(line)
        if fresh:
            lost = {one.run.folder for one in seen if one.status == Status.LOST}
        fresh = False
        looking.begin(longer=not settled)
        if left:
            time.sleep(looking.seconds)
    return with_reasons(over)


def _asked_again(before: Queue, asking: "Pause", tell: Callable[[str], None]) -> tuple[Queue, bool]:
    """What Slurm answers now, or what it said before; and whether it has answered."""
    try:
        states = queue()
    except UsageError as error:
        asking.begin(longer=True)
        tell(f"{error}; it is asked again in {asking.seconds:.0f} s")
        return before, False
    asking.begin(longer=states == before)
    return states, True


class Pause:
    """The time between two questions; it doubles, up to a bound, while nothing changes.

    Args:
        first, longest: In seconds.
    """

    def __init__(self, first: float, longest: float) -> None:
        self.first, self.longest = first, longest
        self.seconds, self.since = 0.0, -math.inf

    def begin(self, longer: bool) -> None:
        """Begin a pause: a longer one than before, or a first one."""
        self.seconds = min(max(self.seconds * 2, self.first), self.longest) if longer else self.first
        self.since = time.monotonic()

    def is_over(self) -> bool:
        """Whether the time has passed, or no pause has begun."""
        return time.monotonic() - self.since >= self.seconds


def _line(seen: Sequence[Seen]) -> str:
    """The summary; then what waits in vain, and what it is about."""
    vain = sorted({one.reason for one in seen if one.status in (Status.QUEUED, Status.PREEMPTED) and one.reason})
    return "\n".join([summary(seen), *vain])
