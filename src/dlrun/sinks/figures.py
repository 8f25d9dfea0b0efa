"""The figures of a finished run, as PNG and SVG; each names the run it is of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image, fromarray
from torch import nn

from dlrun.data.dataset import Split
from dlrun.data.samples import how_many_on_sheet
from dlrun.drawing.canvas import DENSITY, GRID, INK, SOFT, Canvas, Point
from dlrun.drawing.fonts import cut, width
from dlrun.drawing.sheets import LINE, picture_of, png, sheet, wrapped
from dlrun.files import write_atomically
from dlrun.training.evaluation import Predictions, precision_and_recall

EVALUATED, TRAINED = "#1f6fb4", "#b34e00"
"""Also solid and dashed, here as on pages."""
WRONG, RIGHT = (180, 30, 30), (236, 236, 236)
NAMES = ("curves", "learning_rate", "confusion_matrix", "class_accuracy", "mistakes", "filters")
HEAD = 46
"""Height of what stands above each figure: what it shows, and of which run."""
MARGIN = 10
SHOWN_MISTAKES = 20
SHOWN_PIXELS = 1_200_000
"""Of the mistakes: 20 pictures of 224 x 224."""
MOST_NUMBERED, MOST_NAMES = 20, 40
"""Classes up to which a matrix has room for its numbers, and an axis for the names."""
LONGEST_NAME = 150
"""Of a class, in units of the canvas."""


@dataclass(frozen=True)
class Figure:
    """A figure in both forms; `size` is that of the PNG, (width, height) in pixels."""

    png: bytes
    svg: str
    size: tuple[int, int]


def draw(
    title: str,
    history: Sequence[dict[str, float]],
    rates: Sequence[tuple[float, float]],
    outcome: Predictions,
    test: Split,
    classes: Sequence[str],
    model: nn.Module,
) -> dict[str, Figure]:
    """All figures of a run by their names; one that does not apply (filters without convolution) is left out.

    Args:
        title: What the run is.
        history: The rows of history.csv.
        rates: The learning rate: pairs of time in epochs and rate.
        outcome: On `test`.
    """
    counts = outcome.confusion()
    kernels = first_kernels(model)
    drawn = {
        "curves": curves(title, history),
        "learning_rate": learning_rate(title, rates) if len({rate for _, rate in rates}) > 1 else None,
        "confusion_matrix": confusion_matrix(title, counts.numpy(), classes),
        "class_accuracy": class_accuracy(title, counts, classes),
        "mistakes": mistakes(title, outcome, test, classes, how_many_on_sheet(test, SHOWN_MISTAKES, SHOWN_PIXELS)),
        "filters": filters(title, kernels) if kernels is not None else None,
    }
    return {name: _figure(canvas) for name, canvas in drawn.items() if canvas is not None}


def write(folder: Path, drawn: Mapping[str, Figure]) -> None:
    """Write the figures of a run; of those that do not apply nothing stays.

    Raises:
        OSError: The folder can't be written.
    """
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        if name in drawn:
            write_atomically(folder / f"{name}.png", drawn[name].png)
            write_atomically(folder / f"{name}.svg", drawn[name].svg)
        else:
            for ending in ("png", "svg"):
                (folder / f"{name}.{ending}").unlink(missing_ok=True)


def _figure(canvas: Canvas) -> Figure:
    image = canvas.image()
    return Figure(png(image), canvas.svg(), image.size)


def curves(title: str, history: Sequence[dict[str, float]]) -> Canvas:
    """Loss and accuracy by epoch, evaluation solid and training dashed."""
    canvas = _headed(740, HEAD + 250, "Loss and accuracy by epoch", title)
    split = "val" if history and "val_loss" in history[0] else "test"
    epochs = [row["epoch"] for row in history]
    for number, metric in enumerate(("loss", "accuracy")):
        lines = [
            (name, [row[f"{name}_{metric}"] for row in history], ink, name == "train")
            for name, ink in (("train", TRAINED), (split, EVALUATED))
        ]
        axes = _Axes(canvas, (number * 370 + 52, HEAD + 22), (218, 180))
        axes.scale(epochs, [value for _, values, _, _ in lines for value in values])
        axes.draw("epoch", whole=True)
        canvas.text((number * 370 + 52, HEAD + 8), metric, 11)
        for _, values, ink, dashed in lines:
            axes.line(epochs, values, ink, dashed)
        ends = [(f"{name} {values[-1]:.4f}", values[-1], ink) for name, values, ink, _ in lines if values]
        axes.label_ends(ends)
    return canvas


def learning_rate(title: str, rates: Sequence[tuple[float, float]]) -> Canvas:
    """The learning rate over the epochs."""
    canvas = _headed(480, HEAD + 190, "Learning rate by epoch", title)
    times, values = zip(*rates, strict=True)
    axes = _Axes(canvas, (64, HEAD + 8), (400, 136))
    axes.scale(times, [0.0, *values])
    axes.draw("epoch")
    axes.line(times, values, EVALUATED)
    return canvas


def confusion_matrix(title: str, counts: np.ndarray, classes: Sequence[str]) -> Canvas:
    """The share of each true class's pictures by predicted class; what is right is muted.

    Args:
        counts: int64 (true class, predicted class).
    """
    count = len(classes)
    side = 36.0 if count <= 10 else 28.0 if count <= MOST_NUMBERED else max(520 / count, 1 / DENSITY)
    named = count <= MOST_NAMES
    room = max(_room(classes), 30) if named else 14
    left, top, extent = room + 2 * MARGIN + 12, HEAD + room + 24, count * side
    canvas = _headed(left + extent + 2 * MARGIN, top + extent + MARGIN, "Confusion matrix, in % of a true class", title)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    canvas.picture((left, top), (extent, extent), _cells(shares, max(1, round(side * DENSITY))))
    canvas.text((left + extent / 2, HEAD + 6), "predicted", 10, SOFT, "middle")
    canvas.text((MARGIN + 4, top + extent / 2), "true", 10, SOFT, "middle", upwards=True)
    for number, name in enumerate(classes if named else ()):
        middle, shown = (number + 0.5) * side, cut(name, 10, LONGEST_NAME)
        canvas.text((left - 6, top + middle), shown, 10, anchor="end")
        canvas.text((left + middle, top - 6), shown, 10, upwards=True)
    if count <= MOST_NUMBERED:
        for row, column in zip(*counts.nonzero(), strict=True):
            share = shares[row, column]
            ink = SOFT if row == column else "#ffffff" if share > 0.25 else INK
            place = (left + (column + 0.5) * side, top + (row + 0.5) * side)
            canvas.text(place, _percent(share), 10 if row != column else 9, ink, "middle")
    return canvas


def class_accuracy(title: str, counts: torch.Tensor, classes: Sequence[str]) -> Canvas:
    """The share of each class's pictures that are recognised, the worst first (of many classes, only those)."""
    _, recall = precision_and_recall(counts)
    there = [number for number in recall.nan_to_num(2).argsort().tolist() if not recall[number].isnan()]
    order = there[:MOST_NAMES]
    few = f", the {len(order)} worst of {len(there)}" if len(order) < len(there) else ""
    room, height = _room([classes[number] for number in order]), 18 * len(order)
    what = f"Share of each class that is recognised, in %{few}"
    canvas = _headed(room + 400, HEAD + height + 40, what, title)
    axes = _Axes(canvas, (room + 2 * MARGIN, HEAD + 4), (310, height))
    values = [100 * recall[number].item() for number in order]
    zoomed = ticks(min(values, default=0), 100)
    axes.scale([zoomed[0], zoomed[-1]], [0.0, 1.0])
    axes.draw("% (test)", rows=False)
    for place, (number, value) in enumerate(zip(order, values, strict=True)):
        x, y = axes.across(value), HEAD + 4 + (place + 0.5) * 18
        canvas.text((room + MARGIN + 4, y), cut(classes[number], 10, LONGEST_NAME), 10, anchor="end")
        canvas.line([(axes.corner[0], y), (axes.corner[0] + axes.size[0], y)], GRID, 0.5)
        canvas.dot((x, y), 4, EVALUATED)
        canvas.text((x + 8, y), f"{value:.1f}", 9, SOFT)
    return canvas


def mistakes(title: str, outcome: Predictions, test: Split, classes: Sequence[str], most: int) -> Canvas | None:
    """The most confident mistakes, at most so many; None of none."""
    chosen = outcome.mistakes(most)
    if not len(chosen):
        return None
    images = test.images[chosen.to(test.images.device)].cpu().numpy()
    factor = max(1, math.ceil(128 * DENSITY / images.shape[3]))
    wide, high = images.shape[3] * factor / DENSITY, images.shape[2] * factor / DENSITY
    column = max(wide, 128)
    # In a page the letters are those of the reader's system, which may be wider.
    captions = [wrapped(caption, 0.88 * column, 11) for caption in outcome.captions(chosen, classes)]
    row = high + max(map(len, captions)) * LINE + 10
    columns = min(4, len(chosen))
    size = (columns * (column + MARGIN) + MARGIN, HEAD + math.ceil(len(chosen) / columns) * row)
    wrong = len(outcome.mistakes(len(outcome.labels)))
    what = f"Mistakes on the test images, the surest first ({len(chosen)} of {wrong:,})"
    canvas = _headed(*size, what, title)
    for number, (image, lines) in enumerate(zip(images, captions, strict=True)):
        x, y = MARGIN + number % columns * (column + MARGIN), HEAD + number // columns * row
        canvas.picture((x, y), (wide, high), picture_of(image))
        for place, line in enumerate(lines):
            canvas.text((x, y + high + 8 + place * LINE), line, 11)
    return canvas


def filters(title: str, kernels: np.ndarray) -> Canvas:
    """The kernels of the first convolution, float (filters, C, H, W), each scaled to its own range."""
    low, high = (limit(kernels, axis=(1, 2, 3), keepdims=True) for limit in (np.min, np.max))
    pixels = (255 * (kernels - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)
    page = sheet(pixels, columns=8, tile=48)
    size = (page.width / DENSITY, page.height / DENSITY)
    canvas = _headed(size[0] + 2 * MARGIN, HEAD + size[1] + MARGIN, "Filters of the first convolution", title)
    canvas.picture((MARGIN, HEAD), size, page)
    return canvas


def first_kernels(model: nn.Module) -> np.ndarray | None:
    """Weights of the first convolution, float32 (filters <= 64, C, H, W); None without one to be seen."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach().float().cpu()
            # A kernel of one pixel shows nothing, and more than three channels are no colours.
            return weight[:64].numpy() if weight.shape[1] in (1, 3) and weight.shape[2] > 1 else None
    return None


class _Axes:
    """A rectangle of a canvas with a scale on each side, whose ends are ticks."""

    def __init__(self, canvas: Canvas, corner: Point, size: Point) -> None:
        self.canvas, self.corner, self.size = canvas, corner, size

    def scale(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Make room for these values; those that are not finite have none."""
        self.left, self.right = _limits(xs)
        self.ticks = ticks(*_limits(ys))
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def across(self, x: float) -> float:
        """Where a value of the horizontal axis lies."""
        return self.corner[0] + self.size[0] * _share(x, self.left, self.right)

    def up(self, y: float) -> float:
        """Where a value of the vertical axis lies."""
        return self.corner[1] + self.size[1] * (1 - _share(y, self.low, self.high))

    def draw(self, label: str, whole: bool = False, rows: bool = True) -> None:
        """Ticks with their numbers, and what the horizontal axis shows.

        Args:
            whole: Its ticks are whole numbers.
            rows: Lines and numbers of the vertical axis.
        """
        (x, y), (wide, high) = self.corner, self.size
        for tick in self.ticks if rows else ():
            self.canvas.line([(x, self.up(tick)), (x + wide, self.up(tick))], GRID)
            self.canvas.text((x - 6, self.up(tick)), number(tick, self.ticks), 9, SOFT, "end")
        chosen = ticks(self.left, self.right, 6, whole)
        for tick in (tick for tick in chosen if self.left <= tick <= self.right):
            at = self.across(tick)
            self.canvas.line([(at, y + high), (at, y + high + 4)] if rows else [(at, y), (at, y + high)], GRID)
            self.canvas.text((at, y + high + 12), number(tick, chosen), 9, SOFT, "middle")
        self.canvas.text((x + wide, y + high + 26), label, 9, SOFT, "end")

    def line(self, xs: Sequence[float], ys: Sequence[float], ink: str, dashed: bool = False) -> None:
        """A line through what is finite, with dots where they are few."""
        pieces: list[list[Point]] = [[]]
        for x, y in zip(xs, ys, strict=True):
            if math.isfinite(y):
                pieces[-1].append((self.across(x), self.up(y)))
            else:
                pieces.append([])
        for points in pieces:
            if len(points) > 1:
                self.canvas.line(points, ink, 2, dashed)
            for point in points if len(xs) <= 20 else ():
                self.canvas.dot(point, 2.5, ink)

    def label_ends(self, labels: Sequence[tuple[str, float, str]]) -> None:
        """Words beside the end of each line, moved apart where these are close; (words, last value, colour) each."""
        low, high = self.corner[1], self.corner[1] + self.size[1]
        least = low
        ordered = sorted(labels, key=lambda label: -label[1] if math.isfinite(label[1]) else math.inf)
        for place, (words, value, ink) in enumerate(ordered):
            below = 14 * (len(ordered) - 1 - place)
            y = min(max(self.up(value) if math.isfinite(value) else high, least), high - below)
            self.canvas.text((self.corner[0] + self.size[0] + 8, y), words, 11, ink)
            least = y + 14


def ticks(low: float, high: float, most: int = 5, whole: bool = False) -> list[float]:
    """Round numbers from `low` or less to `high` or more, about so many and at least two."""
    step = (high - low) / most or abs(high) / most or 1.0
    power = 10.0 ** math.floor(math.log10(step))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= step * 0.999)
    if whole:
        step = max(1.0, round(step))
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [place * step for place in range(first, last + 1)]


def number(tick: float, among: Sequence[float]) -> str:
    """A tick's number, with as many decimals as tell it from the others."""
    step = among[1] - among[0]
    if step < 1e-4 or abs(among[-1]) >= 1e6:
        return f"{tick:.3g}"
    return f"{tick:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _limits(values: Sequence[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    return min(finite), max(finite)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _headed(wide: float, high: float, what: str, title: str) -> Canvas:
    """A canvas that says what it shows, and of which run."""
    wide = max(wide, width(what, 12) + 2 * MARGIN, 320)
    canvas = Canvas(wide, high)
    canvas.text((MARGIN, 14), what, 12)
    canvas.text((MARGIN, 31), cut(title, 10, wide - 2 * MARGIN), 10, SOFT)
    return canvas


def _room(names: Sequence[str]) -> float:
    """Units that the longest of these names takes, cut as it may be."""
    return min(LONGEST_NAME, max((width(name, 10) for name in names), default=0))


def _cells(shares: np.ndarray, side: int) -> Image:
    """A square a cell: mistakes from paper to red, with the root of their share so that rare ones are seen."""
    diagonal = np.eye(len(shares), dtype=bool)[..., None]
    mistaken = 255 + (np.array(WRONG) - 255) * np.sqrt(shares)[..., None]
    squares = np.where(diagonal, RIGHT, mistaken).round().astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1)
    if side > 8:
        squares[side - 1 :: side] = squares[:, side - 1 :: side] = 225
    return fromarray(squares)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share > 0.0995 else f"{100 * share:.1f}"
