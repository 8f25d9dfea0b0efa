"""Runs that differ only in seed or fold as one curve for TensorBoard: their mean, and mean ± standard deviation."""

import contextlib
import hashlib
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from dlrun.sinks.event_file import EventFile, own_files
from dlrun.statistics import SeedMean
from dlrun.store.history import read_history

CURVES = {"mean": 0.0, "mean+std": 1.0, "mean-std": -1.0}
"""Name of a curve, and how many standard deviations it lies from the mean."""
SPLITS, METRICS = ("train", "val", "test"), ("loss", "accuracy")


def aggregate(groups: Mapping[str, Sequence[Path]], folder: Path, divided: Collection[str] = ()) -> list[Path]:
    """Write event files for every group of two or more runs; those of an earlier call go.

    They have the tags of single runs (`accuracy/test`), so they share their charts where both are shown.

    Args:
        groups: Run folders by a label of what they have in common.
        folder: Where the event files go: `<label>, <n> seeds/<curve>/` each.
        divided: The labels of groups whose runs are folds: `<label>, <n> folds/…`.

    Returns:
        The groups' folders.

    Raises:
        UsageError: A damaged history.
        OSError: The folder can't be written.
    """
    written = []
    for label, runs in groups.items():
        histories = [rows for run in runs if (rows := read_history(run))]
        if len(histories) > 1:
            place = folder / f"{_safe(label)}, {len(histories)} {'folds' if label in divided else 'seeds'}"
            _write_group(histories, place)
            written.append(place)
    for earlier in folder.glob("*, * *s"):
        if re.fullmatch(r".+, \d+ (seeds|folds)", earlier.name) and earlier not in written:
            _remove(earlier)
    return written


def _remove(place: Path) -> None:
    """Delete the curves of a group that is no more, or has other seeds now; files of others stay."""
    for folder in (*(place / curve for curve in CURVES), place):
        for file in own_files(folder):
            file.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()


def _write_group(histories: Sequence[Sequence[Mapping[str, float]]], place: Path) -> None:
    """The epochs that all have; one may have stopped early."""
    epochs = list(zip(*histories, strict=False))
    for curve, distance in CURVES.items():
        file = EventFile(place / curve)
        for number, rows in enumerate(epochs, start=1):
            for split, metric in itertools.product(SPLITS, METRICS):
                spread = SeedMean.of([row[f"{split}_{metric}"] for row in rows if f"{split}_{metric}" in row])
                if spread is not None:
                    file.scalar(f"{metric}/{split}", spread.mean + distance * (spread.std or 0.0), number)
        file.close()


def _safe(label: str) -> str:
    """The label as the name of a folder."""
    safe = re.sub(r"[^\w .,=+-]+", "_", label)[:100].strip(" .") or "runs"
    # Two labels may become one by this.
    return safe if safe == label else f"{safe}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"
