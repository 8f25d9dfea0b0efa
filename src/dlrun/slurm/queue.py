"""Slurm's own commands: what waits and runs, and cancel; no accounting is needed (no torch)."""

import os
import subprocess
from collections.abc import Iterable, Sequence

from dlrun.errors import UsageError


def queue() -> dict[str, str]:
    """State (`PENDING`, `RUNNING`, `COMPLETING` …) of each of the user's jobs that wait or run, by id.

    Jobs of an array have ids like `12_3`.

    Raises:
        UsageError: There is no Slurm here, or it does not answer.
    """
    user = str(os.getuid())
    listed = _call(["squeue", "--noheader", "--array", f"--user={user}", "--format=%i %T"])
    return dict(line.split(maxsplit=1) for line in listed.splitlines() if " " in line)


def cancel(jobs: Iterable[str]) -> None:
    """End jobs; what runs gets the time to save that Slurm gives (KillWait).

    Raises:
        UsageError: There is no Slurm here, or it refuses.
    """
    ids = list(jobs)
    if ids:
        _call(["scancel", *ids])


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
