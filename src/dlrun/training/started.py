"""How this process was started, by the environment: one of the ranks of a run, or one of several copies of it."""

import os
from collections.abc import Iterable

from dlrun.errors import UsageError

COPIES = {
    "SLURM_STEP_NUM_TASKS": "srun",
    "SLURM_NTASKS": "srun",
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpirun",
}
"""What starts the same command several times, by the variable that says how often."""
MEETING = ("RANK", "MASTER_ADDR", "MASTER_PORT")
"""What each of several ranks must know to find the others."""
HIGHEST_PORT = 65535


def ranks_started() -> int:
    """The number of processes that `torchrun` started for this run; 1 without it.

    Raises:
        UsageError: The environment contradicts itself or lacks something; copies were started of a command that
            would train the same run in each.
    """
    count = _number("WORLD_SIZE", low=1)
    if count is None:
        _refuse_without_count()
    elif count > 1:
        missing = [name for name in MEETING if not os.environ.get(name)]
        if missing:
            raise _half_set(f"WORLD_SIZE={count} without {', '.join(missing)}")
        _number("MASTER_PORT", low=1, high=HIGHEST_PORT)
    _number("RANK", low=0, high=(count or 1) - 1)
    _number("LOCAL_RANK", low=0, high=(_number("LOCAL_WORLD_SIZE", low=1, high=count) or count or 1) - 1)
    if (count or 1) == 1:
        _refuse_copies()
    return count or 1


def local_rank() -> tuple[int, int]:
    """Among the ranks of this machine: which one this is, and how many there are.

    Raises:
        UsageError: A variable of torchrun's is no number.
    """
    return _number("LOCAL_RANK", low=0) or 0, _number("LOCAL_WORLD_SIZE", low=1) or 1


def refuse_ranks(what: str) -> None:
    """Refuse what makes no sense in every rank of a run, or in every copy of a command.

    Raises:
        UsageError: This process was started by torchrun, or several times; or as of `ranks_started`.
    """
    if (_number("WORLD_SIZE", low=1) or 1) > 1:
        raise UsageError(f"{what} under torchrun: torchrun splits one run over devices; leave it out here")
    ranks_started()


def _refuse_without_count() -> None:
    alone = [name for name in ("RANK", "LOCAL_RANK") if name in os.environ]
    if alone:
        raise _half_set(f"{alone[0]}={os.environ[alone[0]]} without WORLD_SIZE", alone)


def _half_set(what: str, names: Iterable[str] = ("WORLD_SIZE",)) -> UsageError:
    return UsageError(f"{what}: start dlrun with torchrun, which sets them all, or unset {' '.join(names)}")


def _number(name: str, low: int, high: int | None = None) -> int | None:
    """The whole number in an environment variable; None if it is not set."""
    text = os.environ.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and low <= int(text) <= (int(text) if high is None else high):
        return int(text)
    upto = "" if high is None else f" and <= {high}"
    raise UsageError(
        f"{name}={text!r} in the environment: expected a whole number >= {low}{upto}; torchrun sets it, or unset {name}"
    )


def _refuse_copies() -> None:
    for name, starter in COPIES.items():
        copies = _number(name, low=1) or 1
        if copies > 1 and not (name == "SLURM_NTASKS" and _is_alone_in_its_job()):
            raise UsageError(
                f"{starter} has started {copies} copies of this command, and each would train the same. One run: one "
                f"task (srun -n 1); one run over devices: torchrun; many runs: dlrun -m\n"
                f"For copies that differ, set {name}=1 for each of them."
            )


def _is_alone_in_its_job() -> bool:
    """Whether this is a job's batch script or its shell, which have the number of tasks of steps to come."""
    in_script = os.environ.get("ENVIRONMENT") == "BATCH" or "SLURM_PROCID" not in os.environ
    return in_script or "SLURM_STEP_NUM_TASKS" in os.environ
