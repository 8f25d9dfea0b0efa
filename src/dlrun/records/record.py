"""A record: the evidence of one completed run as one line of JSON, without weights, paths and names of people.

A line is read only if it is, byte for byte, what dlrun writes for these values, and if its config gives its hash. The
checksum is against damage; whoever forges a line can make one up.
"""

import functools
import hashlib
import json
import math
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlrun.config.groups import Data, Scheduler
from dlrun.config.naming import called
from dlrun.config.schema import Config, as_meant, contains_shorter, decisive, of_length, parse
from dlrun.config.settled import settle
from dlrun.errors import ConfigError, Damaged, UsageError
from dlrun.store.folders import outcome, read_config
from dlrun.store.history import read_history
from dlrun.store.result import Result, checked
from dlrun.store.status import Status
from dlrun.text import visible

SCHEMA = 1
LONGEST = 4_000_000
"""Bytes of the longest line that is read: 20,000 epochs."""
FIELDS = {
    "record": "version of this format (1)",
    "config": "every setting that can change the numbers and is not at its default, but the seed, by the name it is "
    "typed with; `data`, `optimizer` and `scheduler` by the name of the option's kind",
    "result": "fields of result.json: numbers, seed, hash, fingerprint of the data, environment, commit",
    "history": "by column of history.csv a list with a number an epoch",
    "checksum": "of all that stands before it in the line: the first 16 hex digits of its SHA-256",
}
"""What a line holds, in this order."""
LARGEST = 1e15
"""Of the numbers in a record, the seed aside."""
KEPT: dict[str, tuple[str, ...]] = {
    "hash": (),
    "seed": (),
    "data": ("name", "fingerprint", "verified"),
    "model": (),
    "parameters": ("total", "trainable", "non_trainable"),
    "epochs": (),
    "train": ("loss", "accuracy"),
    "test": ("loss", "accuracy"),
    "best": ("epoch", "accuracy", "selected_on", "loss", "by"),
    "seconds": ("total", "train", "evaluate", "start"),
    "images_per_second": (),
    "device": (),
    "precision": (),
    "threads": (),
    "cpu_capability": (),
    "cpu": (),
    "ranks": (),
    "versions": (),
    "git": ("commit", "dirty"),
    "origin": ("hash", "epochs"),
    "schema": (),
}
"""The fields of a result that a record holds, each with the keys inside it (none: as it is); null is left out."""
TIMES = {"seconds", "images_per_second"}
"""Columns of a history that differ between two runs of equal numbers."""


class NotComplete(UsageError):
    """A run that goes on, was stopped or failed: there is no record of it."""


@dataclass(frozen=True)
class Record:
    """One completed run: what it was, how it went, and where."""

    settings: Mapping[str, Any]
    """As of `FIELDS`: the line's `config`."""
    result: Result
    """Its `name` is empty and it has no `overrides`: they can hold what is private."""
    history: Mapping[str, Sequence[float]]
    """Columns of history.csv but `epoch`, each with a number an epoch."""

    @classmethod
    def of_run(cls, run_dir: Path) -> "Record":
        """The record of a run folder.

        Raises:
            UsageError: The run is not complete, damaged, or has something that no record holds; the message says what.
        """
        config = read_config(run_dir)
        result = outcome(run_dir, settle(config))
        if result is None or result.status != Status.COMPLETED:
            raise NotComplete(
                f"{run_dir}: {result.status if result else 'not complete'}, and a record is of a whole run"
            )
        try:
            result = replace(result, model=called(config, "model", result.model))
            return cls.of(config, result, read_history(run_dir))
        except UsageError as error:
            where = "" if str(error).startswith(str(run_dir)) else f"{run_dir}: "
            raise type(error)(f"{where}{error}") from None

    @classmethod
    def of(cls, config: Config, result: Result, rows: Sequence[Mapping[str, float]]) -> "Record":
        """The record of a completed run with this config, result and history (rows as of `read_history`).

        Raises:
            UsageError: They have something that no record holds, or do not agree.
        """
        if [row["epoch"] for row in rows] != [*range(1, len(rows) + 1)]:
            raise UsageError(f"the epochs of its history are not 1 to {len(rows)}")
        if result.origin is not None and not contains_shorter(config):
            raise UsageError("extended, so that its first epochs did not follow the schedule of the whole")
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ()) if name != "epoch"}
        return _record(_typed(config), _kept(result), columns)

    @classmethod
    def of_line(cls, line: bytes) -> "Record":
        """The record that a line (less its line break) holds; nothing that it names is imported or opened.

        Raises:
            Damaged: The line is not as it was written.
            UsageError: It is no record, of another format, or contradicts itself.
        """
        body, mark, rest = line.rpartition(_MARK)
        if not line.startswith(b'{"record":') or not mark:
            raise UsageError("no record")
        if rest != _checksum(body) + b'"}':
            raise Damaged("damaged (its checksum does not match its content)")
        try:
            values = json.loads(body + b"}", parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise Damaged("no JSON") from None
        if values.get("record") != SCHEMA:
            raise UsageError(f"a record of format {values.get('record')!s:.20}, and this dlrun reads format {SCHEMA}")
        record = _record(values.get("config"), values.get("result"), values.get("history"))
        if record._line() != line:
            raise UsageError("not as dlrun writes a record (a field too many, or a number in another form)")
        return record

    def _line(self) -> bytes | None:
        """As `line`; None of numbers that no line can hold."""
        try:
            return self.line()
        except ValueError:
            return None

    def line(self) -> bytes:
        """The record as a line, less its line break: the same bytes for the same values everywhere."""
        values = {
            "record": SCHEMA,
            "config": self.settings,
            "result": _kept(self.result),
            "history": self.history,
        }
        body = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()[:-1]
        return body + _MARK + _checksum(body) + b'"}'

    @functools.cached_property
    def config(self) -> Config:
        """All its settings, defaults included."""
        return replace(_known(_text(self.settings)).config, seed=self.result.seed)

    @property
    def experiment(self) -> str:
        """The hash less the seed: what the runs of one configuration share."""
        return _known(_text(self.settings)).experiment

    @property
    def any_length(self) -> str:
        """The hash less the seed and the number of epochs: see `dlrun.config.schema.contains_shorter`."""
        return _known(_text(self.settings)).any_length

    @property
    def rows(self) -> list[dict[str, float]]:
        """The history as `dlrun.store.history.read_history` gives it."""
        columns = {"epoch": range(1, self.result.epochs + 1), **self.history}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @property
    def environment(self) -> str:
        """What the last bits depend on besides the settings: device, threads, kind of CPU, versions."""
        result = self.result
        versions = sorted(result.versions.items())
        return json.dumps([result.device, result.threads, result.ranks, result.cpu_capability, result.cpu, versions])

    @property
    def numbers(self) -> str:
        """A digest of all that was measured except times: the same for two runs with the same bits."""
        digest = hashlib.sha256(json.dumps(self.result.test).encode())
        for name in sorted(self.history.keys() - TIMES):
            digest.update(name.encode() + array("d", self.history[name]).tobytes())
        return digest.hexdigest()[:16]

    def shortened(self, epochs: int) -> "Record":
        """The run of so many epochs that this one began with, bit for bit; this one itself where it is no longer.

        The time of the whole is then the sum of the epochs.

        Raises:
            ValueError: The first epochs of this run are no run of their own (see `contains_shorter`).
        """
        if epochs == self.config.epochs:
            return self
        if not self.contains(epochs):
            raise ValueError(f"no run of {epochs} epochs in {self.result.hash}")
        history = {name: values[:epochs] for name, values in self.history.items()}
        settings = _typed(replace(self.config, seed=0, epochs=epochs))
        result = replace(
            self.result,
            hash=settle(of_length(self.config, epochs)).hash,
            epochs=epochs,
            train={name: history[f"train_{name}"][-1] for name in ("loss", "accuracy")},
            test={name: history[f"test_{name}"][-1] for name in ("loss", "accuracy")},
            best=_best(history, "test", self.config.best_by),
            seconds={"total": math.fsum(history.get("seconds", ()))},
            images_per_second=history.get("images_per_second", (None,))[-1],
        )
        return Record(settings, result, history)

    def contains(self, epochs: int) -> bool:
        """Whether the first so many epochs are, bit for bit, the run of so many, with its test accuracy."""
        known = "test_accuracy" in self.history and contains_shorter(self.config)
        return epochs == self.config.epochs or (epochs < self.config.epochs and known)


_MARK = b',"checksum":"'


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode()


def _kept(result: Result) -> dict[str, Any]:
    found = {name: _inside(getattr(result, name), keys) for name, keys in KEPT.items()}
    return {name: value for name, value in found.items() if value is not None}


def _inside(value: Any, keys: Sequence[str]) -> Any:
    return {key: value[key] for key in keys if key in value} if keys and isinstance(value, dict) else value


def _best(history: Mapping[str, Sequence[float]], split: str, by: str) -> dict[str, Any]:
    accuracies, losses = history[f"{split}_accuracy"], history[f"{split}_loss"]
    place = accuracies.index(max(accuracies)) if by == "accuracy" else losses.index(min(losses))
    found = {"epoch": place + 1, "accuracy": accuracies[place], "selected_on": split}
    return found if by == "accuracy" else {**found, "loss": losses[place], "by": by}


# --- settings ---------------------------------------------------------------------------------------------


def _typed(config: Config) -> dict[str, Any]:
    """The settings of a config as a record holds them: `optimizer: adam`, `optimizer.lr: 0.01`."""
    values: dict[str, Any] = {}
    for key, value in decisive(replace(config, seed=0)).items():
        if not isinstance(value, dict):
            values[key] = value
            continue
        named = {} if "_target_" in value else value.pop("named", {})
        for name, item in {**value, **named}.items():
            values[key if name == "name" and "_target_" not in value else f"{key}.{name}"] = item
    return values


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `dlrun.config.schema.parse` takes, from `_typed` settings."""
    values: dict[str, Any] = {"scheduler": {"name": Scheduler.name}}
    for key, value in settings.items():
        group, dot, name = key.partition(".")
        if dot or group in ("data", "optimizer", "scheduler"):
            values.setdefault(group, {})[name or "name"] = value
        else:
            values[group] = value
    return values


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, allow_nan=False)


def any_length(config: Config) -> str:
    """The hash that a config has in common with others that differ in seed and number of epochs alone."""
    return settle(replace(config, seed=0, epochs=1)).hash


@dataclass(frozen=True)
class _Known:
    config: Config
    experiment: str
    any_length: str


@functools.lru_cache(maxsize=1000)
def _known(settings: str) -> _Known:
    """The config with seed 0 and its hashes, from the settings as JSON: many lines share theirs.

    Raises:
        UsageError: They are no settings of dlrun's, or not as `_typed` gives them.
    """
    values = json.loads(settings)
    for text in _texts(values):
        _refuse_private(text)
    try:
        config = parse(as_meant(_nested(values)))
        if config.precision == "auto" or config.scale_lr:
            raise ConfigError("precision=auto or scale_lr=true")
        known = _Known(config, settle(config).hash, any_length(config))
    except (ConfigError, TypeError, AttributeError) as error:
        raise UsageError(f"its config is none of dlrun's: {visible(str(error))[:200]}") from None
    if _text(_typed(config)) != settings:
        raise UsageError("its config is not written as dlrun writes it")
    return known


# --- checks -----------------------------------------------------------------------------------------------


def _record(settings: Any, values: Any, history: Any) -> Record:
    """The record of these plain values if they are whole and agree with each other.

    Raises:
        UsageError: They are not, or do not; the message says where.
    """
    if not all(isinstance(part, dict) for part in (settings, values, history)):
        raise UsageError("no record: config, result or history is missing")
    for text in _texts([values, list(history)]):
        _refuse_private(text)
    result = Result(
        **checked({**dict.fromkeys(KEPT), **values, "status": Status.COMPLETED, "name": "", "overrides": []}, "result")
    )
    record = Record(settings, result, history)
    _check_numbers(record)
    _check_agreement(record)
    return record


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


_PATH = re.compile(r"\s*(?:/|~|\\\\|[A-Za-z]:[\\/]|file:)|.*(?:/home/|/Users/|\\Users\\)")


@functools.lru_cache(maxsize=10_000)
def _refuse_private(text: str) -> None:
    """A record holds no paths, which tell names of people and machines, and nothing that a terminal obeys."""
    if visible(text) != text:
        raise UsageError(f"{visible(text)[:60]}: no record holds control characters")
    if _PATH.match(text):
        raise UsageError(f"{text[:60]}: no record holds a path, as it can tell names of people and machines")


def _check_numbers(record: Record) -> None:
    """Types and ranges that `dlrun.store.result.checked` leaves open, and the shape of the history.

    Raises:
        UsageError: Something is not as a run writes it.
    """
    result, history = record.result, record.history
    metrics = [values for values in (result.train, result.test, result.best) if values]
    fractions = [values["accuracy"] for values in metrics]
    problems = {
        "data": not _is_data(result.data),
        "versions": not all(isinstance(text, str) for text in result.versions.values()),
        "git": result.git is not None and not _is_commit(result.git),
        "origin": result.origin is not None and type(result.origin.get("epochs")) is not int,
        "hash": not re.fullmatch("[0-9a-f]{8}", result.hash),
        "train, test or best": not all(0 <= one <= 1 for one in fractions) or None in (result.train, result.test),
        "history": not history or not all(_is_column(values, result.epochs) for values in history.values()),
        "a number": any(abs(number) > LARGEST for number in _numbers(vars(result))),
    }
    wrong = [name for name, is_wrong in problems.items() if is_wrong]
    if wrong:
        raise UsageError(f"wrong or missing in it: {', '.join(wrong)}")


def _is_data(data: Mapping[str, Any]) -> bool:
    texts = all(isinstance(data.get(name), str) and data[name] for name in ("name", "fingerprint"))
    return texts and isinstance(data.get("verified"), bool)


def _is_commit(git: Mapping[str, Any]) -> bool:
    commit = git.get("commit")
    return isinstance(commit, str) and bool(re.fullmatch("[0-9a-f]{40,64}", commit)) and type(git.get("dirty")) is bool


def _no_number(text: str) -> float:
    raise ValueError(text)


def _is_column(values: Any, epochs: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == epochs > 0
        and set(map(type, values)) <= {int, float}
        and all(-LARGEST <= value <= LARGEST for value in values)
    )


def _numbers(values: Mapping[str, Any]) -> Iterator[float]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _numbers(value)
        elif isinstance(value, int | float) and name != "seed":
            yield value


def _check_agreement(record: Record) -> None:
    """The hash is that of the config; the result's numbers are those of the history.

    Raises:
        UsageError: Something contradicts something else.
    """
    config, result, history = record.config, record.result, record.history
    hash = settle(config).hash
    if result.hash != hash:
        raise UsageError(f"its hash {result.hash} is not that of its config ({hash} as this dlrun computes it)")
    split = result.best.get("selected_on") if result.best else None
    known = {f"{split}_accuracy", f"{split}_loss"} <= history.keys()
    agreements = {
        "precision": result.precision == config.precision,
        "data": not isinstance(config.data, Data) or result.data["name"] == config.data.name,
        "epochs": result.epochs == config.epochs or (config.early_stopping and result.epochs < config.epochs),
        "train": result.train == _last(history, "train"),
        "test": _last(history, "test") in (None, result.test),
        "best": known and result.best == _best(history, str(split), config.best_by),
    }
    wrong = [name for name, agrees in agreements.items() if not agrees]
    if wrong:
        raise UsageError(f"contradicts itself in: {', '.join(wrong)}")


def _last(history: Mapping[str, Sequence[float]], split: str) -> dict[str, float] | None:
    names = ("loss", "accuracy")
    if not all(f"{split}_{name}" in history for name in names):
        return None
    return {name: history[f"{split}_{name}"][-1] for name in names}
