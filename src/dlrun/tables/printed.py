"""A printed table as text, Markdown or CSV, made into the beginning of a table file (no torch)."""

import csv
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from dlrun.errors import UsageError

WORDS = {
    "accuracy": ("accuracy", "accuracies", "acc", "top-1", "top1", "score", "result"),
    "error": ("error", "errors", "err"),
    "loss": ("loss", "cost"),
    "epoch": ("epoch",),
    "test": ("test", "testing", "eval", "evaluation"),
    "val": ("val", "valid", "validation", "dev"),
    "train": ("train", "training"),
    "best": ("best", "max", "maximum"),
    "parameters": ("parameters", "parameter", "params", "param", "weights"),
    "std": ("std", "sd", "stdev", "stddev", "dev.", "deviation", "±"),
    "n": ("n", "runs", "seeds"),
    "": ("the", "of", "on", "in", "set", "rate", "mean", "final", "last", "number", "standard", "percent", "%", "#"),
}
"""What the words of a column's head say; nothing is said by those that stand at the empty name."""
KINDS: dict[str, tuple[set[str], ...]] = {
    "parameters": ({"parameters"},),
    "best_epoch": ({"best", "epoch"},),
    "train_loss": ({"train", "loss"},),
    "train_accuracy": ({"train"}, {"train", "accuracy"}),
    "val_accuracy": ({"val"}, {"val", "accuracy"}),
    "best_accuracy": ({"best"}, {"best", "test"}, {"best", "accuracy"}, {"best", "test", "accuracy"}),
    "test_loss": ({"loss"}, {"test", "loss"}),
    "test_error": ({"error"}, {"test", "error"}),
    "test_accuracy": ({"accuracy"}, {"test"}, {"test", "accuracy"}),
    "std": ({"std"}, {"std", "accuracy"}, {"std", "test"}, {"std", "test", "accuracy"}, {"std", "val"}),
    "n": ({"n"},),
}
"""What a column of numbers is, by all that its head says."""
SHARES = ("test_accuracy", "val_accuracy", "train_accuracy", "best_accuracy", "test_error", "std")
RESULTS = ("test_accuracy", "val_accuracy", "best_accuracy", "test_error")
NOTHING = ("", "-", "–", "—", "?", "n/a", "na", "nan", "none", "…", "...")
"""What stands in a cell where nothing is printed, in small letters."""
NUMBER = re.compile(r"[~≈]?\s*(\d+(?:[.,]\d+)*|[.,]\d+)\s*(%?)(?:\s*(?:±|\+-|\+/-)\s*(\d*[.,]?\d+)\s*%?)?")
MARK = re.compile(r"\s*(<sup>[^<]*</sup>|\[\w{1,2}\]|[*†‡§¶¹²³⁴⁵⁶⁷⁸⁹⁰])+$")
"""Of a footnote, at the end of a cell."""
SUPERSCRIPTS = tuple("¹²³⁴⁵⁶⁷⁸⁹⁰")
WHOLE = re.compile(r"\d+|\d{1,3}(?:[.,' \u00a0\u2009\u202f]\d{3})+")


@dataclass(frozen=True)
class Number:
    """A printed number: `text` with a decimal point."""

    text: str
    percent: bool
    std: str | None = None

    @property
    def value(self) -> float:
        """As printed."""
        return float(self.text)

    @property
    def decimals(self) -> int:
        """How many are printed."""
        return len(self.text.partition(".")[2])


@dataclass(frozen=True)
class RowInPrint:
    """Its words, and what of its numbers is known by the heads of their columns."""

    label: str
    numbers: dict[str, Number]


@dataclass(frozen=True)
class ColumnInPrint:
    """A column that was understood."""

    head: str
    kind: str
    """A key of `published`, or `parameters`."""
    percent: bool


@dataclass(frozen=True)
class TableInPrint:
    """What was understood of a printed table, and what was not."""

    rows: tuple[RowInPrint, ...]
    columns: tuple[ColumnInPrint, ...]
    left_out: tuple[str, ...]
    """Columns of numbers that have no place in a table file, or whose heads say nothing."""

    @property
    def in_percent(self) -> frozenset[str]:
        """What is printed in percent."""
        return frozenset(column.kind for column in self.columns if column.percent)


def parse(text: str) -> TableInPrint:
    """Read a table in Markdown, or with commas, semicolons or tabs between its cells.

    A row's label are its cells that are no numbers. A column is percent where its head or a cell says so, or an
    accuracy in it is larger than 1.

    Raises:
        UsageError: It is no table, or has no numbers, or can be read in two ways.
    """
    cells = [row for row in _cells(text) if any(row)]
    if len(cells) < 2:
        raise UsageError("no table: expected a line of heads and a line a row, in Markdown, CSV or with tabs")
    _refuse_wider(cells)
    width = len(cells[0])
    numbers = [place for place in range(width) if _is_of_numbers([_at(row, place) for row in cells[1:]])]
    heads = [] if any(_number(cells[0][place]) for place in numbers) else cells[0]
    body = cells[1:] if heads else cells
    if heads:
        known = [place for place in range(1, width) if _kind(heads[place])]
        _refuse_words(body, heads, known)
        numbers = sorted({*numbers, *(place for place in known if any(_is_printed(_at(row, place)) for row in body))})
    if not numbers:
        raise UsageError("no table: no column has numbers in it")
    kinds, left_out = _kinds([_at(heads, place) for place in numbers], numbers, body)
    columns = {
        place: _column(_at(heads, place), kind, [_at(row, place) for row in body]) for place, kind in kinds.items()
    }
    rows = [_row(row, kinds, numbers) for row in body]
    return TableInPrint(tuple(_told_apart(rows)), tuple(_in_units(columns.values())), tuple(left_out))


def _in_units(columns: Collection[ColumnInPrint]) -> Iterable[ColumnInPrint]:
    """A deviation is in the unit of what it is of."""
    result = next((column for kind in RESULTS for column in columns if column.kind == kind), None)
    for column in columns:
        of_result = column.kind == "std" and result is not None and result.percent
        yield replace(column, percent=True) if of_result else column


def _refuse_wider(cells: Sequence[Sequence[str]]) -> None:
    """A decimal comma without quotes makes two cells of one."""
    width = len(cells[0])
    for row in cells:
        if len(row) > width and any(row[width:]):
            raise UsageError(
                f"no table: {','.join(row)[:60]!r} has {len(row)} cells, the first line {width}; "
                "with decimal commas put ; or tabs between the cells, or quotes round them"
            )


def _cells(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip()]
    if sum("|" in line for line in lines) > len(lines) / 2:
        rows = [re.split(r"(?<!\\)\|", line.strip().removeprefix("|")) for line in lines if "|" in line]
        rows = [[cell.replace("\\|", "|") for cell in row] for row in rows]
        rows = [row[:-1] if not row[-1].strip() else row for row in rows]
        rows = [row for row in rows if not all(re.fullmatch(r"\s*:?-+:?\s*", cell) for cell in row)]
    else:
        mark = next((mark for mark in "\t;" if all(mark in line for line in lines)), ",")
        try:
            rows = list(csv.reader(lines, delimiter=mark, strict=True))
        except csv.Error as error:
            raise UsageError(f"no table: {error}") from None
    return [[_bare(cell) for cell in row] for row in rows]


def _bare(cell: str) -> str:
    """Without the marks of Markdown, and without that of a footnote behind a number."""
    text = re.sub(r"([*`_]{1,2})(.*?)\1", r"\2", cell).strip()
    without = MARK.sub("", text)
    power = text[-1:] in SUPERSCRIPTS and not re.search("[.,%]", without)  # 10² is a number, 98.1² has a footnote
    return without if _number(without) and not power else text


def _at(row: Sequence[str], place: int) -> str:
    return row[place] if place < len(row) else ""


def _number(cell: str) -> Number | None:
    found = NUMBER.fullmatch(cell.strip())
    if not found:
        return None
    text = found[1]
    if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+", text):  # 55,050
        text = text.replace(",", "")
    text = text.replace(",", ".")
    return Number(text, bool(found[2]), found[3] and found[3].replace(",", ".")) if text.count(".") < 2 else None


def _whole(cell: str) -> Number | None:
    """A number of parameters, whatever stands between its thousands."""
    return Number(re.sub(r"\D", "", cell), False) if WHOLE.fullmatch(cell.strip()) else None


def _is_printed(cell: str) -> bool:
    return cell.lower() not in NOTHING


def _is_of_numbers(column: Sequence[str]) -> bool:
    there = [cell for cell in column if _is_printed(cell)]
    return bool(there) and all(map(_number, there))


def _refuse_words(body: Sequence[Sequence[str]], heads: Sequence[str], places: Iterable[int]) -> None:
    """A column whose head is understood has numbers; a cell that is none is no part of a label."""
    for place in places:
        for number, row in enumerate(body, start=1):
            cell = _at(row, place)
            if _is_printed(cell) and not _number(cell) and _kind(heads[place]) != "parameters":
                raise UsageError(
                    f"no table: row {number} ({row[0][:40]}), column {heads[place]}: expected a number, or - where "
                    f"none is printed; found {cell[:40]!r}"
                )


def _kind(head: str) -> str | None:
    """What a column is; None where a word of its head is not understood."""
    said = set()
    for word in re.findall(r"[^\s()\[\]:,/_]+", re.sub(r"(?<=\w)-(?!\d)", " ", head.lower())):
        meaning = next((name for name, words in WORDS.items() if word in words or word.rstrip(".") in words), None)
        if meaning is None:
            return None
        said.add(meaning)
    said.discard("")
    return next((kind for kind, several in KINDS.items() if said in several), None)


def _kinds(
    heads: Sequence[str], places: Sequence[int], body: Sequence[Sequence[str]]
) -> tuple[dict[int, str], list[str]]:
    """What each column of numbers is, by its place; and those of which that is not known.

    Raises:
        UsageError: Two columns are the same, or it can't be told which is the result.
    """
    kinds: dict[int, str] = {}
    left_out: dict[int, str] = {}
    unknown: list[int] = []
    for place, head in zip(places, heads, strict=True):
        kind, name = _kind(head), head or f"column {place + 1}"
        cells = [cell for row in body if _is_printed(cell := _at(row, place))]
        if kind == "parameters" and not all(map(_whole, cells)):
            left_out[place] = f"{name} (rounded; a table's parameters are exact)"
        elif kind is None:
            left_out[place] = name
            unknown.append(place)
        elif kind in kinds.values():
            other = next(heads[places.index(there)] for there, its in kinds.items() if its == kind)
            raise UsageError(f"no table: the columns {other} and {name} are both {kind}; name one of them otherwise")
        else:
            kinds[place] = kind
    if not set(kinds.values()) & set(RESULTS) and unknown:
        if len(unknown) > 1 and any(heads):
            names = ", ".join(left_out[place] for place in unknown)
            raise UsageError(f"no table: which column is the result? Call one of {names}: test accuracy")
        kinds[unknown[-1]] = "test_accuracy"  # without heads the last column is mostly the result
        del left_out[unknown[-1]]
    return kinds, [*left_out.values()]


def _column(head: str, kind: str, cells: Sequence[str]) -> ColumnInPrint:
    """Raises UsageError where fractions and percent can't be told apart."""
    if kind not in SHARES:
        return ColumnInPrint(head, kind, percent=False)
    numbers = [number for cell in cells if (number := _number(cell))]
    said = "%" in head or "percent" in head.lower() or (bool(numbers) and all(number.percent for number in numbers))
    percent = said or any(number.percent or number.value > 1 for number in numbers)
    small = next((number for number in numbers if number.value <= 1 and not number.percent), None)
    if percent and not said and small and kind.endswith("accuracy"):
        raise UsageError(
            f"no table: column {head or kind}: {small.text} among percent; is it {small.text} % or a fraction? "
            "Write all of them alike, or % into the head"
        )
    return ColumnInPrint(head, kind, percent)


def _row(row: Sequence[str], kinds: dict[int, str], numbers: Sequence[int]) -> RowInPrint:
    words = [cell for place, cell in enumerate(row) if place not in numbers and cell]
    read = {place: _whole if kind == "parameters" else _number for place, kind in kinds.items()}
    found = {kind: number for place, kind in kinds.items() if (number := read[place](_at(row, place)))}
    return RowInPrint(", ".join(words), found)


def _told_apart(rows: Sequence[RowInPrint]) -> list[RowInPrint]:
    """Labels that stand there twice, or are empty, get the number of their row."""
    count = Counter(row.label for row in rows)
    return [
        row if row.label and count[row.label] == 1 else RowInPrint(f"{row.label or 'row'} ({number})", row.numbers)
        for number, row in enumerate(rows, start=1)
    ]


def written(name: str, printed: TableInPrint) -> str:
    """The table file, with what is still to be filled in."""
    metric = next(
        (kind for kind in ("test_accuracy", "val_accuracy", "best_accuracy") if _has(printed, kind)), "test_accuracy"
    )
    result = "test_error" if _has(printed, "test_error") and not _has(printed, metric) else metric
    percent = printed.in_percent
    digits = [_digits(row.numbers[result], result in percent) for row in printed.rows if result in row.numbers]
    usual = max(digits, default=4)
    lines = [
        f"# {name}: a printed table. Fill in source, common and the overrides of every row; `dlrun table check {name}`",
        "# says what is missing. Keys: see dlrun's reference, Tables.",
        *(f"# Not taken, as its head says nothing that a table file has: {head}" for head in printed.left_out),
        f"title: {_text(name)}",
        "source: {document: '?', heading: '?'}  # where the numbers are printed: a reader should be able to open it",
        f"metric: {metric}",
        f"digits: {usual}  # decimals of the fraction as printed: 97.5 % has 3",
        "seeds: 3",
        "common: {}  # what all rows have: {data: mnist, optimizer: adam, batch_size: 128, epochs: 10}",
        "rows:",
    ]
    for row in printed.rows:
        lines += [
            f"  - label: {_text(row.label)}",
            "    overrides: {}  # e.g. {model.layers: [flatten, dense 64], optimizer.lr: 0.01}",
            f"    published: {_published(row, percent)}",
        ]
        if "parameters" in row.numbers:
            lines.append(f"    parameters: {row.numbers['parameters'].value:.0f}")
        if result in row.numbers and (own := _digits(row.numbers[result], result in percent)) != usual:
            lines.append(f"    digits: {own}")
    return "\n".join(lines) + "\n"


def _has(printed: TableInPrint, kind: str) -> bool:
    return any(kind in row.numbers for row in printed.rows)


def _digits(number: Number, percent: bool) -> int:
    return number.decimals + 2 if percent else number.decimals


def _published(row: RowInPrint, percent: Collection[str]) -> str:
    """In braces: fractions with as many digits as are printed."""
    values = {}
    for kind, number in row.numbers.items():
        if kind == "parameters":
            continue
        values[kind] = _fraction(number.text, kind in percent) if kind in SHARES else number.text
        if number.std is not None and kind in SHARES:
            values["std"] = _fraction(number.std, kind in percent)
    question = ""
    if "std" in values and "n" not in values:
        question = f"  # std: {values.pop('std')} is printed, too; of how many runs? Add std and n"
    if not values:
        return f"null{question}"
    return "{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}" + question


def _fraction(text: str, percent: bool) -> str:
    if not percent:
        return text if not text.startswith(".") else f"0{text}"
    decimals = len(text.partition(".")[2])
    return f"{float(text) / 100:.{decimals + 2}f}"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
