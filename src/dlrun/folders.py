"""Run folders: claimed by one process at a time, never shared by two runs."""

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from dlrun.config import Config, identity, parse, plain
from dlrun.errors import ConfigError, UsageError
from dlrun.files import write_atomically
from dlrun.result import Result


@contextlib.contextmanager
def hold(run_dir: Path) -> Iterator[None]:
    """Be the one process that works in `run_dir`; the system frees the lock when a process dies.

    Raises:
        UsageError: Another process holds it, or the folder can't be written.
    """
    lock = FileLock(run_dir / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"{run_dir}: another process is working on this run") from None
    try:
        yield
    finally:
        lock.release()


def claim(wished: Path) -> Path:
    """A new folder for one run: `wished`, or with `-1`, `-2` … behind it where others were first."""
    for number in range(10_000):
        folder = wished if number == 0 else wished.with_name(f"{wished.name}-{number}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise UsageError(f"{wished}: 10,000 runs have this name; choose another hydra.run.dir")


def write_config(run_dir: Path, config: Config, overrides: Sequence[str]) -> None:
    """Write `config.yaml` (resolved) and `overrides.yaml` (what was typed)."""
    write_atomically(run_dir / "config.yaml", yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True))
    write_atomically(run_dir / "overrides.yaml", yaml.safe_dump(list(overrides), allow_unicode=True))


def read_yaml(path: Path) -> Any:
    """Plain values of a YAML file of a run folder.

    Raises:
        UsageError: It is missing, too large, or no YAML.
    """
    try:
        if path.stat().st_size > 1_000_000:
            raise UsageError(f"{path}: larger than any config of dlrun")
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: not found; is this the folder of a run?") from None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: can't be read ({type(error).__name__})") from None


def read_config(run_dir: Path) -> Config:
    """The config a run was made with.

    Raises:
        UsageError: `config.yaml` is missing, damaged, or no config of dlrun.
    """
    values = read_yaml(run_dir / "config.yaml")
    if not isinstance(values, dict):
        raise UsageError(f"{run_dir / 'config.yaml'}: not the config of a run")
    try:
        return parse(values)
    except ConfigError as error:
        raise UsageError(f"{run_dir / 'config.yaml'}: {error}") from None


def read_overrides(run_dir: Path) -> list[str]:
    """What was typed to make a run.

    Raises:
        UsageError: `overrides.yaml` is missing or damaged.
    """
    values = read_yaml(run_dir / "overrides.yaml")
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UsageError(f"{run_dir / 'overrides.yaml'}: not a list of overrides")
    return values


def finished(run_dir: Path, hash: str) -> Result | None:
    """The result of `run_dir` if a run with this hash was completed there."""
    if not (run_dir / "result.json").is_file():
        return None
    result = Result.read(run_dir)
    return result if result.status == "completed" and result.hash == hash else None


def slug(overrides: Sequence[str]) -> str:
    """A readable folder name from what was typed: `model=fc_64 seed=1` gives `fc_64-seed1`.

    >>> slug(["model=fc_64", "optimizer.lr=0.1", "hydra.run.dir=x"])
    'fc_64-lr0.1'
    """
    words = []
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        if key.startswith("hydra") or key in ("threads", "device", "sweep.name"):
            continue
        group = key in ("data", "model", "optimizer", "scheduler", "augment", "experiment")
        words.append(value if group else f"{key.rpartition('.')[2]}{value}")
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", "-".join(words))[:80].strip("._-") or "default"


def run_name(config: Config, overrides: Sequence[str]) -> str:
    """The folder name of a run that is known by its identity: `<slug>-<hash8>`."""
    return f"{slug(overrides)}-{identity(config)}"


@contextlib.contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append what dlrun logs to a file, with times."""
    logger = logging.getLogger("dlrun")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(min(logger.level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
