"""Look at a data set: numbers of every class, mean and deviation, and a contact sheet, raw and augmented.

dlrun data show mnist
dlrun data show cifar10 augment=crop_flip --output sheet.png
dlrun data show image_folder --root pictures
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.config.overrides import hydra_value
from dlrun.errors import ConfigError
from dlrun.files import check_place
from dlrun.output import Table, column, write
from dlrun.text import visible
from dlrun.verbs.parser import picture_file

if TYPE_CHECKING:
    from dlrun.config.groups import Augment
    from dlrun.data.dataset import Dataset

GROUPS = ("data", "augment")
COLUMNS, MOST_SHOWN = 10, 40
"""Pictures on each half of the sheet."""
SAMPLE_PIXELS = 1_000_000
"""Pixels that they have together; of large pictures there are fewer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `dlrun data show` takes besides --root."""
    parser.add_argument("name", metavar="NAME", help="the data set")
    parser.add_argument("fields", nargs="*", default=(), metavar="FIELD=VALUE", help="data.…, augment=NAME, augment.…")
    parser.add_argument("--output", type=picture_file, metavar="FILE.png", help="the contact sheet (default: NAME.png)")


def show(options: argparse.Namespace) -> int:
    """Run `dlrun data show` with these arguments; returns 0.

    Raises:
        ConfigError: An unknown data set or field.
        DataError: The data are missing or damaged.
    """
    for word in options.fields:
        if word.partition("=")[0].partition(".")[0] not in GROUPS or "=" not in word:
            raise ConfigError(f"{word}: expected data.FIELD=VALUE, augment=NAME or augment.FIELD=VALUE")
    from dlrun.config.compose import compose
    from dlrun.config.naming import augmentation
    from dlrun.data.load import load
    from dlrun.data.sameness import sameness

    augmented = any(word.startswith("augment") for word in options.fields)
    root = [f"data.root={hydra_value(str(options.root))}"] if options.root else []
    usual = [] if augmented else ["augment=shift_flip"]
    config = compose([f"data={options.name}", *root, *usual, *options.fields])
    path = check_place(options.output or Path(f"{options.name}.png"))
    dataset = load(config.data)
    print(_numbers(dataset), end="")
    same = sameness(dataset)
    if same:
        print(f"WARNING: {same}")
    _write_sheet(dataset, config.augment, path)
    print(f"{visible(str(path.resolve()))}: above as stored, below augmented ({augmentation(config)})")
    return 0


def _numbers(dataset: "Dataset") -> str:
    count = len(dataset.classes)
    splits = {"train": dataset.train, "held out": dataset.val, "test": dataset.test}
    sizes = {name: split.labels.bincount(minlength=count).tolist() for name, split in splits.items() if split}
    records = [
        {"class": name, **{split: numbers[place] for split, numbers in sizes.items()}}
        for place, name in enumerate(dataset.classes)
    ]
    table = Table([column("class"), *(column(name, right=True) for name in sizes)], records)
    held_out = f"{len(dataset.val):,} held out + " if dataset.val else ""
    shape = "x".join(map(str, dataset.train.images.shape[1:]))
    mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (dataset.mean, dataset.std))
    return (
        f"{visible(dataset.name)}: {len(dataset.train):,} train + {held_out}{len(dataset.test):,} test, {shape}, "
        f"{count} classes, fingerprint {dataset.fingerprint}\n"
        f"training pixels, 0-1: mean {mean}; standard deviation {std}\n\n{write(table, 'text')}"
    )


def _write_sheet(dataset: "Dataset", changes: "Augment", path: Path) -> None:
    import torch
    from PIL import Image

    from dlrun.data.samples import augmented, how_many_on_sheet, in_rows
    from dlrun.drawing import sheets
    from dlrun.files import write_atomically

    train = dataset.train
    rows = in_rows(train.labels, how_many_on_sheet(train, MOST_SHOWN, SAMPLE_PIXELS), COLUMNS)
    columns = max(map(len, rows))
    there = torch.tensor([place < len(row) for row in rows for place in range(columns)])
    chosen = torch.tensor([place for row in rows for place in row])
    names = [dataset.classes[label] for label in train.labels[chosen].tolist()]
    pages = []
    for some in (train.images[chosen], augmented(train.images[chosen], changes)):
        # A class of few pictures leaves the rest of its row white.
        images = torch.full((len(there), *some.shape[1:]), 255, dtype=torch.uint8)
        images[there] = some
        left = iter(names)
        captions = [next(left) if shown else "" for shown in there.tolist()]
        pages.append(sheets.sheet(images.numpy(), captions, columns=columns))
    both = Image.new("RGB", (pages[0].width, pages[0].height * 2 + 12), sheets.PAPER)
    for number, page in enumerate(pages):
        both.paste(page, (0, number * (page.height + 12)))
    write_atomically(path, sheets.encoded(both, path.suffix))
