"""Some pictures of a data set to look at: every class in turn, as stored or augmented."""

import torch
from torch import Tensor

from dlrun.config.groups import Augment
from dlrun.data.augment import augment
from dlrun.data.dataset import Split
from dlrun.randomness import undisturbed_random


def spread(labels: Tensor, count: int) -> Tensor:
    """Indices, int64 (<= count,), that go through the classes in turn, on the labels' device."""
    first = labels[:20_000].cpu()
    order = first.argsort(stable=True)
    sizes = first.bincount()
    starts = sizes.cumsum(0) - sizes
    place_in_class = torch.empty_like(first)
    place_in_class[order] = torch.arange(len(first)) - starts.repeat_interleave(sizes)
    return (place_in_class * len(sizes) + first).argsort()[:count].to(labels.device)


def how_many(split: Split, most: int, pixels: int) -> int:
    """How many of its pictures go on a sheet of at most so many pixels: `most`, of large ones fewer, never none."""
    height, width = split.images.shape[2:]
    return max(1, min(most, len(split), pixels // (height * width)))


def augmented(images: Tensor, changes: Augment) -> Tensor:
    """uint8 pictures (N, C, H, W) as training might see them; no other random number changes for it."""
    with undisturbed_random(images.device):
        torch.manual_seed(0)
        changed = augment(images.float() / 255, changes)
    return (changed.clamp(0, 1) * 255).round().to(torch.uint8)
