"""Random changes to training pictures, drawn for each picture anew, on the device that holds them."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from dlrun.config.groups import Augment


def augment(images: Tensor, config: Augment) -> Tensor:
    """The pictures changed at random: rotated, zoomed, shifted and mirrored, then cropped, then made noisy.

    What moves in from outside is 0. Random numbers come from the device's default generator and only for what
    is on; nothing waits for the device.

    Args:
        images: float (N, C, H, W), 0 to 1.
        config: Which changes; `shift` in shares of width and height, `rotate` in degrees.

    Returns:
        The same shape, type and range; not necessarily a copy.
    """
    if config.shift or config.rotate or config.zoom:
        images = _moved(images, config)
    elif config.flip:
        images = torch.where(_coins(images)[:, None, None, None], images.flip(-1), images)
    if config.crop:
        images = _cropped(images, config.crop)
    if config.noise:
        images = torch.randn_like(images).mul_(config.noise).add_(images).clamp_(0, 1)
    return images


def _moved(images: Tensor, config: Augment) -> Tensor:
    """Rotation, zoom, shift and flip as one affine map and one bilinear look-up."""
    count, _, height, width = images.shape
    angle = _uniform(images, math.radians(config.rotate)) if config.rotate else images.new_zeros(count)
    # The grid says where each pixel comes from, so a picture twice as large is read at half the distances.
    scale = 1 / (1 + _uniform(images, config.zoom)) if config.zoom else images.new_ones(count)
    mirror = torch.where(_coins(images), -1.0, 1.0).to(images.dtype) if config.flip else 1.0
    cos, sin = angle.cos() * scale, angle.sin() * scale
    # Positions run from -1 to 1 both ways: a rotation must take the picture's proportions into account.
    rows = [
        cos * mirror,
        -sin * (height / width),
        _uniform(images, 2 * config.shift) if config.shift else torch.zeros_like(angle),
        sin * (width / height) * mirror,
        cos,
        _uniform(images, 2 * config.shift) if config.shift else torch.zeros_like(angle),
    ]
    maps = torch.stack(rows, dim=1).view(count, 2, 3)
    grid = affine_grid(maps, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _cropped(images: Tensor, margin: int) -> Tensor:
    """A window of the pictures' own size at a random place of each picture padded by `margin` zeros."""
    count, _, height, width = images.shape
    windows = pad(images, [margin] * 4).unfold(2, height, 1).unfold(3, width, 1)
    rows, columns = torch.randint(0, 2 * margin + 1, (2, count), device=images.device)
    return windows[torch.arange(count, device=images.device), :, rows, columns]


def _uniform(images: Tensor, limit: float) -> Tensor:
    """A number between -limit and limit for every picture."""
    return torch.empty(len(images), device=images.device, dtype=images.dtype).uniform_(-limit, limit)


def _coins(images: Tensor) -> Tensor:
    return torch.rand(len(images), device=images.device) < 0.5
