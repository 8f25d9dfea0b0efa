"""What is asked of Slurm for each job: the fields of `hydra/launcher=slurm`, with their checks (no torch)."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from dlrun.config.compose import compose_with_hydra, hydra_started
from dlrun.config.fields import fill, option
from dlrun.errors import ConfigError, UsageError
from dlrun.slurm.times import FORMS, is_limit, seconds_of

LAUNCHER = "hydra/launcher="
FIELD = "hydra.launcher."
NAMES = ("partition", "account", "memory", "constraint")
"""Fields of text that may look like a number."""
TARGET = "hydra_plugins.dlrun_plugins.slurm.SlurmLauncher"


@dataclass
class SlurmSettings:
    """One Slurm job, which may hold several runs."""

    partition: str | None = option(None, "partition (null: the cluster's default)")
    account: str | None = option(None, "account that is charged (null: your default)")
    time: int | str = option(
        60,
        "minutes a job may take, or as Slurm writes it; what is not done by then is saved and goes on in a new turn",
        fits=is_limit,
        expected=FORMS,
    )
    gpus: int = option(0, "GPUs of a job", low=0)
    cpus: int = option(2, "CPU cores of a job", low=1)
    memory: str | None = option("4GB", "memory of a job, e.g. 16GB (null: the cluster's default)")
    array_parallelism: int = option(100, "jobs of the array that run at the same time", low=1)
    runs_per_job: int = option(1, "runs packed into one job, since queues punish many short jobs", low=1)
    constraint: str | None = option(None, "features that a node must have, e.g. a100")
    extra: list[str] = option([], "further lines for #SBATCH, e.g. ['--qos=short', '--exclusive']")
    setup: list[str] = option([], "shell lines before the job, e.g. ['module load cuda/12.4']")
    container: str | None = option(None, "what stands before python, e.g. singularity exec --nv image.sif")
    python: str | None = option(None, "the interpreter on the nodes (null: this one; in a container: python)")
    warning: int = option(120, "seconds before the time limit at which runs save and stop", low=10)

    def interpreter(self) -> str:
        """The command that starts Python on a node, container included; -P keeps the working directory off its path."""
        if self.container is not None:
            return f"{self.container} {self.python or 'python'} -P"
        return f"{self.python or sys.executable} -P"

    def further(self) -> dict[str, Any]:
        """`extra` by name, as submitit takes it; `--exclusive` has no value.

        Raises:
            ConfigError: A line that is not an option of sbatch.
        """
        found: dict[str, Any] = {}
        for line in self.extra:
            name, equals, value = line.removeprefix("#SBATCH").strip().partition("=")
            if not name.startswith("--") or "\n" in line:
                raise ConfigError(f"hydra.launcher.extra: {line!r} is no option of sbatch; e.g. --qos=short")
            found[name[2:]] = value if equals else True
        return found


def settings_from(values: Mapping[str, Any]) -> SlurmSettings:
    """The settings of a composed `hydra.launcher` node, checked.

    Raises:
        ConfigError: An unknown field, a wrong type, a value out of range.
    """
    plain = {key: _as_text(key, value) for key, value in values.items() if key != "_target_"}
    settings: SlurmSettings = fill(SlurmSettings, plain, FIELD)
    settings.further()
    allowed = seconds_of(settings.time)
    assert allowed is not None
    if settings.warning >= allowed:
        raise ConfigError(
            f"{FIELD}time={settings.time}: {allowed:g} s, and {FIELD}warning={settings.warning} s before the end each "
            f"turn would stop; {FORMS}"
        )
    return settings


def _as_text(key: str, value: Any) -> Any:
    """A number as the text that it is where a name is meant: partition 12, account 4711, 4000 (MB) of memory."""
    if key not in NAMES or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, float):
        raise ConfigError(f"{FIELD}{key} reads as the number {value:g}; as text it needs quotes: {key}=\"'…'\"")
    return str(value)


def asked(words: Sequence[str], always: bool = False) -> tuple[SlurmSettings | None, list[str]]:
    """What was typed, parted: the settings where a Slurm launcher was chosen (else None), and the rest.

    Args:
        always: Slurm is meant even where no launcher was named.

    Raises:
        ConfigError: An unknown field, a wrong type, a value out of range.
        UsageError: Fields of the launcher without the launcher.
    """
    own = [word for word in words if word.startswith((LAUNCHER, FIELD))]
    rest = [word for word in words if word not in own]
    if not own and not always:
        return None, rest
    named = any(word.startswith(LAUNCHER) for word in own)
    if not named and not always:
        raise UsageError(f"{own[0]}: needs a launcher for Slurm, such as hydra/launcher=slurm")
    with hydra_started():
        composed = compose_with_hydra(own if named else [*own, f"{LAUNCHER}slurm"])
    values = OmegaConf.to_container(composed.hydra.launcher, resolve=True)
    assert isinstance(values, dict)
    if values.get("_target_") != TARGET:
        if always or any(word.startswith(FIELD) for word in own):
            raise UsageError(f"{own[0]}: needs a launcher for Slurm, such as hydra/launcher=slurm")
        return None, list(words)
    return settings_from({str(key): value for key, value in values.items()}), rest
