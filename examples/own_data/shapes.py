"""Data of one's own that are no folder of pictures: a function that returns a Dataset.

Here it draws discs, squares and crosses; yours would read a file.
"""

import torch

from dlrun.data.dataset import Dataset, Split

CLASSES = ("disc", "square", "cross")


def load(size: int = 28, train: int = 1500, test: int = 300) -> Dataset:
    """Grey pictures of size x size pixels; arguments come from the config."""
    numbers = torch.Generator().manual_seed(0)
    splits = [_drawn(count, size, numbers) for count in (train, test)]
    pixels = splits[0].images.float() / 255
    return Dataset(
        name="shapes",
        train=splits[0],
        test=splits[1],
        classes=CLASSES,
        mean=(pixels.mean().item(),),
        std=(pixels.std().item(),),
    )


def _drawn(count: int, size: int, numbers: torch.Generator) -> Split:
    """uint8 images (count, 1, size, size) and int64 labels (count,)."""
    labels = torch.arange(count) % len(CLASSES)
    centres = size / 2 + torch.randint(-size // 6, size // 6 + 1, (count, 2), generator=numbers)
    radii = torch.randint(size // 6, size // 3, (count, 1, 1), generator=numbers)
    places = torch.arange(size)
    y = (places[None, :, None] - centres[:, 0, None, None]).abs()
    x = (places[None, None, :] - centres[:, 1, None, None]).abs()
    disc = x**2 + y**2 <= radii**2
    square = torch.maximum(x, y) <= radii
    cross = square & (torch.minimum(x, y) <= radii / 3)
    drawn = torch.where(labels[:, None, None] == 0, disc, torch.where(labels[:, None, None] == 1, square, cross))
    noise = torch.randint(0, 64, drawn.shape, generator=numbers)
    return Split((drawn * 160 + noise).to(torch.uint8)[:, None], labels)
