"""Leaderboards, one for each test set: runs grouped over seeds and folds, varying fields as columns, best on top."""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlrun.config.fields import fields_of
from dlrun.config.groups import DATA, Layers
from dlrun.config.schema import OWN, Checkpoint, Config, Sweep
from dlrun.data.facts import images_in
from dlrun.data.heldout import share
from dlrun.errors import UsageError, did_you_mean
from dlrun.output import Column, Fields, Table, column, duration, few, is_constant, plain_text, write
from dlrun.statistics import Measured, Runs, SeedMean, jitter, pair, spread
from dlrun.store.scan import Run
from dlrun.store.status import WRITTEN, Status

CHOICES = ("data", "optimizer", "scheduler")
"""Groups, besides the model, whose chosen option is a field of its own."""

REPEATED = ("seed", "fold")
"""Fields in which the runs of one configuration differ."""
PREPARED = ("normalize", "mean", "std", "class_weights", "sampling")
"""Fields of data that say how its images are prepared and drawn for training, not which they are."""
READ_AS = ("size", "color")
"""Those of how files are read: the same ones in other sizes or colours have other fingerprints."""
TOO_FEW = "too few seeds"
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
    """Fingerprints of runs whose settings call for the same data, but whose data's content differs."""
    found: dict[str, set[str]] = {}
    for run in runs:
        found.setdefault(_key(_of_data(_telling(run), PREPARED)), set()).update({_fingerprint(run)} - {""})
    return {one for several in found.values() if len(several) > 1 for one in several}


def _of_data(fields: Mapping[str, Any], without: Sequence[str]) -> dict[str, Any]:
    prefix = "data."
    return {
        name: value
        for name, value in fields.items()
        if name.startswith(prefix) and name.removeprefix(prefix) not in without
    }


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


def _record(group: Group, board: str, vs_best: str | None, split: str) -> dict[str, Any]:
    done = [run.result for run in group.completed() if run.result is not None]
    bests = [result.best for result in done if result.best]
    top = SeedMean.of([one["accuracy"] for one in bests])
    return {
        **group.fields,
        "board": board,
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
        "vs_best": vs_best,
        "best_accuracy": top.mean if top else None,
        "best_accuracy_std": top.std if top else None,
        **_range("best_epoch", [one["epoch"] for one in bests]),
        "selected_on": next((one.get("selected_on") for one in bests), None),
        "train_accuracy": _mean(result.train["accuracy"] for result in done if result.train),
        **_range("last_epoch", [result.epochs for result in done]),
        "parameters": next((run.result.parameters.get("total") for run in group.runs if run.result), None),
        "seconds": _mean(result.seconds.get("total", 0.0) for result in done),
        "status": _status(group),
        "folders": [str(run.folder) for run in group.runs],
    }


def _range(name: str, values: Sequence[int]) -> dict[str, int | None]:
    """The least of some epochs under a name, and the largest beside it: their mean would be none."""
    return {name: min(values, default=None), f"{name}_max": max(values, default=None)}


VS_BEST = {"not told apart": "tied", "lower": "below", "undecided": TOO_FEW}
"""How a verdict on a row and the best one (Welch's test on moderated variances) reads in a board."""


def _vs_best(group: Group, best: Group | None, against: Measured | None, split: str) -> str | None:
    """`best`, `tied`, `below` or `too few seeds`; None where there is no result."""
    if best is None or against is None or group.mean_of(split) is None:
        return None
    if group is best:
        return "best"
    found = pair(measured(group, split), against)
    # Of single runs on a test set of unknown size nothing tells how far others would lie.
    return VS_BEST[found.verdict] if math.isfinite(found.error) else TOO_FEW


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
    return share(training, validation) if isinstance(validation, float) else validation


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
    name = f"{split}_accuracy"
    return Column(f"{split} accuracy", lambda record: _with_spread(record, name), (name, f"{name}_std"), right=True)


def _epochs(title: str, name: str) -> Column:
    """A column of epochs, those of several seeds as `2–3`."""

    def show(record: Fields) -> str:
        least, largest = record[name], record[f"{name}_max"]
        return plain_text(least) if least == largest else f"{least}–{largest}"

    return Column(title, show, (name, f"{name}_max"), right=True)


METRICS = {
    "board": column("board"),
    "name": column("name"),
    "val_accuracy": _accuracy("val"),
    "test_accuracy": _accuracy("test"),
    "vs_best": column("vs best", "vs_best"),
    "n": column("n", right=True),
    "best_accuracy": Column(
        "best epoch's",
        lambda record: _with_spread(record, "best_accuracy"),
        ("best_accuracy", "best_accuracy_std", "selected_on"),
        right=True,
    ),
    "best_epoch": _epochs("best epoch", "best_epoch"),
    "last_epoch": _epochs("last epoch", "last_epoch"),
    "train_accuracy": column("train accuracy", "train_accuracy", digits=4, right=True),
    "parameters": Column(
        "parameters",
        lambda record: "" if record["parameters"] is None else f"{record['parameters']:,}",
        ("parameters",),
        right=True,
    ),
    "seconds": Column("time", lambda record: duration(record["seconds"]), ("seconds",), right=True),
    "status": column("status"),
    "tags": column("tags"),
    "seeds": column("seeds"),
    "folds_done": column("folds", "folds_done"),
    "folders": column("folders"),
}
SHOWN = (
    *("name", "val_accuracy", "test_accuracy", "vs_best", "n", "best_accuracy", "best_epoch", "last_epoch"),
    *("parameters", "seconds", "status", "tags"),
)
ACCURACIES = {"val_accuracy", "test_accuracy", "best_accuracy", "train_accuracy"}
LARGEST_FIRST = (*ACCURACIES, "n")


def _titles(names: Sequence[str], known: Iterable[str]) -> dict[str, str]:
    """Field names without their group where that is clear."""
    lasts = Counter(name.rpartition(".")[2] for name in known)
    return {name: last if lasts[last := name.rpartition(".")[2]] == 1 else name for name in names}


@dataclass(frozen=True)
class Board:
    """Configurations that were tested on the same images and hold out by the same rule, so that they can be ranked."""

    title: str
    """The data, the limit and what is held out: `mnist, limit=2000`."""
    groups: Sequence[Group]
    split: str
    """What they are sorted and compared by."""
    records: Sequence[dict[str, Any]]

    def table(self, columns: Sequence[str] = (), only_changed: bool = False) -> Table:
        """The board for people: what is the same in all rows stands in its title.

        Args:
            columns: The columns wanted; default: varying fields and the usual metrics.
            only_changed: Leave out metrics that are the same in every row.

        Raises:
            UsageError: `columns` name no field.
        """
        known = _known(self.groups)
        chosen = [_named(name, known) for name in columns] or _usual(varying(self.groups) or ["model"], self.records)
        if not columns:
            chosen = [name for name in chosen if name not in self._without()]
        if only_changed:
            chosen = _changing(chosen, self.records)
        laid = _columns(chosen, known)
        same = [] if columns else _constant(laid, self.records)
        texts = [(item.title, item.show(self.records[0])) for item in same]
        said = ", ".join(f"{title} {text}" for title, text in texts if text)
        title = f"{self.title}; every row: {said}" if said else self.title
        shown = [item for item in laid if item not in same]
        return Table(shown, self.records, title, _notes(self.records, self.groups, shown))

    def _without(self) -> set[str]:
        """Columns that would say a second time what stands in another one."""
        comparable = sum(record["vs_best"] is not None for record in self.records) > 1
        repeats = all(record["best_accuracy"] == record[f"{self.split}_accuracy"] for record in self.records)
        return {"" if comparable else "vs_best", "best_accuracy" if repeats else ""}


def boards(runs: Sequence[Run], sort: str | None = None, hide_failed: bool = False) -> list[Board]:
    """A board for each test set and held-out rule; those of synthetic images stand last, then those of fewer rows.

    Args:
        sort: Field to sort by; accuracies the largest first, all else the smallest; `-` turns it round. Default: the
            accuracy that `chosen_by` says.
        hide_failed: Leave out configurations without any completed or running run.

    Raises:
        UsageError: `sort` names no field.
    """
    kept = [group for group in grouped(runs) if not (hide_failed and _is_lost(group))]
    known = _known(kept)
    found: dict[str, list[Group]] = {}
    for group in kept:
        found.setdefault(_key(_tested_on(group)), []).append(group)
    ordered = sorted(found.values(), key=lambda groups: (_is_synthetic(groups[0]), -len(groups)))
    titles = _board_titles([groups[0] for groups in ordered])
    return [_board(title, groups, sort, known) for title, groups in zip(titles, ordered, strict=True)]


def _tested_on(group: Group) -> dict[str, Any]:
    """What says which images are tested and held out; `train_limit` leaves both alone."""
    fields, run = _of_data(group.fields, (*PREPARED, *READ_AS)), group.runs[-1].fields
    found = {**fields, "data.name": run.get("data.name"), "limit": run.get("limit")}
    if run.get("folds"):
        found["folds"] = run["folds"]
    elif run.get("validation"):
        found["validation"] = run["validation"]
        if run["validation"] != OWN:
            found["validation_by"] = run.get("validation_by")
    return found


def _is_synthetic(group: Group) -> bool:
    return group.runs[-1].fields.get("data.name") == "synthetic"


def _board_titles(groups: Sequence[Group]) -> list[str]:
    """What boards are called, one group of each given: by what is set, of data's own fields by those that differ."""
    labels = [str(group.fields.get("data", "")) for group in groups]
    places = [_tested_on(group) for group in groups]
    titles = []
    for label, place, group in zip(labels, places, groups, strict=True):
        others = [other for other, name in zip(places, labels, strict=True) if name == label]
        words = [label]
        for name, value in place.items():
            differs = any(other.get(name, value) != value for other in others)
            if name == "data.fingerprint":
                words.append(_content(group, str(value)))
            elif differs if name.startswith("data.") or name == "validation_by" else value is not None:
                words.append(f"{name.removeprefix('data.')}={plain_text(value) or 'null'}")
        titles.append(", ".join(words))
    twice = Counter(titles)
    return [
        f"{title}, content {place.get('data.fingerprint', 'unknown')[:8]}" if twice[title] > 1 else title
        for title, place in zip(titles, places, strict=True)
    ]


def _content(group: Group, fingerprint: str) -> str:
    """What tells data of equal settings apart: where they lie, else their content."""
    place = group.runs[-1].fields.get("data.table") or group.runs[-1].fields.get("data.root")
    return Path(str(place)).name if place else f"content {fingerprint[:8]}"


def _board(title: str, groups: Sequence[Group], sort: str | None, known: Sequence[str]) -> Board:
    split = chosen_by(groups)
    best = max(
        (group for group in groups if group.mean_of(split)), key=lambda group: _mean_of(group, split), default=None
    )
    against = measured(best, split) if best else None
    records = [_record(group, title, _vs_best(group, best, against, split), split) for group in groups]
    return Board(title, groups, split, _sorted(records, sort or f"{split}_accuracy", known))


def leaderboard(found: Sequence[Board], columns: Sequence[str] = (), only_changed: bool = False) -> Table:
    """All boards as one table, for programs: `board` says to which a row belongs, nothing is folded.

    Args and errors: as of `Board.table`.
    """
    groups = [group for board in found for group in board.groups]
    records = [record for board in found for record in board.records]
    known = _known(groups)
    chosen = [_named(name, known) for name in columns] or ["board", *_usual(varying(groups), records)]
    if only_changed:
        chosen = _changing(chosen, records)
    return Table(_columns(chosen, known), records)


def printed(
    found: Sequence[Board], form: str, width: int | None, columns: Sequence[str] = (), only_changed: bool = False
) -> str:
    """The boards as text of one of `output.FORMATS`; `width` as of `output.write`.

    Raises:
        UsageError: `columns` name no field.
    """
    if form in ("csv", "json"):
        return write(leaderboard(found, columns, only_changed), form)
    return "\n".join(write(board.table(columns, only_changed), form, width) for board in found)


def _known(groups: Iterable[Group]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group.fields))


def _changing(names: Sequence[str], records: Sequence[Fields]) -> list[str]:
    return [name for name in names if len({json.dumps(record.get(name)) for record in records}) > 1]


def _constant(columns: Sequence[Column], records: Sequence[Fields]) -> list[Column]:
    """The columns besides fields, accuracies and times that say the same in every row of several."""
    foldable = METRICS.keys() - ACCURACIES - {"seconds"}
    return [item for item in columns if item.fields[0] in foldable and is_constant(item, records)]


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


def _usual(fields: Sequence[str], records: Sequence[Fields]) -> list[str]:
    settled = all(set(record["status"].split()) == {str(record["n"]), Status.COMPLETED} for record in records)
    unused = {name for name in ("name", "tags") if not any(record[name] for record in records)}
    if settled:
        unused.add("status")
    if all(record["val_accuracy"] is None for record in records):
        unused.add("val_accuracy")
    return [*fields, *(name for name in SHOWN if name not in unused)]


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


def _notes(records: Sequence[Fields], groups: Sequence[Group], columns: Sequence[Column]) -> list[str]:
    shown = {name for item in columns for name in item.fields}
    said = {record["vs_best"] for record in records} if "vs_best" in shown else set()
    spread = {f"{name}_std" for name in ACCURACIES} & shown
    notes = []
    if "tied" in said:
        notes.append("tied: not told apart from the best (Welch's test at 5 %)")
    if any(record[name] is not None for record in records for name in spread):
        notes.append("±: the standard deviation over the n runs of a row")
    if len(groups) > 1 and all(group.accuracy is None or group.accuracy.std is None for group in groups):
        notes.append("One seed each: small differences may be chance (seed=0,1,2 tells).")
    elif TOO_FEW in said:
        notes.append(
            "A single run of fewer than ten epochs says nothing of how far another would lie (seed=0,1,2 tells)."
        )
    if "best_accuracy" in shown and any(record["selected_on"] == "test" for record in records):
        notes.append("The best epoch was picked on the test set, so its accuracy flatters.")
    if len(groups) > 1 and any(group.val for group in groups) and chosen_by(groups) == "test":
        notes.append("Not all runs have val accuracies, so they are sorted and compared by test accuracy.")
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
