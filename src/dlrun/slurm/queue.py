"""Slurm's own commands: what waits and runs, what the cluster takes, and cancel; accounting helps where it is on."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlrun.errors import UsageError

AT_ONCE = 500
"""Ids of jobs in one command, whose length is limited."""
UNKNOWN = 1_000_000


@dataclass(frozen=True)
class Limits:
    """How much the cluster takes, as its configuration says; what it does not say is not limited here."""

    array: int = UNKNOWN
    """Jobs of one array (MaxArraySize)."""
    jobs: int = UNKNOWN
    """Further jobs before the controller has as many as it keeps (MaxJobCount)."""


class Queue(Mapping[str, str]):
    """State (`PENDING`, `RUNNING`, `COMPLETING` …) of each of the user's jobs that wait or run, by id."""

    def __init__(self, jobs: Mapping[str, tuple[str, str]]) -> None:
        self._jobs = jobs

    def __getitem__(self, job: str) -> str:
        return self._jobs[job][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def reason(self, job: str) -> str:
        """Why a job waits, in Slurm's word, such as `Resources`; empty if it does not."""
        state, reason = self._jobs.get(job, ("", ""))
        return reason if state == "PENDING" else ""


def queue() -> Queue:
    """The user's jobs that wait or run; those of an array have ids like `12_3`.

    Raises:
        UsageError: There is no Slurm here, or it does not answer.
    """
    user = str(os.getuid())
    listed = _call(["squeue", "--noheader", "--array", f"--user={user}", "--format=%i %T %r"])
    parts = [line.split(maxsplit=2) for line in listed.splitlines()]
    return Queue({found[0]: (found[1], "".join(found[2:])) for found in parts if len(found) > 1})


def limits() -> Limits:
    """What the cluster takes now; without limits where Slurm does not say."""
    with contextlib.suppress(UsageError):
        config = dict(re.findall(r"^(\w+)\s*=\s*(\d+)", _call(["scontrol", "show", "config"]), re.MULTILINE))
        most = int(config.get("MaxJobCount", UNKNOWN))
        there = _call(["squeue", "--noheader", "--array", "--all", "--states=all", "--format=%i"]).count("\n")
        return Limits(max(int(config.get("MaxArraySize", UNKNOWN)), 1), max(most - there - 1, 0))
    return Limits()


def partitions() -> dict[str, str]:
    """The partitions and the time that a job may take in each, as Slurm writes it; none where it does not say."""
    with contextlib.suppress(UsageError):
        lines = _call(["sinfo", "--noheader", "--format=%R %l"]).splitlines()
        return dict(line.split(maxsplit=1) for line in lines if " " in line)
    return {}


def ended(jobs: Sequence[str]) -> dict[str, str]:
    """What the accounting says of jobs: `TIMEOUT`, `OUT_OF_MEMORY`, `CANCELLED` …; empty where there is none."""
    found: dict[str, str] = {}
    for start in range(0, len(jobs), AT_ONCE):
        asked = ",".join(jobs[start : start + AT_ONCE])
        command = ["sacct", "--noheader", "--parsable2", "--allocations", "--array", f"--jobs={asked}"]
        try:
            lines = _call([*command, "--format=JobID,State"]).splitlines()
        except UsageError:
            return found
        for line in lines:
            job, _, state = line.partition("|")
            found[job] = (state.split() or [""])[0]  # "CANCELLED by 1000"
    return found


def cancel(jobs: Iterable[str]) -> None:
    """End jobs; what runs gets the time to save that Slurm gives (KillWait).

    Raises:
        UsageError: There is no Slurm here, or it refuses.
    """
    ids = list(jobs)
    for start in range(0, len(ids), AT_ONCE):
        _call(["scancel", *ids[start : start + AT_ONCE]])


def _call(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise UsageError(f"{command[0]}: not found; Slurm's commands are on the login nodes of a cluster") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"{command[0]}: Slurm's controller does not answer; try again later") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["failed"]
        # Slurm's commands mostly begin with their own name.
        raise UsageError(f"{command[0]}: {said[-1].removeprefix(f'{command[0]}: ')}")
    return done.stdout
