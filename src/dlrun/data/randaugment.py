"""RandAugment (Cubuk et al. 2020) on batches: each picture draws its own operations, and all are done in one go.

The operations and their reach are those of torchvision's RandAugment, which draws once for a whole batch; what is
moved is interpolated linearly. Nothing waits for the device: an operation is computed for all pictures, and taken where
it was drawn.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample

OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("brightness", "color", "contrast", "sharpness"),
    *("posterize", "solarize", "autocontrast", "equalize"),
)
LARGEST = 30
"""The end of the scale of magnitudes."""


def randaugmented(images: Tensor, count: int, magnitude: float) -> Tensor:
    """The pictures after `count` operations each, float (N, C, H, W) from 0 to 1.

    Random numbers come from the device's default generator.
    """
    for _ in range(count):
        drawn = torch.randint(len(OPERATIONS), (len(images),), device=images.device)
        signs = torch.randint(2, (len(images),), device=images.device).to(images.dtype) * 2 - 1
        images = operated(images, drawn, signs, magnitude)
    return images


def operated(images: Tensor, drawn: Tensor, signs: Tensor, magnitude: float) -> Tensor:
    """The pictures after one operation each.

    Args:
        drawn: Which of `OPERATIONS`, int64 (N,).
        signs: 1 or -1, (N,): to which side, where there are two.
        magnitude: 0 to 30.
    """
    reach = magnitude / LARGEST

    def are(*names: str) -> Tensor:
        places = [OPERATIONS.index(name) for name in names]
        return torch.stack([drawn == place for place in places]).any(0)[:, None, None, None]

    moved = _moved(images, drawn, signs * reach)
    images = torch.where(are("shear_x", "shear_y", "translate_x", "translate_y", "rotate"), moved, images)
    grey = _grey(images)
    other = torch.where(are("color"), grey, 0)
    other = torch.where(are("contrast"), grey.mean((1, 2, 3), keepdim=True), other)
    other = torch.where(are("sharpness"), _blurred(images), other)
    factor = (1 + 0.9 * reach * signs)[:, None, None, None]
    blended = (images * factor + other * (1 - factor)).clamp(0, 1)
    images = torch.where(are("brightness", "color", "contrast", "sharpness"), blended, images)
    step = 2 ** (8 - round(8 - 4 * reach))
    bits = (images * 255).round().div(step, rounding_mode="floor") * (step / 255)
    images = torch.where(are("posterize"), bits, images)
    images = torch.where(are("solarize") & (images >= 1 - reach), 1 - images, images)
    images = torch.where(are("autocontrast"), _stretched(images), images)
    return torch.where(are("equalize"), _equalized(images), images)


def _moved(images: Tensor, drawn: Tensor, reach: Tensor) -> Tensor:
    """Sheared from the upper left corner, translated by whole pixels or rotated about the middle; from outside comes 0.

    Args:
        reach: -1 to 1, (N,): how much of the farthest shear (0.3), translation (150/331) or rotation (30 degrees).
    """
    height, width = images.shape[-2:]

    def of(name: str, value: Tensor) -> Tensor:
        return torch.where(drawn == OPERATIONS.index(name), value, 0)

    angle = of("rotate", reach * math.radians(30))
    right, down = of("shear_x", 0.3 * reach), of("shear_y", 0.3 * reach)
    across = of("translate_x", (reach * (150 / 331 * width)).trunc())
    along = of("translate_y", (reach * (150 / 331 * height)).trunc())
    # Where each pixel comes from, in pixels from the middle; the grid's positions run from -1 to 1 both ways.
    rows = [
        angle.cos(),
        (right - angle.sin()) * (height / width),
        (right * (height / 2) - across) * (2 / width),
        (down + angle.sin()) * (width / height),
        angle.cos(),
        (down * (width / 2) - along) * (2 / height),
    ]
    maps = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = affine_grid(maps, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _grey(images: Tensor) -> Tensor:
    """(N, 1, H, W)."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def _blurred(images: Tensor) -> Tensor:
    """Each pixel averaged with those around it, of which it weighs five times as much; the outermost stay."""
    channels, height, width = images.shape[1:]
    if min(height, width) < 3:
        return images
    kernel = images.new_ones(3, 3)
    kernel[1, 1] = 5
    blurred = images.clone()
    blurred[..., 1:-1, 1:-1] = conv2d(images, (kernel / 13).expand(channels, 1, 3, 3), groups=channels)
    return blurred


def _stretched(images: Tensor) -> Tensor:
    """Every channel from 0 to 1; one that is even all over stays."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    even = low == high
    return ((images - torch.where(even, 0, low)) / torch.where(even, 1, high - low)).clamp(0, 1)


def _equalized(images: Tensor) -> Tensor:
    """The levels of every channel as evenly filled as may be (Pillow's `ImageOps.equalize`)."""
    levels = (images * 255).round().long().flatten(2).flatten(0, 1)
    ordered = levels.sort(1).values
    scale = torch.arange(256, device=images.device).expand(len(levels), 256).contiguous()
    below = torch.searchsorted(ordered, scale)
    # The pixels that are not of the highest level are spread over 255 steps.
    size = below.gather(1, ordered[:, -1:]) // 255
    table = ((below + size // 2) // size.clamp(min=1)).clamp(0, 255)
    filled = torch.where(size > 0, table.gather(1, levels), levels)
    return (filled / 255).view(images.shape).to(images.dtype)
