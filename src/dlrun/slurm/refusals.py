"""What Slurm says when it refuses a job, or lets it wait for ever, and the option that it is about (no torch)."""

import re

from dlrun.slurm.queue import partitions
from dlrun.slurm.settings import FIELD, SlurmSettings

SIZE = ("cpus", "gpus", "memory", "constraint")
ABOUT = (
    ("invalid partition", ("partition",)),
    ("partitiontimelimit|time limit|wallduration|timelimit", ("time",)),
    ("invalid account|invalidaccount|account/partition|not permitted to use", ("account", "partition")),
    ("invalid qos|invalidqos|unrecognized option|invalid argument", ("extra",)),
    ("job array|submitjob", ("runs_per_job",)),
    ("feature|badconstraints", ("constraint",)),
    ("generic resource|gres", ("gpus",)),
    ("memory|maxmem", ("memory",)),
    ("processors|cpu count|maxcpu|partitionnodelimit", ("cpus",)),
    ("node configuration|node count|required node", SIZE),
    ("accounting/qos policy|limits", ("time", *SIZE, "runs_per_job")),
)
"""Words of Slurm's, and what they are about; the first that fits counts."""
ANY_LIMIT = "(job submit limit, user's size and/or time limits)"
"""What Slurm adds to whatever limit of an account or QOS it was."""
TOO_MANY = "job array|submitjob|job submit limit|temporarily un"
"""Words of a refusal that fewer jobs at once may get round."""
ENDLESS = (
    "PartitionTimeLimit|PartitionNodeLimit|BadConstraints|Invalid(Account|QOS)|(Assoc|QOS)(Max|Grp)\\w*PerJob\\w*|"
    "QOSMaxWall\\w*|AssocMaxWall\\w*"
)
"""Reasons of a job that waits for what waiting does not bring."""


def is_too_many(said: str) -> bool:
    """Whether Slurm refuses a number of jobs, of which it may take some."""
    limit = re.search(r"\b(?:QOS|Assoc)\w+", said)
    if limit:
        return "Submit" in limit[0]
    return re.search(TOO_MANY, said, re.IGNORECASE) is not None


def waits_in_vain(reason: str) -> bool:
    """Whether a job with this reason waits until somebody changes it."""
    return re.fullmatch(ENDLESS, reason) is not None


def options_to_change(said: str, settings: SlurmSettings) -> str:
    """The fields that a refusal is about, with their values: `hydra.launcher.time=9-00 (main takes 1-00:00:00)`."""
    fields = about(said)
    named = ", ".join(f"{FIELD}{name}={_shown(getattr(settings, name))}" for name in fields)
    there = partitions() if {"partition", "time"} & set(fields) else {}
    if not there:
        return named
    return f"{named}; partitions, and what a job may take there: {', '.join(f'{a} {b}' for a, b in there.items())}"


def about(said: str) -> tuple[str, ...]:
    """The fields of the launcher that a word of Slurm's is about."""
    specific = said.replace(ANY_LIMIT, "")
    return next((fields for words, fields in ABOUT if re.search(words, specific, re.IGNORECASE)), ())


def _shown(value: object) -> str:
    return "null" if value is None else str(value)
