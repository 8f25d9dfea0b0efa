"""The figures of a finished run, as PNG and SVG: plots by matplotlib without its global state, pictures by Pillow."""

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL.Image import Image, fromarray
from torch import nn

from dlrun import drawing
from dlrun.data.dataset import Split
from dlrun.data.samples import how_many_on_sheet
from dlrun.files import write_atomically
from dlrun.sinks.mistakes import mistakes_sheet
from dlrun.training.evaluation import Predictions, precision_and_recall

BLUE, ORANGE, GREY = "#1f6fb4", "#d95f02", "#888888"
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "svg.fonttype": "none",
    "svg.hashsalt": "dlrun",
}
DPI = 120
SHOWN_MISTAKES = 20
SHOWN_PIXELS = 1_200_000
"""Of the mistakes: 20 pictures of 224 x 224."""
MOST_NAMES = 40
"""Classes whose names fit on an axis."""


def write(
    folder: Path,
    history: Sequence[dict[str, float]],
    rates: Sequence[tuple[float, float]],
    outcome: Predictions,
    test: Split,
    classes: Sequence[str],
    model: nn.Module,
) -> None:
    """Draw all figures of a run; one that does not apply (filters without convolution) is left out.

    Args:
        history: The rows of history.csv.
        rates: The learning rate: pairs of time in epochs and rate.
        outcome: On `test`.

    Raises:
        OSError: The folder can't be written.
    """
    folder.mkdir(exist_ok=True)
    for name, page in _pages(outcome, test, classes, model).items():
        _save_page(page, folder, name)
    counts = outcome.confusion()
    plots: dict[str, Callable[[Figure], None]] = {
        "curves": lambda figure: curves(figure, history),
        "learning_rate": lambda figure: learning_rate(figure, rates),
        "confusion_matrix": lambda figure: confusion_matrix(figure, counts.numpy(), classes),
        "class_accuracy": lambda figure: class_accuracy(figure, counts, classes),
    }
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font has not
        for name, plot in plots.items():
            figure = Figure(figsize=(6.4, 4))
            plot(figure)
            _save(figure, folder, name)


def _pages(outcome: Predictions, test: Split, classes: Sequence[str], model: nn.Module) -> dict[str, Image]:
    """What is made of pictures: Pillow lays them out in a tenth of the time that matplotlib takes."""
    pages = {}
    most = how_many_on_sheet(test, SHOWN_MISTAKES, SHOWN_PIXELS)
    mistakes = mistakes_sheet(outcome, test, classes, most, columns=5, tile=112)
    if mistakes is not None:
        pages["mistakes"] = mistakes
    kernels = first_kernels(model)
    if kernels is not None:
        pages["filters"] = filters(kernels)
    return pages


def curves(figure: Figure, history: Sequence[dict[str, float]]) -> None:
    """Loss and accuracy by epoch; the gap between training and evaluation is shaded."""
    figure.set_size_inches(9, 3.6)
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.13, top=0.9, wspace=0.2)
    split = "val" if history and "val_loss" in history[0] else "test"
    epochs = [row["epoch"] for row in history]
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        train, other = ([row[f"{name}_{metric}"] for row in history] for name in ("train", split))
        marker = "o" if len(epochs) <= 20 else ""
        axes.plot(epochs, train, color=BLUE, marker=marker, markersize=3, label="train")
        axes.plot(epochs, other, color=ORANGE, marker=marker, markersize=3, label=split)
        axes.fill_between(epochs, train, other, color=GREY, alpha=0.15, linewidth=0, label="gap")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        _few_ticks(axes)
        gap = other[-1] - train[-1]
        axes.set_title(f"{metric}: {split} {other[-1]:.4f}, {gap:+.4f} against train", fontsize=9, y=1.0)
    figure.axes[0].legend(frameon=False)


def learning_rate(figure: Figure, rates: Sequence[tuple[float, float]]) -> None:
    """The learning rate over the epochs."""
    figure.set_size_inches(6.4, 2.6)
    figure.subplots_adjust(left=0.13, right=0.97, bottom=0.18, top=0.95)
    axes = figure.subplots()
    axes.plot(*zip(*rates, strict=True), color=BLUE)
    axes.set_xlabel("epoch")
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)
    _few_ticks(axes)


def confusion_matrix(figure: Figure, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Shares of each true class; the numbers of pictures where there is room."""
    side = 4.2 if len(classes) <= 10 else 6.5
    figure.set_size_inches(side + 1.6, side + 1.1)
    axes = figure.add_axes((1.35 / (side + 1.6), 0.95 / (side + 1.1), side / (side + 1.6), side / (side + 1.1)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1.15)
    axes.grid(visible=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    _name_ticks(axes, classes)
    if len(classes) <= drawing.MOST_NUMBERED:
        for row, column in zip(*counts.nonzero(), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=7)


def class_accuracy(figure: Figure, counts: torch.Tensor, classes: Sequence[str]) -> None:
    """The share of each class's pictures that are recognised, the worst first (of many classes, only those)."""
    _, recall = precision_and_recall(counts)
    order = recall.nan_to_num(2).argsort()[:MOST_NAMES].tolist()
    order = [number for number in order if not recall[number].isnan()]
    figure.set_size_inches(6.4, 0.9 + 0.2 * len(order))
    figure.subplots_adjust(left=0.25, right=0.93, bottom=0.5 / (0.9 + 0.2 * len(order)), top=1 - 0.05)
    axes = figure.subplots()
    values = recall[order].numpy()
    bars = axes.barh(range(len(order)), values, color=BLUE)
    axes.bar_label(bars, [f"{value:.1%}" for value in values], padding=2, fontsize=7)
    axes.set_yticks(range(len(order)), [_short(classes[number]) for number in order])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the class recognised (test)")


def filters(kernels: np.ndarray) -> Image:
    """The kernels of the first convolution, float (filters, C, H, W), each scaled to its own range."""
    low, high = (limit(kernels, axis=(1, 2, 3), keepdims=True) for limit in (np.min, np.max))
    pixels = (255 * (kernels - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)
    return drawing.sheet(pixels, columns=8, tile=48)


def first_kernels(model: nn.Module) -> np.ndarray | None:
    """Weights of the first convolution, float32 (filters <= 64, C, H, W); None without one to be seen."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach().float().cpu()
            # A kernel of one pixel shows nothing, and more than three channels are no colours.
            return weight[:64].numpy() if weight.shape[1] in (1, 3) and weight.shape[2] > 1 else None
    return None


def _few_ticks(axes: Axes) -> None:
    """Half as many as matplotlib's choice on the y axis: ticks and their numbers are most of a plot's time."""
    axes.locator_params(axis="y", nbins=5)


def _name_ticks(axes: Axes, classes: Sequence[str]) -> None:
    if len(classes) <= MOST_NAMES:
        names = [_short(name) for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=90)
        axes.set_yticks(range(len(classes)), names)


def _short(name: str) -> str:
    """At most 16 printable characters, with nothing that matplotlib takes for a formula."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name).replace("$", r"\$")
    return shown if len(shown) <= 16 else shown[:15] + "…"


def _save_page(page: Image, folder: Path, name: str) -> None:
    content = drawing.png(page)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{page.width}" height="{page.height}">'
    image = f'<image width="100%" height="100%" href="data:image/png;base64,{base64.b64encode(content).decode()}"/>'
    write_atomically(folder / f"{name}.png", content)
    write_atomically(folder / f"{name}.svg", f"{head}{image}</svg>\n")


def _save(figure: Figure, folder: Path, name: str) -> None:
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # All of it is opaque, and without the alpha channel there is less to compress.
    write_atomically(folder / f"{name}.png", drawing.png(fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")))
    vector = io.BytesIO()
    figure.savefig(vector, format="svg", metadata={"Date": None})
    write_atomically(folder / f"{name}.svg", vector.getvalue())
