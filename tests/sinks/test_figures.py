from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dlrun.data.dataset import Split
from dlrun.sinks import figures
from dlrun.training.evaluation import Predictions

NAMES = ("curves", "learning_rate", "confusion_matrix", "class_accuracy", "filters")


def outcome(classes: int, right: bool) -> Predictions:
    labels = torch.arange(4 * classes) % classes
    predicted = labels if right else (labels + (labels % 3 == 0)) % classes
    confidence = torch.linspace(0.2, 1, len(labels))
    among_top = torch.ones(len(labels), dtype=torch.bool)
    return Predictions(0.5, labels, predicted, confidence, among_top, torch.ones(len(labels), classes) / classes)


def test_a_run_leaves_every_figure_in_both_forms(drawn_run: Path) -> None:
    for name in NAMES:
        with Image.open(drawn_run / "figures" / f"{name}.png") as picture:
            picture.load()
            assert 300 < picture.width < 1700
        svg = (drawn_run / "figures" / f"{name}.svg").read_text()
        assert svg.rstrip().endswith("</svg>")
    assert ">accuracy: test" in (drawn_run / "figures" / "curves.svg").read_text()


@pytest.mark.parametrize(("classes", "channels"), [(2, 3), (24, 1), (100, 3)])
def test_any_number_of_classes_and_names_can_be_drawn(classes: int, channels: int, tmp_path: Path) -> None:
    names = ["a$b_{x^", "日本", "line\nbreak", "<b>&", "x" * 300, *map(str, range(200))][:classes]
    test = Split(torch.zeros(4 * classes, channels, 9, 9, dtype=torch.uint8), torch.zeros(4 * classes).long())
    row = {"epoch": 1.0, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 2.0, "val_accuracy": 0.25}
    model = nn.Conv2d(channels, 70, 3)
    figures.write(tmp_path / "f", [row], [(0, 0.1), (1, 0.1)], outcome(classes, False), test, names, model)
    assert (tmp_path / "f" / "mistakes.png").stat().st_size > 1000


def test_what_does_not_apply_is_left_out(tmp_path: Path) -> None:
    test = Split(torch.zeros(12, 1, 9, 9, dtype=torch.uint8), torch.zeros(12).long())
    row = {"epoch": 1.0, "train_loss": 1.0, "train_accuracy": 0.5, "test_loss": 2.0, "test_accuracy": 0.25}
    figures.write(tmp_path / "f", [row], [(0, 0.1)], outcome(3, True), test, "abc", nn.Linear(2, 2))
    assert {path.stem for path in (tmp_path / "f").iterdir()} == {*NAMES} - {"filters"}


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Conv2d(3, 100, 5), nn.Conv2d(100, 2, 3)), (64, 3, 5, 5)),
        (nn.Conv2d(1, 4, 3), (4, 1, 3, 3)),
        (nn.Conv2d(3, 4, 1), None),
        (nn.Conv2d(16, 4, 3), None),
        (nn.Linear(2, 2), None),
    ],
    ids=str,
)
def test_filters_are_those_of_the_first_convolution_that_can_be_seen(
    model: nn.Module, shape: tuple[int, ...] | None
) -> None:
    kernels = figures.first_kernels(model)
    assert (None if kernels is None else kernels.shape) == shape


def test_figures_do_not_touch_matplotlibs_global_state(drawn_run: Path) -> None:
    import sys

    assert "matplotlib.pyplot" not in sys.modules
    assert np.isclose(__import__("matplotlib").rcParams["grid.alpha"], 1.0)
