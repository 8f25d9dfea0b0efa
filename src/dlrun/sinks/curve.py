"""A small accuracy curve in characters, for the closing summary and `dlrun show`."""

import math
from collections.abc import Mapping, Sequence

from rich.text import Text

WIDTH, HEIGHT = 48, 7
"""Characters of the drawing; each is a braille pattern of 2 x 4 dots."""
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille pattern by column, from the top."""
STYLES = {"evaluated": "bold cyan", "train": "yellow"}

Grid = list[list[int]]


def accuracy_curve(history: Sequence[Mapping[str, float]], encoding: str = "utf-8") -> list[Text]:
    """Accuracy by epoch, evaluation solid and training dashed, as on pages; no lines for fewer than two epochs.

    Args:
        history: Rows of `history.csv`.
        encoding: Of the terminal; one without braille patterns gets letters.
    """
    split = "val" if history and "val_accuracy" in history[0] else "test"
    evaluated = [row[f"{split}_accuracy"] for row in history if f"{split}_accuracy" in row]
    trained = [row["train_accuracy"] for row in history if "train_accuracy" in row]
    if len(evaluated) < 2 or len(trained) != len(evaluated) or not all(map(math.isfinite, evaluated + trained)):
        return []
    low, high = min(evaluated + trained), max(evaluated + trained)
    solid = _drawn(evaluated, low, high, dashed=False)
    dashed = _drawn(trained, low, high, dashed=True)
    rows = [_row(*layers, _has_braille(encoding)) for layers in zip(solid, dashed, strict=True)]
    return [_legend(split), *_framed(rows, low, high, int(history[-1]["epoch"]))]


def _has_braille(encoding: str) -> bool:
    try:
        "\u2800".encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _drawn(values: Sequence[float], low: float, high: float, dashed: bool) -> Grid:
    """The line as bits of braille patterns, `HEIGHT` rows of `WIDTH`."""
    grid = [[0] * WIDTH for _ in range(HEIGHT)]
    before = None
    for x in range(2 * WIDTH):
        place = x / (2 * WIDTH - 1) * (len(values) - 1)
        left = min(int(place), len(values) - 2)
        value = values[left] + (values[left + 1] - values[left]) * (place - left)
        y = round((high - value) / ((high - low) or 1) * (4 * HEIGHT - 1))
        # A steep line is filled between two columns, or it would fall apart.
        first = y if before is None or dashed else min(y, before + 1) if before < y else max(y, before - 1)
        for dot in range(min(first, y), max(first, y) + 1):
            if not dashed or x % 4 < 2:
                grid[dot // 4][x // 2] |= DOTS[x % 2][dot % 4]
        before = y
    return grid


def _row(solid: Sequence[int], dashed: Sequence[int], braille: bool) -> Text:
    row = Text()
    for line, points in zip(solid, dashed, strict=True):
        sign = chr(0x2800 + (line | points)) if braille else "*" if line else "."
        style = STYLES["evaluated" if line else "train"]
        row.append(*((sign, style) if line or points else (" ", None)))
    return row


def _legend(split: str) -> Text:
    parts = [("accuracy by epoch: ", ""), (split, STYLES["evaluated"]), (" (solid), ", "")]
    return Text.assemble(*parts, ("training", STYLES["train"]), " (dashed)")


def _framed(rows: Sequence[Text], low: float, high: float, epochs: int) -> list[Text]:
    labels = {0: f"{high:.4f}", len(rows) - 1: f"{low:.4f}"}
    lines = [Text(f"{labels.get(number, ''):>6} |").append_text(row) for number, row in enumerate(rows)]
    last = str(epochs)
    return [*lines, Text(f"{'':>7}1{last:>{WIDTH}}")]
