"""Data of a user's own: noise with a bright corner for each class."""

import torch

from dlrun.data.dataset import Dataset, Split


def load(root: str = "", count: int = 60) -> Dataset:
    """Pictures 1x8x8 of two classes."""
    generator = torch.Generator().manual_seed(0)

    def split(images: int) -> Split:
        pixels = torch.randint(0, 100, (images, 1, 8, 8), generator=generator, dtype=torch.uint8)
        labels = torch.arange(images) % 2
        pixels[labels == 1, :, :4, :4] = 200
        return Split(pixels, labels)

    return Dataset("corners", split(count), split(20), ("plain", "corner"), (0.5,), (0.5,), "corners-v1", True)
