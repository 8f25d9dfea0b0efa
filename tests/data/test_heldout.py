"""Images held out: how many, which, what is said of rare classes, and what a run made by 0.1.0 had."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from helpers import heard, said
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dlrun.config.schema import Config, identity, parse
from dlrun.config.settled import Settled, settle
from dlrun.data.heldout import divide, how_many, quotas
from dlrun.errors import ConfigError
from dlrun.store.folders import read_config
from dlrun.store.history import read_history
from dlrun.store.result import Result
from dlrun.sweeps.estimate import _images

MINIMAL = {
    "data": {"name": "mnist"},
    "model": {"layers": ["flatten", "dense ${..width}"], "width": 64},
    "optimizer": {"name": "adam"},
    "precision": "float32",
}


def config(**fields: object) -> Config:
    return parse({**MINIMAL, **fields})


def drawn(labels: list[int], **fields: object) -> list[int]:
    """Places of the images held out; the others are trained on, in their order."""
    train, held_out = divide(config(**fields), torch.tensor(labels))
    assert train.tolist() == [place for place in range(len(labels)) if place not in held_out.tolist()]
    return held_out.tolist()


@given(st.lists(st.integers(0, 300), min_size=1, max_size=12).filter(any), st.data())
def test_each_class_has_its_share_and_one_at_least(sizes: list[int], data: st.DataObject) -> None:
    total = sum(sizes)
    count = data.draw(st.integers(0, total - 1))
    shares = quotas(sizes, count)
    assert sum(shares) == count
    assert all(0 <= share <= size for share, size in zip(shares, sizes, strict=True))
    if count <= total - sum(size > 0 for size in sizes):
        assert all(share < size for share, size in zip(shares, sizes, strict=True) if size), "one is left to train on"
        if count >= sum(size > 1 for size in sizes):
            assert all(share for share, size in zip(shares, sizes, strict=True) if size > 1)


def test_equal_classes_are_held_out_equally() -> None:
    shares = quotas([100] * 10, 37)
    assert (sum(shares), max(shares), min(shares)) == (37, 4, 3)


@pytest.mark.parametrize(("count", "rare"), [(5, 1), (10, 1), (20, 1), (40, 1), (100, 3), (190, 5)])
def test_a_rare_class_is_held_out_too(count: int, rare: int) -> None:
    labels = [1 if place % 33 == 5 else 0 for place in range(196)]
    held_out = drawn(labels, validation=count)
    assert len(held_out) == count
    assert sum(labels[place] for place in held_out) == rare


@pytest.mark.parametrize(("images", "count"), [(2, 1), (196, 40), (1000, 999), (60_000, 5000)])
def test_at_random_is_what_0_1_0_drew(images: int, count: int) -> None:
    order = torch.randperm(images, generator=torch.Generator().manual_seed(0))
    division = divide(config(validation=count, validation_by="random"), torch.zeros(images, dtype=torch.int64))
    assert torch.equal(division.held_out, order[:count].sort().values)
    assert torch.equal(division.train, order[count:].sort().values)


def test_first_and_last_are_those_of_the_training_set_as_it_comes() -> None:
    labels = [0, 1] * 5
    assert drawn(labels, validation=3, validation_by="first") == [0, 1, 2]
    assert drawn(labels, validation=3, validation_by="last") == [7, 8, 9]
    assert drawn(labels, validation=0.25, validation_by="last") == [7, 8, 9]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.25, 0.3, 1 / 3, 0.7])
@pytest.mark.parametrize("images", [7, 10, 196, 60_000])
def test_a_share_is_as_many_as_keras_validation_split(images: int, share: float) -> None:
    trained = math.floor(images * (1 - share))  # the index at which Keras splits
    assert how_many(config(validation=share), images) == images - trained


@pytest.mark.parametrize("value", [-1, 1.0, 1.5, 5000.0, True, "many", None, float("nan")])
def test_what_is_no_number_of_images_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="expected a whole number >= 0, a share > 0 and < 1, or own"):
        config(validation=value)


@pytest.mark.parametrize("value", [10, 11, 0.95])
def test_something_is_left_to_train_on(value: float) -> None:
    with pytest.raises(ConfigError, match="expected fewer than the 10 training images"):
        how_many(config(validation=value), 10)


def test_only_what_is_drawn_otherwise_than_by_0_1_0_has_another_hash() -> None:
    ways = ("class", "random", "first", "last")
    assert {identity(config(validation_by=way)) for way in ways} == {"01df7287"}, "nothing is held out"
    hashes = {way: identity(config(validation=40, validation_by=way)) for way in ways}
    assert hashes["random"] == "7a575a43", "as 0.1.0 had it"
    assert len(set(hashes.values())) == 4
    assert len({identity(config(validation="own", validation_by=way)) for way in ways}) == 1


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        ({}, (200, 50)),
        ({"validation": 40}, (160, 40)),
        ({"validation": 0.25, "limit": 100}, (75, 25)),
        ({"validation": 40, "train_limit": 100}, (100, 40)),
        ({"validation": "own", "limit": 100}, (100, 30)),
    ],
)
def test_a_plan_counts_the_images_of_an_epoch(fields: dict, numbers: tuple[int, int]) -> None:
    class Described:
        def describe(self, settled: Settled) -> dict[str, object]:
            return {"fingerprint": "0", "train": 200, "test": 50, "val": 30}

    assert _images(settle(config(**fields)), Described()) == numbers


RARE = """
import torch
from dlrun.data.dataset import Dataset, Split

def split(common, rare):
    labels = torch.tensor([0] * common + [1] * rare)
    return Split(torch.randint(0, 256, (len(labels), 1, 8, 8), dtype=torch.uint8), labels)

def load(own=False):
    torch.manual_seed(0)
    val = split(9, 2) if own else None
    return Dataset("rare", split(190, 6), split(20, 4), ("common", "rare"), (0.5,), (0.3,), "0" * 16, True, val)
"""
RUN = ("data=rare", "model=fc_64", "epochs=2", "threads=1", "device=cpu", "tensorboard=off")


MANY = """
import json, sys
from dlrun.cli import main

for words in json.loads(sys.argv[1]):
    print(f"exit status {main(words)}", flush=True)
"""


@pytest.fixture
def commands(tmp_path: Path) -> Callable[..., list[str]]:
    """Runs `dlrun WORDS` several times in one process; what each printed, errors included."""
    (tmp_path / "rare.py").write_text(RARE)
    (tmp_path / "configs" / "data").mkdir(parents=True)
    (tmp_path / "configs" / "data" / "rare.yaml").write_text("_target_: rare.load\n")

    def run(*lines: list[str]) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", MANY, json.dumps(lines)],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
        )
        *printed, rest = re.split(r"(?<=exit status \d)\n", done.stdout)
        assert len(printed) == len(lines), done.stdout
        assert not rest
        return printed

    return run


def test_the_header_counts_and_rare_classes_are_named(commands: Callable[..., list[str]], tmp_path: Path) -> None:
    cases = [
        (["validation=5"], "191 train + 5 held out + 24 test", ""),
        (
            ["validation=1", "validation_by=class"],
            "195 train + 1 held out + 24 test",
            "validation=1 (validation_by=class): no image held out of rare (6 to train on)",
        ),
        (
            ["validation=0.1", "validation_by=last"],
            "176 train + 20 held out + 24 test",
            "validation=0.1 (validation_by=last): no image to train on of rare (6 held out)",
        ),
        (["validation=own", "data.own=true"], "196 train + 11 held out + 24 test", ""),
        (["data.own=true"], "196 train + 24 test (11 more for validation=own)", ""),
    ]
    printed = commands(*([*RUN, *words, f"hydra.run.dir={place}"] for place, (words, _, _) in enumerate(cases)))
    for place, (words, counts, sentence) in enumerate(cases):
        assert f"data: rare, {counts}, 1x8x8" in printed[place]
        assert sentence in printed[place]
        assert sentence in (tmp_path / str(place) / "run.log").read_text()
        assert ("no image" in printed[place]) == bool(sentence), words
        assert ("val_loss" in read_history(tmp_path / str(place))[0]) == (" held out" in counts)


def test_data_without_images_of_their_own_and_a_run_of_0_1_0(
    commands: Callable[..., list[str]], tmp_path: Path
) -> None:
    """Until 0.1.0 config.yaml had no validation_by: all was drawn at random, and goes on so."""
    random = [*RUN, "validation=30", "validation_by=random"]
    printed = commands(
        [*RUN, "validation=own"],
        [*random, "epochs=3", "hydra.run.dir=whole"],
        [*random, "hydra.run.dir=parts"],
    )
    assert "validation=own: rare brings no held-out images" in printed[0]
    assert [text[-2:].strip() for text in printed] == ["2", "0", "0"]
    path = tmp_path / "parts" / "config.yaml"
    values = yaml.safe_load(path.read_text())
    assert values.pop("validation_by") == "random"
    path.write_text(yaml.safe_dump(values))
    assert identity(read_config(tmp_path / "parts")) == Result.read(tmp_path / "parts").hash
    result = Result.read(tmp_path / "parts")
    *told, _ = commands(["show", "parts"], ["report", "parts"], ["resume", "parts", "epochs=3", "trust=true"])
    assert result.test
    assert all(f"{result.test['accuracy']:.4f}" in text for text in told), told
    folders = (tmp_path / "whole", tmp_path / "parts")
    whole, parts = ([[row["train_loss"], row["val_loss"]] for row in read_history(folder)] for folder in folders)
    assert len(whole) == 3
    assert whole == parts
    assert Result.read(folders[0]).hash == Result.read(folders[1]).hash


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(2, 7))
def test_folds_partition_the_training_set_and_each_has_its_share_of_every_class(sizes: list[int], folds: int) -> None:
    labels = [name for name, size in enumerate(sizes) for _ in range(size)]
    if len(labels) < folds:
        with pytest.raises(ConfigError, match=f"expected no more than the {len(labels)} training images"):
            how_many(config(folds=folds, fold=0), len(labels))
        return
    parts = [drawn(labels, folds=folds, fold=fold, seed=fold) for fold in range(folds)]
    assert sorted(place for part in parts for place in part) == list(range(len(labels)))
    assert [how_many(config(folds=folds, fold=fold), len(labels)) for fold in range(folds)] == list(map(len, parts))
    for name in range(len(sizes)):
        counts = [sum(labels[place] == name for place in part) for part in parts]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"fold": 1}, "fold=1: of how many? folds=5, say"),
        ({"folds": 5}, "folds=5: which is held out? All in turn: -m fold='range(0,5)'"),
        ({"folds": 5, "fold": 5}, "fold=5: expected 0 to 4, as folds=5"),
        ({"folds": 5, "fold": 0, "validation": 0.1}, "validation=0.1: the fold is what is held out; leave out one"),
        ({"folds": 5, "fold": 0, "validation": "own"}, "validation=own: the fold is what is held out"),
        ({"folds": 5, "fold": 0, "validation_by": "last"}, "validation_by=last: folds are drawn by class"),
    ],
)
def test_folds_that_contradict_something_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        config(**fields)
    assert len({identity(config(folds=count, fold=fold)) for count in (3, 4) for fold in (0, 1)}) == 4


def test_folds_are_validated_compared_and_averaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two configurations of three folds each, through the commands; the third class has two pictures."""
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        for name, count in (("cats", 9), ("dogs", 7), ("owls", 2)):
            Path("pictures", split, name).mkdir(parents=True)
            for number in range(count):
                Image.new("L", (8, 8), 10 * number + count).save(f"pictures/{split}/{name}/{number}.png")
    words = ["data=image_folder", "data.root=pictures", "data.size=8", "data.color=grey", "model=fc_64", "epochs=2"]
    words += ["threads=1", "device=cpu", "tensorboard=off", "folds=3"]
    for lr in (0.1, 0.001):
        for fold in range(3):
            status, printed = said(*words, f"fold={fold}", f"optimizer.lr={lr}", f"hydra.run.dir=runs/{lr}-{fold}")
            assert (status, "12 train + 6 held out + 18 test" in printed) == (0, True), printed
            last = re.search(r"last epoch 2: val accuracy (\S+), test accuracy (\S+),", printed)
            assert last is not None
            assert float(last[1]) == round(read_history(Path("runs", f"{lr}-{fold}"))[-1]["val_accuracy"], 4)
            lacking = "fold=0 folds=3: no image held out of owls (2 to train on)"
            assert (lacking in Path("runs", f"{lr}-{fold}", "run.log").read_text()) == (fold == 0)
    status, shown = said("show", "runs/0.1-1")
    assert "last      epoch 2: val accuracy " in shown
    assert "folds=3 fold=1" in shown
    status, printed, _ = heard("report", "runs", "--json")
    rows = json.loads(printed)
    assert [row["n"] for row in rows] == [3, 3]
    assert rows[0]["val_accuracy"] >= rows[1]["val_accuracy"]
    values = [read_history(Path("runs", f"{rows[0]['optimizer.lr']}-{fold}"))[-1]["val_accuracy"] for fold in range(3)]
    assert rows[0]["val_accuracy"] == pytest.approx(sum(values) / 3)
    status, printed = said("report", "runs", "--curves", "means")
    assert "n counts folds" in printed
    assert len(list(Path("means").glob("*, 3 folds/mean/events*"))) == 2
    page = Path("runs/report.html").read_text()
    assert "best val accuracy" in page
    assert "its test accuracy" in page
    evaluated = json.loads(heard("evaluate", "runs/0.1-1", "split=val", "--json")[1])
    assert evaluated["pictures"] == 6
    assert evaluated["accuracy"] == pytest.approx(read_history(Path("runs/0.1-1"))[-1]["val_accuracy"])
