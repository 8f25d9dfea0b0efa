"""What files of records hold: a line a configuration, averaged over seeds, and where results disagree."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from dlrun.config.overrides import hydra_value
from dlrun.output import Column, Table, column, counted, plain_text
from dlrun.records.files import RecordLine
from dlrun.records.record import Record
from dlrun.statistics import SeedMean

MOST = 20
"""Disagreements that are written out."""
APART = ("data", "model.layers", "epochs", "precision")
"""Settings that have a column of their own, or a name there."""


@dataclass
class _Group:
    """The records of one configuration on one content of the data."""

    first: Record
    results: dict[int, dict[str, tuple[float, str]]] = field(default_factory=lambda: defaultdict(dict))
    """By seed and digest of all numbers: the test accuracy and where it was measured."""
    places: set[str] = field(default_factory=set)


def summary(lines: Iterable[RecordLine]) -> Table:
    """A table of all configurations; results of one seed are averaged first."""
    groups: dict[tuple[str, str], _Group] = {}
    for line in lines:
        record = line.record
        group = groups.setdefault((record.experiment, record.result.data["fingerprint"]), _Group(record))
        test = record.result.test or {}
        group.results[record.result.seed].setdefault(record.numbers, (test["accuracy"], made_on(record)))
        group.places.add(made_on(record))
    ordered = sorted(groups.values(), key=_order)
    columns = [
        column("data"),
        column("model"),
        column("settings"),
        column("precision"),
        column("epochs", right=True),
        Column("test accuracy", _accuracy, ("test_accuracy", "test_accuracy_std"), right=True),
        column("n", right=True),
        Column("seeds", lambda record: ranges(record["seeds"]), ("seeds",)),
        column("made on", "places"),
        column("experiment"),
    ]
    return Table(columns, [_row(group) for group in ordered], notes=_disagreements(ordered))


def made_on(record: Record) -> str:
    """The environment of a record in a few words: `cpu AVX2, 2 threads, torch 2.13.0`."""
    result = record.result
    capability = f" {result.cpu_capability}" if result.device == "cpu" else ""
    torch = f", torch {result.versions['torch']}" if "torch" in result.versions else ""
    return f"{result.device}{capability}, {counted(result.threads, 'thread')}{torch}"


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers as one types them for --seeds.

    >>> ranges([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in found)


def _order(group: _Group) -> tuple[str, str, str, str]:
    result = group.first.result
    return result.data["name"], result.model, json.dumps(dict(group.first.settings)), result.data["fingerprint"]


def _row(group: _Group) -> Mapping[str, Any]:
    settings, result = group.first.settings, group.first.result
    spread = SeedMean.of([fmean(value for value, _ in found.values()) for found in group.results.values()])
    assert spread is not None
    return {
        "data": result.data["name"],
        "model": result.model,
        "settings": " ".join(f"{key}={hydra_value(value)}" for key, value in settings.items() if key not in APART),
        "precision": result.precision,
        "epochs": result.epochs,
        "test_accuracy": spread.mean,
        "test_accuracy_std": spread.std,
        "n": spread.n,
        "seeds": sorted(group.results),
        "places": sorted(group.places),
        "experiment": group.first.experiment,
    }


def _accuracy(record: Mapping[str, Any]) -> str:
    return SeedMean(record["n"], record["test_accuracy"], record["test_accuracy_std"]).text(4)


def _disagreements(groups: Sequence[_Group]) -> list[str]:
    """A sentence for every seed whose results differ."""
    found = []
    for group in groups:
        for seed, results in sorted(group.results.items()):
            if len(results) > 1:
                values = "; ".join(f"{plain_text(value, 4)} on {place}" for value, place in sorted(results.values()))
                found.append(
                    f"Results disagree, {group.first.result.model} ({group.first.experiment}) seed {seed}: {values}."
                )
    more = [f"{len(found) - MOST} more disagree."] if len(found) > MOST else []
    return found[:MOST] + more
