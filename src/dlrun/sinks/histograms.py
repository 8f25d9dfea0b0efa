"""Weights, biases and gradients as histograms, cheap enough for every epoch."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dlrun.sinks.event_file import Histogram

BUCKETS = 32
SAMPLE = 1 << 15
"""Values of a tensor that are counted; of larger tensors one in so many."""
MOST_SNAPSHOTS = 30
BYTES_EACH, MOST_BYTES = 650, 2_000_000


def epochs_to_log(epochs: int, tensors: int) -> frozenset[int]:
    """The epochs, from 1, after which histograms are written: the first, the last, and evenly between.

    All of them unless there are more than `MOST_SNAPSHOTS`, or a file of `MOST_BYTES` would not hold them.

    Args:
        tensors: Histograms that one epoch takes.
    """
    room = MOST_BYTES // (BYTES_EACH * max(tensors, 1))
    count = max(2, min(epochs, MOST_SNAPSHOTS, room))
    return frozenset(1 + round(number * (epochs - 1) / (count - 1)) for number in range(count))


def tagged(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and gradients by tag: `weights/conv1`, `biases/conv1`, `gradients/conv1.weight`."""
    kinds = {"weight": "weights", "bias": "biases"}
    for name, parameter in model.named_parameters():
        layer, _, last = name.rpartition(".")
        yield (f"{kinds[last]}/{layer}" if layer and last in kinds else f"weights/{name}"), parameter.detach()
        if parameter.grad is not None:
            yield f"gradients/{name}", parameter.grad


def in_buckets(values: Tensor) -> Histogram | None:
    """The values in buckets of equal width from the least to the greatest; None where none is finite.

    On the CPU, since PyTorch has no deterministic histogram for GPUs.
    """
    flat = values.reshape(-1)
    sample = flat[:: max(1, -(-len(flat) // SAMPLE))].float().cpu()
    low, high = (limit.item() for limit in sample.aminmax()) if len(sample) else (math.nan, math.nan)
    if not math.isfinite(high - low):
        finite = sample[sample.isfinite()]
        return in_buckets(finite) if 0 < len(finite) < len(sample) else None
    if high <= low:
        limits, counts = [low, low], [0.0, float(len(sample))]
    else:
        limits = torch.linspace(low, high, BUCKETS + 1, dtype=torch.float64).tolist()
        counts = [0.0, *torch.histc(sample, BUCKETS, low, high).tolist()]
    return Histogram(limits, counts, low, high, sample.sum().item(), sample.square().sum().item())
