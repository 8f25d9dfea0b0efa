"""The one path from the words of a sweep to its jobs, for `-m`, `plan -m`, `slurm submit -m`, `array prepare -m`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlrun.config.fields import default_of, fields_of
from dlrun.config.overrides import hydra_value
from dlrun.config.schema import Sweep
from dlrun.errors import ConfigError
from dlrun.store.content import Contents
from dlrun.sweeps.folder import jobs_of, sweep_dir, typed_folder
from dlrun.sweeps.jobs import Job
from dlrun.sweeps.points import expand, on_end_of, settings_of

OF_SEARCH = ("trials", "sampler", "objective", "first", "prune", "pruner")
"""The fields of `sweep` that a search alone reads."""


@dataclass(frozen=True)
class TypedSweep:
    """A sweep as its words describe it: where it lies, how it is run, every job of it, done or not, what follows."""

    folder: Path
    settings: Sweep
    jobs: list[Job]
    on_end: str | None


def typed_sweep(words: Sequence[str], contents: Contents, folder: Path | None = None) -> TypedSweep:
    """The sweep of what was typed after `-m`; nothing is written.

    Args:
        contents: Tells whether data that lie elsewhere now are those of a run in the folder.
        folder: Where it lies, if that is known already; else `hydra.sweep.dir` says it, or its name.

    Raises:
        UsageError: The words can't be read, a point of them can't be run, or a field is one of searches alone.
    """
    settings = settings_of(words)
    _refuse_of_search(settings)
    folder = folder or typed_folder(words) or sweep_dir(words, settings)
    jobs = jobs_of(expand(words), folder, contents, follow=not settings.fresh)
    return TypedSweep(folder, settings, jobs, on_end_of(words))


def _refuse_of_search(settings: Sweep) -> None:
    for name in OF_SEARCH:
        if (value := getattr(settings, name)) != default_of(fields_of(Sweep)[name]):
            raise ConfigError(f"sweep.{name}={hydra_value(value)}: has no effect without hydra/sweeper=search")
