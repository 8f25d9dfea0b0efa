"""Runs jobs: as many at once as there are slots, each in its own process, whatever becomes of the others."""

import contextlib
import itertools
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Protocol

from dlrun.config.schema import Sweep
from dlrun.errors import Interrupted, UsageError
from dlrun.locks import Lock
from dlrun.output import say
from dlrun.store.content import incomparable, unread
from dlrun.store.folders import hold, numbered, take
from dlrun.store.history import history_of
from dlrun.store.status import Status
from dlrun.sweeps.child import Task
from dlrun.sweeps.endings import Running, ending, same_error_throughout
from dlrun.sweeps.fingerprints import Fingerprints
from dlrun.sweeps.jobs import Job, Outcome, reason_of, standing_of
from dlrun.sweeps.processes import KILL, Processes, make_processes
from dlrun.sweeps.slots import Slot, slots_for
from dlrun.training.signals import let_go_of_terminal, to_catch
from dlrun.training.started import refuse_ranks

SAVE_SECONDS = 30.0
"""What a job that was asked to stop gets for saving before it is killed."""
LOOK_SECONDS = 1.0
"""Time between two looks at the histories of running jobs, and at jobs that others are running."""
TWIN_SECONDS = 1.0
"""Time in which the same signal again is the same request."""


Places = Callable[[], Sequence[Slot]]
"""The slots there are now; asked again and again, since machines come and go."""


class Watcher(Protocol):
    """Who shows a sweep, or steers it."""

    def started(self, running: Running) -> None:
        """A job has started."""

    def advanced(self, running: Running) -> bool:
        """A running job has finished another epoch; True stops it."""

    def ended(self, outcome: Outcome) -> None:
        """A job has ended, or was found to need no run."""

    def looked(self, running: Sequence[Running], slots: int) -> None:
        """Some time has passed."""


def launch(
    jobs: Iterable[Job],
    settings: Sweep,
    watchers: Sequence[Watcher] = (),
    processes: Processes | None = None,
    places: Places | None = None,
) -> list[Outcome]:
    """Run the jobs that need it and return what became of each, in the order of the jobs.

    Args:
        jobs: A list, or an iterator that makes up each job when a slot is free for it.
        processes: How processes are started; default: what suits the system.
        places: Where they run; default: the slots of this machine.

    Raises:
        UsageError: This command runs several times, by torchrun or srun: each would take the same jobs.
        Interrupted: A signal stopped it; running jobs have saved, the rest was not started.
    """
    refuse_ranks("a sweep")
    known = list({job.run_dir: job for job in reversed(jobs)}.values())[::-1] if isinstance(jobs, Sequence) else None
    # Signals outermost: a second Ctrl-C while processes are closed must not end the command without its sentence.
    with _Signals() as signals, contextlib.closing(processes or make_processes()) as made:
        session = _Session(known if known is not None else jobs, settings, watchers, made, signals, places)
        outcomes = session.work()
    if signals.last is not None:
        name = signal.Signals(signals.last).name
        raise Interrupted(f"stopped by {name}; the same command goes on with what is left", signals.last)
    if known is None:
        return outcomes
    order = {job.run_dir: number for number, job in enumerate(known)}
    return sorted(outcomes, key=lambda outcome: order[outcome.job.run_dir])


class _Signals:
    """Counts the signals that ask to stop, instead of dying of them."""

    def __init__(self) -> None:
        self.count = 0
        self.last: int | None = None
        self.at = 0.0

    def _note(self, number: int, _frame: FrameType | None) -> None:
        let_go_of_terminal(number)
        # `timeout` and Slurm send one to the process and another to its group; Ctrl-C twice is meant so.
        twin = number == self.last != signal.SIGINT and time.monotonic() - self.at < TWIN_SECONDS
        self.count, self.last, self.at = self.count + (not twin), number, time.monotonic()

    def __enter__(self) -> "_Signals":
        main = threading.current_thread() is threading.main_thread()
        self.before = {number: signal.signal(number, self._note) for number in to_catch()} if main else {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


class _Session:
    """One call of `launch`."""

    def __init__(
        self,
        jobs: Iterable[Job],
        settings: Sweep,
        watchers: Sequence[Watcher],
        processes: Processes,
        signals: _Signals,
        places: Places | None,
    ) -> None:
        self.settings, self.watchers, self.processes, self.signals = settings, watchers, processes, signals
        self.fingerprints = Fingerprints(processes, lambda: signals.last is not None)
        self.is_listed = isinstance(jobs, Sequence)
        """Otherwise jobs are made up when asked for, perhaps for ever."""
        self.source: Iterator[Job] = iter(jobs)
        self.places = places or self._places_here(jobs)
        self.running: list[Running] = []
        self.again: deque[tuple[Job, int]] = deque()
        """Jobs to be started before the others, such as killed ones, and their attempt."""
        self.others: list[Job] = []
        """Jobs that another process is working on."""
        self.outcomes: list[Outcome] = []
        self.stopping = ""
        """Why nothing more is started."""
        self.looked = 0.0
        self.began = time.time()
        self.signals_obeyed = 0

    def _places_here(self, jobs: Iterable[Job]) -> Places:
        """The slots of this machine, which stay what they are."""
        if isinstance(jobs, Sequence):
            slots = slots_for([job.config for job in jobs], self.settings, len(jobs))
        else:
            first = list(itertools.islice(self.source, 1))
            self.source = itertools.chain(first, self.source)
            slots = slots_for([job.config for job in first], self.settings)
        return lambda: slots

    def _free(self) -> Slot | None:
        """A slot for one more job."""
        places, taken = self.places(), {running.slot.number for running in self.running}
        if len(self.running) >= len(places):  # some of them may be gone
            return None
        return next(slot for slot in places if slot.number not in taken)

    def _waits_for_places(self) -> bool:
        """Whether there is none at all, and a job that needs one."""
        if self.stopping or self.places():
            return False
        if not self.again:
            self.again.extend((job, 1) for job in itertools.islice(self.source, 1))
        return bool(self.again)

    def work(self) -> list[Outcome]:
        """Until nothing runs and nothing is left to start."""
        self._fill()
        while self.running or self.others or self._waits_for_places():
            self.processes.poll(0.1)
            self._obey_signals()  # first: the jobs, too, may have had the signal, and ended of it
            self._collect()
            self._limit_time()
            self._look()
            self._fill()
        for job in [*(job for job, _ in self.again), *(self.source if self.is_listed else ())]:
            self._end(Outcome(job, Status.WAITING, reason=self.stopping))
        return self.outcomes

    # --- starting

    def _fill(self) -> None:
        """Start jobs while there are free slots; what needs no run is dealt with at once."""
        while not self.stopping and (slot := self._free()):
            if self.again:
                self._try(*self.again.popleft(), slot)
            elif (job := next(self.source, None)) is not None:
                self._try(job, 1, slot)
            else:
                return
            self._obey_signals()

    def _try(self, job: Job, attempt: int, slot: Slot) -> None:
        """Start the job in a free slot, or find that it is done, or that another process has it."""
        if attempt == 1 and (known := self._known(job)) is not None:
            self._end(known)
            return
        job.run_dir.mkdir(parents=True, exist_ok=True)
        claim = take(job.run_dir / ".claim")
        if claim is None:
            self.others.append(job)
            return
        known = self._known(job) if attempt == 1 else None
        if known is not None:
            claim.release()
            self._end(known)
            return
        cleared = _cleared(job, claim)
        if cleared is None:
            self.others.append(job)
            return
        self._start(job, attempt, slot, cleared)

    def _known(self, job: Job) -> Outcome | None:
        """The outcome of a job that is not to be run (again)."""
        found = standing_of(job, self.fingerprints.now)
        result = found.result
        if result is None:
            return None
        now = (job.run_dir / "result.json").stat().st_mtime >= self.began
        if found.done:
            return Outcome(job, Status.ELSEWHERE if now else Status.SKIPPED, result)
        if found.status == Status.FAILED and (now or self.settings.failed == "keep"):
            return Outcome(job, Status.KEPT, result, reason_of(result))
        return None

    def _start(self, job: Job, attempt: int, slot: Slot, claim: Lock) -> None:
        task = Task.of(slot.fitted(job.settled), job.run_dir, job.overrides, slot.environment())
        running = Running(job, slot, self.processes.start(task), claim, attempt)
        self.running.append(running)
        for watcher in self.watchers:
            watcher.started(running)

    # --- ending

    def _collect(self) -> None:
        for running in [one for one in self.running if one.process.status is not None]:
            self.running.remove(running)
            outcome = ending(running, self.settings)
            retry = outcome.killed and running.attempt <= self.settings.retries and not self.stopping
            if retry:
                with contextlib.suppress(UsageError), hold(running.job.run_dir):
                    (running.job.run_dir / "result.json").unlink(missing_ok=True)
                self.again.append((running.job, running.attempt + 1))
            running.claim.release()
            if not retry:
                self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        for watcher in self.watchers:
            watcher.ended(outcome)
        if outcome.status == Status.FAILED and not self.stopping:
            if self.settings.on_failure == "stop":
                self.stopping = "a job failed (sweep.on_failure=stop)"
            elif same_error_throughout(self.outcomes):
                self.stopping = "the same error several times in a row"

    # --- meanwhile

    def _obey_signals(self) -> None:
        """First signal: save and stop. Second: at once."""
        if self.signals.count == self.signals_obeyed:
            return
        self.signals_obeyed = self.signals.count
        self.stopping = "stopped by a signal"
        self.others.clear()
        for running in self.running:
            _ask_to_stop(running, "signal")
            if self.signals.count > 1:
                running.process.send(KILL)

    def _limit_time(self) -> None:
        now = time.monotonic()
        for running in self.running:
            limit = self.settings.timeout
            if running.process.pid is None:
                continue
            if running.asked_to_stop is None:
                if limit is not None and now - running.started > limit * 60:
                    _ask_to_stop(running, "timeout")
            elif now - running.asked_to_stop > SAVE_SECONDS:
                running.process.send(KILL)

    def _look(self) -> None:
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        for running in self.running:
            self._read_history(running)
        others, self.others = self.others, []
        for job in others:
            slot = None if self.stopping else self._free()
            if slot:
                self._try(job, 1, slot)
            else:
                self.others.append(job)
        if self.stopping:
            self.others.clear()
        for watcher in self.watchers:
            watcher.looked(self.running, len(self.places()))

    def _read_history(self, running: Running) -> None:
        rows = history_of(running.job.run_dir)
        if len(rows) <= len(running.rows):
            return
        running.rows, running.advanced = rows, time.monotonic()
        for watcher in self.watchers:
            if watcher.advanced(running):
                _ask_to_stop(running, "pruned")


def _cleared(job: Job, claim: Lock) -> Lock | None:
    """The claim on a folder where no result is left that would pass for the new one's.

    None if a process works in the folder, such as one whose sweep was just killed: nothing in it is touched then.
    """
    held = take(job.run_dir / ".lock")
    if held is None:
        claim.release()
        return None
    try:
        result = standing_of(job, unread).result
        if result is None or result.status != Status.COMPLETED:
            if result is not None:
                (job.run_dir / "result.json").unlink()
            return claim
        # Its data have changed. Nothing is deleted; the new run needs the name.
        recorded = result.data.get("fingerprint")
        aside = job.run_dir.with_name(f"{job.run_dir.name}.{_as_name(recorded)}")
        aside = next(path for path in numbered(aside) if not path.exists())
        job.run_dir.rename(aside)
        why = incomparable(recorded) or "its data have changed since"
        say(f"{job.run_dir}: {why}; that run is kept as {aside.name}")
    finally:
        held.release()
    claim.release()
    job.run_dir.mkdir(exist_ok=True)
    return take(job.run_dir / ".claim")


def _as_name(fingerprint: object) -> str:
    """A fingerprint, which data of the user's own make up as they like, as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", str(fingerprint))[:64]


def _ask_to_stop(running: Running, why: str) -> None:
    if running.asked_to_stop is None:
        running.asked_to_stop, running.why = time.monotonic(), why
        running.process.send(signal.SIGTERM)
