"""A printed table as text, Markdown or CSV, made into the beginning of a table file (no torch)."""

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dlrun.errors import UsageError

HEADS = {
    r"param|weights": "parameters",
    r"best.*epoch": "best_epoch",
    r"train.*loss": "train_loss",
    r"loss": "test_loss",
    r"train": "train_accuracy",
    r"val": "val_accuracy",
    r"err": "test_error",
    r"\bstd\b|\bsd\b|deviation|±": "std",
    r"^n$|runs|seeds": "n",
    r"best": "best_accuracy",
    r"acc|test|score|result|top.?1": "test_accuracy",
}
"""What a column of numbers is, by words of its head; the first that fits counts."""
SHARES = ("test_accuracy", "val_accuracy", "train_accuracy", "best_accuracy", "test_error", "std")
NUMBER = re.compile(r"[~≈]?\s*(\d+(?:[.,]\d+)*|[.,]\d+)\s*(%?)(?:\s*(?:±|\+-|\+/-)\s*(\d*[.,]?\d+)\s*%?)?")


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
class TableInPrint:
    """What was understood of a printed table, and what was not."""

    rows: tuple[RowInPrint, ...]
    percent: bool
    left_out: tuple[str, ...]
    """Columns of numbers that have no place in a table file, or whose heads say nothing."""


def parse(text: str) -> TableInPrint:
    """Read a table in Markdown, or with commas, semicolons or tabs between its cells.

    A row's label are its cells that are no numbers. Accuracies are percent where a cell says so or is larger than 1.

    Raises:
        UsageError: It is no table, or has no numbers.
    """
    cells = [row for row in _cells(text) if any(row)]
    if len(cells) < 2:
        raise UsageError("no table: expected a line of heads and a line a row, in Markdown, CSV or with tabs")
    numbers = [place for place in range(max(map(len, cells))) if _is_of_numbers([_at(row, place) for row in cells[1:]])]
    heads = [] if any(_number(_at(cells[0], place)) for place in numbers) else cells[0]
    body = cells[1:] if heads else cells
    if not numbers:
        raise UsageError("no table: no column has numbers in it")
    kinds, left_out = _kinds([_at(heads, place) for place in numbers], numbers)
    rows = [_row(row, kinds, numbers) for row in body]
    shares = [number for row in rows for kind, number in row.numbers.items() if kind in SHARES]
    percent = any(number.percent or number.value > 1 for number in shares)
    return TableInPrint(tuple(_told_apart(rows)), percent, tuple(left_out))


def _cells(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip()]
    if sum("|" in line for line in lines) > len(lines) / 2:
        rows = [line.strip().strip("|").split("|") for line in lines if "|" in line]
        rows = [row for row in rows if not all(re.fullmatch(r"\s*:?-+:?\s*", cell) for cell in row)]
    else:
        mark = next((mark for mark in "\t;" if all(mark in line for line in lines)), ",")
        try:
            rows = list(csv.reader(lines, delimiter=mark, strict=True))
        except csv.Error as error:
            raise UsageError(f"no table: {error}") from None
    return [[re.sub(r"[*`_]{1,2}(.*?)[*`_]{1,2}", r"\1", cell).strip() for cell in row] for row in rows]


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


def _is_of_numbers(column: Sequence[str]) -> bool:
    """Empty cells and dashes stand for what is not printed."""
    there = [cell for cell in column if cell not in ("", "-", "–", "—", "?")]
    return bool(there) and all(map(_number, there))


def _kinds(heads: Sequence[str], places: Sequence[int]) -> tuple[dict[int, str], list[str]]:
    """What each column of numbers is, by its place; and those of which that is not known, or known of another."""
    kinds: dict[int, str] = {}
    left_out = []
    for place, head in zip(places, heads, strict=True):
        kind = next((kind for words, kind in HEADS.items() if re.search(words, head, re.IGNORECASE)), None)
        if kind is None or kind in kinds.values():
            left_out.append((place, head or f"column {place + 1}"))
        else:
            kinds[place] = kind
    if not set(kinds.values()) & {"test_accuracy", "test_error", "val_accuracy", "best_accuracy"} and left_out:
        place, _ = left_out.pop()  # the last column is mostly the result
        kinds[place] = "test_accuracy"
    return kinds, [head for _, head in left_out]


def _row(row: Sequence[str], kinds: dict[int, str], numbers: Sequence[int]) -> RowInPrint:
    words = [cell for place, cell in enumerate(row) if place not in numbers and cell]
    found = {kind: number for place, kind in kinds.items() if (number := _number(_at(row, place)))}
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
    digits = [_digits(row.numbers[result], printed.percent) for row in printed.rows if result in row.numbers]
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
            f"    published: {_published(row, printed.percent)}",
        ]
        if "parameters" in row.numbers:
            lines.append(f"    parameters: {row.numbers['parameters'].value:.0f}")
        if result in row.numbers and (own := _digits(row.numbers[result], printed.percent)) != usual:
            lines.append(f"    digits: {own}")
    return "\n".join(lines) + "\n"


def _has(printed: TableInPrint, kind: str) -> bool:
    return any(kind in row.numbers for row in printed.rows)


def _digits(number: Number, percent: bool) -> int:
    return number.decimals + 2 if percent else number.decimals


def _published(row: RowInPrint, percent: bool) -> str:
    """In braces: fractions with as many digits as are printed."""
    values = {}
    for kind, number in row.numbers.items():
        if kind == "parameters":
            continue
        values[kind] = _fraction(number.text, percent) if kind in SHARES else number.text
        if number.std is not None and kind in SHARES:
            values["std"] = _fraction(number.std, percent)
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
