"""Tables in every format (terminal, Markdown, CSV, LaTeX, JSON), each string escaped for where it goes; long lines."""

import csv
import io
import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.cells import cell_len, set_cell_size

from dlrun.text import visible

FORMATS = ("text", "md", "csv", "json", "latex")
GAP = 2
"""Characters between two columns of text."""
COMMANDS = "dlrun|tensorboard|pip"
"""What the commands begin with that are advised."""
FIRST_NUMBERS = 2
"""Columns of numbers that stay where there is no room for all text beside them."""
LONGEST_WORD = 20
"""Characters of a word of text (a path, a name) that stay in one line."""

MARK = "\x01"
"""In place of a line below a row until the table is laid out: no text of a cell is a control character."""

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column: its heading, how people see a record in it, which plain fields programs get for it."""

    title: str
    show: Callable[[Fields], str]
    fields: tuple[str, ...]
    right: bool = False
    whole: bool = False
    """Stands in a line of its own below its row where a terminal has no room for it beside the others: a path."""


@dataclass(frozen=True)
class Table:
    """Columns over records (plain values by field name); `notes` are sentences printed below."""

    columns: Sequence[Column]
    records: Sequence[Fields]
    title: str = ""
    notes: Sequence[str] = ()


def column(title: str, name: str = "", digits: int | None = None, right: bool = False) -> Column:
    """A column that shows the field `name` (default: the title) as it is, numbers to `digits` decimals."""
    name = name or title
    return Column(title, lambda record: plain_text(record.get(name), digits), (name,), right)


def is_constant(item: Column, records: Sequence[Fields]) -> bool:
    """Whether a column says the same in every row of several."""
    return len(records) > 1 and len({item.show(record) for record in records}) == 1


def plain_text(value: Any, digits: int | None = None) -> str:
    """A value as people read it: nothing for None, short numbers, lists joined by commas.

    >>> plain_text(0.30000000000000004), plain_text(True), plain_text([1, 2]), plain_text(2 / 3, 2)
    ('0.3', 'true', '1, 2', '0.67')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}" if digits is None else f"{value:.{digits}f}"
    if isinstance(value, list | tuple):
        return ", ".join(plain_text(item) for item in value)
    return str(value)


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `4.1 s`, `12 min 5 s`, `3 h 20 min`.

    >>> duration(4.13), duration(725), duration(12000), duration(59.97)
    ('4.1 s', '12 min 5 s', '3 h 20 min', '1 min 0 s')
    """
    if seconds is None:
        return ""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def counted(number: int, noun: str) -> str:
    """A number of things, whose plural ends in s.

    >>> counted(1, "run"), counted(2000, "run")
    ('1 run', '2,000 runs')
    """
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def few(names: Sequence[str], most: int) -> str:
    """The first names of many.

    >>> few(["a", "b", "c"], 2), few(["a"], 2)
    ('a, b and 1 more', 'a')
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def few_sentences(sentences: Sequence[object], most: int) -> str:
    """The first sentences of many.

    >>> few_sentences(["x: no label", "y: no file"], 1)
    'x: no label (and 1 more)'
    """
    more = len(sentences) - most
    return "; ".join(map(str, sentences[:most])) + (f" (and {more} more)" if more > 0 else "")


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Characters in a line of the terminal that `stream` (default: standard output) is; None where it is none."""
    return shutil.get_terminal_size().columns if (stream or sys.stdout).isatty() else None


def without_middle(text: str, most: int | None) -> str:
    """The text in so many characters at most: its middle goes, as what begins alike is told apart by its end.

    >>> without_middle("mnist-cnn-adam-seed0", 12)
    'mnist-…seed0'
    """
    if most is None or cell_len(text) <= most:
        return text
    head, tail = set_cell_size(text, most // 2).rstrip(), text
    while cell_len(head) + 1 + cell_len(tail) > most:
        tail = tail[1:]
    return f"{head}…{tail}"


def folded(text: str, width: int | None, indent: int | None = None) -> str:
    """The text with its long lines folded at blanks, but not within a command that fits in a line: it will be copied.

    A word that there is no room for below the others (a path) stays whole and begins at the left.

    Args:
        width: Characters of a line; None folds nothing.
        indent: Blanks before what goes on; default: under the words of the line, behind a gap of three blanks or more.

    >>> print(folded("  run     how far it is, and for how long yet", 30))
      run     how far it is, and
              for how long yet
    """
    return text if width is None else "\n".join(_folded(line, width, indent) for line in text.split("\n"))


def _folded(line: str, width: int, indent: int | None) -> str:
    if cell_len(line) <= width:
        return line
    if indent is None:
        head = re.match(r"\s*(?:\S+ )*?\S* {3,}(?=\S)|\s*", line)[0]  # type: ignore[index]
        indent = cell_len(head)
    gap = " " * min(indent, width // 2)
    longest = max(width - len(gap) - len("tensorboard -"), 0)
    lines = [""]
    for word in re.findall(rf"\s*(?:(?:{COMMANDS}) [a-z-][^;]{{0,{longest}}}(?=;|$)|\S+)", line):
        if lines[-1].strip() and cell_len(lines[-1] + word) > width:
            word = word.lstrip()
            lines.append((gap if cell_len(gap + word) <= width else gap[:2]) + word)
        else:
            lines[-1] += word
    return "\n".join(lines)


def say(text: str, stream: TextIO | None = None, indent: int | None = None) -> None:
    """Print a sentence, control characters spelt out; on a terminal it is folded.

    Args:
        stream: Default: standard output.
        indent: As `folded` takes it.
    """
    print(folded(visible(text), terminal_width(stream), indent), file=stream or sys.stdout, flush=True)


def near(path: Path) -> str:
    """The whole path of a folder; on a terminal where it is too long for a line, that from the working directory."""
    whole, width = path.resolve(), terminal_width()
    if width is not None and cell_len(str(whole)) > width and whole.is_relative_to(Path.cwd()):
        whole = whole.relative_to(Path.cwd())
    return visible(str(whole))


def page(text: str) -> None:
    """Print a text, through $PAGER (default: less) where standard output is a terminal that is too small for it."""
    small = text.count("\n") >= shutil.get_terminal_size().lines
    if small and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        command = shlex.split(os.environ.get("PAGER") or "less")
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the pager, as long as it is there.
        try:
            subprocess.run(command, input=text, text=True, env={"LESS": "FRX", **os.environ}, check=False)
            return
        except OSError:  # there is no such pager
            pass
        finally:
            signal.signal(signal.SIGINT, before)
    print(text, end="", flush=True)


def starting() -> None:
    """Say on a terminal that something is to come; the next line is written over it, so it has to be as long."""
    if sys.stdout.isatty() and sys.stderr.isatty():
        print("starting …\r", end="", flush=True)


def write(table: Table, form: str, width: int | None = None) -> str:
    """The table as text of one of `FORMATS`; `width` (characters; None: all it takes) only matters to `text`."""
    if form == "text":
        return _terminal(table, width)
    return {"md": _markdown, "csv": _csv, "json": _json, "latex": _latex}[form](table)


# --- escaping ---------------------------------------------------------------------------------------------


def markdown(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return re.sub(r"([\\|`*_<>\[\]~#&])", r"\\\1", visible(text))


def spreadsheet(value: Any) -> Any:
    """A cell for CSV; text that a spreadsheet would take for a formula gets an apostrophe in front.

    >>> spreadsheet("=1+1"), spreadsheet(-3)
    ("'=1+1", -3)
    """
    if isinstance(value, list | tuple | dict):
        value = json.dumps(value)
    if not isinstance(value, str):
        return plain_text(value) if isinstance(value, bool) or value is None else value
    value = visible(value)
    return "'" + value if value.lstrip().startswith(("=", "+", "-", "@")) else value


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\u00b1": r"$\pm$",
    "\u2248": r"$\approx$",
    "\u2013": "--",
    "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}


def latex(text: str) -> str:
    r"""Text for LaTeX.

    >>> latex("50 % of a_b")
    '50 \\% of a\\_b'
    """
    return "".join(_LATEX.get(sign, sign) for sign in visible(text))


# --- formats ----------------------------------------------------------------------------------------------


def _cells(table: Table, escape: Callable[[str], str]) -> list[list[str]]:
    return [[escape(item.show(record)) for item in table.columns] for record in table.records]


def _terminal(table: Table, width: int | None) -> str:
    # Here, since every command imports this module and few draw a table.
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    cells = _cells(table, visible)
    bounds = _bounds(table.columns, cells)
    below = _below(table.columns, bounds, width)
    places = _places(table.columns, bounds, width, below)
    widths = _widths([table.columns[place] for place in places], [bounds[place] for place in places], width)
    grid = RichTable(box=None, pad_edge=False)
    for place, space in zip(places, widths, strict=True):
        item = table.columns[place]
        heading = Text(visible(item.title), style="bold")
        grid.add_column(heading, justify="right" if item.right else "left", overflow="fold", width=space)
    for row in cells:
        grid.add_row(*[Text(row[place]) for place in places])
        for _ in below:
            grid.add_row(MARK)
    whole = max(sum(widths) + GAP * len(widths), 40)
    console = Console(file=io.StringIO(), width=min(width or whole, whole), color_system=None)
    if table.title:  # not the grid's, which would fold it where the columns end
        console.print(Text(folded(visible(table.title), width)), soft_wrap=True)
    console.print(grid)
    left_out = [item.title for place, item in enumerate(table.columns) if place not in (*places, *below)]
    notes = [*table.notes, *([f"No room here for: {', '.join(left_out)}."] if left_out else [])]
    for note in notes:
        console.print(Text(folded(visible(note), width)), soft_wrap=True)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    texts = iter([f"  {row[place]}" for row in cells for place in below])
    return "\n".join(next(texts) if line.strip() == MARK else line for line in lines) + "\n"


def _bounds(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """By column the least and the natural width: numbers stay whole, text may go on in the next line."""
    bounds = []
    for place, item in enumerate(columns):
        cells = [row[place] for row in rows]
        pieces = [*visible(item.title).split(), *(cells if item.right else " ".join(cells).split())]
        natural = max(map(cell_len, [visible(item.title), *cells]))
        least = max(map(cell_len, pieces), default=0)
        bounds.append((least if item.right else min(least, LONGEST_WORD), natural))
    return bounds


def _below(columns: Sequence[Column], bounds: Sequence[tuple[int, int]], width: int | None) -> list[int]:
    """The columns that stand below their rows, as the natural widths of all are more than there is."""
    if width is None or _sum([natural for _, natural in bounds]) <= width:
        return []
    return [place for place, item in enumerate(columns) if item.whole]


def _places(
    columns: Sequence[Column], bounds: Sequence[tuple[int, int]], width: int | None, below: Sequence[int]
) -> list[int]:
    """The columns that there is room for: the last numbers go first, then the last text, at the end the first ones."""
    places = [place for place in range(len(columns)) if place not in below]
    numbers = [place for place in places if columns[place].right]
    text = [place for place in places if not columns[place].right]
    going = [*text[:1], *numbers[:FIRST_NUMBERS], *text[1:], *numbers[FIRST_NUMBERS:]]
    while width is not None and len(places) > 2 and _sum([bounds[place][0] for place in places]) > width:
        places.remove(going.pop())
    return places


def _widths(columns: Sequence[Column], bounds: Sequence[tuple[int, int]], width: int | None) -> list[int]:
    """The natural widths of the columns, or smaller ones that fit: headings of numbers fold first, then text."""
    widths = [natural for _, natural in bounds]
    while width is not None and _sum(widths) > width:
        spare = [place for place, (least, _) in enumerate(bounds) if widths[place] > least]
        if not spare:
            break
        place = max(spare, key=lambda place: (columns[place].right, widths[place]))
        widths[place] = bounds[place][0] if columns[place].right else widths[place] - 1
    return [max(space, 1) for space in widths]


def _sum(widths: Sequence[int]) -> int:
    """Characters of a line of columns so wide."""
    return sum(widths) + GAP * (len(widths) - 1)


def _markdown(table: Table) -> str:
    rule = ["---:" if item.right else "---" for item in table.columns]
    rows = [[markdown(item.title) for item in table.columns], rule, *_cells(table, markdown)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    title = [f"**{markdown(table.title)}**", ""] if table.title else []
    notes = [line for note in table.notes for line in ("", markdown(note))]
    return "\n".join([*title, *lines, *notes]) + "\n"


def _fields(table: Table) -> list[str]:
    return list(dict.fromkeys(name for item in table.columns for name in item.fields))


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = _fields(table)
    writer.writerow([spreadsheet(name) for name in names])
    writer.writerows([spreadsheet(record.get(name)) for name in names] for record in table.records)
    return text.getvalue()


def _json(table: Table) -> str:
    names = _fields(table)
    records = [{name: finite(record.get(name)) for name in names} for record in table.records]
    return json.dumps(records, indent=2, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """The value for JSON, which has no NaN and no infinity: None in their place."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _latex(table: Table) -> str:
    layout = "".join("r" if item.right else "l" for item in table.columns)
    head = " & ".join(latex(item.title) for item in table.columns)
    rows = [" & ".join(cells) + r" \\" for cells in _cells(table, latex)]
    notes = [rf"% {latex(note)}" for note in table.notes]
    lines = [rf"\begin{{tabular}}{{{layout}}}", r"\hline", head + r" \\", r"\hline", *rows, r"\hline"]
    return "\n".join([*lines, r"\end{tabular}", *notes]) + "\n"
