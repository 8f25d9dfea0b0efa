"""An exponential average of a network's weights, evaluated instead of the weights themselves."""

import copy
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """A copy of the network whose weights follow as average = decay * average + (1 - decay) * weight.

    It begins at the initial weights (Polyak & Juditsky 1992; Keras' `use_ema`), so it needs several times
    1 / (1 - decay) steps to leave them behind. Running statistics and other buffers are copied as they are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Follow `model` by one step, without waiting for the device."""
        averages: list[Tensor] = list(self.model.parameters())
        weights: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(averages, weights, 1 - self.decay)
        for mine, its in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(its)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights by name."""
        return self.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy saved averages into the tensors that are there."""
        self.model.load_state_dict(state)
