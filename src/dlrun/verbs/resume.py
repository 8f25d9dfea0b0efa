"""Go on with a run that was stopped, or extend a finished one: dlrun resume RUN epochs=40."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from dlrun.compose import sentence
from dlrun.config import Config, identity, parse, plain
from dlrun.distributed import Ranks, joined
from dlrun.errors import ConfigError, UsageError
from dlrun.folders import finished, read_config, read_overrides
from dlrun.precision import settle_precision
from dlrun.report.output import counted
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
        help="epochs, or a field that leaves the results alone, as device",
    )
    options = parser.parse_args(arguments)
    before = settle_precision(read_config(options.run))
    after = changed(before, options.changes)
    overrides = [*read_overrides(options.run), *options.changes]
    with joined(after.device) as ranks:
        _go_on(before, after, options.run, overrides, ranks)
    return 0


def _go_on(before: Config, after: Config, run_dir: Path, overrides: Sequence[str], ranks: Ranks) -> None:
    if identity(after) == identity(before):
        if finished(run_dir, identity(after)):
            print("This run is complete. To extend it, say how far: epochs=…")
        train(after, run_dir, overrides, ranks=ranks)
        return
    _check_extension(before, after, run_dir)
    if getattr(after.scheduler, "name", "") in ("cosine", "one_cycle"):
        length = counted(after.epochs, "epoch")
        print(f"The schedule is recomputed for {length}; the steps so far followed the shorter one.")
    train(after, run_dir, overrides, {"hash": identity(before), "epochs": before.epochs}, ranks)


def changed(config: Config, changes: Sequence[str]) -> Config:
    """`config` with some fields set; groups can't be chosen anew.

    Raises:
        ConfigError: Not FIELD=VALUE, or not a field.
    """
    values = OmegaConf.create(plain(config))
    try:
        for override in OverridesParser.create().parse_overrides(list(changes)):
            OmegaConf.update(values, override.key_or_group, _value(override), merge=False)
    except HydraException as error:
        raise ConfigError(sentence(error)) from None
    settled: Any = OmegaConf.to_container(values, resolve=True)
    return settle_precision(parse(settled))


def _value(override: Any) -> Any:
    if override.is_sweep_override() or override.is_delete():
        raise ConfigError(f"{override.input_line}: expected FIELD=VALUE")
    return override.value()


def _check_extension(before: Config, after: Config, run_dir: Path) -> None:
    """Only the number of epochs may change the numbers, and only upwards."""
    if identity(changed(after, [f"epochs={before.epochs}"])) != identity(before):
        raise UsageError(
            f"{run_dir}: resume can change epochs and fields that leave the results alone; start a new run for the rest"
        )
    if after.epochs < before.epochs:
        raise UsageError(f"epochs={after.epochs}: the run has {before.epochs}; an extension needs more")
