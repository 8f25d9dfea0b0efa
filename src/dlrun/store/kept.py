"""Which weights of single epochs a run keeps beside its last and best ones, and where (no torch)."""

import re
from collections.abc import Sequence
from pathlib import Path

from dlrun.config.schema import Checkpoint


def path_of(run_dir: Path, epoch: int) -> Path:
    """Where the weights after an epoch are kept."""
    return run_dir / "checkpoints" / f"epoch_{epoch}.pt"


def kept(run_dir: Path) -> dict[int, Path]:
    """The files that are there, by epoch, rising."""
    names = ((re.fullmatch(r"epoch_([1-9][0-9]*)\.pt", path.name), path) for path in run_dir.glob("checkpoints/*.pt"))
    return dict(sorted((int(found[1]), path) for found, path in names if found))


def to_keep(scores: Sequence[float], when: Checkpoint) -> set[int]:
    """The epochs whose weights are kept: every so many, and the best so far; of equal ones the earlier.

    Args:
        scores: Of every epoch that is done; the larger the better.

    >>> sorted(to_keep([0.5, 0.7, 0.7, 0.6], Checkpoint(keep_best=2))), to_keep([0.5, 0.7, 0.7], Checkpoint())
    ([2, 3], set())
    """
    best = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[: when.keep_best or 0]
    every = range(when.keep_every, len(scores) + 1, when.keep_every) if when.keep_every else ()
    return {place + 1 for place in best} | set(every)
