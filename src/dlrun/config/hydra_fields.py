"""Hydra's own fields that would be dropped: refused, with what to do instead."""

from collections.abc import Iterable, Mapping

from dlrun.config.overrides import pair
from dlrun.errors import ConfigError

OF_A_SWEEP = {
    "hydra.sweep.dir": "one run has hydra.run.dir; a sweep begins with dlrun -m",
    "hydra/launcher": "it starts the runs of a sweep, which begins with dlrun -m",
    "hydra/sweeper": "it is for sweeps, which begin with dlrun -m",
}
"""What one run has no use for, with what to do instead."""
OF_A_RUN = {"hydra.run.dir": "a sweep has hydra.sweep.dir"}
"""What a sweep has no use for."""
NO_EFFECT = {
    "hydra.sweep.subdir": "the folders of a sweep's runs are named by what varies",
    "hydra.output_subdir": "a run's files lie in its folder",
    "hydra.job.chdir": "runs stay in the working directory",
}
"""What Hydra has and dlrun does not use, with what to do instead."""


def refuse_without_effect(words: Iterable[str], others: Mapping[str, str]) -> None:
    """Refuse fields of Hydra's that would be dropped.

    Args:
        others: Further ones, with what to do instead.

    Raises:
        ConfigError: One was typed.
    """
    for text in words:
        key = pair(text)[0]
        if reason := {**NO_EFFECT, **others}.get(key):
            raise ConfigError(f"{text}: has no effect here; {reason}")
