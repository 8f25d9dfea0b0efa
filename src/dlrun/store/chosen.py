"""Which runs are meant: by words, tags, names and dates, wherever runs are listed or compared."""

import datetime
import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dlrun.errors import UsageError, did_you_mean, nearest
from dlrun.output import few, plain_text
from dlrun.store.scan import Run

UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
PARTS = ("data", "model", "optimizer", "scheduler")
"""What a run calls by the option chosen, see `Run.names`."""
ABOUT = ("name", "tag", "status", "hash", *PARTS)
"""Keys of a word that are no fields, or say more than the field does."""


@dataclass(frozen=True)
class Chosen:
    """What a run must be; what is left empty asks nothing. Tags, names and values may be patterns such as `first*`."""

    words: Sequence[str] = ()
    """`KEY=VALUE` of a field or one of `ABOUT`, or a text that stands in what the run is called."""
    tags: Sequence[str] = ()
    """All of them."""
    name: str | None = None
    since: datetime.datetime | None = None

    def of(self, runs: Iterable[Run]) -> list[Run]:
        """The runs that are all of this.

        Raises:
            UsageError: A word names a field that no run has.
        """
        known = list(runs)
        _check_keys(self.words, known)
        return [run for run in known if self._fits(run)]

    def _fits(self, run: Run) -> bool:
        return (
            (self.since is None or run.changed >= self.since.timestamp())
            and all(_is_among(tag, run.tags) for tag in self.tags)
            and (self.name is None or _is_among(self.name, [run.name]))
            and all(_has(run, word) for word in self.words)
        )

    def missed(self, runs: Sequence[Run]) -> str:
        """Why none of these runs is meant: the tag, name or word that none has, and what there is."""
        for tag in self.tags:
            there = {one for run in runs for one in run.tags}
            if not _is_among(tag, there):
                return f"no run has the tag {tag}{_nearest(tag, there)}"
        names = {run.name for run in runs}
        if self.name is not None and not _is_among(self.name, names):
            return f"no run has the name {self.name}{_nearest(self.name, names)}"
        for word in self.words:
            if not any(_has(run, word) for run in runs):
                there = {text for run in runs for text in (*run.names.values(), *run.tags, run.status)}
                near = nearest(word, there)
                return f"no run has {word}{f'; did you mean {near}?' if near else ''}"
        return "no run has all of that"


def since(text: str) -> datetime.datetime:
    """A date (`2026-11-20`, `2026-11-20 14:30`, `today`, `yesterday`) or a time ago (`3d`, `2h`, `30min`, `1w`).

    Raises:
        UsageError: It is neither.
    """
    now = datetime.datetime.now().astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("today", "yesterday"):
        return midnight - datetime.timedelta(days=text == "yesterday")
    try:
        if ago := re.fullmatch(r"(\d+(?:\.\d+)?) ?(min|h|d|w)", text):
            return now - datetime.timedelta(**{UNITS[ago[2]]: float(ago[1])})
        date = datetime.datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {text}: expected a date as 2026-11-20 or today, or a time ago as 3d, 2h, 30min, 1w"
        ) from None
    return date if date.tzinfo else date.astimezone()


def _is_among(pattern: str, texts: Iterable[str]) -> bool:
    return any(text == pattern or fnmatch.fnmatchcase(text, pattern) for text in texts)


def _nearest(text: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = nearest(text, names)
    return f"; did you mean {near}?" if near else f"; there are: {few(names, 10)}" if names else ""


def _has(run: Run, word: str) -> bool:
    key, equals, value = word.partition("=")
    if equals:
        return _is_among(value, _texts(run, key))
    called = (run.name, str(run.folder), run.status, *run.names.values(), *run.tags, run.date, _hash(run))
    return any(word.casefold() in text.casefold() for text in called)


def _texts(run: Run, key: str) -> list[str]:
    """What a run has under a key: its field, what it is called, each of its tags."""
    if key in ("tag", "tags"):
        return list(run.tags)
    own: dict[str, Any] = {"name": run.name, "status": run.status, "hash": _hash(run), **run.names}
    found = [own[key]] if key in own else [value for name, value in run.fields.items() if _is_called(name, key)]
    return ["null" if value is None else plain_text(value) for value in found]


def _is_called(name: str, key: str) -> bool:
    """Whether a field is meant, in full or by its last part."""
    return name == key or name.rpartition(".")[2] == key


def _hash(run: Run) -> str:
    return run.result.hash if run.result is not None else ""


def _check_keys(words: Iterable[str], runs: Sequence[Run]) -> None:
    """A key that no run has is a slip, unlike a value."""
    known = {name for run in runs for name in run.fields}
    for key in (word.partition("=")[0] for word in words if "=" in word):
        if runs and key not in (*ABOUT, "tags") and not any(_is_called(name, key) for name in known):
            raise UsageError(f"{key}: no such field{did_you_mean(key, {*known, *ABOUT})}")
