"""Test a finished run again, on its own data or on others of the same classes.

    dlrun evaluate RUN                           the test set it was trained beside
    dlrun evaluate RUN split=train               what it was trained on; split=val: what it held out
    dlrun evaluate RUN data.root=/elsewhere      the same data set from another folder
    dlrun evaluate RUN data=image_folder data.root=pictures

Size and colours of the pictures are those that the network takes. Of a folder that is not divided into train/ and test/
all pictures are tested, unless it holds the run's own data or data.test_fraction is given; each is read and fitted as
`dlrun predict` does it.

Shown are loss, accuracy, top-5, balanced accuracy (the mean recall), every class with precision, recall, F1 and the
area under its ROC curve (AUC, against all other classes), the confusion matrix, and the most confident mistakes. Means
are over the classes that have pictures, each counting the same; a class that nothing is taken for counts with a
precision of 0, as in scikit-learn.

    dlrun evaluate RUN --csv answers.csv         a row a picture: file or index, truth, prediction, probabilities
    dlrun evaluate RUN --sheet mistakes.png      a contact sheet of what it gets wrong, the most confident first
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from dlrun.errors import ConfigError, RunFailed
from dlrun.files import check_place, write_atomically
from dlrun.output import (
    GAP,
    Column,
    Fields,
    Table,
    column,
    counted,
    finite,
    folded,
    markdown,
    plain_text,
    say,
    terminal_width,
    write,
)
from dlrun.runs.trust import check_trust
from dlrun.text import visible
from dlrun.verbs.answers import answers
from dlrun.verbs.loaded import FIELDS, add_run, fields, load
from dlrun.verbs.parser import Parser, picture_file
from dlrun.verbs.tested import PARTS, Tested, tested

if TYPE_CHECKING:
    from dlrun.data.dataset import Split
    from dlrun.runs.loading import Loaded
    from dlrun.training.evaluation import Predictions

OWN_FIELDS = ("data", "split", "limit", "eval_batch_size")
MOST_COLUMNS = 12
"""Classes up to which the whole confusion matrix is printed."""
CONFUSIONS = 10
MOST_WRONG = 10
"""Wrong answers that are listed."""
MOST_ON_SHEET = 400
SCORES = ("precision", "recall", "f1", "auc")


def main(arguments: list[str]) -> int:
    """Run `dlrun evaluate`; returns 0."""
    options = _parser().parse_intermixed_args(arguments)
    for path in filter(None, (options.csv, options.sheet)):
        check_place(path)
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
    outcome = examined(run, chosen)
    about = {"run": str(options.run), "weights": run.weights, "data": chosen.name, "split": chosen.part}
    found = {
        **about,
        "notes": chosen.notes,
        **_numbers(outcome, run.inputs.classes),
        "wrong": _wrong(run, chosen, outcome),
    }
    form = "json" if options.json else "md" if options.md else "text"
    print(_as_json(found) if form == "json" else _as_text(found, form), end="")
    if options.csv:
        write_atomically(options.csv, write(_answers(run, chosen, outcome), "csv"))
        say(f"{options.csv}: {counted(len(chosen.names), 'picture')}", sys.stderr)
    if options.sheet:
        _write_sheet(run, chosen, outcome, options.sheet)
    return 0


def _parser() -> Parser:
    parser = Parser(prog="dlrun evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run(parser)
    parser.add_argument(
        "fields", nargs="*", default=(), metavar="FIELD=VALUE", help=f"{', '.join((*OWN_FIELDS, *FIELDS))}, data.…"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything as JSON, all wrong answers included")
    form.add_argument("--md", action="store_true", help="write Markdown")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write a row a picture")
    parser.add_argument(
        "--sheet", type=picture_file, metavar="FILE.png", help="also write a contact sheet of the wrong ones"
    )
    return parser


def _checked(run: "Loaded", limits: Mapping[str, Any]) -> dict[str, int | None]:
    from dlrun.config.schema import parse, plain

    return {"limit": parse({**plain(run.config), **limits}).limit} if limits else {}


def examined(run: "Loaded", chosen: Tested) -> "Predictions":
    """What the network of a run says of these pictures, whose labels are those of its own classes.

    Raises:
        ConfigError: It does not know some of their classes.
        RunFailed: It gives no numbers.
    """
    from dlrun.data.dataset import Split
    from dlrun.training.evaluation import examine

    labels = _relabelled(chosen.split, chosen.classes, run.inputs.classes)
    split = Split(chosen.split.images, labels).to(run.device)
    outcome = examine(run.model, split, run.prepare, run.precision, run.config.eval_batch_size, loss=run.config.loss)
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
    from dlrun.training.scores import scores

    confusion, found = outcome.confusion(), scores(outcome)
    columns = {name: map(finite, getattr(found, name).tolist()) for name in SCORES}
    rows = zip(classes, confusion.sum(1).tolist(), *columns.values(), strict=True)
    means = {name: finite(value) for name, value in found.means()}
    return {
        "pictures": len(outcome.labels),
        "loss": finite(outcome.loss),
        "accuracy": outcome.accuracy,
        "balanced_accuracy": means["recall"],
        "top5": outcome.top5,
        "macro": means,
        "classes": [dict(zip(("class", "pictures", *SCORES), row, strict=True)) for row in rows],
        "confusion": confusion.tolist(),
    }


def _wrong(run: "Loaded", chosen: Tested, outcome: "Predictions") -> list[dict[str, Any]]:
    """Every wrong answer, the most confident first."""
    names = run.inputs.classes
    places = outcome.mistakes(len(outcome.labels))
    columns = (places, outcome.labels[places], outcome.predicted[places], outcome.confidence[places])
    return [
        {
            chosen.named_by: name if isinstance(name := chosen.names[place], int) else str(name),
            "truth": names[label],
            "prediction": names[predicted],
            "probability": confidence,
        }
        for place, label, predicted, confidence in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _answers(run: "Loaded", chosen: Tested, outcome: "Predictions") -> Table:
    classes = run.inputs.classes
    truths = [classes[label] for label in outcome.labels.tolist()]
    return answers(chosen.named_by, chosen.names, truths, classes, outcome.probabilities.numpy())


def _write_sheet(run: "Loaded", chosen: Tested, outcome: "Predictions", path: Path) -> None:
    from dlrun.drawing import sheets
    from dlrun.sinks.mistakes import mistakes_sheet

    page = mistakes_sheet(outcome, chosen.split, run.inputs.classes, MOST_ON_SHEET, tile=96)
    if page is None:
        say(f"{path}: not written, as nothing is wrong", sys.stderr)
        return
    write_atomically(path, sheets.encoded(page, path.suffix))
    wrong = len(outcome.mistakes(len(outcome.labels)))
    left_out = f" (the first {MOST_ON_SHEET} of {wrong:,} mistakes)" if wrong > MOST_ON_SHEET else ""
    say(f"{path}{left_out}", sys.stderr)


def _as_json(found: Mapping[str, Any]) -> str:
    return json.dumps(found, indent=2) + "\n"


def _as_text(found: Mapping[str, Any], form: str) -> str:
    top5 = "" if found["top5"] is None else f", top-5 {found['top5']:.4f}"
    head = [
        f"{found['run']}, {found['weights']}",
        f"{found['data']} {found['split']}: {counted(found['pictures'], 'picture')}, "
        f"accuracy {found['accuracy']:.4f}, balanced accuracy {_score(found['balanced_accuracy'])}, "
        f"loss {plain_text(found['loss'], 4)}{top5}",
        *found["notes"],
    ]
    width = terminal_width()
    folds = (folded(visible(line), width) for line in head)
    lines = "\n\n".join(map(markdown, head)) if form == "md" else "\n".join(folds)
    confusion = _confusion(found, width if form == "text" else None)
    tables = [_classes(found), confusion, *([_listed(found)] if found["wrong"] else [])]
    return lines + "\n\n" + "\n".join(write(table, form, width) for table in tables)


def _classes(found: Mapping[str, Any]) -> Table:
    numeric = [_score_column(name) for name in SCORES]
    mean = {"class": "macro mean", "pictures": None, **found["macro"]}
    return Table([column("class"), column("pictures", right=True), *numeric], [*found["classes"], mean])


def _score_column(name: str) -> Column:
    title = name.upper() if name in ("f1", "auc") else name
    return Column(title, lambda record: _score(record[name]), (name,), right=True)


def _score(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"


def _listed(found: Mapping[str, Any]) -> Table:
    """The most confident of the wrong answers."""
    wrong = found["wrong"]
    columns = [column(name) for name in wrong[0] if name != "probability"]
    more = f", the {MOST_WRONG} most confident of {len(wrong):,}" if len(wrong) > MOST_WRONG else ""
    return Table([*columns, column("probability", digits=4, right=True)], wrong[:MOST_WRONG], title=f"wrong{more}")


def _confusion(numbers: Mapping[str, Any], width: int | None) -> Table:
    """The whole matrix, by numbers of classes where their names don't fit; of many classes what is confused most."""
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
    heads = names
    if width is not None and max(map(cell_len, names)) + sum(cell_len(visible(name)) + GAP for name in names) > width:
        heads = [str(number) for number in range(len(names))]
        names = [f"{number} {name}" for number, name in enumerate(names)]
    records = [{"true": name, **dict(enumerate(line))} for name, line in zip(names, cells, strict=True)]
    columns = [column("true"), *(_count(number, name) for number, name in enumerate(heads))]
    return Table(columns, records, title="confusion (rows: true class)")


def _count(number: int, name: str) -> Column:
    def show(record: Fields) -> str:
        return str(record[number]) if record[number] else "."  # type: ignore[index]

    return Column(name, show, (str(number),), right=True)
