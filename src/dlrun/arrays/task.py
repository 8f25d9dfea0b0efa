"""Which share of an array a process has, and how many cores, by the variables that schedulers set (no torch)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from dlrun.errors import UsageError
from dlrun.linux import cores


@dataclass(frozen=True)
class Numbering:
    """How a scheduler numbers the jobs of an array."""

    name: str
    submit: str
    """What is typed or written for `count` jobs, the last of them number `last` where they count from 0."""
    variable: str = ""
    """Holds the number of a job; empty: there is none, `--task` has to say it."""
    first: int = 0
    """Number of the first job. Where a scheduler leaves the choice, `submit` chooses 0."""
    cores: str = ""
    """The variable with the cores that a job was given; empty: there is none."""


SCHEDULERS = (
    Numbering("Slurm", "sbatch --array=0-{last} …", "SLURM_ARRAY_TASK_ID", cores="SLURM_CPUS_PER_TASK"),
    Numbering("PBS Pro", "qsub -J 0-{last} …", "PBS_ARRAY_INDEX", cores="NCPUS"),
    Numbering("Torque", "qsub -t 0-{last} …", "PBS_ARRAYID", cores="PBS_NUM_PPN"),
    Numbering("LSF", "bsub -J 'dlrun[1-{count}]' …", "LSB_JOBINDEX", 1, "LSB_DJOB_NUMPROC"),
    Numbering("Grid Engine", "qsub -t 1-{count} …", "SGE_TASK_ID", 1, "NSLOTS"),
    Numbering("HTCondor", "queue {count}, with --task $(Process)"),
    Numbering("Kubernetes", "completions: {count}, completionMode: Indexed", "JOB_COMPLETION_INDEX"),
)
OUTSIDE = {"SGE_TASK_ID": "undefined", "LSB_JOBINDEX": "0"}
"""What the variables hold in a job that is none of an array; all others are not set there."""


def task_number(count: int, typed: int | None, environment: Mapping[str, str] = os.environ) -> int:
    """Which of the tasks 0 to `count` - 1 this process is.

    Args:
        typed: What `--task` said, which counts before any variable.

    Raises:
        UsageError: No variable tells it, or several do; it is no task of these.
    """
    if typed is not None:
        if typed >= count:
            raise UsageError(f"--task {typed}: the manifest has tasks 0 to {count - 1}")
        return typed
    found = [(one, environment[one.variable]) for one in SCHEDULERS if _is_set(one, environment)]
    if not found:
        variables = ", ".join(one.variable for one in SCHEDULERS if one.variable)
        raise UsageError(f"which task? No scheduler says it ({variables}): --task K, from 0 to {count - 1}")
    if len(found) > 1:
        several = " and ".join(f"{one.variable}={value}" for one, value in found)
        raise UsageError(f"{several}: which of them counts? --task K says it, from 0 to {count - 1}")
    return _number(*found[0], count)


def _is_set(scheduler: Numbering, environment: Mapping[str, str]) -> bool:
    return environment.get(scheduler.variable, "") not in ("", OUTSIDE.get(scheduler.variable))


def _number(scheduler: Numbering, value: str, count: int) -> int:
    if value.isascii() and value.isdigit() and 0 <= int(value) - scheduler.first < count:
        return int(value) - scheduler.first
    last = count - 1 + scheduler.first
    hint = scheduler.submit.format(count=count, last=count - 1)
    raise UsageError(
        f"{scheduler.variable}={value}: in {scheduler.name} the tasks of this manifest are {scheduler.first} to {last} "
        f"({hint})"
    )


def cores_given(environment: Mapping[str, str] = os.environ) -> int:
    """CPU cores for this process: where a scheduler binds none to jobs, each would take the whole machine."""
    values = (environment.get(one.cores, "") for one in SCHEDULERS)
    return next((int(value) for value in values if value.isascii() and value.isdigit() and int(value)), cores())
