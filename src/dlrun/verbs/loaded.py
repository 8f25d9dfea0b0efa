"""What the verbs that use a finished run share: fields set behind its folder, and loading it."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlrun.errors import ConfigError, UsageError, did_you_mean
from dlrun.sweeps.points import parse
from dlrun.training.started import refuse_ranks
from dlrun.verbs.parser import run_folder

if TYPE_CHECKING:
    from dlrun.runs.loading import Loaded

FIELDS = ("device", "threads", "trust")
"""Fields that every verb takes behind the folder of a run."""


def add_run(parser: argparse.ArgumentParser) -> None:
    """The arguments RUN, --best and --epoch."""
    parser.add_argument("run", metavar="RUN", type=run_folder, help="folder of a run, or last")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--best", action="store_true", help="the weights of the best epoch, not of the last one")
    weights.add_argument(
        "--epoch", type=int, metavar="N", help="those after epoch N, where checkpoint.keep_best or keep_every kept them"
    )


def fields(words: Iterable[str], known: Sequence[str], groups: Sequence[str] = ()) -> dict[str, Any]:
    """`KEY=VALUE` words as values, read as those behind `dlrun` are.

    Args:
        known: The keys that may be set.
        groups: Groups whose fields may be set, such as `data.root`.

    Raises:
        ConfigError: Another key, or a value that can't be read.
    """
    found = {}
    for word in words:
        key, sign, _ = word.partition("=")
        if not sign or (key not in known and key.partition(".")[0] not in groups):
            there = [*known, *(f"{group}.…" for group in groups)]
            raise ConfigError(f"{word}: expected KEY=VALUE{did_you_mean(key, there)}")
        (override,) = parse([word])
        if override.is_sweep_override():
            raise ConfigError(f"{word}: expected one value (a text with a comma needs quotes)")
        found[key] = override.value()
    return found


def apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words that set one of `FIELDS`, and the others."""
    setting = [word for word in words if word.partition("=")[0] in FIELDS and "=" in word]
    return setting, [word for word in words if word not in setting]


def load(options: argparse.Namespace, changes: Mapping[str, Any]) -> "Loaded":
    """The run, loaded as `dlrun.runs.loading.load_run` does it.

    Raises:
        UsageError: As there; RUN is no folder; or every rank would load it, and print what it finds.
    """
    refuse_ranks("this")
    if not options.run.is_dir():
        raise UsageError(f"{options.run}: {'no folder' if options.run.exists() else 'no such folder'}")
    from dlrun.runs.loading import load_run

    return load_run(options.run, options.best, changes, options.epoch)
