import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dlrun.models.layers import ChannelDropout, Dropout, Flatten, GlobalPool, KerasBatchNorm, MeanPool, glorot_uniform

CPU_LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.2, 0.001])
@pytest.mark.parametrize("shape", [(101, 333), (7, 5, 13, 11)])
@pytest.mark.parametrize("layout", CPU_LAYOUTS)
def test_dropout_drops_the_share_and_scales_by_what_is_kept(
    rate: float, shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    torch.manual_seed(1)
    dropout = Dropout(rate).train()
    x = torch.ones(shape)
    x = x.contiguous(memory_format=layout) if len(shape) == 4 else x
    found = torch.stack([dropout(x) for _ in range(40)])
    kept = 1 - round(rate * 65536) / 65536
    assert set(found.unique().tolist()) == {0, np.float32(1 / kept)}
    share, deviation = (found == 0).double().mean().item(), (rate * (1 - rate) / found.numel()) ** 0.5
    assert abs(share - (1 - kept)) < 4 * deviation


def test_every_place_of_a_random_word_is_as_likely_to_be_dropped() -> None:
    torch.manual_seed(0)
    kept = Dropout(0.5)(torch.ones(100_000, 4)) != 0
    assert (kept.double().mean(0) - 0.5).abs().max() < 0.008
    assert torch.corrcoef(kept.T.double()).triu(1).abs().max() < 0.016


def test_dropout_repeats_with_the_seed_and_its_gradient_is_its_mask() -> None:
    x = torch.ones(50, 30, requires_grad=True)
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append(Dropout(0.3)(x))
    assert torch.equal(*outputs)
    assert not torch.equal(outputs[0], Dropout(0.3)(x))
    (gradient,) = torch.autograd.grad(outputs[0].sum(), x)
    assert torch.equal(gradient, outputs[0].detach())


@pytest.mark.parametrize("layer", [Dropout(0.9).eval(), Dropout(0.0), ChannelDropout(0.9).eval()])
def test_dropout_off_changes_nothing(layer: nn.Module) -> None:
    x = torch.rand(4, 3, 2, 2)
    assert torch.equal(layer(x), x)


def test_channel_dropout_drops_whole_channels() -> None:
    torch.manual_seed(0)
    found = ChannelDropout(0.25)(torch.ones(200, 50, 3, 3)).flatten(2)
    assert (found.amin(2) == found.amax(2)).all()
    assert (found[..., 0] == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("layout", CPU_LAYOUTS)
def test_flatten_runs_through_channels_fastest_as_keras(layout: torch.memory_format) -> None:
    x = torch.arange(24.0).view(1, 2, 3, 4).contiguous(memory_format=layout)
    assert Flatten()(x)[0, :4].tolist() == [0, 12, 1, 13]
    assert Flatten()(torch.zeros(2, 5)).shape == (2, 5)


def closed_form(x: Tensor, bn: KerasBatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    axes = (0, 2, 3)[: x.dim() - 1] if x.dim() == 4 else (0,)
    mean, variance = x.mean(axes), x.var(axes, unbiased=False)
    shape = (1, -1, 1, 1)[: x.dim()]
    normalized = (x - mean.view(shape)) / (variance.view(shape) + 1e-3).sqrt()
    return normalized * bn.weight.view(shape) + bn.bias.view(shape), mean, variance


# 6 channels take the row-wise form in channels_last, 16 PyTorch's own.
@pytest.mark.parametrize("shape", [(8, 6, 5, 3), (8, 16, 5, 3), (8, 6)])
@pytest.mark.parametrize("layout", CPU_LAYOUTS)
def test_batch_norm_against_its_closed_form(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    bn = KerasBatchNorm(shape[1]).double()
    nn.init.normal_(bn.weight)
    nn.init.normal_(bn.bias)
    x = 3 + 2 * torch.randn(shape, dtype=torch.float64)
    x = (x.contiguous(memory_format=layout) if len(shape) == 4 else x).requires_grad_()
    expected, mean, variance = closed_form(x, bn)
    found = bn(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(bn.running_mean, 0.01 * mean)
    torch.testing.assert_close(bn.running_var, 0.99 + 0.01 * variance)
    weights = torch.randn_like(found)
    inputs = (x, bn.weight, bn.bias)
    gradients = torch.autograd.grad((found * weights).sum(), inputs)
    torch.testing.assert_close(gradients, torch.autograd.grad((expected * weights).sum(), inputs))


def test_batch_norm_evaluates_with_its_running_statistics() -> None:
    bn = KerasBatchNorm(2).eval()
    bn.running_mean.copy_(torch.tensor([1.0, 2.0]))
    bn.running_var.copy_(torch.tensor([4.0, 9.0]))
    found = bn(torch.tensor([[3.0, 5.0]]))
    torch.testing.assert_close(found, torch.tensor([[2 / 4.001**0.5, 3 / 9.001**0.5]]))


def test_batch_norm_takes_a_last_batch_of_one_picture() -> None:
    bn = KerasBatchNorm(3)
    torch.testing.assert_close(bn(torch.tensor([[1.0, 2.0, 3.0]])), torch.zeros(1, 3), rtol=0, atol=1e-5)
    assert bn.running_var.isfinite().all()


@pytest.mark.parametrize(("shape", "bound"), [((128, 9216), 0.02534), ((64, 32, 3, 3), 0.08333)])
def test_glorot_uniform_fills_its_range_evenly(shape: tuple[int, ...], bound: float) -> None:
    torch.manual_seed(0)
    weight = torch.empty(shape)
    glorot_uniform(weight)
    assert weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert abs(weight.mean().item()) < bound / 50


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (0, 1, 0, 1), (1, 1, 1, 1), (1, 2, 0, 1)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_means_of_windows_leave_out_what_was_padded(padding: tuple[int, int, int, int], stride: int) -> None:
    x = torch.randn(2, 3, 7, 8)
    left, right, top, bottom = padding
    found = MeanPool((3, 3), stride, padding)(x)
    padded = nn.functional.pad(x, padding, value=float("nan")).numpy()
    rows, columns = ((size - 3) // stride + 1 for size in (7 + top + bottom, 8 + left + right))
    assert found.shape == (2, 3, rows, columns)
    for i in range(rows):
        for j in range(columns):
            window = padded[:, :, i * stride : i * stride + 3, j * stride : j * stride + 3]
            np.testing.assert_allclose(found[:, :, i, j], np.nanmean(window, axis=(2, 3)), atol=1e-6)


def test_a_global_pool_gives_the_mean_of_each_channel() -> None:
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(GlobalPool()(x), x.mean((2, 3)))
