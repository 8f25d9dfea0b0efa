"""`history.csv`, a row an epoch: its columns, written, read and checked here and nowhere else (no torch)."""

import contextlib
import csv
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlrun.errors import Damaged, UsageError
from dlrun.store.result import Result, content, read_result

NAME = "history.csv"


def columns(split: str) -> list[str]:
    """The names of the columns where `split` (`test` or `val`) is evaluated after every epoch."""
    evaluated = [f"{split}_loss", f"{split}_accuracy"]
    return ["epoch", "train_loss", "train_accuracy", *evaluated, "lr", "seconds", "images_per_second"]


def as_text(rows: Sequence[Sequence[float | str]]) -> str:
    """Lines of `history.csv`: of rows, or of the names of the columns."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [int(first) if isinstance(first, float) else first, *rest] for first, *rest in rows
    )
    return text.getvalue()


def read_history(run_dir: Path) -> list[dict[str, float]]:
    """The rows of `history.csv` (see the design for the columns); a torn last line is left out.

    Returns an empty list when the file is not there.

    Raises:
        Damaged: It has changed since the result was written.
        UsageError: The file is there and is no history.
    """
    path = run_dir / NAME
    try:
        lines = list(csv.reader(content(path).decode().splitlines()))
    except FileNotFoundError:
        return []
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{path}: can't be read ({type(error).__name__})") from None
    result = read_result(run_dir)
    if result is not None:
        check_history(run_dir, result)
    if not lines or not lines[0] or lines[0][0] != "epoch":
        raise UsageError(f"{path}: not a history (its first line does not begin with epoch)")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            rows.append({name: _finite(value) for name, value in zip(lines[0], line, strict=True)})
        except ValueError:
            if number == len(lines):
                break
            raise UsageError(f"{path}: line {number} is damaged") from None
    return rows


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def history_of(folder: Path) -> Sequence[Mapping[str, float]]:
    """The epochs so far of the run in a folder; none where the history is missing or damaged."""
    with contextlib.suppress(UsageError):
        return read_history(folder)
    return ()


def history_checksum(run_dir: Path) -> str | None:
    """Sixteen hex digits of `history.csv` as it is; None where there is none."""
    try:
        return hashlib.sha256(content(run_dir / NAME)).hexdigest()[:16]
    except FileNotFoundError:
        return None


def check_history(run_dir: Path, result: Result) -> None:
    """Compare `history.csv` with what it was when the result was written.

    Raises:
        Damaged: It has changed.
    """
    found = history_checksum(run_dir)
    if found is not None and result.history not in (None, found):
        raise Damaged(f"{run_dir / 'history.csv'}: damaged (not as it was when result.json was written)")


def check_rows(rows: Any, epochs: int, split: str) -> None:
    """Check the rows that a checkpoint holds: one for each epoch, of finite numbers, the number of the epoch first.

    Raises:
        Wrong: They are not.
    """
    from dlrun.store.check import Wrong, real  # imports torch

    width = len(columns(split))
    if not isinstance(rows, list) or len(rows) != epochs:
        raise Wrong("history")
    for epoch, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != width or row[0] != epoch:
            raise Wrong(f"history, epoch {epoch}")
        for value in row:
            real(value, f"history, epoch {epoch}")
