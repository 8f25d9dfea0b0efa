"""What dlrun's rule for dense layers changes: training steps by it, and with all products by MKL.

    python benchmarks/dense.py [--networks fc_512,cnn_dropout] [--steps 40] [--repeats 15] [--threads 2]

The two take turns within one process, on the same weights. The rule is dlrun's for AMD's CPUs (`dlrun.models.dense`),
here on whatever CPU this is. Real MNIST. Writes benchmarks/results/VENDOR/dense.json and dense.md.
"""

import argparse
import statistics
import sys

import torch
from epoch import CPU, NETWORKS, parts_of
from operators import first_batches, timed
from report import markdown, save, spread

from dlrun.models import dense
from dlrun.runs.parts import Parts
from dlrun.training.step import TrainingStep

WAYS = {"by the rule": dense.WEIGHTS, "all by MKL": sys.maxsize}


def step_seconds(parts: Parts, steps: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of a step by way, a figure for each turn."""
    step = TrainingStep(parts.state, parts.settings, parts.prepare)
    parts.state.model.train()

    def turn() -> None:
        for batch in first_batches(parts, steps):
            step(*batch)

    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(repeats + 1):
        for way, dense.WEIGHTS in WAYS.items():
            seconds = timed(turn) / steps
            if number:
                taken[way].append(seconds)
    return taken


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="fc_512,cnn_dropout")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    dense._amd_with_onednn = lambda: True  # type: ignore[assignment]
    networks = {}
    for name in options.networks.split(","):
        networks[name] = step_seconds(
            parts_of([*NETWORKS[name], *CPU], options.threads), options.steps, options.repeats
        )
    rows = []
    for name, taken in networks.items():
        ratios = [ruled / plain for ruled, plain in zip(*taken.values(), strict=True)]
        shown = [f"{statistics.median(seconds) * 1e6:,.0f}" for seconds in taken.values()]
        rows.append([name, *shown, spread(ratios)])
    table = markdown([f"microseconds of a step, {options.threads} threads", *WAYS, "ratio"], rows)
    save("dense", {"threads": options.threads, "seconds": networks}, table, sys.argv[1:])


if __name__ == "__main__":
    main()
