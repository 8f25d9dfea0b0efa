"""How a run stands, in one word: every word that a result, a sweep, a table, Slurm or a page has for it."""

from enum import StrEnum


class Status(StrEnum):
    """How a run stands. It is the text that files and tables hold, and reads as one."""

    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Begun, and not at its end: a signal or a kill came, or the machine lacked something."""
    RUNNING = "running"
    """A process works on it now."""
    MISSING = "missing"
    """Never begun."""
    OTHER_DATA = "other data"
    """Completed on another content of its data."""
    ANOTHER = "another"
    """What lies there is another experiment."""
    DAMAGED = "damaged"
    """What lies there is not as it was written."""
    UNREADABLE = "unreadable"
    """What lies there may not be read, or is of another version of the format."""

    # What became of a job, seen from the sweep that has it.
    SKIPPED = "skipped"
    """Was completed before."""
    ELSEWHERE = "elsewhere"
    """Another sweep completed it."""
    KEPT = "kept"
    """Failed in an earlier call."""
    PRUNED = "pruned"
    WAITING = "waiting"
    """Never started."""

    # What Slurm has of it.
    DONE = "done"
    QUEUED = "queued"
    PREEMPTED = "preempted"
    """Begun, and waits in the queue to go on."""
    LOST = "lost"
    """No result, and no job of Slurm will make one: killed, or cancelled."""

    __repr__ = str.__repr__


WRITTEN = (Status.COMPLETED, Status.FAILED, Status.INTERRUPTED)
"""Those that `result.json` can hold."""
