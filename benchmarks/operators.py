"""Where the time of a training step goes, for each of the slides' networks: by its parts and by PyTorch's operators.

    python benchmarks/operators.py [--networks fc_64,cnn_dropout] [--steps 200] [--repeats 5] [--threads 2]

Parts are told apart by training on less: on one fixed batch, on batches that are ready made, on dlrun's own.
The profile of operators is of whole steps; the profiler itself slows small operators down, so shares say more
than times. Real MNIST (and ASL). Writes benchmarks/results/VENDOR/operators.json and operators.md.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from epoch import CPU, NETWORKS, parts_of
from report import markdown, save
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from dlrun.runs.parts import Parts
from dlrun.training.step import TrainingStep, batches, set_rate

SHOWN = 6
PARTS = ("fixed batch", "other batches", "making batches", "counting, schedule")
Batch = tuple[Tensor, Tensor, int]


def operators(parts: Parts, steps: int) -> list[tuple[str, float]]:
    """Operators and their share of the time of all, the largest first."""
    step = TrainingStep(parts.state, parts.settings, parts.prepare)
    made = list(first_batches(parts, steps))
    for batch in made[:10]:
        step(*batch)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for batch in made:
            step(*batch)
    own = {event.key: event.self_cpu_time_total for event in recorded.key_averages()}
    whole = sum(own.values())
    return sorted(((name, taken / whole) for name, taken in own.items()), key=lambda pair: -pair[1])


def first_batches(parts: Parts, steps: int) -> Iterator[Batch]:
    """The first batches of an epoch, made when they are asked for."""
    order = torch.randperm(len(parts.train), generator=torch.Generator().manual_seed(0))
    return islice(batches(parts.train, order, parts.config.batch_size, parts.prepare), steps)


def microseconds(parts: Parts, steps: int, repeats: int) -> list[float]:
    """Of a step, by `PARTS`: differences of the shortest of several turns, since noise only adds."""
    made = list(first_batches(parts, steps))
    step = TrainingStep(parts.state, parts.settings, parts.prepare)

    def plain(some: Iterable[Batch]) -> None:
        for images, labels, _ in some:
            parts.state.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(parts.state.model(images), labels).backward()
            parts.state.optimizer.step()

    def whole() -> None:
        for number, batch in enumerate(first_batches(parts, steps)):
            set_rate(parts.state, parts.factor(number))
            step(*batch)

    ways: tuple[Callable[[], object], ...] = (
        lambda: plain(made[:1] * steps),
        lambda: plain(made),
        lambda: deque(first_batches(parts, steps), maxlen=0),
        whole,
    )
    taken = [[timed(way) / steps * 1e6 for way in ways] for _ in range(repeats + 1)][1:]
    fixed, other, making, all_of_it = (min(column) for column in zip(*taken, strict=True))
    return [fixed, other - fixed, making, all_of_it - other - making]


def timed(way: Callable[[], object]) -> float:
    """Seconds of a call."""
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    shares, taken = {}, {}
    for name in options.networks.split(","):
        parts = parts_of([*NETWORKS[name], *CPU], options.threads)
        parts.state.model.train()
        taken[name] = microseconds(parts, options.steps, options.repeats)
        shares[name] = operators(parts, options.steps)
    first = [[name, *(f"{value:,.0f}" for value in values)] for name, values in taken.items()]
    second = [
        [name, ", ".join(f"{operator.removeprefix('aten::')} {share:.0%}" for operator, share in found[:SHOWN])]
        for name, found in shares.items()
    ]
    table = markdown(["microseconds of a step", *PARTS], first)
    table += "\n\n" + markdown(["network", "share of the step's time"], second)
    save("operators", {"microseconds": taken, "shares": shares}, table, sys.argv[1:])


if __name__ == "__main__":
    main()
