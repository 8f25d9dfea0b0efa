"""Go on with a run that was stopped, or extend a finished one."""

import argparse
from pathlib import Path

from dlrun.config import Config, identity, parse
from dlrun.errors import UsageError
from dlrun.folders import read_yaml
from dlrun.verbs.train import train


def main(arguments: list[str]) -> int:
    """`dlrun resume RUN [OVERRIDE …]`."""
    parser = argparse.ArgumentParser(prog="dlrun resume", description=__doc__)
    parser.add_argument("run", metavar="RUN", help="folder of the run")
    options = parser.parse_args(arguments)
    run_dir = Path(options.run)
    train(read_config(run_dir), run_dir, read_overrides(run_dir))
    return 0


def read_config(run_dir: Path) -> Config:
    """The config a run was made with."""
    values = read_yaml(run_dir / "config.yaml")
    if not isinstance(values, dict):
        raise UsageError(f"{run_dir / 'config.yaml'}: not the config of a run")
    return parse(values)


def read_overrides(run_dir: Path) -> list[str]:
    """What was typed to make a run."""
    values = read_yaml(run_dir / "overrides.yaml")
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UsageError(f"{run_dir / 'overrides.yaml'}: not a list of overrides")
    return values
