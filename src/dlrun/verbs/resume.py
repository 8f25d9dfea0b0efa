"""Go on with a run that was stopped, or extend a finished one.

dlrun resume RUN                                       go on
dlrun resume RUN epochs=40                             extend; a schedule that ends with the run is computed anew
dlrun resume RUN epochs=40 scheduler.extend=keep       the rate stays where the shorter schedule ended
dlrun resume RUN epochs=40 scheduler.extend=restart    the schedule begins anew over the epochs added
"""

import argparse
import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlrun.config.compose import permit, sentence
from dlrun.config.groups import EXTENSIONS, Target
from dlrun.config.overrides import bare, hydra_value, pair
from dlrun.config.schema import Config, of_length, parse, plain
from dlrun.config.settled import Settled, settle
from dlrun.errors import ConfigError, UsageError
from dlrun.optim.schedule import factor
from dlrun.output import counted, say, starting
from dlrun.runs.check import check
from dlrun.runs.on_end import followed_by
from dlrun.runs.trust import BUILT, check_trust, only_typed
from dlrun.store.folders import read_config, read_overrides
from dlrun.store.history import history_of
from dlrun.store.result import read_result
from dlrun.store.standing import on_any_data, standing
from dlrun.store.status import Status
from dlrun.training.distributed import Ranks, joined
from dlrun.training.started import ranks_started
from dlrun.verbs.parser import Parser, run_folder
from dlrun.verbs.train import train


def main(arguments: list[str]) -> int:
    """`dlrun resume RUN [FIELD=VALUE …]`."""
    parser = Parser(prog="dlrun resume", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=run_folder, help="folder of the run, or last")
    parser.add_argument(
        "changes",
        nargs="*",
        default=(),
        metavar="FIELD=VALUE",
        help="epochs, or a field that leaves the results alone, as device; trust=true for code of your own",
    )
    options = parser.parse_args(arguments)
    starting()
    before = settle(replace(read_config(options.run), trust=False))
    config = changed(before.config, options.changes)
    config, left = only_typed(config, [pair(text)[0] for text in options.changes], config.trust)
    after = settle(config, ranks_started())
    check_trust(after.config, BUILT, after.config.trust)
    check(after.config)
    overrides = [*read_overrides(options.run), *(_written_out(text, after.config) for text in options.changes)]
    with joined(after.config.device) as ranks, _followed(after.config, options.run, ranks):
        if ranks.first:
            for sentence in left:
                say(sentence)
        _go_on(before, after, options.run, overrides, ranks)
    return 0


def _followed(config: Config, run_dir: Path, ranks: Ranks) -> contextlib.AbstractContextManager[None]:
    return followed_by(config.on_end if ranks.first else None, run_dir, lambda: [run_dir])


def _go_on(before: Settled, after: Settled, run_dir: Path, overrides: Sequence[str], ranks: Ranks) -> None:
    if after.hash == before.hash:
        if standing(run_dir, after.hash, on_any_data).done:
            say(f"This run is complete{_how_to_go_on(before.config, run_dir)}")
        train(after, run_dir, overrides, ranks=ranks)
        return
    _check_extension(before, after, run_dir)
    if said := _what_becomes_of_the_rate(before.config, after.config, run_dir):
        say(said)
    train(after, run_dir, overrides, {"hash": before.hash, "epochs": before.config.epochs}, ranks)


def _what_becomes_of_the_rate(before: Config, after: Config, run_dir: Path) -> str:
    """A sentence where the schedule of the longer run is not the shorter one's, gone on with."""
    rows = history_of(run_dir)
    last = rows[-1]["lr"] if len(rows) == before.epochs else _rate(before, before)
    following = _rate(before, after)
    jump = f": the rate goes from {last:.2g} to {following:.2g}" if math.isfinite(last) else ""
    if after.scheduler.extend != before.scheduler.extend:
        if after.scheduler.extend[-1].startswith("keep"):
            return f"The rate stays{f' at {last:.2g}' if jump else ''}, where the schedule so far ended."
        added = counted(after.epochs - before.epochs, "added epoch")
        return f"The schedule begins anew over {added}{jump}."
    ends_with_the_run = after.scheduler.name in ("cosine", "linear", "one_cycle")
    if not ends_with_the_run or (after.scheduler.extend and after.scheduler.extend[-1].startswith("keep")):
        return ""
    length = counted(after.epochs, "epoch")
    return (
        f"The schedule is recomputed for {length}; the steps so far followed the shorter one{jump}. "
        "scheduler.extend=keep or restart chooses otherwise."
    )


def changed(config: Config, changes: Sequence[str]) -> Config:
    """`config` with some fields set; groups can't be chosen anew.

    Raises:
        ConfigError: Not FIELD=VALUE, or not a field.
    """
    values = plain(config)
    try:
        for override in OverridesParser.create().parse_overrides([bare(text) for text in permit(changes)]):
            *groups, field = override.key_or_group.split(".")
            if override.key_or_group.partition(".")[0] == "choices":
                raise ConfigError(f"{override.input_line}: choices only say what was chosen; a group can't be anew")
            inner = values
            for group in groups:
                inner = inner.setdefault(group, {}) if isinstance(inner, dict) else inner
            if not isinstance(inner, dict):
                raise ConfigError(f"{override.key_or_group}: no such field")
            inner[field] = _value(override)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(sentence(error)) from None
    if isinstance(scheduler := values["scheduler"], dict):
        scheduler["extend"] = _extended(config, scheduler["extend"], values["epochs"])
    return parse(values)


def _extended(config: Config, typed: Any, epochs: Any) -> Any:
    """`scheduler.extend` of the longer run, where only the way was typed."""
    so_far = config.scheduler.extend
    if typed not in EXTENSIONS:
        return typed
    if isinstance(epochs, int) and epochs > config.epochs:
        return [*so_far, f"{typed} {config.epochs}"]
    if epochs == config.epochs and so_far and so_far[-1].startswith(typed):
        return so_far  # the same command again, after an interruption
    raise ConfigError(f"scheduler.extend={typed}: goes with more epochs than the run has; epochs={config.epochs} here")


def _written_out(text: str, config: Config) -> str:
    """A change as it would be typed for a new run."""
    if text.partition("=")[0] == "scheduler.extend":
        return f"scheduler.extend={hydra_value(config.scheduler.extend)}"
    return text


def _value(override: Any) -> Any:
    """What was typed, with what it refers to. Nothing that the folder says is looked up: it may be a stranger's."""
    if override.is_sweep_override() or override.is_delete():
        raise ConfigError(f"{override.input_line}: expected FIELD=VALUE")
    typed: Any = OmegaConf.to_container(OmegaConf.create({"value": override.value()}), resolve=True)
    return typed["value"]


def _check_extension(before: Settled, after: Settled, run_dir: Path) -> None:
    """Only the number of epochs and the patience may change the numbers, and only upwards."""
    old, new = before.config, after.config
    if settle(replace(of_length(new, old.epochs), early_stopping=old.early_stopping)).hash != before.hash:
        raise UsageError(
            f"{run_dir}: resume can change epochs, early_stopping, scheduler.extend and fields that leave the results "
            "alone; start a new run for the rest"
        )
    if old.early_stopping != new.early_stopping and (new.early_stopping or math.inf) < (old.early_stopping or math.inf):
        raise UsageError(f"early_stopping={new.early_stopping}: an extension needs {_patience(old)}")
    stopped = _stopped_early(old, run_dir)
    if stopped and old.early_stopping == new.early_stopping:
        raise UsageError(
            f"{run_dir}: stopped early after epoch {stopped} of {old.epochs}, so that more epochs change nothing; "
            f"to go on: {_patience(old)}"
        )
    if new.epochs < old.epochs:
        raise UsageError(f"epochs={new.epochs}: the run has {old.epochs}; an extension needs more")


def _stopped_early(config: Config, run_dir: Path) -> int | None:
    """The epoch after which early stopping ended a complete run."""
    result = read_result(run_dir)
    ended = result is not None and result.status == Status.COMPLETED and config.early_stopping is not None
    return result.epochs if ended and result is not None and result.epochs < config.epochs else None


def _how_to_go_on(config: Config, run_dir: Path) -> str:
    stopped = _stopped_early(config, run_dir)
    if stopped is None:
        return ". To extend it, say how far: epochs=…"
    return f": it stopped early after epoch {stopped} of {config.epochs}. To go on: {_patience(config)}"


def _patience(config: Config) -> str:
    return f"early_stopping=null, or more than {config.early_stopping}" if config.early_stopping else "epochs=…"


def _rate(done: Config, schedule: Config) -> float:
    """The learning rate of the first step after a run, as it would be under the schedule of another length."""
    fine = 1000  # steps an epoch: the shapes depend on shares of the run alone
    at = done.epochs * fine - (done is schedule)
    optimizer = done.optimizer
    rate = optimizer.arguments.get("lr") if isinstance(optimizer, Target) else optimizer.lr
    if not isinstance(rate, int | float):
        return math.nan
    return rate * factor(schedule.scheduler, at, fine, schedule.epochs * fine)
