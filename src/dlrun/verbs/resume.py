"""Go on with a run that was stopped, or extend a finished one: dlrun resume RUN epochs=40."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlrun.config.compose import sentence
from dlrun.config.schema import Config, parse, plain
from dlrun.config.settled import Settled, settle
from dlrun.errors import ConfigError, UsageError
from dlrun.output import counted
from dlrun.runs.check import check
from dlrun.runs.trust import BUILT, check_trust
from dlrun.store.folders import read_config, read_overrides
from dlrun.store.standing import on_any_data, standing
from dlrun.training.distributed import Ranks, joined
from dlrun.training.started import ranks_started
from dlrun.verbs.parser import Parser
from dlrun.verbs.train import train


def main(arguments: list[str]) -> int:
    """`dlrun resume RUN [FIELD=VALUE …]`."""
    parser = Parser(prog="dlrun resume", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of the run")
    parser.add_argument(
        "changes",
        nargs="*",
        default=(),
        metavar="FIELD=VALUE",
        help="epochs, or a field that leaves the results alone, as device; trust=true for code of your own",
    )
    options = parser.parse_args(arguments)
    before = settle(replace(read_config(options.run), trust=False))
    after = settle(changed(before.config, options.changes), ranks_started())
    check_trust(after.config, BUILT, after.config.trust)
    check(after.config)
    overrides = [*read_overrides(options.run), *options.changes]
    with joined(after.config.device) as ranks:
        _go_on(before, after, options.run, overrides, ranks)
    return 0


def _go_on(before: Settled, after: Settled, run_dir: Path, overrides: Sequence[str], ranks: Ranks) -> None:
    if after.hash == before.hash:
        if standing(run_dir, after.hash, on_any_data).done:
            print("This run is complete. To extend it, say how far: epochs=…")
        train(after, run_dir, overrides, ranks=ranks)
        return
    _check_extension(before, after, run_dir)
    if getattr(after.config.scheduler, "name", "") in ("cosine", "linear", "one_cycle"):
        length = counted(after.config.epochs, "epoch")
        print(f"The schedule is recomputed for {length}; the steps so far followed the shorter one.")
    train(after, run_dir, overrides, {"hash": before.hash, "epochs": before.config.epochs}, ranks)


def changed(config: Config, changes: Sequence[str]) -> Config:
    """`config` with some fields set; groups can't be chosen anew.

    Raises:
        ConfigError: Not FIELD=VALUE, or not a field.
    """
    values = plain(config)
    try:
        for override in OverridesParser.create().parse_overrides(list(changes)):
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
    return parse(values)


def _value(override: Any) -> Any:
    """What was typed, with what it refers to. Nothing that the folder says is looked up: it may be a stranger's."""
    if override.is_sweep_override() or override.is_delete():
        raise ConfigError(f"{override.input_line}: expected FIELD=VALUE")
    typed: Any = OmegaConf.to_container(OmegaConf.create({"value": override.value()}), resolve=True)
    return typed["value"]


def _check_extension(before: Settled, after: Settled, run_dir: Path) -> None:
    """Only the number of epochs may change the numbers, and only upwards."""
    if settle(replace(after.config, epochs=before.config.epochs)).hash != before.hash:
        raise UsageError(
            f"{run_dir}: resume can change epochs and fields that leave the results alone; start a new run for the rest"
        )
    if after.config.epochs < before.config.epochs:
        raise UsageError(f"epochs={after.config.epochs}: the run has {before.config.epochs}; an extension needs more")
