"""Pictures mixed in pairs, and their labels with them: mixup and CutMix, drawn for each picture by itself."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional as F

from dlrun.config.groups import Augment
from dlrun.data.augment import rectangles


class Mix(NamedTuple):
    """How the pictures of a batch were mixed."""

    others: Tensor
    """int64 (N,): the place of the picture that each was mixed with; that may be its own."""
    share: Tensor
    """float32 (N,): how much of each is its own, 0 to 1."""

    def targets(self, labels: Tensor, classes: int) -> Tensor:
        """The labels (int64 (N,)) mixed, float32 (N, classes); each row sums to 1."""
        own, other = (F.one_hot(some, classes).float() for some in (labels, labels[self.others]))
        return torch.lerp(other, own, self.share[:, None])

    def larger(self, labels: Tensor) -> Tensor:
        """Of each picture the label of which there is more, int64 (N,)."""
        return torch.where(self.share >= 0.5, labels, labels[self.others])


def mixed(images: Tensor, config: Augment) -> tuple[Tensor, Mix]:
    """The pictures mixed with each other; random numbers come from the device's default generator.

    Args:
        images: float (N, C, H, W).
        config: Of which `mixup` or `cutmix` is not 0; if neither is, each picture gets one of the two, evenly.
    """
    others = torch.rand(len(images), device=images.device).argsort()
    if not config.cutmix:
        own = _shares(images, config.mixup)[:, None, None, None]
    elif not config.mixup:
        own = _outside(images, config.cutmix)
    else:
        coins = torch.rand(len(images), device=images.device)[:, None, None, None] < 0.5
        own = torch.where(
            coins, _shares(images, config.mixup)[:, None, None, None], _outside(images, config.cutmix).to(images.dtype)
        )
    own = own.to(images.dtype)
    share = own.mean((1, 2, 3), dtype=torch.float32)
    return images * own + images[others] * (1 - own), Mix(others, share)


def _outside(images: Tensor, alpha: float) -> Tensor:
    """False in a rectangle somewhere in each picture, bool (N, 1, H, W); what reaches over the border is cut off."""
    height, width = images.shape[-2:]
    side = (1 - _shares(images, alpha)).sqrt()
    middles = (torch.rand(len(images), device=images.device) * size for size in (height, width))
    edges = [
        edge.round().clamp(0, size)
        for middle, size in zip(middles, (height, width), strict=True)
        for edge in (middle - side * size / 2, middle + side * size / 2)
    ]
    return ~rectangles(edges[0], edges[1], edges[2], edges[3], height, width)


def _shares(images: Tensor, alpha: float) -> Tensor:
    """From Beta(alpha, alpha), float32 (N,)."""
    both = torch.full((), float(alpha), device=images.device)
    return Beta(both, both, validate_args=False).sample((len(images),))
