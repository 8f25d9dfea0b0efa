"""Classify pictures with a finished run: the three most probable classes of each.

    dlrun predict RUN digit.png photo.jpg
    dlrun predict RUN FOLDER --sheet classified.png

Pictures may be of any size, grey or colour. They are read as training reads them and fitted to what the network was
trained on; where all it knows is light on dark (or the reverse), a grey picture that is the other way round is
inverted, and that is said.

Where the folders below FOLDER (or below its train/, test/ or val/) have the names of classes that the network knows,
these are the true classes of the pictures in them: they are shown, and the accuracy.
"""

import argparse
import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.errors import DataError, UsageError
from dlrun.files import check_place
from dlrun.output import counted, folded, say, terminal_width, write
from dlrun.text import visible
from dlrun.verbs.answers import answers
from dlrun.verbs.loaded import FIELDS, add_run, apart, fields, load
from dlrun.verbs.parser import Parser, picture_file

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dlrun.data.foreign import Fitted
    from dlrun.runs.loading import Loaded

TOP = 3
BATCH = 64
MOST_ON_SHEET = 400
BAR = 24
"""Characters of a bar for a probability of 1."""


@dataclass(frozen=True)
class Prediction:
    """A picture and its most probable classes, with their probabilities."""

    path: Path
    picture: "Fitted"
    top: list[tuple[str | None, float | None]]
    """None throughout where the network gives no numbers (NaN)."""
    probabilities: "npt.NDArray[np.float32]"
    """(classes,)."""
    truth: str | None
    """The class that its folder is named after, if the network knows it."""

    @property
    def known(self) -> list[tuple[str, float]]:
        """The classes that have a probability: all of `top`, or none."""
        return [(name, share) for name, share in self.top if name is not None and share is not None]

    @property
    def right(self) -> bool:
        """Whether its most probable class is the true one."""
        return self.truth is not None and self.top[0][0] == self.truth


def main(arguments: list[str]) -> int:
    """Run `dlrun predict`: 0, or 1 where a picture could not be read (the others are classified)."""
    from dlrun.data.foreign import class_folders, listed

    options = _parser().parse_intermixed_args(arguments)
    setting, words = apart(options.pictures)
    if not words:
        raise UsageError("predict: name at least one picture or a folder of pictures")
    paths = listed(words)
    if options.sheet:
        check_place(options.sheet)
    run = load(options, fields(setting, FIELDS))
    failures: list[str] = []
    predictions = list(_predicted(run, paths, class_folders(words, paths), failures))
    undefined = sum(not prediction.known for prediction in predictions)
    if undefined:
        of = f"{undefined:,} of {counted(len(predictions), 'picture')}"
        failures.append(f"the network gives no numbers (NaN) for {of}; its weights, {run.weights}, are no good")
    if predictions:
        print(_as_json(predictions) if options.json else _shown(run, predictions, options.csv), end="")
        if accuracy := _accuracy(predictions):
            say(accuracy, sys.stderr if options.json or options.csv else sys.stdout)
    if options.sheet and predictions:
        _write_sheet(predictions, options.sheet)
    for sentence in failures:
        say(f"dlrun: {sentence}", sys.stderr)
    return 1 if failures else 0


def _parser() -> Parser:
    parser = Parser(prog="dlrun predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run(parser)
    parser.add_argument(
        "pictures", nargs="+", metavar="IMAGE|FOLDER", help=f"pictures; among them FIELD=VALUE: {', '.join(FIELDS)}"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="write JSON")
    form.add_argument("--csv", action="store_true", help="write CSV")
    parser.add_argument(
        "--sheet", type=picture_file, metavar="FILE.png", help="also write a contact sheet of what the network saw"
    )
    return parser


def _predicted(
    run: "Loaded", paths: Sequence[Path], folders: Mapping[Path, str], failures: list[str]
) -> Iterator[Prediction]:
    """Predictions in order; what can't be read adds a sentence to `failures`.

    Args:
        folders: As of `class_folders`.
    """
    from dlrun.data.listing import composed

    classes = {composed(name): name for name in run.inputs.classes}
    for start in range(0, len(paths), BATCH):
        read: dict[Path, Fitted] = {}
        for path in paths[start : start + BATCH]:
            try:
                with warnings.catch_warnings():
                    # Oddities that Pillow can cope with (palettes, EXIF data) are no news to the user.
                    warnings.simplefilter("ignore")
                    read[path] = run.fitted(path)
            except DataError as error:
                failures.append(str(error))
        if read:
            yield from _classified(run, read, {path: classes.get(folders.get(path, "")) for path in read})


def _classified(
    run: "Loaded", read: Mapping[Path, "Fitted"], truths: Mapping[Path, str | None]
) -> Iterator[Prediction]:
    import numpy as np
    import torch

    images = torch.from_numpy(np.stack([picture.pixels for picture in read.values()]))
    probabilities = run.probabilities(images)
    values, places = probabilities.topk(min(TOP, len(run.inputs.classes)), dim=1)
    columns = (read.items(), values.tolist(), places.tolist(), probabilities.numpy())
    for (path, picture), shares, numbers, whole in zip(*columns, strict=True):
        names = [run.inputs.classes[number] for number in numbers]
        defined = all(map(math.isfinite, shares))
        top = zip(names, shares, strict=True) if defined else ((None, None) for _ in names)
        yield Prediction(path, picture, list(top), whole, truths[path])


def _shown(run: "Loaded", predictions: Sequence[Prediction], as_csv: bool) -> str:
    return _as_csv(run, predictions) if as_csv else "".join(map(_as_text, predictions))


def _accuracy(predictions: Sequence[Prediction]) -> str:
    """A line on the pictures whose class is known; empty where there are none."""
    known = [one for one in predictions if one.truth is not None]
    if not known:
        return ""
    right, others = sum(one.right for one in known), len(predictions) - len(known)
    of = "pictures whose folder is their class" if others else "pictures"
    more = f"; {counted(others, 'picture')} in folders that are no class of the network" if others else ""
    return f"accuracy {right / len(known):.4f}: {right:,} of {len(known):,} {of}{more}"


def _as_text(prediction: Prediction) -> str:
    said = [f"{prediction.picture.found}: inverted"] if prediction.picture.inverted else []
    if prediction.truth is not None:
        said.append(f"is {prediction.truth}" + ("" if prediction.right else ": wrong"))
    remark = visible(f" ({'; '.join(said)})") if said else ""
    width = max((len(visible(name)) for name, _ in prediction.known), default=0)
    lines = [f"  {visible(name):<{width}}  {share:6.1%} {_bar(share)}".rstrip() for name, share in prediction.known]
    head = folded(f"{visible(str(prediction.path))}{remark}", terminal_width(), 2)
    return "\n".join([head, *(lines or ["  no numbers (NaN)"])]) + "\n"


def _bar(share: float) -> str:
    try:
        "█▏".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#" * round(share * BAR)
    eighths = round(share * BAR * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _as_json(predictions: Sequence[Prediction]) -> str:
    entries: list[dict[str, Any]] = [
        {
            "file": str(prediction.path),
            "found": prediction.picture.found,
            "inverted": prediction.picture.inverted,
            "truth": prediction.truth,
            "top": [{"class": name, "probability": share} for name, share in prediction.top],
        }
        for prediction in predictions
    ]
    return json.dumps(entries, indent=2) + "\n"


def _as_csv(run: "Loaded", predictions: Sequence[Prediction]) -> str:
    import numpy as np

    more = []
    for prediction in predictions:
        record: dict[str, Any] = {"inverted": prediction.picture.inverted}
        for rank, (name, share) in enumerate(prediction.top, start=1):
            record |= {f"class_{rank}": name, f"probability_{rank}": None if share is None else round(share, 6)}
        more.append(record)
    truths = [prediction.truth for prediction in predictions]
    known = truths if any(truth is not None for truth in truths) else None
    probabilities = np.stack([prediction.probabilities for prediction in predictions])
    paths = [prediction.path for prediction in predictions]
    return write(answers("file", paths, known, run.inputs.classes, probabilities, more), "csv")


def _first(prediction: Prediction) -> str:
    return next((f"{name} {share:.0%}" for name, share in prediction.known), "no numbers (NaN)")


def _write_sheet(predictions: Sequence[Prediction], path: Path) -> None:
    import numpy as np

    from dlrun.drawing import sheets
    from dlrun.files import write_atomically

    chosen = predictions[:MOST_ON_SHEET]
    folders = [f"{one.path.parent.name}/\n" for one in chosen]
    if len(set(folders)) == 1:
        folders = [""] * len(chosen)
    captions = [f"{folder}{one.path.name}\n{_first(one)}" for folder, one in zip(folders, chosen, strict=True)]
    page = sheets.sheet(np.stack([one.picture.pixels for one in chosen]), captions, tile=96)
    write_atomically(path, sheets.encoded(page, path.suffix))
    left_out = len(predictions) - len(chosen)
    say(f"{path}" + (f" (the first {len(chosen)}; {left_out} more are left out)" if left_out else ""), sys.stderr)
