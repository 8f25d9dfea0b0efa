"""A dense layer that is computed by the faster of the two libraries that PyTorch brings for matrix products.

On AMD's CPUs MKL takes up to twice oneDNN's time for large products, on Intel's it does not. The rule is fixed, by
vendor and sizes and nothing measured, so that one command gives the same bits on one machine whenever it is run.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dlrun.linux import by_amd

WEIGHTS, PICTURES = 2**18, 32
"""A product of fewer is faster by MKL, or as fast."""


class Dense(nn.Linear):
    """x @ weight.T + bias, float (N, inputs) to (N, outputs)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same type."""
        if self._onednn_pays(x):
            result: Tensor = _OneDNN.apply(x, self.weight, self.bias)
            return result
        return F.linear(x, self.weight, self.bias)

    def _onednn_pays(self, x: Tensor) -> bool:
        # Asked first: an export's number of pictures is open, and asking for it would fix it.
        if torch.compiler.is_compiling():
            return False
        return (
            self.weight.numel() >= WEIGHTS
            and x.dim() == 2
            and len(x) >= PICTURES
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and _amd_with_onednn()
        )


@functools.cache
def _amd_with_onednn() -> bool:
    available = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return by_amd() and available


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a @ b.T + bias."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return result


class _OneDNN(torch.autograd.Function):
    """Two of the three products of a dense layer; for the gradient of its weights MKL is as fast."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x = _product(gradient, weight.T) if ctx.needs_input_grad[0] else None
        return to_x, gradient.T @ x, gradient.sum(0) if ctx.biased else None
