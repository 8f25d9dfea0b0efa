"""Layers that compute what Keras' do, in the form that measured fastest."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TILE = 16
"""Pixels to a row of `_TiledBatchNorm`: values of float32 in the widest vectors of today's CPUs."""


class Dropout(nn.Module):
    """Zero a share of the values and scale the others, so that the mean stays (Srivastava et al. 2014).

    On a CPU the share is rounded to 1/65536. Random numbers come from PyTorch's default generator.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """The same shape and type."""
        if not self.training or self.rate == 0:
            return x
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(x, self.rate)
        return x * _mask(x, self.rate)

    def extra_repr(self) -> str:
        """The rate."""
        return str(self.rate)


class ChannelDropout(Dropout):
    """Zero whole channels of (N, C, H, W) (Tompson et al. 2015; PyTorch's Dropout2d)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape and type, float (N, C, H, W)."""
        return F.dropout2d(x, self.rate, self.training)


def _mask(x: Tensor, rate: float) -> Tensor:
    """0 or 1/keep for each value of `x`, in its type and memory layout.

    One 64-bit random number serves four values: with `bernoulli_`, which F.dropout uses, the masks alone are
    a tenth of a step of the slides' CNN. Comparing them gives the same mask, but takes twice the time of cutting off.
    """
    dropped = min(round(rate * 65536), 65535)
    count = x.numel()
    # From -2**63 on, since the default range leaves the top bit of every number 0.
    numbers = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    above = numbers.view(torch.int16)[:count].to(torch.promote_types(x.dtype, torch.float32)).sub_(dropped - 32769)
    mask = above.clamp_(0, 1).mul_(65536 / (65536 - dropped)).to(x.dtype)
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        n, c, h, w = x.shape
        return mask.view(n, h, w, c).permute(0, 3, 1, 2)
    return mask.view(x.shape)


class Flatten(nn.Module):
    """(N, C, H, W) to (N, H*W*C): Keras' order, and no copy when the memory is channels_last."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), or what is flat already, to (N, C*H*W)."""
        if x.dim() == 4:
            x = x.permute(0, 2, 3, 1)
        return x.flatten(1)


class KerasBatchNorm(nn.Module):
    """Batch normalization of (N, C, H, W) or (N, C) with Keras' constants.

    Differs from PyTorch's in momentum (0.99 of the old value stays), epsilon (1e-3) and in that the running
    variance follows the batch's own variance, not the unbiased estimate (keras.layers.BatchNormalization).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.99, eps: float = 1e-3) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, float (N, C, ...), normalized over all but the channels."""
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        normalize = _TiledBatchNorm.apply if self._tiling_pays(x) else _normalize
        normalized, mean, inverse = normalize(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(mean, 1 - self.momentum)
            self.running_var.lerp_(inverse.pow(-2) - self.eps, 1 - self.momentum)
        return normalized

    def _tiling_pays(self, x: Tensor) -> bool:
        # For 75 channels (asl_cnn's first layer) PyTorch's own takes 5.0 ms forward and backward, tiled it is 1.0 ms;
        # for 32 or 64, of which no vector has a rest, PyTorch's is the faster one.
        return (
            x.device.type == "cpu"
            and len(self.weight) % 16 != 0
            and x.dim() == 4
            and x.dtype == self.weight.dtype
            and x.is_contiguous(memory_format=torch.channels_last)
            and not torch.compiler.is_compiling()
        )

    def extra_repr(self) -> str:
        """Channels and constants."""
        return f"{len(self.weight)}, momentum={self.momentum}, eps={self.eps}"


def _normalize(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The normalized batch and, by channel, its mean and the inverse of sqrt(variance + eps)."""
    return torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)


class _TiledBatchNorm(torch.autograd.Function):
    """`_normalize` of channels_last batches, several pixels to a row; Ioffe & Szegedy 2015, section 3.

    Where the channels are no multiple of the CPU's vectors, PyTorch's kernels go through the rest of each pixel value
    by value. A row of `TILE` pixels has no rest; the statistics of its pixels are put together afterwards (Chan, Golub
    & LeVeque 1983).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        rows, tile = _tiled(x)
        of_rows = torch.batch_norm_update_stats(rows, None, None, 0.0)
        means, variances = (of_row.view(tile, -1) for of_row in of_rows)
        mean = means.mean(0)
        inverse = (variances.mean(0) + (means - mean).square_().mean(0) + eps).rsqrt_()
        scale = inverse * weight
        normalized = torch.addcmul((bias - mean * scale).repeat(tile), rows, scale.repeat(tile))
        ctx.save_for_backward(rows, weight, mean, inverse)
        ctx.mark_non_differentiable(mean, inverse)
        return _pictures(normalized, x.shape), mean, inverse

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        rows, weight, mean, inverse = ctx.saved_tensors
        gradients, tile = _tiled(gradient)
        statistics = (None, None, None, mean.repeat(tile), inverse.repeat(tile))
        _, *sums = torch.ops.aten.native_batch_norm_backward(
            gradients, rows, *statistics, True, 0.0, [False, True, True]
        )
        to_weight, to_bias = (of_row.view(tile, -1).sum(0) for of_row in sums)
        scale, count = weight * inverse, len(rows) * tile
        of_value = -scale * inverse * to_weight / count
        constant = -scale * to_bias / count - of_value * mean
        result = torch.addcmul(constant.repeat(tile), rows, of_value.repeat(tile))
        result.addcmul_(gradients, scale.repeat(tile))
        return _pictures(result, gradient.shape), to_weight, to_bias, None


def _tiled(x: Tensor) -> tuple[Tensor, int]:
    """(N, C, H, W) as (N*H*W / tile, tile*C), without a copy where the memory is channels_last, and the tile."""
    n, c, h, w = x.shape
    tile = math.gcd(n * h * w, TILE)
    return x.permute(0, 2, 3, 1).reshape(-1, tile * c), tile


def _pictures(rows: Tensor, shape: torch.Size) -> Tensor:
    """Rows of whole pixels as (N, C, H, W) in channels_last."""
    n, c, h, w = shape
    return rows.view(n, h, w, c).permute(0, 3, 1, 2)


class ChannelLayerNorm(nn.Module):
    """Normalize each picture of (N, C, H, W), or each row of (N, C), by its own mean and variance (Ba et al. 2016).

    With a factor and an offset a channel; epsilon is Keras' 1e-3 or PyTorch's 1e-5.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, float (N, C, ...)."""
        normalized: Tensor = self.norm(x)
        return normalized


class MeanPool(nn.Module):
    """Mean of each window of (N, C, H, W); what was padded does not count (keras.layers.AveragePooling2D).

    Args:
        padding: (left, right, top, bottom).
    """

    def __init__(self, kernel: tuple[int, int], stride: int, padding: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """float (N, C, H, W) to (N, C, H', W')."""
        if not any(self.padding):
            return F.avg_pool2d(x, self.kernel, self.stride)
        means = F.avg_pool2d(F.pad(x, self.padding), self.kernel, self.stride)
        counted = F.avg_pool2d(F.pad(torch.ones_like(x[:1, :1]), self.padding), self.kernel, self.stride)
        return means / counted

    def extra_repr(self) -> str:
        """The window."""
        return f"{self.kernel}, stride={self.stride}, padding={self.padding}"


class GlobalPool(nn.Module):
    """(N, C, H, W) to the mean of each channel, (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """float (N, C, H, W) to (N, C)."""
        return x.mean((2, 3))


# --- first weights ----------------------------------------------------------------------------------------


def glorot_uniform(weight: Tensor) -> None:
    """Fill with uniform numbers of at most sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    spatial = math.prod(weight.shape[2:])
    bound = math.sqrt(6 / ((weight.shape[0] + weight.shape[1]) * spatial))
    nn.init.uniform_(weight, -bound, bound)


def draw_weights(weight: Tensor, kind: str, std: float) -> None:
    """Fill with a network's first weights, from PyTorch's default generator.

    Keras' `he`, `lecun` and `glorot` (keras.initializers.VarianceScaling) have the variance 2, 1 and 2 over the number
    of inputs, inputs, and inputs plus outputs; their normal kinds are cut at two deviations and widened so that the
    variance is kept. `kaiming` and `xavier` are torch.nn.init's of that name (gain of ReLU, and 1), which cut nothing.

    Args:
        weight: (outputs, inputs, ...), filled in place.
        kind: One of `groups.INITIALISATIONS`, or `keras` for glorot_uniform.
        std: Deviation of `normal`.
    """
    spatial = math.prod(weight.shape[2:])
    inputs, outputs = weight.shape[1] * spatial, weight.shape[0] * spatial
    family, _, shape = kind.partition("_")
    variances = {"he": 2 / inputs, "lecun": 1 / inputs, "glorot": 2 / (inputs + outputs)}
    match family, shape:
        case ("keras", _) | ("glorot", "uniform"):
            glorot_uniform(weight)
        case "zeros", _:
            nn.init.zeros_(weight)
        case "normal", _:
            nn.init.normal_(weight, std=std)
        case "kaiming", "uniform":
            nn.init.kaiming_uniform_(weight, nonlinearity="relu")
        case "kaiming", "normal":
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        case "xavier", "uniform":
            nn.init.xavier_uniform_(weight)
        case "xavier", "normal":
            nn.init.xavier_normal_(weight)
        case _, "uniform":
            bound = math.sqrt(3 * variances[family])
            nn.init.uniform_(weight, -bound, bound)
        case _, "normal":
            wide = math.sqrt(variances[family]) / CUT_DEVIATION
            nn.init.trunc_normal_(weight, std=wide, a=-2 * wide, b=2 * wide)


CUT_DEVIATION = 0.87962566103423978
"""Of a standard normal number cut at -2 and 2 (scipy.stats.truncnorm(-2, 2).std()), as Keras has it."""
