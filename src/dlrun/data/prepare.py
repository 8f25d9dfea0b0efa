"""From stored bytes to what a network takes: scaled, normalised and, in training, augmented."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dlrun.config.groups import Augment, Data, Target
from dlrun.errors import ConfigError


@dataclass(frozen=True)
class Prepare:
    """uint8 images (N, C, H, W) to float32 of the same shape: x/255, and (x - mean) / std under `standard`."""

    shift: Tensor | None = None
    scale: Tensor | None = None
    changes: Augment | None = None

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers, so that the order of calls matters."""
        return self.changes is not None

    def __call__(self, images: Tensor) -> Tensor:
        """float32 (N, C, H, W) on the device of the images, which stay as they are."""
        scaled = images.float().div_(255)
        if self.changes is not None:
            from dlrun.data.augment import augment

            scaled = augment(scaled, self.changes)
        if self.shift is not None and self.scale is not None:
            scaled = scaled.sub_(self.shift).div_(self.scale)
        return scaled


def prepare_for(
    mean: Sequence[float],
    std: Sequence[float],
    config: Data | Target,
    device: torch.device,
    changes: Augment | None = None,
) -> Prepare:
    """What `config.normalize` asks for on `device`.

    Args:
        mean, std: Of the training pixels, one a channel, on a scale of 0-1; `config.mean` and `config.std` go first.
        changes: Augments; for training only.

    Raises:
        ConfigError: `config.mean` or `config.std` has not one usable number a channel.
    """
    active = changes if changes is not None and changes != Augment() else None
    if getattr(config, "normalize", "unit") == "unit":
        return Prepare(changes=active)
    mean = _given("mean", getattr(config, "mean", None), mean)
    std = _given("std", getattr(config, "std", None), std)
    shift, scale = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))
    return Prepare(shift, scale, active)


def _given(name: str, given: Sequence[float] | None, own: Sequence[float]) -> Sequence[float]:
    """The numbers given by the config if there are any, else those of the training set."""
    if given is None:
        return own
    usable = all(math.isfinite(value) and (name == "mean" or value > 0) for value in given)
    if len(given) != len(own) or not usable:
        above = " above 0" if name == "std" else ""
        raise ConfigError(f"data.{name}={list(given)}: expected {len(own)} numbers{above}, one a channel")
    return given
