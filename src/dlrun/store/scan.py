"""The runs below some folders as they lie on the disk, finished or not; damaged ones are named."""

import contextlib
import datetime
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlrun.config.naming import called
from dlrun.config.schema import as_meant, earlier_identities, parse, plain
from dlrun.config.settled import settle
from dlrun.errors import ConfigError, UsageError
from dlrun.store.folders import is_held, outcome, read_yaml
from dlrun.store.follows import FOLLOWS, followed_runs
from dlrun.store.history import history_of, read_history
from dlrun.store.result import Result
from dlrun.store.status import Status

METRICS = ("loss", "accuracy")


@dataclass(frozen=True)
class Run:
    """One run folder, or a record: its config as flat fields (`optimizer.lr`) and as much of an outcome as there is."""

    folder: Path
    fields: Mapping[str, Any]
    result: Result | None
    """The outcome of this very config; None of a run that goes on or was killed."""
    history: Sequence[Mapping[str, float]] = ()
    """Epochs so far; of a folder they are read only where there is no result."""
    held: bool = False
    """Whether a process is working on it."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What its data, model, optimizer and scheduler are called."""
    source: Path | None = None
    """The file of records that it stands in; `folder` is then but a name."""

    @property
    def status(self) -> Status:
        """`completed`, else `running` while a process works on it, else `failed` or `interrupted`."""
        recorded = self.result.status if self.result is not None else Status.INTERRUPTED
        return Status.RUNNING if self.held and recorded != Status.COMPLETED else recorded

    @property
    def name(self) -> str:
        """The name given (`name=…`), else that of the folder."""
        return str(self.fields.get("name") or self.folder.name)

    @property
    def tags(self) -> Sequence[str]:
        """The tags given (`tags=[…]`)."""
        return [str(tag) for tag in self.fields.get("tags") or ()]

    @property
    def changed(self) -> float:
        """When it ended, or where it has not, was begun or last gone on with: seconds since 1970."""
        return changed(self.folder)

    @property
    def date(self) -> str:
        """`changed`, as one reads it."""
        return f"{datetime.datetime.fromtimestamp(self.changed):%Y-%m-%d %H:%M}"

    @property
    def rows(self) -> Sequence[Mapping[str, float]]:
        """All its epochs, read now where there is a result; none of a damaged history."""
        return self.history if self.result is None or self.source else history_of(self.folder)

    @property
    def holds_out(self) -> bool:
        """Whether it evaluates images held out of the training set after every epoch."""
        return bool(self.fields.get("validation") or self.fields.get("folds"))

    @functools.cached_property
    def val(self) -> dict[str, float] | None:
        """`loss` and `accuracy` on the images held out, after the last epoch so far; None where there are none."""
        last = self.rows[-1] if self.holds_out and self.rows else {}
        return {name: last[f"val_{name}"] for name in METRICS} if "val_loss" in last else None

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        if self.result is not None:
            return self.result.epochs
        return int(self.history[-1]["epoch"]) if self.history else 0


def find(paths: Iterable[Path]) -> list[Path]:
    """Every run folder at or below the paths, and those that sweeps there follow: each once, in order of their names.

    A folder that may not be listed could be one, and is among them: whoever reads it says why that fails.

    Raises:
        UsageError: A path does not exist, is no folder, or lies in a folder that may not be entered.
    """
    found: dict[Path, None] = {}
    for path in paths:
        try:
            if not path.is_dir():
                raise UsageError(f"{path}: {'not a folder' if path.exists() else 'no such folder'}")
        except PermissionError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        found.update(dict.fromkeys(sorted(_below(path))))
    return list(found)


def _below(path: Path) -> Iterator[Path]:
    closed: list[Path] = []
    for folder, folders, files in os.walk(path, onerror=lambda error: closed.append(Path(error.filename))):
        if "result.json" in files or {"config.yaml", "overrides.yaml"} <= set(files):
            folders.clear()
            yield Path(folder)
        elif FOLLOWS in files:
            yield from followed_runs(Path(folder))
        folders[:] = [name for name in folders if not name.startswith(".")]
    yield from closed


def changed(folder: Path) -> float:
    """When the run in a folder ended, or where it has not, was begun or last gone on with: seconds since 1970."""
    times = [0.0]
    for name in ("result.json", "config.yaml"):
        with contextlib.suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return max(times)


def newest(path: Path) -> Path | None:
    """The run folder below `path` that changed last; None without any. The runs are not read."""
    return max(find([path]), key=lambda folder: (changed(folder), folder), default=None) if path.is_dir() else None


def read(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The runs in these folders, and a sentence for each that is damaged."""
    runs, damaged = [], []
    for folder in folders:
        try:
            runs.append(_read(folder))
        except UsageError as error:
            damaged.append(str(error))
    return runs, damaged


def _read(folder: Path) -> Run:
    values = _config(folder / "config.yaml")
    try:
        config = parse(values)
    except ConfigError as error:
        raise UsageError(f"{folder / 'config.yaml'}: {error}") from None
    # Asked first: a run that ends in between is then complete, not interrupted.
    held = is_held(folder)
    settled = settle(config)
    result = outcome(folder, settled)
    history = () if result is not None else read_history(folder)
    names = {group: called(config, group) for group in ("data", "optimizer", "scheduler")}
    names["model"] = called(config, "model", result.model if result is not None else "")
    fields = flat(plain(config))  # not of the file: one that an earlier dlrun wrote lacks fields
    changed = [] if result is None else earlier_identities(config).get(result.hash, [])
    if changed:
        # Not the same as what the config gives today.
        fields["revision"] = f"before another {' and '.join(changed)}"
    return Run(folder, fields, result, history, held, names)


def _config(path: Path) -> Mapping[str, Any]:
    values = read_yaml(path)
    if not isinstance(values, dict) or not values:
        raise UsageError(f"{path}: not a config")
    return as_meant(values)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested groups as one level of dotted names.

    >>> flat({"optimizer": {"lr": 0.1}, "seed": 0})
    {'optimizer.lr': 0.1, 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found
