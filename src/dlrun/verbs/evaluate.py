"""Test a finished run again, on its own data or on others of the same classes.

    dlrun evaluate RUN                           the test set it was trained beside
    dlrun evaluate RUN split=train               its training set
    dlrun evaluate RUN data.root=/elsewhere      the same data set from another folder
    dlrun evaluate RUN data=image_folder data.root=pictures

Shown are loss, accuracy, top-5, every class and the confusion matrix.
"""

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlrun.errors import ConfigError
from dlrun.report.output import Column, Record, Table, column, counted, finite, visible, write
from dlrun.verbs.loaded import FIELDS, add_run, fields, load
from dlrun.verbs.parser import Parser

if TYPE_CHECKING:
    from dlrun.data.dataset import Dataset, Split
    from dlrun.evaluation import Predictions
    from dlrun.loading import Loaded

OWN_FIELDS = ("data", "split", "limit", "eval_batch_size")
MOST_COLUMNS = 12
"""Classes up to which the whole confusion matrix is printed."""
CONFUSIONS = 10


def main(arguments: list[str]) -> int:
    """Run `dlrun evaluate`; returns 0."""
    options = _parser().parse_intermixed_args(arguments)
    typed = fields(options.fields, (*FIELDS, *OWN_FIELDS), ("data",))
    split = typed.pop("split", "test")
    if split not in ("train", "test"):
        raise ConfigError(f"split={split}: expected train or test")
    about_data = {key: typed.pop(key) for key in list(typed) if key.partition(".")[0] == "data"}
    run = load(options, typed)
    dataset = _dataset(run, about_data)
    outcome = _examined(run, getattr(dataset, split), dataset)
    numbers = _numbers(outcome, run.inputs.classes)
    about = {"run": str(options.run), "weights": run.weights, "data": dataset.name, "split": split}
    print(_as_json(about, numbers) if options.json else _as_text(about, numbers), end="")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="dlrun evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run(parser)
    parser.add_argument(
        "fields", nargs="*", default=(), metavar="FIELD=VALUE", help=f"{', '.join((*OWN_FIELDS, *FIELDS))}, data.…"
    )
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    return parser


def _dataset(run: "Loaded", changes: Mapping[str, Any]) -> "Dataset":
    """The data of the run, or other data with its classes, at the size that the network takes."""
    from dlrun.config import parse, plain
    from dlrun.data.load import load as load_data
    from dlrun.groups import Target

    config = run.config
    if isinstance(config.data, Target) and "data" not in changes and not config.trust:
        raise ConfigError(
            f"data._target_={config.data.target}: a loaded run may not run code of its own; "
            "if you trust whoever made it, add trust=true, or name other data (data=…)"
        )
    values = plain(config)
    if "data" in changes:
        values["data"] = {"name": changes["data"]}
    for key, value in changes.items():
        if key != "data":
            values["data"][key.removeprefix("data.")] = value
    _, height, width = run.inputs.shape
    if "data" in changes and height == width and changes["data"] != "synthetic":
        values["data"].setdefault("size", height)
    return load_data(parse(values).data)


def _examined(run: "Loaded", split: "Split", dataset: "Dataset") -> "Predictions":
    from dlrun.data.dataset import Split, limited
    from dlrun.evaluation import examine

    chosen = limited(split, run.config.limit)
    if tuple(chosen.images.shape[1:]) != run.inputs.shape:
        found, expected = ("x".join(map(str, shape)) for shape in (chosen.images.shape[1:], run.inputs.shape))
        raise ConfigError(f"the pictures of {dataset.name} are {found}, the network takes {expected}")
    chosen = Split(chosen.images, _relabelled(chosen, dataset.classes, run.inputs.classes)).to(run.device)
    outcome = examine(run.model, chosen, run.prepare, run.precision, run.config.eval_batch_size)
    assert outcome is not None
    return outcome


def _relabelled(split: "Split", theirs: tuple[str, ...], ours: tuple[str, ...]) -> Any:
    """The labels as the network counts them: classes are known by their names, and some may be missing."""
    import torch

    strange = [name for name in theirs if name not in ours]
    if strange:
        shown = ", ".join(map(visible, strange[:5])) + (" …" if len(strange) > 5 else "")
        raise ConfigError(f"data: the network does not know the classes {shown}; it knows {', '.join(ours[:10])}")
    return torch.tensor([ours.index(name) for name in theirs])[split.labels]


def _numbers(outcome: "Predictions", classes: tuple[str, ...]) -> dict[str, Any]:
    from dlrun.evaluation import precision_and_recall

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


def _as_json(about: Mapping[str, Any], numbers: Mapping[str, Any]) -> str:
    return json.dumps({**about, **numbers, "loss": finite(numbers["loss"])}, indent=2) + "\n"


def _as_text(about: Mapping[str, Any], numbers: Mapping[str, Any]) -> str:
    top5 = "" if numbers["top5"] is None else f", top-5 {numbers['top5']:.4f}"
    head = (
        f"{about['run']}, {about['weights']}\n"
        f"{about['data']} {about['split']}: {counted(numbers['pictures'], 'picture')}, "
        f"accuracy {numbers['accuracy']:.4f}, loss {numbers['loss']:.4f}{top5}"
    )
    numeric = [column(name, digits=4, right=True) for name in ("pictures", "precision", "recall")]
    classes = Table([column("class"), *numeric], numbers["classes"])
    lines = "\n".join(map(visible, head.splitlines()))
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
    def show(record: Record) -> str:
        return str(record[number]) if record[number] else "."  # type: ignore[index]

    return Column(name, show, (str(number),), right=True)
