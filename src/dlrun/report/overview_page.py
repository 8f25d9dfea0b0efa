"""The page with all published tables: one HTML file that needs nothing but itself."""

from collections import Counter
from pathlib import Path

from dlrun.files import write_atomically
from dlrun.output import Column, Table, column, counted
from dlrun.report.dots import Axis, Dots
from dlrun.report.page import filled
from dlrun.report.page_tables import Sheet, sheet_of
from dlrun.report.published import compared, further
from dlrun.report.tiles import Tile
from dlrun.tables.overview import (
    REACH,
    UNITS,
    VERDICTS,
    Overview,
    differing_table,
    headline,
    notes,
    placed,
    summary_table,
    verdicts,
)

AXIS = Axis(-REACH, REACH, [float(tick) for tick in range(-REACH, REACH + 1)], 0)
"""In half-widths."""


def write_overview(path: Path, found: Overview) -> None:
    """Write the page atomically.

    Raises:
        OSError: The folder can't be written.
    """
    write_atomically(path, overview_page(found))


def overview_page(found: Overview) -> str:
    """The HTML."""
    differing = differing_table(found)
    return filled(
        "tables.html",
        ("tables.js", "charts.js"),
        title="Published beside measured",
        headline=headline(found),
        notes=notes(found),
        tiles=_tiles(found),
        summary=sheet_of("board", "Tables", summary_table(found)),
        differences=_differences(found),
        units=UNITS,
        differing=sheet_of("differing", "What differs", differing, header=1) if differing.records else None,
        tables=[
            (one.table, compared(one, one.table, one.title), further(one, f"{one.table}-")) for one in found.comparisons
        ],
    )


def _tiles(found: Overview) -> list[Tile]:
    counts = verdicts(line for _, line in found.numbers)
    lessons = Counter(lesson.outcome for one in found.comparisons for lesson in one.lessons)
    return [
        Tile("numbers reproduced", f"{counts['reproduced']} of {len(found.numbers)}"),
        *(Tile(name, str(counts[name])) for name in (*VERDICTS[1:], "not measured")),
        Tile(
            "lessons that hold", f"{lessons['holds']} of {lessons.total()}", f"{lessons['contradicted']} contradicted"
        ),
    ]


def _differences(found: Overview) -> Sheet | None:
    """Every measured number by its difference in half-widths."""
    rows = placed(found)
    if not rows:
        return None
    columns = [
        column("table"),
        column("row", "label"),
        column("verdict"),
        Column("half-widths", lambda record: f"{record['error']:+.2f}", ("error",), right=True),
        Column("difference (points)", lambda record: f"{100 * record['difference']:+.2f}", ("difference",), right=True),
        column("n", right=True),
    ]
    records = [
        {
            "table": one.table,
            "label": line.label + (" (best epoch)" if line.metric == "best_accuracy" else ""),
            "verdict": line.verdict,
            "error": line.normalized_error,
            "difference": line.difference,
            "n": line.n,
        }
        for one, line in rows
    ]
    dots = [Dots(line.normalized_error, 1.0, (), 0.0) for _, line in rows]
    about = [f"{record['error']:+.2f} half-widths from what is published" for record in records]
    title = f"Differences of {counted(len(rows), 'number')}"
    key = "measured, its 95 % interval"
    return sheet_of("differences", title, Table(columns, records), dots, 3, 1, key=key, scale=AXIS, about=about)
