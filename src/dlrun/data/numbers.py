"""Tables of small whole numbers in CSV text, without a Python loop over their cells."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

NEWLINE, COMMA, ZERO, NINE = b"\n,09"

CHUNK = 8_000_000
"""Bytes of text parsed at a time, so that the work arrays stay small."""


class Misread(Exception):
    """A cell that is no whole number from 0 to 255, or a row of another length."""

    def __init__(self, row: int, field: int | None, fields: int, found: str) -> None:
        super().__init__(f"expected {fields} whole numbers from 0 to 255, separated by commas; found {found}")
        self.row, self.field = row, field
        """Counted from 1; no field where the row is of another length."""


def rows_of(text: bytes, fields: int) -> npt.NDArray[np.uint8]:
    """The numbers of whole lines, with line feeds between them, as uint8 (lines, fields).

    Raises:
        Misread: A line has not so many whole numbers from 0 to 255, separated by commas.
    """
    blocks: list[npt.NDArray[np.uint8]] = []
    for lines in _chunks(text.rstrip(b"\n")):
        blocks.append(_numbers(lines, fields, 1 + sum(len(block) for block in blocks)))
    return np.concatenate(blocks)


def _chunks(text: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(text):
        end = text.find(b"\n", start + CHUNK)
        end = len(text) if end < 0 else end
        yield text[start:end] + b"\n"
        start = end + 1


def _numbers(text: bytes, fields: int, row: int) -> npt.NDArray[np.uint8]:
    """The numbers in whole lines of text; `row` is the first one's number."""
    symbols = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero((symbols < ZERO) | (symbols > NINE))
    widths = np.diff(ends, prepend=-1) - 1
    lines = len(ends) // fields
    last = np.arange(len(ends)) % fields == fields - 1
    right = symbols[ends] == np.where(last, NEWLINE, COMMA)
    digits = symbols.astype(np.int16) - ZERO
    values = digits[ends - 1].astype(np.int16)
    for place, factor in ((2, 10), (3, 100)):
        # Where a number is shorter the index may point before it: the product with False drops what it finds.
        values += factor * digits[np.maximum(ends - place, 0)] * (widths >= place)
    right &= (widths >= 1) & (widths <= 3) & (values <= 255)
    if not right.all() or len(ends) % fields:
        at = int(np.argmin(right)) if not right.all() else len(ends) - 1
        before = int(ends[at]) - int(widths[at])
        line = text[text.rfind(b"\n", 0, before) + 1 : text.find(b"\n", before)]
        field = text[before:].partition(b"\n")[0].partition(b",")[0]
        found = repr(field[:20].decode("utf-8", "replace")) if line.strip() else "an empty line"
        count = line.count(b",") + 1
        if line.strip() and count != fields:
            raise Misread(row + at // fields, None, fields, f"{count:,}")
        raise Misread(row + at // fields, at % fields + 1, fields, found)
    return values.astype(np.uint8).reshape(lines, fields)


def oddity(text: bytes, header: bytes) -> str:
    """The beginning of a table as a person would read it, and what is odd about it."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text in UTF-16; save it as UTF-8"
    shown = header[:40].decode("utf-8", "replace")
    if b"\r" in header:
        return f"{shown.partition(chr(13))[0]!r} and no line feeds, only carriage returns; save it with line feeds"
    for sign, name in ((b";", "semicolons"), (b"\t", "tabs")):
        if header.count(sign) > header.count(b","):
            return f"{shown!r}, separated by {name}; save it with commas"
    fields = header.count(b",") + 1
    return f"{shown!r} ({fields} fields)" if header.strip() else "an empty line"
