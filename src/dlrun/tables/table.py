"""A published table as a file: read, checked and named precisely where it is wrong (no torch)."""

import logging
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from dlrun.config.compose import config_folders
from dlrun.config.overrides import merged, overrides_from, shortened
from dlrun.config.yaml_numbers import refuse_misread, shown
from dlrun.errors import ConfigError, UsageError, did_you_mean

log = logging.getLogger("dlrun")

METRICS = ("test_accuracy", "best_accuracy", "val_accuracy")
DIRECTIONS = ("higher", "lower", "not better")
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Published:
    """The numbers printed for one row; None where the source prints none. Accuracies are fractions 0-1."""

    test_accuracy: float | None = None
    """On the test set after the last epoch."""
    best_accuracy: float | None = None
    """The largest of all epochs, so selected on the test set."""
    val_accuracy: float | None = None
    """On held-out images after the last epoch."""
    train_accuracy: float | None = None
    test_loss: float | None = None
    train_loss: float | None = None
    best_epoch: float | None = None
    curve: tuple[float, ...] = ()
    """Test accuracy of every epoch, from the first."""
    n: int = 1
    """Runs that the numbers are means of."""
    std: float | None = None
    """Standard deviation of the table's metric over these runs."""
    ddof: int = 1
    """What was subtracted from n in it: 1, or 0."""
    cut: bool = False
    """Whether further decimals were cut off instead of rounded."""
    images: int | None = None
    """Size of the source's test set, where it is another than the one measured on."""
    shared: bool = False
    """Whether the smaller of the two test sets is a part of the larger one."""
    as_error: bool = False
    """Whether the source prints the test accuracy as an error rate."""
    decimals: tuple[tuple[str, int], ...] = ()
    """Of the losses, how many are printed."""

    def digits_of(self, name: str, of_row: int) -> int:
        """Decimals that are printed of a number; `of_row` are those of the row's accuracies."""
        return 0 if name == "best_epoch" else dict(self.decimals).get(name, of_row)


@dataclass(frozen=True)
class Reference:
    """A row by its table's name and its label."""

    table: str
    label: str


@dataclass(frozen=True)
class Citation:
    """Where numbers are printed."""

    document: str
    heading: str


@dataclass(frozen=True)
class Row:
    """One printed row and the overrides that stand for it, those of the whole table included."""

    number: int
    """From 1, in the order of the file."""
    label: str
    overrides: tuple[str, ...]
    published: Published
    note: str
    more: tuple[Published, ...] = ()
    """Where the source prints the same experiment several times: what else it prints."""
    table: str = ""
    """Name of the table that it stands in."""
    digits: int = 4
    """Decimals of its printed fractions."""
    source: Citation | None = None
    """Where the row has one of its own."""
    margin: float | None = None
    """A difference below it does not matter (None: what half of the published error rate allows)."""
    margin_reason: str = ""
    deterministic: bool = False
    """Whether no chance enters, so that one run says all."""
    parameters: int | None = None
    """Parameters of the network as printed."""
    same_as: Reference | None = None
    """A row that computes the same: its runs stand for this one, too."""
    elsewhere: tuple[Published, ...] = ()
    """What that row prints."""
    reading_of: Reference | None = None
    """A row whose printed number this one reads in another way; that one is the main reading."""
    reading: str = ""
    """Name of the reading. One reading is judged over all rows that have it (see `dlrun.tables.readings`)."""
    epochs_printed: bool = True
    """Whether the source says how long it trained."""
    looked_into: str = ""
    """What was found where the row differs."""

    @property
    def printed_in(self) -> Reference:
        """The row whose printed number it is held against: mostly itself."""
        return self.reading_of or Reference(self.table, self.label)


@dataclass(frozen=True)
class Lesson:
    """A claim: the first row's metric is `higher` or `lower` than the second's, or `not better`."""

    claim: str
    rows: tuple[Reference, Reference]
    direction: str
    margin: float = 0.0
    """Of `not better`: by less than this, a fraction."""


@dataclass(frozen=True)
class PublishedTable:
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
    rows: tuple[Row, ...]
    lessons: tuple[Lesson, ...]
    precisions: tuple[str, ...] = ()
    """What may fill a row, the first that has results; none: the row's own precision alone."""
    others: tuple[Row, ...] = ()
    """Rows of other tables that lessons name; their numbers go on from those of the table's own."""

    @property
    def shown_path(self) -> str:
        """The file as the user would type it."""
        return shown(self.path)


def available() -> dict[str, Path]:
    """The tables there are: those shipped and those in `configs/table` of the working directory.

    Raises:
        ConfigError: One of the user's own has the name of a shipped one and another content.
    """
    found: dict[str, Path] = {}
    for folder in config_folders():
        # Editors put links and hidden files beside what they have open.
        for path in sorted(path for path in (folder / "table").glob("[!.]*.yaml") if path.is_file()):
            shipped = found.setdefault(path.stem, path)
            if shipped.read_bytes() != path.read_bytes():
                raise ConfigError(f"{path}: dlrun ships another table of this name; give yours a name of its own")
    return found


def load(name: str) -> PublishedTable:
    """Read and check the table of that name.

    Raises:
        UsageError: There is no such table.
        ConfigError: The file is wrong; the message names file, row and key.
    """
    tables = available()
    if name not in tables:
        raise UsageError(f"{name}: no such table{did_you_mean(name, tables)}")
    return read(tables[name])


def load_all() -> list[PublishedTable]:
    """The tables there are, by name; what has been begun and not filled in is left out, which is said.

    Raises:
        ConfigError: A file is wrong.
    """
    found = []
    for one in map(load, sorted(available())):
        if all(row.overrides for row in one.rows):
            found.append(one)
        else:
            log.warning("%s: left out, as it is not filled in yet; dlrun table check %s", one.shown_path, one.name)
    return found


def read(path: Path) -> PublishedTable:
    """Read and check one table file.

    Raises:
        ConfigError: The file is wrong; the message names file, row and key.
    """
    try:
        return _table(path, _parse(path))
    except ConfigError as error:
        raise ConfigError(f"{shown(path)}: {error}") from None


def of_text(path: Path, text: str) -> PublishedTable:
    """Check a table that a file of this name is to hold.

    Raises:
        ConfigError: It is wrong; the message names row and key.
    """
    return _table(path, _values(text))


def _table(path: Path, values: Any) -> PublishedTable:
    rows, top = _own_rows(path, values)
    source = _source(top["source"], "source.")
    found = _Rows(path.stem, rows)
    rows = tuple(_resolved(row, found) for row in rows)
    _check_readings(rows)
    lessons = tuple(_lesson(number, item, found) for number, item in enumerate(top.get("lessons", []), start=1))
    named = {reference for lesson in lessons for reference in lesson.rows if reference.table != path.stem}
    return PublishedTable(
        name=path.stem,
        path=path,
        title=top["title"],
        document=source.document,
        heading=source.heading,
        metric=_one_of(top.get("metric", "test_accuracy"), METRICS, "metric"),
        digits=top["digits"],
        seeds=_between(top.get("seeds", 3), 1, 1000, "seeds"),
        rows=rows,
        lessons=lessons,
        precisions=_precisions(top.get("precisions", [])),
        others=_others(found, named, len(rows)),
    )


def _check_readings(rows: Sequence[Row]) -> None:
    """No printed number has two readings of one name."""
    first: dict[tuple[Reference, str], int] = {}
    for row in rows:
        if row.reading and (other := first.setdefault((row.printed_in, row.reading), row.number)) != row.number:
            raise ConfigError(f"row {row.number} ({row.label}): reading: row {other} reads the same number so")


def _others(found: "_Rows", named: Iterable[Reference], after: int) -> tuple[Row, ...]:
    """Rows of other tables, with numbers that go on from those of this one."""
    rows = [found.row(reference) for reference in sorted(named, key=lambda one: (one.table, one.label))]
    return tuple(replace(row, number=number) for number, row in enumerate(rows, start=after + 1))


def _own_rows(path: Path, values: Any) -> tuple[tuple[Row, ...], dict[str, Any]]:
    """The rows as the file has them, other rows not looked at, and the file's top."""
    top = _keys(values, _TOP, ("title", "source", "digits", "rows"), "")
    common = overrides_from(top.get("common", {}), "common")
    defaults = {"digits": _between(top["digits"], 0, 8, "digits"), **_margin(top)}
    rows = tuple(
        replace(_row(number, item, common, defaults), table=path.stem) for number, item in enumerate(top["rows"], 1)
    )
    if not rows:
        raise ConfigError("rows: there are none")
    first: dict[str, int] = {}
    for row in rows:
        if row.label in first:
            raise ConfigError(f"row {row.number} ({row.label}): label: row {first[row.label]} has it already")
        first[row.label] = row.number
    return rows, top


_Kinds = Mapping[str, type | tuple[type, ...]]

_TOP: _Kinds = {
    "title": str,
    "source": dict,
    "metric": str,
    "digits": int,
    "seeds": int,
    "precisions": list,
    "margin": dict,
    "common": (dict, list),
    "rows": list,
    "lessons": list,
}
_ROW: _Kinds = {
    "label": str,
    "overrides": (dict, list),
    "published": (dict, list, type(None)),
    "note": str,
    "digits": int,
    "source": dict,
    "margin": dict,
    "deterministic": bool,
    "parameters": int,
    "same_as": (str, dict),
    "reading_of": (str, dict),
    "reading": str,
    "epochs_printed": bool,
    "looked_into": str,
}
READ = ("as_error", "decimals")
"""What is known of how the numbers of a row are typed: no keys of their own."""
_NUMBER = (int, float, type(None))
_PUBLISHED: _Kinds = {
    **{item.name: _NUMBER for item in fields(Published) if item.name not in READ},
    "test_error": _NUMBER,
    "curve": list,
    "n": int,
    "ddof": int,
    "cut": bool,
    "images": int,
    "shared": bool,
}
_LESSON: _Kinds = {"claim": str, "rows": list, "direction": str, "margin": (int, float)}
_NAMES = {
    str: "text",
    dict: "keys with values",
    list: "a list",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def _row(number: int, values: Any, common: tuple[str, ...], defaults: Mapping[str, Any]) -> Row:
    label = values.get("label") if isinstance(values, dict) else None
    where = f"row {number}" + (f" ({label})" if isinstance(label, str) else "")
    try:
        row = _keys(values, _ROW, ("label",), "")
        for key, instead in (("overrides", "same_as"), ("published", "reading_of")):
            if (key in row) == (instead in row):
                raise ConfigError(f"{key}: missing" if key not in row else f"{instead}: takes the place of {key}")
        overrides = merged(common, overrides_from(row["overrides"], "overrides")) if "overrides" in row else ()
        _check_decimals(row.get("published"), {**defaults, **_digits(row)}["digits"])
        first, *more = _printed(row.get("published"))
        return Row(
            number,
            row["label"],
            overrides,
            first,
            row.get("note", ""),
            more=tuple(more),
            source=_source(row["source"], "source.") if "source" in row else None,
            deterministic=row.get("deterministic", False),
            parameters=_between(row["parameters"], 1, 10**12, "parameters") if "parameters" in row else None,
            same_as=_reference(row.get("same_as"), "same_as"),
            reading_of=_reference(row.get("reading_of"), "reading_of"),
            reading=row.get("reading", ""),
            epochs_printed=row.get("epochs_printed", True),
            looked_into=row.get("looked_into", ""),
            **{**defaults, **_margin(row), **_digits(row)},
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _check_decimals(printed: Any, digits: int) -> None:
    """No accuracy is given with more decimals than are printed."""
    for values in printed if isinstance(printed, list) else [printed]:
        for key, value in values.items() if isinstance(values, dict) else ():
            for number in value if isinstance(value, list) else [value]:
                if key in (*METRICS, "test_error", "curve") and isinstance(number, _Typed) and number.decimals > digits:
                    raise ConfigError(f"published.{key}={number}: {number.decimals} decimals, and digits says {digits}")


def _digits(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"digits": _between(row["digits"], 0, 8, "digits")} if "digits" in row else {}


def _margin(values: Mapping[str, Any]) -> dict[str, Any]:
    if "margin" not in values:
        return {}
    margin = _keys(values["margin"], {"value": (int, float), "reason": str}, ("value", "reason"), "margin.")
    return {"margin": _fraction(margin["value"], "margin.value"), "margin_reason": margin["reason"]}


def _source(values: Any, where: str) -> Citation:
    source = _keys(values, {"document": str, "heading": str}, ("document", "heading"), where)
    return Citation(source["document"], source["heading"])


def _precisions(values: Sequence[Any]) -> tuple[str, ...]:
    found = tuple(_one_of(value, PRECISIONS, "precisions") for value in values)
    if len(set(found)) < len(found):
        raise ConfigError("precisions: one is given twice")
    return found


def _printed(values: Any) -> list[Published]:
    """What a row prints; of a list the main one first."""
    if not isinstance(values, list):
        return [_published(values or {}, "published.")]
    if not values:
        raise ConfigError("published: expected keys with values, a list of them, or null")
    return [_published(item, f"published {number}: ") for number, item in enumerate(values, start=1)]


def _published(values: Any, where: str) -> Published:
    numbers = dict(_keys(values, _PUBLISHED, (), where))
    for key, value in numbers.items():
        if _PUBLISHED[key] is _NUMBER and value is not None:
            _fraction(value, where + key, 1 if key.endswith(("accuracy", "error")) or key == "std" else 1_000_000)
    for place, value in enumerate(numbers.get("curve", []), start=1):
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ConfigError(f"{where}curve: number {place}: expected a number, got {shortened(value)}")
        _fraction(value, f"{where}curve: number {place}")
    if "curve" in numbers:
        numbers["curve"] = tuple(numbers["curve"])
        numbers.setdefault("test_accuracy", numbers["curve"][-1] if numbers["curve"] else None)
    if "test_error" in numbers:
        if "test_accuracy" in numbers:
            raise ConfigError(f"{where}test_error: test_accuracy is given, too; write the one that is printed")
        error = numbers.pop("test_error")
        numbers["test_accuracy"] = None if error is None else round(1 - error, 12)
        numbers["as_error"] = True
    losses = ((name, numbers.get(name)) for name in ("train_loss", "test_loss"))
    numbers["decimals"] = tuple((name, value.decimals) for name, value in losses if isinstance(value, _Typed))
    _between(numbers.get("n", 1), 1, 1_000_000, f"{where}n")
    _between(numbers.get("ddof", 1), 0, 1, f"{where}ddof")
    _between(numbers.get("images", 1), 1, 10**9, f"{where}images")
    if "shared" in numbers and "images" not in numbers:
        raise ConfigError(f"{where}shared: with how many images? Give images")
    if numbers.get("std") is not None and numbers.get("n", 1) < 2:
        raise ConfigError(f"{where}std: of how many runs? Give n, 2 or more")
    return Published(**numbers)


def _fraction(value: float, where: str, high: float = 1) -> float:
    if not 0 <= value <= high:
        hint = f"; a fraction: {value / 100:g}" if high == 1 and 1 < value <= 100 else ""
        raise ConfigError(f"{where}={value:g}: expected a number from 0 to {high}{hint}")
    return value


# --- rows that name rows ----------------------------------------------------------------------------------


def _reference(value: Any, where: str) -> Reference | None:
    """What a row or lesson names: a label of its own table (the table's name left empty), or both."""
    if value is None or isinstance(value, str):
        return None if value is None else Reference("", value)
    named = _keys(value, {"table": str, "row": str}, ("table", "row"), f"{where}.")
    return Reference(named["table"], named["row"])


_OF_NUMBER = ("published", "more", "digits", "margin", "margin_reason", "epochs_printed", "source")
"""What a row that reads a printed number anew has of the row that prints it."""


class _Rows:
    """The rows of one table and, as they are asked for, those of others."""

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        self._name = name
        self._tables = {name: {row.label: row for row in rows}}

    def named(self, reference: Reference) -> Reference:
        """With the table's name where only the label was given."""
        return replace(reference, table=reference.table or self._name)

    def row(self, reference: Reference) -> Row:
        """The row itself.

        Raises:
            ConfigError: There is no such table or row, or its file is wrong.
        """
        reference = self.named(reference)
        if reference.table not in self._tables:
            tables = available()
            if reference.table not in tables:
                raise ConfigError(f"no table is called {reference.table!r}{did_you_mean(reference.table, tables)}")
            path = tables[reference.table]
            try:
                own, _ = _own_rows(path, _parse(path))
            except ConfigError as error:
                raise ConfigError(f"{shown(path)}: {error}") from None
            self._tables[reference.table] = {row.label: row for row in own}
        rows = self._tables[reference.table]
        if reference.label not in rows:
            raise ConfigError(f"no row is labelled {reference.label!r}{did_you_mean(reference.label, rows)}")
        return rows[reference.label]


def _resolved(row: Row, rows: _Rows) -> Row:
    """With the overrides of the row that computes the same, and what is printed for the one that it reads anew."""
    for key, reference in (("same_as", row.same_as), ("reading_of", row.reading_of)):
        if reference is None:
            continue
        try:
            other = rows.row(reference)
            if getattr(other, key) or other == row:
                raise ConfigError(f"{other.label}: names another row itself; name that one")
        except ConfigError as error:
            raise ConfigError(f"row {row.number} ({row.label}): {key}: {error}") from None
        if key == "same_as":
            printed = (other.published, *other.more)
            row = replace(row, overrides=other.overrides, same_as=rows.named(reference), elsewhere=printed)
        else:
            row = replace(row, reading_of=rows.named(reference), **{name: getattr(other, name) for name in _OF_NUMBER})
    return row


def _lesson(number: int, values: Any, rows: _Rows) -> Lesson:
    where = f"lesson {number}"
    lesson = _keys(values, _LESSON, ("claim", "rows", "direction"), f"{where}: ")
    pair = lesson["rows"]
    if len(pair) != 2 or not all(isinstance(label, str | dict) for label in pair):
        raise ConfigError(f"{where}: rows: expected two labels of rows")
    try:
        named = [rows.named(_reference(one, "rows") or Reference("", "")) for one in pair]
        for reference in named:
            if rows.row(reference).same_as and reference.table != rows.named(Reference("", "")).table:
                raise ConfigError(f"{reference.label}: names another row itself; name that one")
    except ConfigError as error:
        raise ConfigError(f"{where}: rows: {error}") from None
    if named[0] == named[1]:
        raise ConfigError(f"{where}: rows: {named[0].label} stands against itself; expected two rows")
    direction = _one_of(lesson["direction"], DIRECTIONS, f"{where}: direction")
    if (direction == "not better") != ("margin" in lesson):
        problem = "missing: not better by how much?" if direction == "not better" else "only of not better"
        raise ConfigError(f"{where}: margin: {problem}")
    margin = _fraction(lesson.get("margin", 0), f"{where}: margin")
    return Lesson(lesson["claim"], (named[0], named[1]), direction, margin)


def _keys(values: Any, kinds: _Kinds, required: Sequence[str], where: str) -> dict[str, Any]:
    """The values of a mapping whose keys and types are as they should be."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where.rstrip('.: ') or 'content'}: expected keys with values, got {shortened(values)}")
    for key, value in values.items():
        if key not in kinds:
            raise ConfigError(f"{where}{key}: no such key{did_you_mean(str(key), kinds)}")
        kind = kinds[key]
        expected = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
            names = " or ".join(_NAMES[kind] for kind in expected if kind in _NAMES)
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


# --- reading ----------------------------------------------------------------------------------------------


class _Typed(float):
    """A number that knows how many decimals were typed: 0.020 has three."""

    decimals: int

    @classmethod
    def read(cls, loader: yaml.SafeLoader, node: yaml.ScalarNode) -> "_Typed":
        """From a scalar of YAML."""
        number = cls(loader.construct_yaml_float(node))
        mantissa, _, exponent = node.value.lower().partition("e")
        number.decimals = max(len(mantissa.partition(".")[2]) - int(exponent or 0), 0)
        return number


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


_Loader.add_constructor("tag:yaml.org,2002:float", _Typed.read)


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})") from None
    except UnicodeError:
        raise ConfigError("not UTF-8; save the file as UTF-8") from None
    return _values(text)


def _values(text: str) -> Any:
    refuse_misread(text)
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{line}no YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"no YAML ({type(error).__name__})") from None


def choose(table: PublishedTable, rows: str | None) -> tuple[Row, ...]:
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
