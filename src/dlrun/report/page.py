"""The page: one HTML file that shows runs, a sweep or a published table and needs nothing but itself."""

import base64
import datetime
import hashlib
import json
import math
import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from dlrun import __version__
from dlrun.files import write_atomically
from dlrun.output import Column, Fields, Table, column, counted, duration, is_constant, plain_text
from dlrun.report import leaderboard
from dlrun.report.dots import Dots
from dlrun.report.embedded import pictures
from dlrun.report.page_tables import Sheet, sheet_of
from dlrun.report.parallel import parallel
from dlrun.report.published import compared, further
from dlrun.report.swept import swept
from dlrun.report.tiles import LabelledBoard, LabelledRuns, tiles
from dlrun.store.scan import Run
from dlrun.tables.compare import Comparison
from dlrun.tables.render import rows_table
from dlrun.text import visible

CURVES = 300
"""Configurations whose curves are in the page: more are no picture any more."""
FOLDED = ("seed", "fold", "status", "epochs")
"""Columns of the runs that are said once where all rows say the same."""
POINTS = 200
"""Epochs of a curve that are drawn."""


def write_page(path: Path, **content: Any) -> None:
    """Write the page atomically; `content` as of `page`.

    Raises:
        OSError: The folder can't be written.
    """
    write_atomically(path, page(folder=path.parent, **content))


def page(
    runs: Sequence[Run],
    damaged: Sequence[str] = (),
    title: str = "",
    comparison: Comparison | None = None,
    labels: Mapping[Path, str] | None = None,
    folder: Path | None = None,
    state: str = "",
) -> str:
    """The HTML.

    Args:
        damaged: Sentences about run folders that can't be read.
        comparison: The published table that the runs stand for; it then takes the place of the leaderboard.
        labels: Of a comparison: the row each run folder belongs to.
        folder: Where the page will lie; links to the runs are relative to it.
        state: As of `filled`.
    """
    boards = [] if comparison else leaderboard.boards(runs)
    laid = [_laid_out(board, alone=len(boards) == len(boards[0].groups) == 1) for board in boards]
    entries = _rows_of(runs, labels or {}) if comparison else _all_entries(laid)
    varying = _varying(runs)
    return filled(
        "page.html",
        ("tables.js", "charts.js", "page.js"),
        title=title or _title(runs),
        subject="" if comparison else _subject(runs),
        source=rows_table(comparison).notes[0] if comparison else "",
        warning=comparison.warning if comparison else "",
        tiles=tiles(runs, laid, comparison),
        boards=[compared(comparison)] if comparison else _boards(laid),
        charts=[(swept(one), parallel(one)) for one in laid],
        further=further(comparison) if comparison else [],
        curves=Markup(_json(_curves(entries[:CURVES], _printed_curves(comparison)))),
        entries=entries,
        charted=CURVES,
        pictures=pictures([(entry.label, entry.runs) for entry in entries]),
        runs=_runs(entries, folder),
        common=[(name, plain_text(value)) for name, value in runs[0].fields.items() if name not in varying],
        settings=[_settings(entry, varying) for entry in entries[:CURVES]],
        environments=_environments(runs),
        failures=_failures(runs, folder),
        damaged=damaged,
        state=state,
    )


def filled(template: str, scripts: Sequence[str], state: str = "", subject: str = "", **content: Any) -> str:
    """A template of `static/` with its style, its scripts and what all pages say of themselves.

    Args:
        state: Of a page that is served: what it was made of. It loads itself anew when that changes.
        subject: What the page is about, where its title does not say it.
    """
    script = "\n".join(map(_static, [*scripts, "live.js"] if state else scripts))
    environment = Environment(
        loader=FunctionLoader(_static),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_spelt_out,
        trim_blocks=True,
    )
    return environment.get_template(template).render(
        css=Markup(_static("page.css")),
        script=Markup(script),
        script_hash=_hash(script),
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=__version__,
        state=state,
        subject=subject,
        **content,
    )


def _static(name: str) -> str:
    return (resources.files("dlrun.report") / "static" / name).read_text(encoding="utf-8")


def _spelt_out(value: Any) -> Any:
    """Control characters, which HTML has no way to show, spelt out."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _hash(script: str) -> str:
    """What the content security policy knows the page's only script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _json(value: Any) -> str:
    """JSON that can't end a script element, whatever it holds."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _title(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return _name(runs[0])
    parents = {run.folder.resolve().parent for run in runs}
    return parents.pop().name if len(parents) == 1 else "Runs"


def _subject(runs: Sequence[Run]) -> str:
    """What all runs share of what one asks first: `fc_64, mnist, limit 2,000, 2 epochs, adam, lr 0.001`."""
    chosen = {name: _shared([run.names.get(name) for run in runs]) for name in ("model", "data", "optimizer")}
    fields = {name: _shared([run.fields.get(name) for run in runs]) for name in ("limit", "epochs", "optimizer.lr")}
    limit, epochs, rate = fields.values()
    words = [
        chosen["model"],
        chosen["data"],
        limit and f"limit {limit:,}",
        epochs and counted(epochs, "epoch"),
        chosen["optimizer"],
        rate and f"lr {plain_text(rate)}",
    ]
    return ", ".join(filter(None, words))


def _shared(values: Sequence[Any]) -> Any:
    """The value that all have; None where they differ."""
    return values[0] if all(value == values[0] for value in values) else None


def _name(run: Run) -> str:
    return run.result.name if run.result else run.folder.name


# --- what belongs together --------------------------------------------------------------------------------


def _laid_out(board: leaderboard.Board, alone: bool) -> LabelledBoard:
    """An entry for each row of the board, in its order, called by what varies; by its run if there is no other one."""
    by_folders = {tuple(str(run.folder) for run in group.runs): group for group in board.groups}
    table = board.table()
    groups = [by_folders[tuple(record["folders"])] for record in table.records]
    entries = []
    for record, group in zip(table.records, groups, strict=True):
        words = filter(None, (_word(item, record) for item in _fields_of(table)))
        entries.append(LabelledRuns(_name(group.runs[0]) if alone else ", ".join(words), group.runs))
    return LabelledBoard(board, table, entries, groups)


def _fields_of(table: Table) -> list[Column]:
    """The columns of a board that say what its rows are, before those of what they reached."""
    return [item for item in table.columns if item.fields[0] not in leaderboard.METRICS]


def _all_entries(boards: Sequence[LabelledBoard]) -> list[LabelledRuns]:
    """Those of all boards; of several, each is called by its board, too."""
    if len(boards) == 1:
        return list(boards[0].entries)
    return [LabelledRuns(f"{entry.label} ({one.board.title})", entry.runs) for one in boards for entry in one.entries]


def _word(item: Column, record: Fields) -> str:
    """A varying field in a label: names speak for themselves, numbers need their field's name."""
    value = record.get(item.fields[0])
    if value is None or isinstance(value, str):
        return str(value or "")
    return f"{item.title} {item.show(record)}"


def _rows_of(runs: Sequence[Run], labels: Mapping[Path, str]) -> list[LabelledRuns]:
    rows: dict[str, list[Run]] = {}
    for run in runs:
        rows.setdefault(labels.get(run.folder, _name(run)), []).append(run)
    ordered = [label for label in dict.fromkeys(labels.values()) if label in rows]
    return [LabelledRuns(label, rows[label]) for label in dict.fromkeys([*ordered, *rows])]


# --- tables -----------------------------------------------------------------------------------------------


def _boards(laid: Sequence[LabelledBoard]) -> list[Sheet]:
    """The boards; none of a single configuration, which the numbers at the top and the table of its runs show."""
    if len(laid) == 1:
        return [_board("board", "Leaderboard", laid[0])] if len(laid[0].entries) > 1 else []
    return [_board(f"board{number or ''}", one.board.title, one) for number, one in enumerate(laid)]


def _board(id: str, title: str, one: LabelledBoard) -> Sheet:
    """A board with its dot plot: the name of a row and its accuracy first, then what varies and the rest."""
    table, split = one.table, one.board.split
    fields = _fields_of(table)
    numbers = [item for item in table.columns if item not in fields]
    decides = next(item for item in numbers if item.fields[0] == f"{split}_accuracy")
    beside = [item for item in numbers if item.fields[0] == "vs_best"]
    rest = [item for item in numbers if item not in (decides, *beside)]
    # A single field sorts as what it is; several are the row's name together.
    name, fields = (fields[0], []) if len(fields) == 1 else (column("configuration", "label"), fields)
    records = [{**record, "label": entry.label} for record, entry in zip(table.records, one.entries, strict=True)]
    ordered = Table([name, decides, *beside, *fields, *rest], records, notes=table.notes)
    above = table.title.removeprefix(title).removeprefix("; ")
    if len(one.entries) == 1:
        return sheet_of(id, title, ordered, above=above, frozen=2)
    dots, place = [_dots_of(group, split) for group in one.groups], 2 + len(beside)
    key, about = f"{split} accuracy, 95 % interval", list(map(_in_words, dots))
    named = len(fields)
    return sheet_of(id, title, ordered, dots, place, key=key, about=about, above=above, frozen=2, named=named)


def _dots_of(group: leaderboard.Group, split: str) -> Dots:
    """The mean, and the interval of what `vs best` tests with."""
    if group.mean_of(split) is None:
        return Dots()
    found = leaderboard.measured(group, split)
    return Dots(found.runs.mean, found.half_width, found.runs.values)


def _in_words(dots: Dots) -> str:
    if dots.mean is None:
        return "no result"
    words = [f"{dots.mean:.4f}"]
    if dots.half_width is not None:
        low, high = (max(0.0, dots.mean - dots.half_width), min(1.0, dots.mean + dots.half_width))
        words.append(f"95 % interval {low:.4f} to {high:.4f}")
    if len(dots.values) > 1:
        words.append(f"seeds {', '.join(f'{value:.4f}' for value in dots.values)}")
    return "; ".join(words)


def _runs(entries: Sequence[LabelledRuns], folder: Path | None) -> Sheet:
    records = [_run_record(run, entry.label) for entry in entries for run in entry.runs]
    given = [
        item for item in (column("name", "given"), column("tags")) if any(record[item.fields[0]] for record in records)
    ]
    columns = [
        column("configuration", "label"),
        *given,
        column("seed", right=True),
        *([column("fold", right=True)] if any(record["fold"] is not None for record in records) else []),
        column("status"),
        *([column("val accuracy", "val", digits=4, right=True)] if any(record["val"] for record in records) else []),
        column("test accuracy", "test", digits=4, right=True),
        Column("best epoch's", _best, ("best", "selected_on"), right=True),
        column("epochs", right=True),
        Column("time", lambda record: duration(record["seconds"]), ("seconds",), right=True),
        column("hash"),
        column("folder", "name"),
    ]
    links = [_link(run.source or run.folder, folder) for entry in entries for run in entry.runs]
    same = [item for item in columns if item.title in FOLDED and is_constant(item, records)]
    columns = [item for item in columns if item not in same]
    said = ", ".join(f"{item.title} {text}" for item in same if (text := item.show(records[0])))
    above = f"Every run: {said}" if said else ""
    return sheet_of("runs", "Runs", Table(columns, records), links=links, linked=len(columns) - 1, above=above)


def _run_record(run: Run, label: str) -> dict[str, Any]:
    result = run.result
    best = (result.best if result else None) or {}
    return {
        "name": run.folder.name,
        "label": label,
        "given": run.fields.get("name"),
        "tags": run.tags,
        "seed": run.fields.get("seed"),
        "fold": run.fields.get("fold"),
        "status": run.status,
        "val": run.val["accuracy"] if result and run.val else None,
        "test": result.test["accuracy"] if result and result.test else None,
        "best": best.get("accuracy"),
        "best_epoch": best.get("epoch"),
        "selected_on": best.get("selected_on"),
        "epochs": run.epoch,
        "seconds": result.seconds.get("total") if result else None,
        "hash": result.hash if result else "",
    }


def _best(record: Fields) -> str:
    return "" if record["best"] is None else f"{record['best']:.4f} (epoch {record['best_epoch']})"


def _link(target: Path, folder: Path | None) -> str:
    """A relative address of a file or folder, from where the page lies."""
    if folder is None:
        return ""
    return quote(os.fsencode(os.path.relpath(target.resolve(), folder.resolve())))


def _failures(runs: Sequence[Run], folder: Path | None) -> Sheet | None:
    table = leaderboard.failures(runs)
    links = [_link(Path(record["log"]), folder) for record in table.records]
    linked = len(table.columns) - 1
    return (
        sheet_of("failures", "Failed runs", Table(table.columns, table.records), links=links, linked=linked)
        if links
        else None
    )


# --- curves -----------------------------------------------------------------------------------------------


def _curves(entries: Sequence[LabelledRuns], printed: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Every run's columns; `printed` adds a curve to an entry, by its label."""
    found = []
    for entry in entries:
        runs = [{"seed": run.fields.get("seed"), "columns": _columns(run)} for run in entry.runs]
        if values := printed.get(entry.label):
            columns = {"epoch": list(range(1, len(values) + 1)), "test_accuracy": [_short(value) for value in values]}
            runs.append({"seed": None, "columns": columns})
        found.append({"label": visible(entry.label), "runs": runs})
    return found


def _printed_curves(comparison: Comparison | None) -> dict[str, Sequence[float]]:
    """By row the printed curve, or as long as the measured one the number whose epochs are not printed."""
    lines = [line for line in comparison.lines if line.curve] if comparison else []
    return {
        line.label: line.curve.published or [line.published] * len(line.curve.measured)
        for line in lines
        if line.curve and line.published is not None
    }


def _columns(run: Run) -> dict[str, list[float | None]]:
    """What is drawn of a history, column by column; evaluation is called `test` or `val`."""
    rows = _thinned(run.rows)
    names = [name for name in (rows[0] if rows else ()) if name not in ("seconds", "images_per_second")]
    return {name: [_short(row.get(name)) for row in rows] for name in names}


def _thinned(rows: Sequence[Mapping[str, float]]) -> Sequence[Mapping[str, float]]:
    every = math.ceil(len(rows) / POINTS)
    return rows if every <= 1 else [*rows[: len(rows) - 1 : every], rows[-1]]


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


# --- configs and environments -----------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainedWith:
    """What one entry was trained with: the command, and the fields in which the entries differ."""

    label: str
    command: str
    fields: Sequence[tuple[str, str]]


def _varying(runs: Sequence[Run]) -> list[str]:
    names = dict.fromkeys(name for run in runs for name in run.fields)
    return [name for name in names if len({plain_text(run.fields.get(name)) for run in runs}) > 1]


def _settings(entry: LabelledRuns, varying: Sequence[str]) -> TrainedWith:
    run = entry.runs[0]
    own = [(name, plain_text(run.fields[name])) for name in varying if name in run.fields and name != "seed"]
    return TrainedWith(entry.label, command(run), own)


def command(run: Run) -> str:
    """The line to type for a run like this one; nothing where it left no result."""
    return shlex.join(["dlrun", *run.result.overrides]) if run.result else ""


def _environments(runs: Sequence[Run]) -> Sheet:
    counts = Counter(_environment(run) for run in runs if run.result)
    records = [{**dict(one), "runs": number} for one, number in counts.most_common()]
    titles = dict.fromkeys(name for record in records for name in record)
    return sheet_of("environments", "Environment", Table([column(title) for title in titles], records))


def _environment(run: Run) -> tuple[tuple[str, str], ...]:
    result = run.result
    assert result is not None
    git = result.git or {}
    dirty = " with changes" if git.get("dirty") else ""
    return (
        ("device", result.device),
        ("precision", result.precision),
        ("threads", str(result.threads)),
        ("CPU", result.cpu_capability),
        ("data", f"{result.data.get('name')} {str(result.data.get('fingerprint', ''))[:8]}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in result.versions.items())),
        ("commit", f"{str(git.get('commit', ''))[:10]}{dirty}"),
    )
