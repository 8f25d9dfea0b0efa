"""Where the time of a training step goes, by operator of PyTorch, for each of the slides' networks.

    python benchmarks/operators.py [--networks fc_64,cnn_dropout] [--steps 200] [--threads 2]

A profile of whole steps on real MNIST (and ASL); the profiler itself slows small operators down, so shares say
more than times. Writes benchmarks/results/operators.json and operators.md.
"""

import argparse
import sys

import torch
from epoch import CPU, NETWORKS, parts_of
from report import markdown, save
from torch.profiler import ProfilerActivity, profile

from dlrun.step import Step

SHOWN = 6


def operators(overrides: list[str], threads: int, steps: int) -> list[tuple[str, float]]:
    """Operators and their share of the time of all, the largest first."""
    parts = parts_of(overrides, threads)
    size = parts.config.batch_size
    step = Step(parts.state, parts.settings, parts.prepare)
    images, labels = parts.prepare(parts.train.images[:size]), parts.train.labels[:size]
    for _ in range(10):
        step(images, labels, size)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(steps):
            step(images, labels, size)
    own = {event.key: event.self_cpu_time_total for event in recorded.key_averages()}
    whole = sum(own.values())
    return sorted(((name, time / whole) for name, time in own.items()), key=lambda pair: -pair[1])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    found = {
        name: operators([*NETWORKS[name], *CPU], options.threads, options.steps) for name in options.networks.split(",")
    }
    rows = [
        [name, ", ".join(f"{operator.removeprefix('aten::')} {share:.0%}" for operator, share in shares[:SHOWN])]
        for name, shares in found.items()
    ]
    save("operators", {"shares": found}, markdown(["network", "share of the step's time"], rows), sys.argv[1:])


if __name__ == "__main__":
    main()
