"""Tables of the page: a `report.output.Table` with sort keys, links, badges and a dot plot."""

from collections.abc import Sequence
from dataclasses import dataclass

from dlrun.output import Column, Fields, Table
from dlrun.report.dots import Axis, Dots, axis
from dlrun.store.status import Status

TONES = {
    "good": ("reproduced", "holds", Status.COMPLETED),
    "near": ("close", Status.RUNNING),
    "bad": ("differs", "contradicted", Status.FAILED),
    "unsure": ("undecided", "open", Status.INTERRUPTED, Status.MISSING, "not comparable"),
}
BADGES = ("verdict", "outcome", "status")
"""Fields that are shown as coloured badges."""


@dataclass(frozen=True)
class Head:
    """A column's heading."""

    title: str
    right: bool
    named: bool = False
    """Whether the name of a row says it, too: it is not repeated where a row is a card."""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, what it is sorted by where that is something else, its colour and its link."""

    text: str
    key: str = ""
    tone: str = ""
    link: str = ""


@dataclass(frozen=True)
class SheetLine:
    """One row."""

    cells: Sequence[Cell]
    dots: Dots | None
    about: str
    """The dots in words."""


@dataclass(frozen=True)
class Sheet:
    """A table ready for the template: column `header` names the rows, the plot goes before column `place`."""

    id: str
    title: str
    heads: Sequence[Head]
    lines: Sequence[SheetLine]
    notes: Sequence[str]
    header: int
    place: int | None
    axis: Axis | None
    key: str
    """What the plot's interval is, in words."""
    above: str = ""
    """A line above the table."""
    frozen: int = 0
    """Columns at the left that stay where a narrow window scrolls the others: the name, or it and the next one."""

    @property
    def has_published(self) -> bool:
        """Whether the plot shows published numbers."""
        return any(line.dots and line.dots.published is not None for line in self.lines)

    @property
    def has_seeds(self) -> bool:
        """Whether the plot shows single seeds."""
        return any(line.dots and len(line.dots.values) > 1 for line in self.lines)


def sheet_of(
    id: str,
    title: str,
    table: Table,
    dots: Sequence[Dots] = (),
    place: int | None = None,
    header: int = 0,
    links: Sequence[str] = (),
    linked: int = 0,
    key: str = "",
    scale: Axis | None = None,
    about: Sequence[str] = (),
    above: str = "",
    frozen: int = 0,
    named: int = 0,
) -> Sheet:
    """Lay out a table.

    Args:
        dots: What the plot shows, row by row.
        place: The column before which the plot stands.
        header: The column that names the rows.
        links: Row by row, for the column `linked`.
        key: What the plot's interval is.
        scale: The plot's axis, where it is not one of accuracies.
        about: Row by row the plot in words, where it does not show accuracies.
        above: A line above the table.
        frozen: Columns at the left that don't scroll.
        named: Columns behind the plot that the name of a row says, too.
    """
    scale = scale or axis(dots)
    behind = range(place or 0, (place or 0) + named)
    heads = [Head(item.title, item.right, number in behind) for number, item in enumerate(table.columns)]
    lines = []
    for number, record in enumerate(table.records):
        cells = [_cell(item, record) for item in table.columns]
        if links:
            cells[linked] = Cell(cells[linked].text, cells[linked].key, link=links[number])
        row = dots[number] if dots else None
        lines.append(SheetLine(cells, row, about[number] if about else in_words(row) if row else ""))
    return Sheet(id, title, heads, lines, table.notes, header, place if scale else None, scale, key, above, frozen)


def _cell(item: Column, record: Fields) -> Cell:
    text, value = item.show(record), record.get(item.fields[0])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    tone = _tone(text) if item.fields[0] in BADGES else ""
    return Cell(text, repr(value) if is_number and repr(value) != text else "", tone)


def _tone(text: str) -> str:
    """A badge's colour: of the verdict, or of the worst part ("2 completed, 1 failed")."""
    verdict = text.partition(";")[0]
    found = [tone for tone in ("bad", "unsure", "near", "good") if any(word in verdict for word in TONES[tone])]
    return found[0] if found else ""


def in_words(dots: Dots) -> str:
    """A row of the plot for those who can't see it.

    >>> in_words(Dots(0.98, 0.001, [0.979, 0.981], 0.975))
    'published 0.9750, measured 0.9800 ± 0.0010 (n = 2)'
    """
    parts = [] if dots.published is None else [f"published {dots.published:.4f}"]
    if dots.mean is not None:
        reach = "" if dots.half_width is None else f" ± {dots.half_width:.4f}"
        parts.append(f"measured {dots.mean:.4f}{reach} (n = {len(dots.values)})")
    return ", ".join(parts) or "no number"
