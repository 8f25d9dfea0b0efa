import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dlrun.data.dataset import Split
from dlrun.sinks import figures
from dlrun.training.evaluation import Predictions

NAMES = ("curves", "confusion_matrix", "class_accuracy", "filters")
TITLE = "conv 8 on mnist, adam, 6 epochs, seed 0: first"


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
        texts = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
        assert any(text and text.startswith("conv 8, pool 2,") for text in texts), f"{name} does not name its run"
        assert name == "filters" or any(
            text and text.endswith("on mnist, adam, 6 epochs, seed 0: drawn") for text in texts
        )
    assert ">accuracy</text>" in (drawn_run / "figures" / "curves.svg").read_text()
    assert not (drawn_run / "figures" / "learning_rate.png").exists(), "the rate is constant"


@pytest.mark.parametrize(("classes", "channels"), [(2, 3), (24, 1), (100, 3)])
def test_any_number_of_classes_and_names_can_be_drawn(classes: int, channels: int, tmp_path: Path) -> None:
    names = ["a$b_{x^", "日本", "line\nbreak", "<b>&", "x" * 300, *map(str, range(200))][:classes]
    test = Split(torch.zeros(4 * classes, channels, 9, 9, dtype=torch.uint8), torch.zeros(4 * classes).long())
    row = {"epoch": 1.0, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 2.0, "val_accuracy": 0.25}
    model = nn.Conv2d(channels, 70, 3)
    figures.write(
        tmp_path / "f", figures.draw(TITLE, [row], [(0, 0.1), (1, 0.2)], outcome(classes, False), test, names, model)
    )
    assert {path.stem for path in (tmp_path / "f").iterdir()} == {*figures.NAMES}
    for path in (tmp_path / "f").glob("*.svg"):
        texts = [element.text or "" for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]
        assert TITLE in texts
        if path.stem in ("confusion_matrix", "class_accuracy", "mistakes") and classes == 24:
            assert any("日本" in text for text in texts), "whole, whatever fonts are here"


def test_what_does_not_apply_is_left_out(tmp_path: Path) -> None:
    test = Split(torch.zeros(12, 1, 9, 9, dtype=torch.uint8), torch.zeros(12).long())
    row = {"epoch": 1.0, "train_loss": 1.0, "train_accuracy": 0.5, "test_loss": 2.0, "test_accuracy": 0.25}
    (tmp_path / "f").mkdir()
    for name in ("mistakes.png", "learning_rate.svg", "mine.png"):
        (tmp_path / "f" / name).write_text("of an earlier run")
    figures.write(
        tmp_path / "f", figures.draw(TITLE, [row], [(0, 0.1), (1, 0.1)], outcome(3, True), test, "abc", nn.Linear(2, 2))
    )
    assert {path.stem for path in (tmp_path / "f").iterdir()} == {*NAMES, "mine"} - {"filters"}


def test_mistakes_say_what_was_taken_for_what() -> None:
    found = outcome(3, False)
    assert found.captions(found.mistakes(2), ("6", "1", "7")) == ["6, taken for 1 (85 %)", "6, taken for 1 (64 %)"]


@pytest.mark.parametrize("count", [2, 10, 24, 40, 100, 1000])
def test_a_matrix_of_any_number_of_classes_stays_a_picture_of_moderate_size(count: int) -> None:
    counts = np.eye(count, dtype=np.int64) * 90
    counts[0, 1] = 10
    canvas = figures.confusion_matrix(TITLE, counts, [f"class {number}" for number in range(count)])
    page = canvas.image()
    assert max(page.size) <= 1700
    assert len(canvas.svg()) < 300_000
    assert ("10" in [text.words for text in canvas.texts]) == (count <= 20)


def test_the_matrix_shows_rates_and_mutes_what_is_right() -> None:
    canvas = figures.confusion_matrix(TITLE, np.array([[7, 1], [300, 700]]), ["a", "b"])
    assert [text.words for text in canvas.texts][-4:] == ["88", "12", "30", "70"]
    cells = canvas.pictures[0].image
    right, rare, often = (cells.getpixel(place) for place in ((5, 5), (60, 5), (5, 60)))
    assert right == (236, 236, 236)
    assert rare[0] > rare[1] > often[1]


def test_class_accuracies_are_dots_on_a_zoomed_axis() -> None:
    counts = torch.diag(torch.tensor([96, 99, 100])) + torch.tensor([[0, 4, 0], [1, 0, 0], [0, 0, 0]])
    canvas = figures.class_accuracy(TITLE, counts, ["a", "b", "c"])
    dots = [shape.middle[0] for shape in canvas.shapes if hasattr(shape, "radius")]
    assert dots == sorted(dots)
    assert dots[-1] - dots[0] > 250, "0.96 and 1 lie far apart"


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0.91, 0.98), [0.9, 0.92, 0.94, 0.96, 0.98]), ((0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]), ((2.3, 2.3), [2, 2.5])],
)
def test_ticks_are_round_and_hold_all_values(values: tuple[float, float], expected: list[float]) -> None:
    assert figures.ticks(*values) == pytest.approx(expected)


@pytest.mark.parametrize(
    "values", [[math.nan] * 3, [1.0, math.inf, 2.0], [1e30, 1.0, 0.0], [0.0] * 3, [-1e-9, 0, 1e-9]]
)
def test_losses_that_are_no_numbers_or_far_apart_are_drawn(values: list[float]) -> None:
    rows = [
        {"epoch": float(place), "train_loss": value, "train_accuracy": 0.1, "test_loss": value, "test_accuracy": 0.1}
        for place, value in enumerate(values, start=1)
    ]
    canvas = figures.curves(TITLE, rows)
    assert canvas.image().width > 300
    assert "nan" not in canvas.svg().replace(">train nan<", "").replace(">test nan<", "")


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
