"""The leaderboard: runs grouped over seeds and folds, the varying fields as columns, the best on top, ties marked."""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlrun.config.fields import fields_of
from dlrun.config.groups import DATA, Layers
from dlrun.config.schema import OWN, Checkpoint, Config, Sweep
from dlrun.data.facts import images_in
from dlrun.errors import UsageError, did_you_mean
from dlrun.output import Column, Fields, Table, column, duration, few, plain_text
from dlrun.statistics import LEVEL, Measured, Pair, Runs, SeedMean, jitter, pair, spread
from dlrun.store.scan import Run
from dlrun.store.status import WRITTEN, Status

CHOICES = ("data", "optimizer", "scheduler")
"""Groups, besides the model, whose chosen option is a field of its own."""

REPEATED = ("seed", "fold")
"""Fields in which the runs of one configuration differ."""
MOST_REPEATS = 5
"""Runs that count elsewhere and are named."""


def _unhashed() -> set[str]:
    """Fields that can't change the numbers, and so do not tell configurations apart."""
    specs = [
        ("", Config),
        ("checkpoint.", Checkpoint),
        ("sweep.", Sweep),
        *(("data.", one) for one in DATA.values()),
        ("model.", Layers),
    ]
    return {
        prefix + name
        for prefix, spec in specs
        for name, item in fields_of(spec).items()
        if not item.metadata.get("hashed", True)
    }


UNHASHED = _unhashed()


@dataclass(frozen=True)
class Group:
    """The runs of one configuration, whatever their seeds and folds; `fields` include the labels of the choices."""

    fields: Mapping[str, Any]
    runs: Sequence[Run]
    accuracy: SeedMean | None
    """Test accuracy after the last epoch over the completed runs."""
    val: SeedMean | None = None
    """The same on the images held out; None where a completed run held none out."""
    others: Sequence[tuple[Run, Run]] = ()
    """Runs that do not count, each with the one of its seed and fold that does."""

    def completed(self) -> list[Run]:
        """The runs with results."""
        return [run for run in self.runs if run.status == Status.COMPLETED]

    def mean_of(self, split: str) -> SeedMean | None:
        """Accuracy after the last epoch, on `val` or `test`."""
        return self.val if split == "val" else self.accuracy


def grouped(runs: Iterable[Run]) -> list[Group]:
    """Runs of equal configuration and data, less seed and fold; of two runs with the same ones the later one counts."""
    known = list(runs)
    changed = _of_changed_data(known)
    sets: dict[str, dict[Any, list[Run]]] = {}
    for run in sorted(known, key=_age):
        fields = _telling(run, changed)
        repeat = tuple(fields.pop(name, None) for name in REPEATED)
        sets.setdefault(_key(fields), {}).setdefault(repeat, []).append(run)
    return [_group(list(found.values()), changed) for found in sets.values()]


def _key(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True, default=str)


def _fingerprint(run: Run) -> str:
    return str(run.result.data.get("fingerprint") or "") if run.result is not None else ""


def _of_changed_data(runs: Iterable[Run]) -> set[str]:
    """Fingerprints of runs that are equal but for the data's content."""
    found: dict[str, set[str]] = {}
    for run in runs:
        fields = _telling(run)
        for name in REPEATED:
            fields.pop(name, None)
        found.setdefault(_key(fields), set()).update({_fingerprint(run)} - {""})
    return {one for several in found.values() if len(several) > 1 for one in several}


def _age(run: Run) -> float:
    place = run.folder / ("result.json" if run.result is not None else "config.yaml")
    return place.stat().st_mtime if place.exists() else 0.0


def _counting(repeats: Sequence[Run]) -> Run:
    """Of runs of one configuration, seed and fold, the oldest first, the one that counts.

    A repeat that is still going, or was killed, must not hide the result that is there.
    """
    return next((run for run in reversed(repeats) if run.status == Status.COMPLETED), repeats[-1])


def _telling(run: Run, changed: Collection[str] = ()) -> dict[str, Any]:
    """The fields that tell configurations apart, with the data's fingerprint where it is needed for that."""
    fields = {
        name: value
        for name, value in run.fields.items()
        if name not in UNHASHED and name.partition(".")[0] not in UNHASHED
    }
    if _fingerprint(run) in changed:
        fields["data.fingerprint"] = _fingerprint(run)
    return fields


def _group(by_repeat: Sequence[Sequence[Run]], changed: Collection[str]) -> Group:
    runs = [_counting(repeats) for repeats in by_repeat]
    others = [(run, one) for one, repeats in zip(runs, by_repeat, strict=True) for run in repeats if run is not one]
    fields = _telling(runs[-1], changed)
    for name in (*REPEATED, *(f"{group}.name" for group in CHOICES)):
        fields.pop(name, None)
    fields |= runs[-1].names
    done = [run for run in runs if run.status == Status.COMPLETED]
    held_out = accuracies(done, "val")
    val = SeedMean.of(held_out) if len(held_out) == len(done) else None
    return Group(fields, runs, SeedMean.of(accuracies(done, "test")), val, others)


def accuracies(runs: Iterable[Run], split: str) -> list[float]:
    """Accuracies after the last epoch of the runs that were completed, on `val` or `test`."""
    completed = [run for run in runs if run.result and run.status == Status.COMPLETED]
    measured = (run.val if split == "val" else run.result and run.result.test for run in completed)
    return [metrics["accuracy"] for metrics in measured if metrics]


def chosen_by(groups: Iterable[Group]) -> str:
    """What configurations are sorted and compared by: `val`, if all that have results hold images out, else `test`."""
    done = [group for group in groups if group.accuracy]
    return "val" if done and all(group.val for group in done) else "test"


def varying(groups: Sequence[Group]) -> list[str]:
    """The fields worth a column: those that differ between groups that chose the same option.

    That adam's rate is not sgd's follows from the choice; only the choice is a column then.
    """
    names = dict.fromkeys(name for group in groups for name in group.fields)
    labels = [name for name in ("data", "model", "optimizer", "scheduler") if _differs(groups, name)]
    rest = [name for name in names if name not in (*CHOICES, "model") and _differs(groups, name)]
    return labels + rest


def _differs(groups: Sequence[Group], name: str) -> bool:
    choice, dot, _ = name.partition(".")
    seen: dict[str, set[str]] = {}
    for group in groups:
        option = str(group.fields.get(choice)) if dot else ""
        seen.setdefault(option, set()).add(json.dumps(group.fields.get(name), default=str))
    return any(len(values) > 1 for values in seen.values())


# --- records ----------------------------------------------------------------------------------------------


def _record(group: Group, tied: bool, split: str) -> dict[str, Any]:
    done = [run.result for run in group.completed() if run.result is not None]
    bests = [result.best for result in done if result.best]
    top = SeedMean.of([one["accuracy"] for one in bests])
    return {
        **group.fields,
        "n": len(done),
        "seeds": sorted(result.seed for result in done),
        "name": ", ".join(dict.fromkeys(str(run.fields["name"]) for run in group.runs if run.fields.get("name"))),
        "tags": list(dict.fromkeys(tag for run in group.runs for tag in run.tags)),
        "folds_done": sorted({run.fields["fold"] for run in group.completed() if run.fields.get("fold") is not None}),
        "chosen_by": split,
        "val_accuracy": group.val.mean if group.val else None,
        "val_accuracy_std": group.val.std if group.val else None,
        "test_accuracy": group.accuracy.mean if group.accuracy else None,
        "test_accuracy_std": group.accuracy.std if group.accuracy else None,
        "tied_with_best": tied,
        "best_accuracy": top.mean if top else None,
        "best_accuracy_std": top.std if top else None,
        "best_epoch": _mean(one["epoch"] for one in bests),
        "selected_on": next((one.get("selected_on") for one in bests), None),
        "train_accuracy": _mean(result.train["accuracy"] for result in done if result.train),
        "last_epoch": _mean(result.epochs for result in done),
        "parameters": next((run.result.parameters.get("total") for run in group.runs if run.result), None),
        "seconds": _mean(result.seconds.get("total", 0.0) for result in done),
        "status": _status(group),
        "folders": [str(run.folder) for run in group.runs],
    }


def _against(group: Group, best: Measured | None, split: str) -> Pair | None:
    """The two compared, if anything can be said (Welch's test on moderated variances)."""
    if best is None or group.mean_of(split) is None:
        return None
    own = measured(group, split)
    # Single runs on a test set of unknown size say nothing of their spread.
    known = any(math.isfinite(one.spread.variance) for one in (own, best))
    return pair(own, best) if known else None


def measured(group: Group, split: str) -> Measured:
    """The accuracies of a group's completed runs on `test` or `val`, with their variance; there is one run at least."""
    done = [run for run in group.completed() if run.result and run.result.test]
    values = tuple(accuracies(done, split))
    curves = [[epoch[f"{split}_accuracy"] for epoch in run.rows if f"{split}_accuracy" in epoch] for run in done]
    losses = {run.result.test["loss"] for run in done if run.result and run.result.test}
    same = len(done) > 1 and len(losses) == len(set(values)) == 1
    runs = Runs(values, images_of(done[0].fields, split), jitter(curves), same)
    return Measured(runs, spread(runs))


def images_of(fields: Mapping[str, Any], split: str) -> int | None:
    """How many images each accuracy is of, where that is known without reading the data."""
    name, limit = fields.get("data.name"), fields.get("limit")
    if split == "test":
        return images_in("test", name, limit, fields.get("data.test_images"))
    training = images_in("train", name, limit, fields.get("data.train_images"))
    validation, folds = fields.get("validation"), fields.get("folds")
    if training is None or validation == OWN:
        return None
    if folds:
        return training // int(folds)
    return int(validation * training) if isinstance(validation, float) else validation


def _mean(values: Iterable[float]) -> float | None:
    spread = SeedMean.of(list(values))
    return spread.mean if spread else None


def _status(group: Group) -> str:
    counts = Counter(run.status for run in group.runs)
    words = [f"{counts[name]} {name}" for name in WRITTEN if counts[name]]
    going = [
        f"running {run.epoch}/{run.fields.get('epochs', '?')}" for run in group.runs if run.status == Status.RUNNING
    ]
    return ", ".join(words + going)


# --- columns ----------------------------------------------------------------------------------------------


def _with_spread(record: Fields, name: str) -> str:
    if record[name] is None:
        return ""
    return SeedMean(record["n"], record[name], record[f"{name}_std"]).text(4)


def _accuracy(split: str) -> Column:
    def show(record: Fields) -> str:
        tied = record["tied_with_best"] and record["chosen_by"] == split
        return ("≈ " if tied else "") + _with_spread(record, name)

    name = f"{split}_accuracy"
    return Column(f"{split} accuracy", show, (name, f"{name}_std", "tied_with_best"), right=True)


GIVEN = ("name", "tags")
"""What runs were given to find them by; columns where any has it."""
METRICS = {
    **{name: column(name) for name in GIVEN},
    "val_accuracy": _accuracy("val"),
    "test_accuracy": _accuracy("test"),
    "n": column("n", right=True),
    "best_accuracy": Column(
        "best epoch's",
        lambda record: _with_spread(record, "best_accuracy"),
        ("best_accuracy", "best_accuracy_std", "selected_on"),
        right=True,
    ),
    "best_epoch": column("best epoch", "best_epoch", right=True),
    "last_epoch": column("last epoch", "last_epoch", right=True),
    "train_accuracy": column("train accuracy", "train_accuracy", digits=4, right=True),
    "parameters": Column(
        "parameters",
        lambda record: "" if record["parameters"] is None else f"{record['parameters']:,}",
        ("parameters",),
        right=True,
    ),
    "seconds": Column("time", lambda record: duration(record["seconds"]), ("seconds",), right=True),
    "status": column("status"),
    "seeds": column("seeds"),
    "folds_done": column("folds", "folds_done"),
    "folders": column("folders"),
}
SHOWN = (
    *("val_accuracy", "test_accuracy", "n", "best_accuracy", "best_epoch", "last_epoch", "parameters", "seconds"),
    "status",
)
LARGEST_FIRST = ("val_accuracy", "test_accuracy", "best_accuracy", "train_accuracy", "n")


def _titles(names: Sequence[str], known: Iterable[str]) -> dict[str, str]:
    """Field names without their group where that is clear."""
    lasts = Counter(name.rpartition(".")[2] for name in known)
    return {name: last if lasts[last := name.rpartition(".")[2]] == 1 else name for name in names}


def leaderboard(
    runs: Sequence[Run],
    sort: str | None = None,
    columns: Sequence[str] = (),
    only_changed: bool = False,
    hide_failed: bool = False,
) -> Table:
    """The table of the runs' configurations.

    Args:
        sort: Field to sort by; accuracies the largest first, all else the smallest; `-` turns it round. Default: the
            accuracy that `chosen_by` says.
        columns: The columns wanted; default: varying fields and the usual metrics.
        only_changed: Leave out metrics, too, that are the same in every row.
        hide_failed: Leave out configurations without any completed or running run.

    Raises:
        UsageError: `sort` or `columns` name no field.
    """
    groups = [group for group in grouped(runs) if not (hide_failed and _is_lost(group))]
    split = chosen_by(groups)
    best = max(
        (group for group in groups if group.mean_of(split)), key=lambda group: _mean_of(group, split), default=None
    )
    against = measured(best, split) if best else None
    pairs = [None if group is best else _against(group, against, split) for group in groups]
    records = [
        _record(group, one is not None and one.p > LEVEL, split) for group, one in zip(groups, pairs, strict=True)
    ]
    known = list(dict.fromkeys(name for group in groups for name in group.fields))
    chosen = [_named(name, known) for name in columns] or _usual(varying(groups), records)
    if only_changed:
        chosen = [name for name in chosen if len({json.dumps(record.get(name)) for record in records}) > 1]
    ordered = _sorted(records, sort or f"{split}_accuracy", known)
    return Table(_columns(chosen, known), ordered, notes=_notes(records, groups, pairs))


def _is_lost(group: Group) -> bool:
    return not any(run.status in (Status.COMPLETED, Status.RUNNING) for run in group.runs)


def _mean_of(group: Group, split: str) -> float:
    found = group.mean_of(split)
    return found.mean if found else 0.0


def _named(name: str, known: Sequence[str]) -> str:
    """The field that `name` (in full or its last part) stands for."""
    if name in known or name in METRICS:
        return name
    matches = [full for full in known if full.rpartition(".")[2] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(f"column {name}: could be {' or '.join(matches)}; write it in full")
    raise UsageError(f"column {name}: no such field{did_you_mean(name, [*known, *METRICS])}")


def _usual(fields: list[str], records: Sequence[Fields]) -> list[str]:
    settled = all(set(record["status"].split()) == {str(record["n"]), Status.COMPLETED} for record in records)
    given = [name for name in GIVEN if any(record[name] for record in records)]
    unused = {
        "status" if settled else "",
        "val_accuracy" if all(one["val_accuracy"] is None for one in records) else "",
    }
    return fields + given + [name for name in SHOWN if name not in unused]


def _columns(chosen: Iterable[str], known: Sequence[str]) -> list[Column]:
    chosen = list(chosen)
    titles = _titles(chosen, {*known, *METRICS})
    return [METRICS[name] if name in METRICS else column(titles[name], name) for name in chosen]


def _sorted(records: list[dict[str, Any]], sort: str, known: Sequence[str]) -> list[dict[str, Any]]:
    name = _named(sort.lstrip("-"), known)
    backwards = (name in LARGEST_FIRST) != sort.startswith("-")
    have = [record for record in records if record.get(name) is not None]
    lack = [record for record in records if record.get(name) is None]
    return sorted(have, key=lambda record: _order(record[name]), reverse=backwards) + lack


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers among numbers, everything else as text behind them."""
    is_number = isinstance(value, int | float)
    return (not is_number, float(value) if is_number else 0.0, "" if is_number else plain_text(value))


def _notes(records: Sequence[Fields], groups: Sequence[Group], pairs: Sequence[Pair | None]) -> list[str]:
    notes = []
    if any(record["tied_with_best"] for record in records):
        notes.append("≈ not told apart from the best (Welch's test at 5 %)")
    if len(groups) > 1 and all(group.accuracy is None or group.accuracy.std is None for group in groups):
        notes.append("One seed each: small differences may be chance (seed=0,1,2 tells).")
    elif any(one.blind and one.p <= LEVEL for one in pairs if one):
        notes.append(
            "A single run of fewer than ten epochs says nothing of how far another would lie (seed=0,1,2 tells)."
        )
    if any(record["selected_on"] == "test" for record in records):
        notes.append("The best epoch was picked on the test set, so its accuracy flatters.")
    if len(groups) > 1 and any(group.val for group in groups) and chosen_by(groups) == "test":
        notes.append("Not all configurations hold images out, so they are sorted and compared by test accuracy.")
    if chosen_by(groups) == "val" and any(_differs(groups, name) for name in ("validation", "validation_by", "folds")):
        notes.append("Configurations hold out different images, by which their val accuracies differ, too.")
    return notes + _of_folds(groups) + repeated(groups)


def _of_folds(groups: Iterable[Group]) -> list[str]:
    """What a mean over folds is of, and where folds are missing."""
    divided = [group for group in groups if group.fields.get("folds")]
    lacking = [group for group in divided if _missing_folds(group)]
    notes = []
    if divided:
        counted = "folds and seeds" if any(_has_seeds(group) for group in divided) else "folds"
        notes.append(f"n counts {counted}: each run is validated on the part of the training set that it holds out.")
    if lacking:
        texts = [f"{', '.join(map(str, _missing_folds(group)))} of {group.runs[0].folder.name}" for group in lacking]
        notes.append(f"Folds without a result, so that the mean is not over the whole training set: {few(texts, 3)}")
    return notes


def _has_seeds(group: Group) -> bool:
    return len({run.fields.get("seed") for run in group.completed()}) > 1


def _missing_folds(group: Group) -> list[int]:
    done = {run.fields.get("fold") for run in group.completed()}
    return [fold for fold in range(int(group.fields["folds"])) if fold not in done]


def repeated(groups: Iterable[Group]) -> list[str]:
    """A line on runs that are copies of others, and one on those that repeat another: neither counts."""
    pairs = [pair for group in groups for pair in group.others]
    copies = [f"{run.folder} (of {one.folder})" for run, one in pairs if _is_copy(run, one)]
    again = [f"{_told(run)} (of {_told(one)})" for run, one in pairs if not _is_copy(run, one)]
    notes = []
    if copies:
        notes.append(f"Copies, which count once: {few(copies, MOST_REPEATS)}")
    if again:
        same = "Runs with the configuration, data and seed of a later or finished one, which counts"
        notes.append(f"{same}: {few(again, MOST_REPEATS)}")
    return notes


def _is_copy(run: Run, one: Run) -> bool:
    return run.result is not None and run.result == one.result


def _told(run: Run) -> str:
    test = run.result.test if run.result is not None and run.status == Status.COMPLETED else None
    return f"{run.folder} {test['accuracy']:.4f}" if test else f"{run.folder} {run.status}"


def failures(runs: Iterable[Run]) -> Table:
    """Failed runs with the reason and the log."""
    records = [
        {"run": run.folder.name, "reason": _reason(run), "log": str(run.folder / "run.log")}
        for run in runs
        if run.status == Status.FAILED
    ]
    return Table([column("run"), column("reason"), column("log")], records, title="Failed runs")


def _reason(run: Run) -> str:
    error = (run.result.error if run.result else None) or {}
    kind, message = str(error.get("type", "unknown")), str(error.get("message", ""))
    return message if message.startswith(kind) else f"{kind}: {message}".rstrip(": ")
