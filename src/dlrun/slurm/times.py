"""A time limit as Slurm writes it: 30, 90:00, 1:30:00, 1-12, 1-12:30:00, UNLIMITED."""

import math
import re

FORMS = "a whole number >= 1 (minutes), or as Slurm has it: 90:00, 1:30:00, 1-12 (days-hours), 1-12:30:00, UNLIMITED"
ENDLESS = ("UNLIMITED", "INFINITE")


def seconds_of(limit: int | str) -> float | None:
    """A time limit in seconds, infinite for UNLIMITED; None if Slurm would not read it so.

    >>> seconds_of(30), seconds_of("90:00"), seconds_of("1:30:00"), seconds_of("1-12"), seconds_of("1-12:30:00")
    (1800, 5400, 5400, 129600, 131400)
    """
    text = str(limit)
    if text.upper() in ENDLESS:
        return math.inf
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d{1,2}))?(?::(\d{1,2}))?", text, re.ASCII)
    if not found:
        return None
    days, *parts = (None if part is None else int(part) for part in found.groups())
    given = [part for part in parts if part is not None]
    if days is None and len(given) < len(parts):
        given = [0, *given]  # minutes come first where there are neither days nor hours
    hours, minutes, seconds = (*given, 0, 0)[: len(parts)]
    return ((days or 0) * 24 + hours) * 3600 + minutes * 60 + seconds


def is_limit(limit: int | str) -> bool:
    """Whether this limits a job's time, or says that nothing does; 0, which Slurm takes for the latter, does not."""
    return bool(seconds_of(limit))
