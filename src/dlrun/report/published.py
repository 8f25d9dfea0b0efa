"""A published table on a page: its rows with the dot plot, and what stands below them."""

from dataclasses import replace

from dlrun.output import Table, column
from dlrun.report.dots import Dots
from dlrun.report.page_tables import Sheet, sheet_of
from dlrun.tables import render
from dlrun.tables.compare import Comparison
from dlrun.tables.render import rows_table


def compared(comparison: Comparison, id: str = "board", title: str = "Published and measured") -> Sheet:
    """The published table beside the measurements; the verdict and the plot stand next to the label.

    What else is printed of the rows has a table of its own below: in one it would be wider than a window.
    """
    whole = rows_table(comparison, readings=True)
    beside = {item.fields for item in render.columns_beside(comparison)}
    narrow = replace(whole, columns=[item for item in whole.columns if item.fields not in beside])
    table = _ahead(narrow, ("row", "label", "verdict"))
    lines = comparison.lines
    dots = [Dots(one.mean, one.half_width, list(one.measured.values()), one.published) for one in lines]
    ordered = Table(table.columns, table.records, notes=table.notes[1:])
    return sheet_of(id, title, ordered, dots, place=3, header=1, key="measured, 95 % interval of the difference")


def further(comparison: Comparison, prefix: str = "") -> list[Sheet]:
    """What stands below the rows, as far as there is any; `prefix` keeps the ids of several tables apart."""
    records = rows_table(comparison).records
    columns = [item for item in render.columns_beside(comparison) if any(map(item.show, records))]
    beside = Table([column("#", "row", right=True), column("row", "label"), *columns], records)
    first = [sheet_of(f"{prefix}beside", "Training accuracies and losses", beside, header=1)] if columns else []
    return first + [
        sheet_of(f"{prefix}{one.id}", one.title, _ahead(one.table, ("claim", "outcome")), header=one.header)
        for one in render.further(comparison)
    ]


def _ahead(table: Table, names: tuple[str, ...]) -> Table:
    """The table with these columns first, if it has all of them."""
    columns = {item.fields[0]: item for item in table.columns}
    if not columns.keys() >= set(names):
        return table
    first = [columns.pop(name) for name in names]
    return Table([*first, *columns.values()], table.records, notes=table.notes)
