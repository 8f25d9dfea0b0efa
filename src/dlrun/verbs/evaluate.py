"""Test a finished run again, on its own data or on others of the same classes.

    dlrun evaluate RUN                           the test set it was trained beside
    dlrun evaluate RUN split=train               what it was trained on; split=val: what it held out
    dlrun evaluate RUN data.root=/elsewhere      the same data set from another folder
    dlrun evaluate RUN data=image_folder data.root=pictures

Size and colours of the pictures are those that the network takes. Of a folder that is not divided into train/ and test/
all pictures are tested, unless it holds the run's own data or data.test_fraction is given; each is read and fitted as
`dlrun predict` does it.

Shown are loss, accuracy, top-5, every class and the confusion matrix.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlrun.errors import ConfigError, RunFailed
from dlrun.output import Column, Fields, Table, column, counted, finite, write
from dlrun.runs.trust import check_trust
from dlrun.text import visible
from dlrun.verbs.loaded import FIELDS, add_run, fields, load
from dlrun.verbs.parser import Parser
from dlrun.verbs.tested import PARTS, Tested, tested

if TYPE_CHECKING:
    from dlrun.data.dataset import Split
    from dlrun.runs.loading import Loaded
    from dlrun.training.evaluation import Predictions

OWN_FIELDS = ("data", "split", "limit", "eval_batch_size")
MOST_COLUMNS = 12
"""Classes up to which the whole confusion matrix is printed."""
CONFUSIONS = 10


def main(arguments: list[str]) -> int:
    """Run `dlrun evaluate`; returns 0."""
    options = _parser().parse_intermixed_args(arguments)
    typed = fields(options.fields, (*FIELDS, *OWN_FIELDS), ("data",))
    split = typed.pop("split", "test")
    if split not in PARTS:
        raise ConfigError(f"split={split}: expected test, train or val")
    about_data = {key: typed.pop(key) for key in list(typed) if key.partition(".")[0] == "data"}
    limits = {"limit": typed.pop("limit")} if "limit" in typed else {}
    run = load(options, typed)
    if "data" not in about_data:
        check_trust(run.config, ("data",), run.config.trust)
    chosen = tested(run, about_data, split, _checked(run, limits))
    numbers = _numbers(_examined(run, chosen), run.inputs.classes)
    about = {"run": str(options.run), "weights": run.weights, "data": chosen.name, "split": chosen.part}
    print(_as_json(about, chosen.notes, numbers) if options.json else _as_text(about, chosen.notes, numbers), end="")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="dlrun evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run(parser)
    parser.add_argument(
        "fields", nargs="*", default=(), metavar="FIELD=VALUE", help=f"{', '.join((*OWN_FIELDS, *FIELDS))}, data.…"
    )
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    return parser


def _checked(run: "Loaded", limits: Mapping[str, Any]) -> dict[str, int | None]:
    from dlrun.config.schema import parse, plain

    return {"limit": parse({**plain(run.config), **limits}).limit} if limits else {}


def _examined(run: "Loaded", chosen: Tested) -> "Predictions":
    from dlrun.data.dataset import Split
    from dlrun.training.evaluation import examine

    labels = _relabelled(chosen.split, chosen.classes, run.inputs.classes)
    split = Split(chosen.split.images, labels).to(run.device)
    outcome = examine(run.model, split, run.prepare, run.precision, run.config.eval_batch_size)
    assert outcome is not None
    if outcome.undefined:
        raise RunFailed(
            f"the network gives no numbers (NaN) for {outcome.undefined:,} of {counted(len(outcome.labels), 'picture')}"
            f", so there is no accuracy; its weights, {run.weights}, or precision={run.config.precision} are no good"
        )
    return outcome


def _relabelled(split: "Split", theirs: tuple[str, ...], ours: tuple[str, ...]) -> Any:
    """The labels as the network counts them: classes are known by their names, and some may be missing."""
    import torch

    from dlrun.data.listing import composed

    places = {composed(name): number for number, name in enumerate(ours)}
    strange = [name for name in theirs if composed(name) not in places]
    if strange:
        shown = ", ".join(map(visible, strange[:5])) + (" …" if len(strange) > 5 else "")
        raise ConfigError(f"data: the network does not know the classes {shown}; it knows {', '.join(ours[:10])}")
    return torch.tensor([places[composed(name)] for name in theirs])[split.labels]


def _numbers(outcome: "Predictions", classes: tuple[str, ...]) -> dict[str, Any]:
    from dlrun.training.evaluation import precision_and_recall

    confusion = outcome.confusion()
    precision, recall = precision_and_recall(confusion)
    rows = zip(classes, confusion.sum(1).tolist(), precision.tolist(), recall.tolist(), strict=True)
    return {
        "pictures": len(outcome.labels),
        "loss": outcome.loss,
        "accuracy": outcome.accuracy,
        "top5": outcome.top5,
        "classes": [
            {"class": name, "pictures": count, "precision": finite(right), "recall": finite(found)}
            for name, count, right, found in rows
        ],
        "confusion": confusion.tolist(),
    }


def _as_json(about: Mapping[str, Any], notes: Sequence[str], numbers: Mapping[str, Any]) -> str:
    return json.dumps({**about, "notes": notes, **numbers, "loss": finite(numbers["loss"])}, indent=2) + "\n"


def _as_text(about: Mapping[str, Any], notes: Sequence[str], numbers: Mapping[str, Any]) -> str:
    top5 = "" if numbers["top5"] is None else f", top-5 {numbers['top5']:.4f}"
    head = (
        f"{about['run']}, {about['weights']}\n"
        f"{about['data']} {about['split']}: {counted(numbers['pictures'], 'picture')}, "
        f"accuracy {numbers['accuracy']:.4f}, loss {numbers['loss']:.4f}{top5}"
    )
    numeric = [column(name, digits=4, right=True) for name in ("pictures", "precision", "recall")]
    classes = Table([column("class"), *numeric], numbers["classes"])
    lines = "\n".join(map(visible, (*head.splitlines(), *notes)))
    return f"{lines}\n\n{write(classes, 'text')}\n{write(_confusion(numbers), 'text')}"


def _confusion(numbers: Mapping[str, Any]) -> Table:
    """The whole matrix, or of many classes what is confused most often."""
    names = [entry["class"] for entry in numbers["classes"]]
    cells = numbers["confusion"]
    if len(names) > MOST_COLUMNS:
        pairs = [
            {"true": names[row], "predicted": names[place], "pictures": count}
            for row, line in enumerate(cells)
            for place, count in enumerate(line)
            if row != place and count
        ]
        pairs.sort(key=lambda pair: -pair["pictures"])
        columns = [column("true"), column("predicted"), column("pictures", right=True)]
        return Table(columns, pairs[:CONFUSIONS], title="confused most often")
    records = [{"true": name, **dict(enumerate(line))} for name, line in zip(names, cells, strict=True)]
    columns = [column("true"), *(_count(number, name) for number, name in enumerate(names))]
    return Table(columns, records, title="confusion (rows: true class)")


def _count(number: int, name: str) -> Column:
    def show(record: Fields) -> str:
        return str(record[number]) if record[number] else "."  # type: ignore[index]

    return Column(name, show, (str(number),), right=True)
