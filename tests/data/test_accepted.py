"""What training accepts every later verb accepts: the rest is refused in a sentence before the first step."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlrun.cli import main

RUN = ("model.layers=[flatten]", "epochs=1", "threads=1", "device=cpu", "tensorboard=off", "hydra.run.dir=run")

OWN = """
import torch
from dlrun.data.dataset import Dataset, Split

def data(shape=(3, 4, 4), test=None, classes=("a", "b"), mean=(0.5,) * 3, std=(0.5,) * 3, labels=None, name="own"):
    images = torch.randint(0, 256, (8, *shape), dtype=torch.uint8)
    labels = torch.arange(8) % 2 if labels is None else torch.tensor(labels)
    others = images if test is None else torch.zeros(8, *test, dtype=torch.uint8)
    return Dataset(name, Split(images, labels), Split(others, labels), classes, mean, std, "f", True)

def one_mean(): return data(mean=(0.5,))
def last_axis(): return data((28, 28, 3))
def numbers(): return data(classes=(0, 1))
def one_class(): return data(classes=("a",), labels=[0] * 8)
def twice(): return data(classes=("a", "a"))
def one_hot(): return data(labels=[[0, 1]] * 8)
def test_size(): return data(test=(3, 5, 5))
def no_mean(): return data(mean=None)
def endless_mean(): return data(mean=(float("nan"),) * 3)
def no_deviation(): return data(std=(0.0,) * 3)
def no_name(): return data(name=None)
"""

REFUSED = {
    "one_mean": "own: mean: expected a number for each channel, found 1 for pictures of 3x4x4",
    "last_axis": "images are (8, 28, 28, 3), so 28 channels of 28x3; expected (N, C, H, W)",
    "numbers": "own: classes: expected names that are text, found (0, 1)",
    "one_class": "own: classes: expected at least two, found a",
    "twice": "classes: 'a' is there twice",
    "one_hot": "int64 labels (N,); found torch.uint8 (8, 3, 4, 4) and torch.int64 (8, 2)",
    "test_size": "training pictures are (3, 4, 4), test pictures (3, 5, 5)",
    "no_mean": "mean: expected a number for each channel, found None",
    "endless_mean": "mean: expected finite numbers, found [nan, nan, nan]",
    "no_deviation": "std: expected numbers above 0",
    "no_name": "name: expected text, found None",
}


def test_data_of_ones_own_that_no_verb_could_use_are_refused_before_training(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "accepted_own.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(here))
    for name, sentence in REFUSED.items():
        assert main([*RUN, f"+data._target_=accepted_own.{name}", "~data.name"]) == 2, name
        out, error = capsys.readouterr()
        assert sentence in error, name
        assert error.count("\n") == 1
        assert "epoch" not in out
        assert not (here / "run" / "checkpoints").exists()


RAISING = """
def value(): raise ValueError("bad\\nthing")
def missing(): return open("my.csv")
def importing(): import not_installed_here
def adding(): return 1 + "a"
def leaving(): raise SystemExit("enough")
"""


def test_what_goes_wrong_in_a_function_of_ones_own_is_a_line_and_in_full_in_the_log(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "raising_own.py").write_text(RAISING)
    monkeypatch.syspath_prepend(str(here))
    for name, sentence in {
        "value": "data raising_own.value(): ValueError: bad (raising_own.py, line 2)",
        "missing": "FileNotFoundError: [Errno 2] No such file or directory: 'my.csv' (raising_own.py, line 3)",
        "importing": "ModuleNotFoundError: No module named 'not_installed_here' (raising_own.py, line 4)",
        "adding": "data raising_own.adding(): TypeError: unsupported operand",
        "leaving": "data raising_own.leaving(): SystemExit: enough (raising_own.py, line 6)",
    }.items():
        assert main([*RUN, f"+data._target_=raising_own.{name}", "~data.name"]) == 2, name
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
    logged = (here / "run" / "run.log").read_text()
    assert logged.count("Traceback") == 5


def folder(root: Path, classes: int = 2, size: int = 8) -> Path:
    random = np.random.default_rng(0)
    for name in "abcdef"[:classes]:
        (root / name).mkdir(parents=True)
        for number in range(5):
            pixels = random.integers(0, 256, (size, size), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.mark.parametrize("nested", [False, True])
def test_one_class_is_refused_before_training(nested: bool, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(here / "pictures" / "pets" if nested else here / "pictures", 2 if nested else 1)
    assert main([*RUN, "data=image_folder", "data.root=pictures"]) == 2
    error = capsys.readouterr().err
    assert "image_folder: one class, " in error
    assert ("did you mean data.root=pictures/pets?" in error) == nested
    assert error.count("\n") == 1
    assert not (here / "run").exists()


def test_pictures_as_large_as_training_takes_are_taken_by_every_verb(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (here / "large" / name).mkdir(parents=True)
        for number in range(2):
            Image.effect_noise((2000, 1100), 50 + number).save(here / "large" / name / f"{number}.bmp")
    words = ["data=image_folder", "data.root=large", "data.size=null", "model.layers=[pool 20, pool 10, flatten]"]
    assert main([*RUN, *words]) == 0
    assert main(["evaluate", "run"]) == 0
    assert main(["predict", "run", "large/a/0.bmp"]) == 0
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [
        ([7, 7], "all 8 training pictures are the same: no network can tell their classes apart"),
        ([0, 12], "all 8 training pictures are nearly black: their pixels go from 0 to 12 of 255"),
        ([120, 124], "all 8 training pictures are nearly of one colour: their pixels go from 120 to 124 of 255"),
        ([0, 200], None),
    ],
)
def test_pictures_that_hardly_differ_are_told_of(
    levels: list[int], sentence: str | None, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, level in zip("ab", levels, strict=True):
        (here / "flat" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (6, 6), level).save(here / "flat" / name / f"{number}.png")
    words = ["data.size=6", "data.color=grey"]
    assert main(["data", "show", "image_folder", "--root", "flat", *words]) == 0
    assert (f"WARNING: {sentence}" in capsys.readouterr().out) == (sentence is not None)
    assert main([*RUN, "data=image_folder", "data.root=flat", *words]) == 0
    assert (f"image_folder: {sentence}" in (here / "run" / "run.log").read_text()) == (sentence is not None)
