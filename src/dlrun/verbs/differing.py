"""The pictures that one of two networks, or groups of them, gets right and the other wrong: both are tested again."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlrun.data.dataset import Split
from dlrun.drawing import sheets
from dlrun.errors import UsageError
from dlrun.files import write_atomically
from dlrun.output import Table, column, say
from dlrun.report.versus import Versus
from dlrun.runs.loading import load_run
from dlrun.runs.trust import check_trust
from dlrun.store.scan import Run
from dlrun.training.started import refuse_ranks
from dlrun.verbs.evaluate import MOST_ON_SHEET, examined
from dlrun.verbs.tested import Tested, tested

COLUMNS = ("truth", "a_right", "b_right", "a_prediction", "b_prediction", "a_probability", "b_probability")


@dataclass(frozen=True)
class Differing:
    """The outcome; a group gets a picture right if more than half of its runs do."""

    runs: tuple[int, int]
    """Of A and of B."""
    counts: tuple[int, int, int, int]
    """Pictures that both get right, only A, only B, neither."""
    named_by: str
    """`file` or `index`: the first column."""
    records: Sequence[Mapping[str, Any]]
    """Pictures that only one gets right, those first on whose truth they agree least."""
    images: Split
    """The same pictures, as A was shown them."""
    notes: tuple[str, ...]

    def table(self, most: int | None = None) -> Table:
        """The first `most` of `records`."""
        shares = [column(name, digits=4, right=True) for name in COLUMNS[-2:]]
        more = f", {most} of {len(self.records):,}" if most is not None and len(self.records) > most else ""
        columns = [column(self.named_by), *map(column, COLUMNS[:-2]), *shares]
        return Table(columns, self.records[:most], title=f"right in one only{more}")

    def write_sheet(self, path: Path) -> None:
        """A contact sheet of the first of them, which is said, or that there are none."""
        chosen = self.records[:MOST_ON_SHEET]
        if not chosen:
            say(f"{path}: not written, as no picture is right in one only", sys.stderr)
            return
        captions = [f"is {one['truth']}\nA: {one['a_prediction']}\nB: {one['b_prediction']}" for one in chosen]
        page = sheets.sheet(self.images.images[: len(chosen)].numpy(), captions, tile=96)
        write_atomically(path, sheets.encoded(page, path.suffix))
        left_out = len(self.records) - len(chosen)
        say(f"{path}" + (f" ({left_out:,} more are left out)" if left_out else ""), sys.stderr)


@dataclass(frozen=True)
class _Answers:
    """What the runs of one side say of the same pictures."""

    chosen: Tested
    classes: tuple[str, ...]
    truths: list[str]
    right: Tensor
    """int64 (N,): how many runs are right."""
    votes: Tensor
    """int64 (runs, N): what each of them says."""
    probability: Tensor
    """float64 (N,): of the truth, the mean over runs."""

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.votes)

    def said(self, place: int) -> str:
        """The class that its runs say a picture is; of several the most common one first."""
        return " | ".join(self.classes[one] for one, _ in Counter(self.votes[:, place].tolist()).most_common())


def differing(found: Versus, changes: Mapping[str, Any]) -> Differing:
    """Test the runs of both sides again.

    Args:
        changes: What was typed: `device`, `threads`, `trust`, `data.…`.

    Raises:
        UsageError: A run has no weights, what it names is not trusted, or the pictures are not the same.
    """
    refuse_ranks("this")
    sides = [group.completed() for group in found.groups]
    notes: dict[str, None] = {}
    a, b = (_asked(runs, changes, notes) for runs in sides)
    fingerprints = {str(run.result.data.get("fingerprint")) for runs in sides for run in runs if run.result}
    if a.truths != b.truths or (len(fingerprints) > 1 and _files(a) != _files(b)):
        raise UsageError("compare: the test pictures of A and B are not the same; nothing can be said of single ones")
    first, second = (2 * side.right > side.runs for side in (a, b))
    counts = (first & second, first & ~second, ~first & second, ~first & ~second)
    gap = (a.probability - b.probability).abs().masked_fill(first == second, -1)
    places = gap.argsort(descending=True, stable=True)[: int((first != second).sum())]
    return Differing(
        (a.runs, b.runs),
        (int(counts[0].sum()), int(counts[1].sum()), int(counts[2].sum()), int(counts[3].sum())),
        a.chosen.named_by,
        [_record(a, b, place) for place in places.tolist()],
        a.chosen.split.at(places[:MOST_ON_SHEET]),
        tuple(notes),
    )


def _files(side: _Answers) -> list[Path | int]:
    return [name if isinstance(name, int) else name.resolve() for name in side.chosen.names]


def _record(a: _Answers, b: _Answers, place: int) -> dict[str, Any]:
    name = a.chosen.names[place]
    return {
        a.chosen.named_by: name if isinstance(name, int) else str(name),
        "truth": a.truths[place],
        "a_right": int(a.right[place]),
        "b_right": int(b.right[place]),
        "a_prediction": a.said(place),
        "b_prediction": b.said(place),
        "a_probability": a.probability[place].item(),
        "b_probability": b.probability[place].item(),
    }


def _asked(runs: Sequence[Run], changes: Mapping[str, Any], notes: dict[str, None]) -> _Answers:
    """Ask each run of a side; what a reader should know is added to `notes`."""
    about_data = {key: value for key, value in changes.items() if key.startswith("data.")}
    others = {key: value for key, value in changes.items() if key not in about_data}
    predictions, probabilities = [], []
    for one in runs:
        run = load_run(one.folder, changes=others)
        check_trust(run.config, ("data",), run.config.trust)
        chosen = tested(run, about_data, "test", {})
        outcome = examined(run, chosen)
        notes.update(dict.fromkeys(f"{one.folder}: {note}" for note in chosen.notes))
        predictions.append(outcome.predicted)
        probabilities.append(outcome.probabilities.gather(1, outcome.labels[:, None])[:, 0].double())
    votes = torch.stack(predictions)
    return _Answers(
        chosen,
        run.inputs.classes,
        [run.inputs.classes[label] for label in outcome.labels.tolist()],
        (votes == outcome.labels).sum(0),
        votes,
        torch.stack(probabilities).mean(0),
    )
