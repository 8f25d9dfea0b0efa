"""A published table as a file: read, checked and named precisely where it is wrong (no torch)."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from dlrun.compose import config_folders
from dlrun.errors import ConfigError, UsageError, did_you_mean
from dlrun.tables.overrides import merged, read_overrides, shortened

METRICS = ("test_accuracy", "best_accuracy")
DIRECTIONS = ("higher", "lower")
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Published:
    """The numbers printed for one row; None where the source prints none. Accuracies are fractions 0-1."""

    test_accuracy: float | None = None
    """On the test set after the last epoch."""
    best_accuracy: float | None = None
    """The largest of all epochs, so selected on the test set."""
    train_accuracy: float | None = None
    test_loss: float | None = None
    train_loss: float | None = None
    best_epoch: float | None = None


@dataclass(frozen=True)
class Row:
    """One printed row and the overrides that stand for it, those of the whole table included."""

    number: int
    """From 1, in the order of the file."""
    label: str
    overrides: tuple[str, ...]
    published: Published
    note: str


@dataclass(frozen=True)
class Lesson:
    """A claim: the first row's metric is `higher` or `lower` than the second's."""

    claim: str
    rows: tuple[str, str]
    direction: str


@dataclass(frozen=True)
class Table:
    """A published table: rows, what they rest on, and what the source concludes from them."""

    name: str
    path: Path
    title: str
    document: str
    heading: str
    metric: str
    """What rows are ordered and lessons judged by: one of `METRICS`."""
    digits: int
    """Decimals of the fraction, as printed (97.5 % has 3)."""
    seeds: int
    precisions: tuple[str, ...]
    """What may fill a row, the first that has results; none: the row's own precision alone."""
    rows: tuple[Row, ...]
    lessons: tuple[Lesson, ...]

    @property
    def shown_path(self) -> str:
        """The file as the user would type it."""
        return _shown(self.path)


def available() -> dict[str, Path]:
    """The tables there are: those shipped and those in `configs/table` of the working directory.

    Raises:
        ConfigError: One of the user's own has the name of a shipped one and another content.
    """
    found: dict[str, Path] = {}
    for folder in config_folders():
        for path in sorted((folder / "table").glob("*.yaml")):
            shipped = found.setdefault(path.stem, path)
            if shipped.read_bytes() != path.read_bytes():
                raise ConfigError(f"{path}: dlrun ships another table of this name; give yours a name of its own")
    return found


def load(name: str) -> Table:
    """Read and check the table of that name.

    Raises:
        UsageError: There is no such table.
        ConfigError: The file is wrong; the message names file, row and key.
    """
    tables = available()
    if name not in tables:
        raise UsageError(f"{name}: no such table{did_you_mean(name, tables)}")
    return read(tables[name])


def read(path: Path) -> Table:
    """Read and check one table file.

    Raises:
        ConfigError: The file is wrong; the message names file, row and key.
    """
    try:
        return _table(path, _parse(path))
    except ConfigError as error:
        raise ConfigError(f"{_shown(path)}: {error}") from None


def _table(path: Path, values: Any) -> Table:
    top = _keys(values, _TOP, ("title", "source", "digits", "rows"), "")
    source = _keys(top["source"], {"document": str, "heading": str}, ("document", "heading"), "source.")
    common = read_overrides(top.get("common", {}), "common")
    rows = tuple(_row(number, item, common) for number, item in enumerate(top["rows"], start=1))
    _refuse_repeated(rows)
    lessons = tuple(_lesson(number, item, rows) for number, item in enumerate(top.get("lessons", []), start=1))
    if not rows:
        raise ConfigError("rows: there are none")
    return Table(
        name=path.stem,
        path=path,
        title=top["title"],
        document=source["document"],
        heading=source["heading"],
        metric=_one_of(top.get("metric", "test_accuracy"), METRICS, "metric"),
        digits=_between(top["digits"], 0, 8, "digits"),
        seeds=_between(top.get("seeds", 3), 1, 1000, "seeds"),
        precisions=tuple(_one_of(item, PRECISIONS, "precisions") for item in top.get("precisions", [])),
        rows=rows,
        lessons=lessons,
    )


_Kinds = Mapping[str, type | tuple[type, ...]]

_TOP: _Kinds = {
    "title": str,
    "source": dict,
    "metric": str,
    "digits": int,
    "seeds": int,
    "precisions": list,
    "common": (dict, list),
    "rows": list,
    "lessons": list,
}
_ROW: _Kinds = {"label": str, "overrides": (dict, list), "published": (dict, type(None)), "note": str}
_PUBLISHED: _Kinds = {item.name: (int, float, type(None)) for item in fields(Published)}
_LESSON: _Kinds = {"claim": str, "rows": list, "direction": str}
_NAMES = {str: "text", dict: "keys with values", list: "a list", int: "a whole number", float: "a number"}


def _row(number: int, values: Any, common: tuple[str, ...]) -> Row:
    label = values.get("label") if isinstance(values, dict) else None
    where = f"row {number}" + (f" ({label})" if isinstance(label, str) else "")
    try:
        row = _keys(values, _ROW, ("label", "overrides", "published"), "")
        overrides = merged(common, read_overrides(row["overrides"], "overrides"))
        published = _published(row["published"] or {})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return Row(number, row["label"], overrides, published, row.get("note", ""))


def _published(values: Any) -> Published:
    numbers = _keys(values, _PUBLISHED, (), "published.")
    for key, value in numbers.items():
        low, high = (0, 1) if key.endswith("accuracy") else (0, 1_000_000)
        if value is not None and not low <= value <= high:
            hint = f"; a fraction: {value / 100:g}" if 1 < value <= 100 else ""
            raise ConfigError(f"published.{key}={value:g}: expected a number from {low} to {high}{hint}")
    return Published(**numbers)


def _lesson(number: int, values: Any, rows: Sequence[Row]) -> Lesson:
    where = f"lesson {number}"
    lesson = _keys(values, _LESSON, ("claim", "rows", "direction"), f"{where}: ")
    labels = [row.label for row in rows]
    pair = lesson["rows"]
    if len(pair) != 2 or not all(isinstance(label, str) for label in pair):
        raise ConfigError(f"{where}: rows: expected two labels of rows")
    for label in pair:
        if label not in labels:
            raise ConfigError(f"{where}: rows: no row is labelled {label!r}{did_you_mean(label, labels)}")
    return Lesson(lesson["claim"], (pair[0], pair[1]), _one_of(lesson["direction"], DIRECTIONS, f"{where}: direction"))


def _refuse_repeated(rows: Sequence[Row]) -> None:
    first: dict[str, int] = {}
    for row in rows:
        if row.label in first:
            raise ConfigError(f"row {row.number} ({row.label}): label: row {first[row.label]} has it already")
        first[row.label] = row.number


def _keys(values: Any, kinds: _Kinds, required: Sequence[str], where: str) -> dict[str, Any]:
    """The values of a mapping whose keys and types are as they should be."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where.rstrip('.: ') or 'content'}: expected keys with values, got {shortened(values)}")
    for key, value in values.items():
        if key not in kinds:
            raise ConfigError(f"{where}{key}: no such key{did_you_mean(str(key), kinds)}")
        expected = kinds[key] if isinstance(kinds[key], tuple) else (kinds[key],)
        if not isinstance(value, expected) or isinstance(value, bool):
            names = " or ".join(_NAMES[kind] for kind in expected if kind in _NAMES)  # type: ignore[union-attr]
            raise ConfigError(f"{where}{key}: expected {names}, got {shortened(value)}")
    for key in required:
        if key not in values:
            raise ConfigError(f"{where}{key}: missing")
    return values


def _one_of(value: str, choices: Sequence[str], where: str) -> str:
    if value not in choices:
        raise ConfigError(f"{where}={shortened(value)}: expected one of {', '.join(choices)}")
    return value


def _between(value: int, low: int, high: int, where: str) -> int:
    if not low <= value <= high:
        raise ConfigError(f"{where}={value}: expected a whole number from {low} to {high}")
    return value


def _shown(path: Path) -> str:
    """The path as the user would type it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


# --- reading ----------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, which YAML itself would settle silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value.__hash__ and key_node.value in seen:
                raise ConfigError(f"line {key_node.start_mark.line + 1}: {key_node.value}: given twice")
            if isinstance(key_node, yaml.ScalarNode):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"can't be read ({type(error).__name__})") from None
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{line}no YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"no YAML ({type(error).__name__})") from None


def choose(table: Table, rows: str | None) -> tuple[Row, ...]:
    """The rows that `--rows` asks for, all of them by default, in the order of the table.

    Raises:
        UsageError: It can't be read, or names a row that is not there.
    """
    if rows is None:
        return table.rows
    wanted: set[int] = set()
    for part in rows.split(","):
        found = re.fullmatch(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?", part, re.ASCII)
        if not found:
            raise UsageError(f"--rows {rows}: can't be read; write numbers and ranges such as 1-4,7")
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= len(table.rows):
            raise UsageError(f"--rows {part.strip()}: {table.name} has rows 1 to {len(table.rows)}")
        wanted.update(range(first, last + 1))
    return tuple(row for row in table.rows if row.number in wanted)
