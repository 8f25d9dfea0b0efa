"""Some pictures of a data set to look at: every class in turn, as stored or augmented."""

import torch
from torch import Tensor

from dlrun.config.groups import Augment
from dlrun.data.augment import augment
from dlrun.data.dataset import Split, place_in_class
from dlrun.data.mixing import mixed
from dlrun.randomness import undisturbed_random


def through_classes(labels: Tensor, count: int) -> Tensor:
    """Indices, int64 (<= count,), that go through the classes in turn, on the labels' device."""
    first = labels[:20_000].cpu()
    classes = len(first.bincount())
    return (place_in_class(first) * classes + first).argsort()[:count].to(labels.device)


def in_rows(labels: Tensor, most: int, columns: int) -> list[list[int]]:
    """Indices of at most so many pictures, in rows of at most `columns`.

    A row a class where there are fewer classes than columns, else through the classes in turn.
    """
    there = [label for label, count in enumerate(labels.bincount().tolist()) if count]
    if len(there) >= columns:
        chosen = through_classes(labels, most).tolist()
        return [chosen[start : start + columns] for start in range(0, len(chosen), columns)]
    length = max(1, min(columns, most // len(there)))
    return [(labels == label).nonzero()[:length, 0].tolist() for label in there]


def how_many_on_sheet(split: Split, most: int, pixels: int) -> int:
    """How many of its pictures go on a sheet of at most so many pixels: `most`, of large ones fewer, never none."""
    height, width = split.images.shape[2:]
    return max(1, min(most, len(split), pixels // (height * width)))


def augmented(images: Tensor, changes: Augment) -> Tensor:
    """uint8 pictures (N, C, H, W) as training might see them; no other random number changes for it."""
    with undisturbed_random(images.device):
        torch.manual_seed(0)
        changed = augment(images.float() / 255, changes)
        changed = mixed(changed, changes)[0] if changes.mixes else changed
    return (changed.clamp(0, 1) * 255).round().to(torch.uint8)
