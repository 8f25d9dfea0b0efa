"""A run as it is handed to a job on another machine: plain values, and data that were read before (no torch)."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlrun.store.content import same_content
from dlrun.store.standing import Standing, standing
from dlrun.sweeps.jobs import Job


@dataclass(frozen=True)
class SubmittedRun:
    """One run: all it takes to train it on a node."""

    folder: str
    overrides: list[str]
    hash: str
    fingerprint: str = ""
    """Of the data as they were when it was submitted; empty where that is not known."""

    def standing(self) -> Standing:
        """How it stands in its folder; a result on other data stays there until the job begins."""
        then = self.fingerprint or None
        return standing(Path(self.folder), self.hash, lambda result: same_content(result.data.get("fingerprint"), then))


def submitted(jobs: Sequence[Job]) -> list[SubmittedRun]:
    """The jobs as they are submitted: what `precision=auto` came to here also holds on the node.

    Data are read and parsed here, each set once, so that a thousand jobs find them in the cache.

    Raises:
        DataError: Data that are missing or damaged.
    """
    fingerprints = _load_data(jobs)
    return [_submitted(job, fingerprints[repr(job.config.data)]) for job in jobs]


def _load_data(jobs: Iterable[Job]) -> dict[str, str]:
    """Read each data set once; their fingerprints."""
    from dlrun.data.load import load

    return {
        key: load(data).fingerprint for key, data in {repr(job.config.data): job.config.data for job in jobs}.items()
    }


def _submitted(job: Job, fingerprint: str) -> SubmittedRun:
    fixed = [text for text in job.overrides if not text.startswith("precision=")]
    return SubmittedRun(shown(job.run_dir), [*fixed, f"precision={job.config.precision}"], job.hash, fingerprint)


def shown(folder: Path) -> str:
    """The folder as it is handed over: relative to the working directory if it lies below."""
    return Path(os.path.relpath(folder)).as_posix()
