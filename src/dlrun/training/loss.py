"""What training makes small, and what the numbers that a network gives say of each class under it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CROSS_ENTROPY = "cross_entropy"


def loss_of(
    kind: str,
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """The loss of pictures, without dimensions.

    `cross_entropy` is of the softmax of the logits, in nats. The others look at the sigmoid of each by itself, against
    1 for the true class and 0 for all others, and sum over the classes: `squared_error` half the squared difference
    (Nielsen's quadratic cost), `binary_cross_entropy` nats (Nielsen's cross-entropy cost).

    Args:
        kind: One of the choices of the field `loss`.
        logits: float32 (N, classes).
        labels: int64 (N,), or float32 (N, classes) where a picture is of several classes by shares.
        weights: float32 (classes,), of a picture by its class; their sum is what a mean divides by. With labels by
            shares only the sum over the pictures takes them.
        smoothing: Share of the target that is spread over all classes.
        reduction: Over the pictures, `mean` or `sum`.
    """
    if kind == CROSS_ENTROPY:
        return F.cross_entropy(logits, labels, weights, label_smoothing=smoothing, reduction=reduction)
    shared = labels.is_floating_point()
    wanted = labels if shared else F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    if smoothing:
        wanted = wanted * (1 - smoothing) + smoothing / logits.shape[1]
    if kind == "squared_error":
        losses = (logits.sigmoid() - wanted).square().sum(1) / 2
    else:
        losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(1)
    if weights is None:
        return losses.mean() if reduction == "mean" else losses.sum()
    each = labels @ weights if shared else weights[labels]
    total = (losses * each).sum()
    return total / each.sum() if reduction == "mean" else total


def probabilities(kind: str, logits: Tensor) -> Tensor:
    """Of each class, float32 (N, classes): softmax or, where the loss takes each class by itself, sigmoid.

    The latter do not sum to 1.
    """
    return logits.softmax(1) if kind == CROSS_ENTROPY else logits.sigmoid()


class Penalty:
    """The L2 penalty of weights, layer by layer: a factor times the sum of their squares.

    Args:
        factors: Of each convolution and dense layer, in the order of the layers.
    """

    def __init__(self, model: nn.Module, factors: tuple[float, ...]) -> None:
        layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        pairs = zip(layers, factors, strict=True)
        self.weights = [(layer.weight, factor) for layer, factor in pairs if factor]

    @torch.no_grad()
    def add_to_gradients(self, scaled: Callable[[Tensor], Any] = lambda weight: weight) -> None:
        """Add its gradient to those of the weights, which are `scaled` where float16 would lose them."""
        for weight, factor in self.weights:
            if weight.grad is not None:
                weight.grad.add_(scaled(weight), alpha=2 * factor)
