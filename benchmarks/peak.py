"""How much of what this machine can compute a training step uses, for each of the slides' networks.

    python benchmarks/peak.py [--networks fc_64,cnn_dropout] [--steps 200] [--repeats 7] [--threads 2] [--bfloat16]

The peak is the best rate of matrix products (MKL's, oneDNN's) and of convolutions of the same precision on as many
threads: one denominator, the best of all. It is measured anew before each turn of steps, and a share is of the two that
belong together, since what a shared machine gives changes from minute to minute, by half and more. A step is dlrun's
own, batches and schedule included; its operations are those of its dense and convolutional layers, forwards and
backwards, with no gradient to the pictures. Everything else (activations, pooling, batch norm, dropout, the optimizer)
takes time and counts for none.
Real MNIST (and ASL). Writes benchmarks/results/VENDOR/peak.json and peak.md.
"""

import argparse
import statistics
import sys
from collections.abc import Callable

import torch
from epoch import NETWORKS, parts_of
from operators import first_batches, timed
from report import markdown, save, spread
from torch.nn import functional as F

from dlrun.config.groups import Layers
from dlrun.models.phrases import ConvPhrase, DensePhrase, Phrase, plan
from dlrun.runs.parts import Parts
from dlrun.training.step import TrainingStep, set_rate

SIDE = 2048
"""Of the square matrices, in which reading them costs nothing beside multiplying."""
IMAGES, CHANNELS, PIXELS, KERNEL = 32, 64, 56, 3
"""Of a convolution of that kind: 7.4 GFLOP."""
Turn = tuple[float, float]
"""Seconds that a step took, and the peak just before."""
Taken = tuple[int, list[Turn]]
"""Operations of a step, and its turns."""


def products(threads: int, dtype: torch.dtype) -> dict[str, float]:
    """Best rates in FLOP/s by kind of product."""
    torch.set_num_threads(threads)
    a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    images = torch.randn(IMAGES, CHANNELS, PIXELS, PIXELS).to(dtype).to(memory_format=torch.channels_last)
    weight = torch.randn(CHANNELS, CHANNELS, KERNEL, KERNEL).to(dtype).to(memory_format=torch.channels_last)
    square = 2 * SIDE**3
    convolved = 2 * IMAGES * CHANNELS * PIXELS**2 * CHANNELS * KERNEL**2
    linear = torch.ops.mkldnn._linear_pointwise
    with torch.no_grad():
        return {
            "product": square / best(lambda: a @ b),
            "product by oneDNN": square / best(lambda: linear(a, b, None, "none", [], "")),
            "convolution": convolved / best(lambda: F.conv2d(images, weight, padding=KERNEL // 2)),
        }


def best(compute: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of some calls: noise only adds."""
    return min([timed(compute) for _ in range(repeats + 2)][2:])


def operations(parts: Parts) -> int:
    """Of a training step: two for each weight that is multiplied, once forwards and once or twice backwards."""
    assert isinstance(parts.config.model, Layers)
    phrases = plan(parts.config.model, parts.train.images.shape[1:], int(parts.train.labels.max()) + 1)
    multiplied = [multiplications(phrase) for phrase in phrases if isinstance(phrase, ConvPhrase | DensePhrase)]
    return parts.config.batch_size * 2 * (3 * sum(multiplied) - multiplied[0])


def multiplications(phrase: Phrase) -> int:
    """Of one picture in one layer, forwards."""
    if isinstance(phrase, ConvPhrase):
        channels, height, width = phrase.out_shape
        return channels * height * width * phrase.in_shape[0] * phrase.kernel[0] * phrase.kernel[1]
    return phrase.in_shape[0] * phrase.out_shape[0]


def turns(parts: Parts, threads: int, dtype: torch.dtype, steps: int, repeats: int) -> list[Turn]:
    """A whole training step and the peak, again and again."""
    step = TrainingStep(parts.state, parts.settings, parts.prepare)
    parts.state.model.train()

    def turn() -> None:
        for number, batch in enumerate(first_batches(parts, steps)):
            set_rate(parts.state, parts.factor(number))
            step(*batch)

    def both() -> Turn:
        peak = max(products(threads, dtype).values())
        return timed(turn) / steps, peak

    return [both() for _ in range(repeats + 1)][1:]


def tables(rates: dict[int, dict[str, float]], networks: dict[str, Taken]) -> str:
    """Markdown: rates by kind and threads; networks with their share of the peak, median (min-max)."""
    head = ["GFLOP/s", *(f"{number} thread{'s' if number > 1 else ''}" for number in rates)]
    first = [[kind, *(f"{rates[number][kind] / 1e9:,.0f}" for number in rates)] for kind in rates[1]]
    second = []
    for name, (flop, measured) in networks.items():
        share = spread([flop / seconds / peak for seconds, peak in measured])
        middle = statistics.median(seconds for seconds, _ in measured)
        second.append([name, f"{flop / 1e6:,.0f}", f"{middle * 1e6:,.0f}", share])
    below = ["network", "MFLOP a step", "microseconds a step", "share of peak"]
    return markdown(head, first) + "\n\n" + markdown(below, second)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--bfloat16", action="store_true", help="on a CPU that has it")
    options = parser.parse_args()
    precision = "bfloat16" if options.bfloat16 else "float32"
    dtype = getattr(torch, precision)
    networks: dict[str, Taken] = {}
    for name in options.networks.split(","):
        parts = parts_of([*NETWORKS[name], "device=cpu", f"precision={precision}"], options.threads)
        networks[name] = operations(parts), turns(parts, options.threads, dtype, options.steps, options.repeats)
    rates = {threads: products(threads, dtype) for threads in sorted({1, options.threads})}
    figures = {"threads": options.threads, "precision": precision, "rates": rates, "networks": networks}
    name = "peak_bfloat16" if options.bfloat16 else "peak"
    save(name, figures, tables(rates, networks), sys.argv[1:])


if __name__ == "__main__":
    main()
