"""A network of one's own: any class or function that gives a torch.nn.Module.

dlrun passes `num_classes`, `in_channels` and `image_size` where they are parameters, as they are here; all
others come from the config.
"""

import torch
from torch import nn


class Residual(nn.Module):
    """Adds what two convolutions make of a picture to the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) to the same."""
        return torch.relu(x + self.inner(x))


class SmallResNet(nn.Sequential):
    """(N, in_channels, H, W), as floats, to logits (N, num_classes)."""

    def __init__(self, num_classes: int, in_channels: int, width: int = 16, blocks: int = 2) -> None:
        super().__init__(
            nn.Conv2d(in_channels, width, 3, stride=2, padding=1),
            nn.ReLU(),
            *(Residual(width) for _ in range(blocks)),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * width, num_classes),
        )
