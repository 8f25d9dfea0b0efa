"""Run image-classifier experiments from config files; see `dlrun --help`."""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and sys.orig_argv[-len(sys.argv)].removeprefix("-m") == "dlrun":
    # `python -m dlrun`: Python put the working directory first, where a yaml.py or random.py may lie. It is taken
    # off before anything else is imported; `dlrun.config.targets` puts it last when a `_target_` is wanted from there.
    del sys.path[0]

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlrun.store.result import Result

STARTED = time.perf_counter()
"""When this process began to load dlrun, on `time.perf_counter`'s clock."""

__version__ = "0.2.0"


def run(*overrides: str) -> "Result":
    """Train one model as `dlrun OVERRIDE …` does, from a notebook or a script.

    >>> run("model=fc_64", "data=synthetic", "epochs=1").status  # doctest: +SKIP
    'completed'

    Raises:
        dlrun.errors.DlrunError: What the command would print; its subclasses tell mistakes from failures.
    """
    from dlrun.linux import bound_spinning
    from dlrun.verbs.train import train_typed

    bound_spinning()
    return train_typed(overrides)
