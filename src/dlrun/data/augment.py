"""Random changes to training pictures, drawn for each picture anew, on the device that holds them."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from dlrun.config.groups import Augment
from dlrun.data.randaugment import randaugmented


def augment(images: Tensor, config: Augment) -> Tensor:
    """The pictures changed at random: rotated, zoomed, shifted and mirrored, cropped, RandAugment, made noisy, erased.

    What moves in from outside is `config.fill`; what RandAugment moves in is 0. Random numbers come from the
    device's default generator and only for what is on; nothing waits for the device.

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
        images = _cropped(images, config.crop, config.fill)
    if config.randaugment:
        images = randaugmented(images, config.randaugment, config.magnitude)
    if config.noise:
        images = torch.randn_like(images).mul_(config.noise).add_(images).clamp_(0, 1)
    if config.erase:
        images = _erased(images, config.erase)
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
    outside = "border" if config.fill == "nearest" else "zeros"
    return grid_sample(images, grid, mode="bilinear", padding_mode=outside, align_corners=False)


def _cropped(images: Tensor, margin: int, fill: str) -> Tensor:
    """A window of the pictures' own size at a random place of each picture padded by `margin` pixels."""
    count, _, height, width = images.shape
    padded = pad(images, [margin] * 4, mode="replicate" if fill == "nearest" else "constant")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    rows, columns = torch.randint(0, 2 * margin + 1, (2, count), device=images.device)
    return windows[torch.arange(count, device=images.device), :, rows, columns]


def _erased(images: Tensor, share: float) -> Tensor:
    """A rectangle of 2 to 33 % of the picture, 0.3 to 3.3 times as high as wide, is 0 in a share of the pictures."""
    height, width = images.shape[-2:]
    area = _between(images, 0.02, 0.33) * (height * width)
    ratio = _between(images, math.log(0.3), math.log(3.3)).exp()
    rows = (area * ratio).sqrt().round().clamp(1, height)
    columns = (area / ratio).sqrt().round().clamp(1, width)
    top = (_between(images, 0, 1) * (height - rows + 1)).floor()
    left = (_between(images, 0, 1) * (width - columns + 1)).floor()
    inside = rectangles(top, top + rows, left, left + columns, height, width)
    chosen = _between(images, 0, 1) < share
    return images.masked_fill(inside & chosen[:, None, None, None], 0)


def rectangles(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor, height: int, width: int) -> Tensor:
    """Whether each pixel lies in the picture's rectangle, bool (N, 1, H, W).

    Args:
        top, bottom, left, right: Of each picture, in pixels, (N,); `bottom` and `right` are the first ones outside.
    """
    rows, columns = (torch.arange(size, device=top.device) for size in (height, width))
    within_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    within_columns = (columns >= left[:, None]) & (columns < right[:, None])
    return (within_rows[:, :, None] & within_columns[:, None, :])[:, None]


def _between(images: Tensor, low: float, high: float) -> Tensor:
    """A number from `low` to `high` for every picture."""
    return torch.empty(len(images), device=images.device, dtype=images.dtype).uniform_(low, high)


def _uniform(images: Tensor, limit: float) -> Tensor:
    """A number between -limit and limit for every picture."""
    return _between(images, -limit, limit)


def _coins(images: Tensor) -> Tensor:
    return torch.rand(len(images), device=images.device) < 0.5
