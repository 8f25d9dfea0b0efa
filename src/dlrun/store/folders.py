"""Run folders: claimed by one process at a time, never shared by two runs."""

import contextlib
import hashlib
import itertools
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from dlrun.config.fields import default_of, fields_of
from dlrun.config.groups import GROUPS
from dlrun.config.overrides import pair, typed_for
from dlrun.config.schema import Config, as_meant, earlier_identities, of_length, parse, plain
from dlrun.config.settled import Settled, settle
from dlrun.errors import ConfigError, Damaged, UsageError
from dlrun.files import read_regular, remove_drafts, sync_folder, write_atomically
from dlrun.locks import Lock, NoLocks, is_locked
from dlrun.store.history import check_history, read_history
from dlrun.store.plain_yaml import parse_yaml
from dlrun.store.result import Result
from dlrun.store.status import Status
from dlrun.text import VisibleFormatter

log = logging.getLogger("dlrun")

SEAL = b"# sha256: "
"""Begins the first and the last line of config.yaml and overrides.yaml, comments: the checksum of those between.

It stands at both ends, so that a file that lost one of them is known to have had it.
"""

LARGEST = 1_000_000
"""Bytes of the largest config that is read."""


@contextlib.contextmanager
def hold(run_dir: Path) -> Iterator[None]:
    """Be the one process that works in `run_dir`; the system frees the lock when a process dies.

    What a killed process had begun to write is deleted.

    Raises:
        UsageError: Another process holds it, or the folder can't be written or locked.
    """
    lock = take(run_dir / ".lock")
    if lock is None:
        raise UsageError(f"{run_dir}: another process is working on this run")
    try:
        for folder in (run_dir, run_dir / "checkpoints"):
            remove_drafts(folder)
        yield
    finally:
        lock.release()


def take(path: Path) -> Lock | None:
    """The lock on a file in a run's folder, or None if another process has it.

    Raises:
        UsageError: The folder can't be written or locked, or a file that would be written to is a link, which in a
            stranger's folder may lead anywhere.
    """
    for link in (path, path.with_name("run.log")):
        if link.is_symlink():
            raise UsageError(f"{link}: a symbolic link; nothing is written through it. Delete it")
    lock = Lock(path)
    try:
        return lock if lock.take() else None
    except FileNotFoundError:
        return None  # the folder was moved, by the process that has it
    except NoLocks as error:
        raise UsageError(
            f"{path.parent}: its file system has no locks ({error.strerror}), which keep two processes from "
            "training one run; choose a folder on another, with hydra.run.dir or hydra.sweep.dir"
        ) from None
    except OSError as error:
        raise UsageError(f"{path.parent}: can't be written ({error.strerror})") from None


def is_held(run_dir: Path) -> bool:
    """Whether a process is working in `run_dir` now, on this machine or another; the process is not disturbed.

    Reading the folder is enough. Where its lock may not be read, or the file system has none, none is seen.
    """
    return is_locked(run_dir / ".lock")


def claim(wished: Path) -> Path:
    """A new folder for one run: `wished`, or with `-1`, `-2` … behind it where others were first."""
    for number in range(10_000):
        folder = wished if number == 0 else wished.with_name(f"{wished.name}-{number}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        sync_folder(folder.parent)
        return folder
    raise UsageError(f"{wished}: 10,000 runs have this name; choose another hydra.run.dir")


def write_config(run_dir: Path, config: Config, overrides: Sequence[str]) -> None:
    """Write `overrides.yaml` (what was typed) and `config.yaml` (resolved), each with its checksum.

    The config comes last: where it is, both are.
    """
    for name, values in (("overrides.yaml", list(overrides)), ("config.yaml", plain(config))):
        body = _dumped(values, readable=True)
        if parse_yaml(body.decode()) != values:
            body = _dumped(values, readable=False)  # PyYAML leaves some line breaks of Unicode as they are
        seal = SEAL + hashlib.sha256(body).hexdigest().encode() + b"\n"
        write_atomically(run_dir / name, seal + body + seal)


def _dumped(values: Any, readable: bool) -> bytes:
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=readable)
    return text.encode()


class _Dumper(yaml.SafeDumper):
    """Writes a value that occurs twice twice: aliases are not read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def read_yaml(path: Path) -> Any:
    """Plain values of a YAML file of a run folder.

    Raises:
        Damaged: It is not as it was written, or no YAML.
        UsageError: It is missing or too large.
    """
    try:
        return parse_yaml(read_sealed(path))
    # PyYAML's constructors let KeyError, AttributeError and more through on wrong scalars (`!!bool x`).
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise Damaged(f"{path}: can't be read ({type(error).__name__})") from None


def read_sealed(path: Path) -> str:
    """The text of a YAML file of a run folder, less its checksums, which must fit if they are there.

    Raises:
        Damaged: It is not as it was written.
        UsageError: It is missing or too large.
    """
    try:
        content = read_regular(path, LARGEST)
        return _unsealed(content, path).decode()
    except FileNotFoundError:
        raise UsageError(f"{path}: not found; is this the folder of a run?") from None
    except UnicodeDecodeError:
        raise Damaged(f"{path}: no text in UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})") from None


def _unsealed(content: bytes, path: Path) -> bytes:
    lines = content.splitlines(keepends=True)
    if not any(line.startswith(SEAL) for line in (*lines[:1], *lines[-1:])):
        return content
    body = b"".join(lines[1:-1])
    seal = SEAL + hashlib.sha256(body).hexdigest().encode() + b"\n"
    if content != seal + body + seal:
        raise Damaged(f"{path}: changed since it was written (delete its first and last line to accept it as it is)")
    return body


def read_config(run_dir: Path) -> Config:
    """The config a run was made with.

    Raises:
        UsageError: `config.yaml` is missing, damaged, or no config of dlrun.
    """
    values = read_yaml(run_dir / "config.yaml")
    if not isinstance(values, dict):
        raise UsageError(f"{run_dir / 'config.yaml'}: not the config of a run")
    try:
        return parse(as_meant(values))
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


def outcome(run_dir: Path, settled: Settled) -> Result | None:
    """What `result.json` says of the run that `config.yaml` describes: the one place that brings the two together.

    None where there is no result, and where the run has gone on since it was written: while a run is extended, and
    if it was killed then. A result from before a change of what such a config computes counts here (not as done, see
    `dlrun.store.standing`), and has another hash.

    Args:
        settled: The config of `config.yaml`.

    Raises:
        Damaged: The result or the history is not as it was written.
        UsageError: The result is of another config, or can't be read.
    """
    if not (run_dir / "result.json").exists():
        return None
    result = Result.read(run_dir)
    if is_of(result, settled):
        check_history(run_dir, result)
        return None if _has_gone_on(run_dir, result) else result
    if (result.origin or {}).get("hash") == settled.hash or _is_of_a_shorter_run(result, settled.config):
        return None
    raise UsageError(
        f"{run_dir / 'config.yaml'}: not the config of its result.json "
        f"(hash {settled.hash}, the result is of {result.hash})"
    )


def is_of(result: Result, settled: Settled) -> bool:
    """Whether a result is of this config, by its hash of today or an earlier one."""
    return result.hash == settled.hash or result.hash in earlier_identities(settled.config)


def _has_gone_on(run_dir: Path, result: Result) -> bool:
    """Whether an interrupted run has ended more epochs since."""
    open_ended = result.status != Status.COMPLETED and result.history is None
    return open_ended and len(read_history(run_dir)) > result.epochs


def _is_of_a_shorter_run(result: Result, config: Config) -> bool:
    """Whether a result is that of the run that `config` extends; 0.1.0 left it as it was meanwhile."""
    typed = typed_for(result.overrides, "epochs")
    lengths = {result.epochs, default_of(fields_of(Config)["epochs"]), *(int(text) for text in typed if text.isdigit())}
    return any(is_of(result, settle(of_length(config, length))) for length in lengths if 1 <= length < config.epochs)


def slug(overrides: Sequence[str]) -> str:
    """A readable folder name from what was typed: `model=fc_64 seed=1` gives `fc_64-seed1`.

    >>> slug(["model=fc_64", "optimizer.lr=0.1", "hydra.run.dir=x"])
    'fc_64-lr0.1'
    """
    words = []
    for text in overrides:
        key, value = pair(text)
        if key.startswith("hydra") or key in ("threads", "device", "sweep.name"):
            continue
        group = key in (*GROUPS, "experiment")
        words.append(value if group else f"{key.rpartition('.')[2]}{value}")
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", "-".join(words))[:80].strip("._-") or "default"


def numbered(path: Path) -> Iterator[Path]:
    """The path, and those with `-2`, `-3` … behind it, to be tried until one is free."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.name}-{number}")


class _LogFile(logging.FileHandler):
    """A log that can't be written (a full disk) stops nothing and is no news on every line."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the record."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append what dlrun logs to a file, with times."""
    logger = logging.getLogger("dlrun")
    handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(min(logger.level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
