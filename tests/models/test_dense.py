"""A dense layer gives the same numbers by either library, and one library for the same sizes on the same CPU."""

import pytest
import torch
from torch import nn

from dlrun.models import dense
from dlrun.models.dense import Dense

LARGE = (2048, 128)


@pytest.fixture
def amd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "_amd_with_onednn", lambda: True)


def library(layer: Dense, x: torch.Tensor) -> str:
    return type(layer(x).grad_fn).__name__


@pytest.mark.parametrize("pictures", [32, 33, 128])
@pytest.mark.parametrize("bias", [True, False])
def test_output_and_gradients_are_those_of_float64(amd: None, pictures: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = Dense(*LARGE, bias)
    exact = nn.Linear(*LARGE, bias).double()
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(pictures, LARGE[0], requires_grad=True)
    x64 = x.detach().double().requires_grad_()
    gradient = torch.randn(pictures, LARGE[1])
    assert library(layer, x) == "_OneDNNBackward"
    found = torch.autograd.grad(layer(x), (x, *layer.parameters()), gradient)
    expected = torch.autograd.grad(exact(x64), (x64, *exact.parameters()), gradient.double())
    for one, other in zip([layer(x), *found], [exact(x64), *expected], strict=True):
        assert (one.double() - other).abs().max() < 1e-5 * other.abs().max()


def test_pictures_that_need_no_gradient_get_none(amd: None) -> None:
    x = torch.randn(32, LARGE[0])
    layer = Dense(*LARGE)
    layer(x).sum().backward()
    assert x.grad is None
    assert layer.weight.grad is not None


def test_the_rule_is_one_of_sizes(amd: None) -> None:
    large, small = Dense(*LARGE), Dense(784, 64)
    assert library(large, torch.randn(32, LARGE[0])) == "_OneDNNBackward"
    assert library(large, torch.randn(31, LARGE[0])) == "AddmmBackward0"
    assert library(small, torch.randn(128, 784)) == "AddmmBackward0"
    with torch.autocast("cpu", torch.bfloat16):
        assert library(large, torch.randn(32, LARGE[0])) == "AddmmBackward0"
    assert library(large.double(), torch.randn(32, LARGE[0]).double()) == "AddmmBackward0"


def test_another_vendor_or_a_missing_operator_means_mkl(monkeypatch: pytest.MonkeyPatch) -> None:
    found = dense._amd_with_onednn.__wrapped__
    monkeypatch.setattr(dense, "by_amd", lambda: False)
    assert not found()
    monkeypatch.setattr(dense, "by_amd", lambda: True)
    assert found() == torch.backends.mkldnn.is_available()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not found()


def test_an_inplace_activation_may_follow(amd: None) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, LARGE[0])
    layer = Dense(*LARGE)
    nn.Sequential(layer, nn.ReLU(inplace=True))(x).sum().backward()
    assert torch.isfinite(layer.weight.grad).all()
