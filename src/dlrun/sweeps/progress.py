"""How far a sweep is: what running jobs have left, what the waiting ones will need."""

import time
from collections.abc import Mapping, Sequence

from dlrun.config.schema import Config
from dlrun.store.status import Status
from dlrun.sweeps.endings import Running
from dlrun.sweeps.jobs import Job, Outcome


def shape(config: Config) -> str:
    """What decides how long an epoch takes, up to the slot: network, data, batch size, precision."""
    named = (
        config.data,
        config.model,
        config.batch_size,
        config.eval_batch_size,
        config.precision,
        config.limit,
    )
    return repr((*named, config.validation, config.folds, config.augment, config.average, config.compile))


def left(running: Running, now: float) -> float | None:
    """Seconds a running job still needs, from the epochs it has done; None before the first one ends."""
    if not running.rows:
        return None
    epochs = running.job.config.epochs - len(running.rows)
    each = running.rows[-1]["seconds"]
    since = now - running.advanced
    return max(epochs * each - since, 0.0)


class TimeLeft:
    """Estimates a sweep's end from the jobs that have ended, before that from `planned` seconds by hash."""

    def __init__(self, planned: Mapping[str, float] | None = None) -> None:
        self.planned = planned or {}
        self.spent: dict[str, list[float]] = {}
        """Seconds per epoch of the completed jobs, by shape."""

    def learn(self, outcome: Outcome) -> None:
        """Take an ended job into account."""
        config = outcome.job.config
        if outcome.status == Status.COMPLETED:
            self.spent.setdefault(shape(config), []).append(outcome.seconds / config.epochs)

    def expected(self, job: Job) -> float | None:
        """Seconds a job will take; None if nothing is known yet."""
        known = self.spent.get(shape(job.config)) or [each for one in self.spent.values() for each in one]
        if self.spent.get(shape(job.config)) or (known and job.hash not in self.planned):
            return job.config.epochs * sum(known) / len(known)
        return self.planned.get(job.hash)

    def overall(self, running: Sequence[Running], waiting: Sequence[Job], slots: int) -> float | None:
        """Wall seconds until the last job ends."""
        now = time.monotonic()
        parts = [self._of_running(one, now) for one in running] + [self.expected(job) for job in waiting]
        known = [part for part in parts if part is not None]
        if not known:
            return None
        total = sum(known) * len(parts) / len(known)
        return max(total / max(slots, 1), max(known) if not waiting else 0.0)

    def _of_running(self, running: Running, now: float) -> float | None:
        known = left(running, now)
        if known is not None:
            return known
        expected = self.expected(running.job)
        return None if expected is None else max(expected - (now - running.started), 0.0)
