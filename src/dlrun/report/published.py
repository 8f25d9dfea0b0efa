"""A published table on a page: its rows with the dot plot, and what stands below them."""

from dlrun.output import Table
from dlrun.report.dots import Dots
from dlrun.report.page_tables import Sheet, sheet_of
from dlrun.tables.compare import Comparison
from dlrun.tables.render import curves_table, lessons_table, readings_table, recipes_table, rows_table


def compared(comparison: Comparison, id: str = "board", title: str = "Published and measured") -> Sheet:
    """The published table beside the measurements; the verdict and the plot stand next to the label."""
    table = rows_table(comparison, readings=True)
    columns = {item.fields[0]: item for item in table.columns}
    ahead = [columns.pop(name) for name in ("row", "label", "verdict")]
    lines = comparison.lines
    dots = [Dots(one.mean, one.half_width, list(one.measured.values()), one.published) for one in lines]
    ordered = Table([*ahead, *columns.values()], table.records, notes=table.notes[1:])
    return sheet_of(id, title, ordered, dots, place=3, header=1, key="measured, 95 % interval of the difference")


def further(comparison: Comparison, prefix: str = "") -> list[Sheet]:
    """What stands below the rows, as far as there is any; `prefix` keeps the ids of several tables apart."""
    found = []
    if any(line.curve for line in comparison.lines):
        found.append(sheet_of(f"{prefix}epochs", "Epoch by epoch", curves_table(comparison), header=1))
    for one in comparison.readings:
        found.append(sheet_of(f"{prefix}readings-{one.table}", f"Readings of {one.table}", readings_table(one)))
    if comparison.lessons:
        found.append(_lessons(comparison, prefix))
    if comparison.recipes:
        found.append(sheet_of(f"{prefix}recipes", "By time", recipes_table(comparison), header=1))
    return found


def _lessons(comparison: Comparison, prefix: str) -> Sheet:
    table = lessons_table(comparison)
    columns = {item.fields[0]: item for item in table.columns}
    ahead = [columns.pop(name) for name in ("claim", "outcome")]
    return sheet_of(f"{prefix}lessons", "Lessons", Table([*ahead, *columns.values()], table.records))
