import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from dlrun.config.groups import Layers, Target
from dlrun.errors import ConfigError
from dlrun.models.build import build_network, count_parameters
from dlrun.models.layers import KerasBatchNorm

CNN_BATCHNORM = ["conv 32", "bn", "conv 64", "pool 2", "bn", "flatten", "dense 128", "bn"]


def target(name: str, /, **arguments: object) -> Target:
    return Target(name, dict(arguments))


def test_parameters_are_counted_as_keras_counts_them() -> None:
    assert count_parameters(build_network(Layers(CNN_BATCHNORM), (1, 28, 28), 10)) == {
        "total": 1_200_778,
        "trainable": 1_200_330,
        "non_trainable": 448,
    }


def test_frozen_weights_count_as_not_trainable_and_pytorchs_counter_of_batches_not_at_all() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model[0].requires_grad_(False)
    assert count_parameters(model) == {"total": 16, "trainable": 4, "non_trainable": 12}


def test_keras_initialisation_has_zero_biases_and_bounded_weights() -> None:
    model = build_network(Layers(["conv 8", "bn", "flatten"]), (1, 28, 28), 10)
    assert model.conv1.weight.abs().max() <= (6 / (9 * 9)) ** 0.5
    assert not model.conv1.bias.any()
    assert not model.dense1.bias.any()
    assert isinstance(model.bn1, KerasBatchNorm)


def test_torch_initialisation_is_pytorchs() -> None:
    torch.manual_seed(0)
    model = build_network(Layers(["flatten", "dense 7", "bn"], init="torch"), (1, 4, 4), 10)
    torch.manual_seed(0)
    assert torch.equal(model.dense1.weight, nn.Linear(16, 7).weight)
    assert isinstance(model.bn1, nn.BatchNorm1d)
    assert (model.bn1.momentum, model.bn1.eps) == (0.1, 1e-5)


def test_the_seed_decides_the_weights() -> None:
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(build_network(Layers(["flatten"]), (1, 8, 8), 3).dense1.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_convolutional_network_works_in_channels_last() -> None:
    model = build_network(Layers(["conv 8", "conv 8", "pool 2", "flatten"]), (1, 12, 12), 10)
    seen: list[bool] = []
    for layer in (model.conv1, model.conv2, model.pool1):
        layer.register_forward_hook(
            lambda _m, _i, output: seen.append(output.is_contiguous(memory_format=torch.channels_last))
        )
    model(torch.rand(4, 1, 12, 12))
    assert seen == [True, True, True]


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "elu", "leaky_relu", "gelu", "silu", "none"])
def test_pooling_first_gives_the_values_and_gradients_of_the_order_written(activation: str) -> None:
    torch.manual_seed(0)
    model = build_network(Layers(["conv 6", "pool 2", "flatten"], activation=activation), (2, 10, 10), 3).double()
    names = [name for name, _ in model.named_children()]
    first = "pool1" if activation not in ("gelu", "silu", "none") else f"{activation}1"
    assert names[1] == (first if activation != "none" else "pool1")
    functions = {"leaky_relu": lambda x: F.leaky_relu(x, 0.2), "none": lambda x: x}
    apply = functions.get(activation) or getattr(F, activation)
    x = torch.randn(5, 2, 10, 10, dtype=torch.float64)
    pooled = F.max_pool2d(apply(F.conv2d(x, model.conv1.weight, model.conv1.bias)), 2)
    expected = model.dense1(pooled.permute(0, 2, 3, 1).flatten(1))
    found = model(x)
    torch.testing.assert_close(found, expected)
    parameters = list(model.parameters())
    gradients = [torch.autograd.grad(out.square().sum(), parameters) for out in (found, expected)]
    torch.testing.assert_close(*gradients)


def windows(size: int, kernel: int, stride: int) -> list[range]:
    """TensorFlow's definition of "same" in words of indices: which inputs each output sees."""
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + kernel - size, 0) // 2
    starts = [number * stride - before for number in range(outputs)]
    return [range(max(start, 0), min(start + kernel, size)) for start in starts]


def by_hand(x: Tensor, kernel: int, stride: int) -> Tensor:
    rows = []
    for vertical in windows(x.shape[2], kernel, stride):
        block = x[:, :, vertical.start : vertical.stop]
        across = windows(x.shape[3], kernel, stride)
        rows.append(torch.stack([block[..., one.start : one.stop].amax((2, 3)) for one in across], 2))
    return torch.stack(rows, 2)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))
def test_same_pools_see_the_windows_tensorflow_defines(height: int, width: int, kernel: int, stride: int) -> None:
    model = build_network(Layers([f"pool {kernel} stride {stride} same", "flatten"]), (2, height, width), 3)
    pool = nn.Sequential(*list(model)[:-2])
    x = torch.randn(3, 2, height, width)
    assert torch.equal(pool(x), by_hand(x, kernel, stride))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))
def test_same_convolutions_see_the_windows_tensorflow_defines(
    height: int, width: int, kernel: int, stride: int
) -> None:
    phrase = f"conv 1 {kernel}x{kernel} stride {stride} same none"
    model = build_network(Layers([phrase, "flatten"]), (1, height, width), 3)
    nn.init.ones_(model.conv1.weight)
    found = nn.Sequential(*list(model)[:-2])(torch.ones(1, 1, height, width))[0, 0]
    down, across = windows(height, kernel, stride), windows(width, kernel, stride)
    expected = [[float(len(vertical) * len(one)) for one in across] for vertical in down]
    assert found.tolist() == expected


@pytest.mark.parametrize(("name", "trainable"), [("resnet9", 4_903_242), ("resnet18", 11_173_962)])
def test_residual_nets_keep_small_pictures_large(name: str, trainable: int) -> None:
    model = build_network(target(f"dlrun.models.resnet.{name}"), (3, 32, 32), 10)
    assert count_parameters(model)["trainable"] == trainable
    assert model[:6](torch.rand(2, 3, 28, 28)).shape[2:] in {(14, 14), (7, 7), (28, 28)}
    assert build_network(target(f"dlrun.models.resnet.{name}"), (1, 28, 28), 7)(torch.rand(2, 1, 28, 28)).shape == (
        2,
        7,
    )


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet", "squeezenet1_0"])
def test_torchvisions_networks_take_grey_pictures_of_28_pixels(name: str) -> None:
    model = build_network(target(f"torchvision.models.{name}"), (1, 28, 28), 7)
    assert model.training
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        *[(name, 64) for name in ("alexnet", "densenet121", "densenet161", "densenet169", "resnet50")],
        *[(f"vgg{depth}_bn", 32) for depth in (11, 13, 16, 19)],
        *[(f"resnet{depth}", 28) for depth in (18, 34, 50, 101, 152)],
        ("inception_v3", 75),
    ],
)
def test_torchvisions_networks_of_the_literature_table(name: str, size: int) -> None:
    model = build_network(target("torchvision.models.get_model", name=name), (1, size, size), 10)
    assert model(torch.rand(2, 1, size, size)).shape == (2, 10)


@pytest.mark.parametrize(("name", "size"), [("densenet121", 32), ("inception_v3", 75)])
def test_pictures_that_are_too_small_are_refused_with_a_size_that_works(name: str, size: int) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: can't take pictures of 28x28; data.size={size} works$"):
        build_network(target(f"torchvision.models.{name}"), (1, 28, 28), 10)


USERS = """
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes, in_channels, image_size, width=4):
        super().__init__()
        self.fc = nn.Linear(in_channels * image_size**2, width)
        self.last = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.last(self.fc(x.flatten(1)))


def fixed():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1000))


def wrong_shape():
    return nn.Flatten()


def no_network():
    return 3


def broken():
    return nn.Sequential(nn.Linear(5, 10))


number = 7
"""


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's own in the working directory."""
    (tmp_path / "users_networks.py").write_text(USERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "users_networks", raising=False)
    return "users_networks"


def test_a_network_in_the_working_directory_is_told_what_it_asks_for(users: str) -> None:
    model = build_network(target(f"{users}.Net", width=5), (3, 8, 8), 6)
    assert model.fc.in_features == 192
    assert model(torch.rand(2, 3, 8, 8)).shape == (2, 6)


def test_first_and_last_layer_of_a_network_that_asks_for_nothing_are_replaced(users: str) -> None:
    model = build_network(target(f"{users}.fixed"), (1, 8, 8), 6)
    assert (model[0].in_channels, model[3].out_features) == (1, 6)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("Net", {"widht": 3}, r"model\.widht: \S+Net takes no such argument; did you mean width\?"),
        ("wrong_shape", {}, r"gives \(1, 192\) for one picture, expected logits of shape \(1, 10\)"),
        ("no_network", {}, "gives a int, not a torch.nn.Module"),
        ("broken", {}, "can't take pictures of 8x8 with 3 channels: mat1 and mat2"),
        ("number", {}, "is no class or function"),
        ("Nett", {}, "users_networks has no 'Nett'"),
    ],
)
def test_a_target_that_does_not_work_is_one_line(
    users: str, name: str, arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        build_network(target(f"{users}.{name}", **arguments), (3, 8, 8), 10)
    assert "\n" not in str(caught.value)


def test_a_layer_can_have_weights_of_its_own_kind() -> None:
    layers = ["conv 4 zeros none", "flatten", "dense 200 relu he_normal", "dense 100 torch"]
    network = build_network(Layers(layers, init="normal", init_std=0.001), (1, 28, 28), 10)
    inputs = 4 * 26 * 26
    assert not network.conv1.weight.any()
    assert network.dense1.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.02)
    assert not network.dense1.bias.any()
    assert 0.99 * 200**-0.5 < network.dense2.weight.abs().max().item() <= 200**-0.5
    assert network.dense2.bias.any()
    assert network.dense3.weight.std().item() == pytest.approx(0.001, rel=0.1)


def test_batch_norm_stands_before_or_after_the_activation_as_written() -> None:
    before = build_network(Layers(["conv 4 nobias none", "bn", "relu", "flatten"], init="torch"), (1, 8, 8), 3).eval()
    after = build_network(Layers(["conv 4 nobias", "bn", "flatten"], init="torch"), (1, 8, 8), 3).eval()
    after.load_state_dict(before.state_dict())
    for network in (before, after):
        network.bn1.running_mean.fill_(0.1)
        network.bn1.bias.data.fill_(-0.2)
    x = torch.randn(5, 1, 8, 8)
    maps = F.conv2d(x, before.conv1.weight)
    normalized = before.bn1
    torch.testing.assert_close(before(x), before.dense1(before.flatten1(normalized(maps).relu())))
    torch.testing.assert_close(after(x), after.dense1(after.flatten1(normalized(maps.relu()))))
    assert before.conv1.bias is None


def test_activations_of_their_own_train_after_what_needs_its_own_output() -> None:
    words = ["conv 4 sigmoid", "relu", "pool 2", "tanh", "elu", "leaky_relu 0.1", "flatten", "dense 5 none", "mish"]
    network = build_network(Layers([*words, "softplus"]), (1, 8, 8), 3)
    network(torch.randn(2, 1, 8, 8)).sum().backward()
    assert network.leaky_relu1.negative_slope == 0.1


def test_a_pool_and_the_activation_before_it_trade_places_only_where_values_stay() -> None:
    names = [
        name
        for name, _ in build_network(
            Layers(["conv 4 none", "relu", "pool 2", "flatten"]), (1, 8, 8), 3
        ).named_children()
    ]
    assert names == ["conv1", "pool1", "relu1", "flatten1", "dense1"]
    names = [
        name for name, _ in build_network(Layers(["conv 4", "avgpool 2", "flatten"]), (1, 8, 8), 3).named_children()
    ]
    assert names == ["conv1", "relu1", "avgpool1", "flatten1", "dense1"]


def test_the_share_kept_by_batch_norm_is_counted_as_keras_does() -> None:
    keras, torchs = (
        build_network(Layers(["conv 4", "bn 0.8", "flatten"], norm=norm), (1, 8, 8), 3) for norm in ("keras", "torch")
    )
    assert (keras.bn1.momentum, keras.bn1.eps) == (0.8, 1e-3)
    assert (torchs.bn1.momentum, torchs.bn1.eps) == (pytest.approx(0.2), 1e-5)


def test_layer_norm_and_group_norm_normalize_each_picture() -> None:
    network = build_network(Layers(["groupnorm 2", "layernorm", "flatten"], norm="torch"), (4, 6, 6), 3)
    x = torch.randn(3, 4, 6, 6) * 3 + 2
    torch.testing.assert_close(network.groupnorm1(x), F.group_norm(x, 2))
    torch.testing.assert_close(network.layernorm1(x), F.layer_norm(x, (4, 6, 6)))
    flat = build_network(Layers(["flatten", "dense 7", "layernorm"]), (1, 4, 4), 3)
    rows = torch.randn(5, 7)
    torch.testing.assert_close(flat.layernorm1(rows), F.layer_norm(rows, (7,), eps=1e-3))


DEVIATIONS = {
    "normal": 0.05,
    "he_normal": (2 / 400) ** 0.5,
    "he_uniform": (2 / 400) ** 0.5,
    "lecun_normal": (1 / 400) ** 0.5,
    "lecun_uniform": (1 / 400) ** 0.5,
    "glorot_normal": (2 / 1000) ** 0.5,
    "glorot_uniform": (2 / 1000) ** 0.5,
    "kaiming_normal": (2 / 400) ** 0.5,
    "kaiming_uniform": (2 / 400) ** 0.5,
    "xavier_normal": (2 / 1000) ** 0.5,
    "xavier_uniform": (2 / 1000) ** 0.5,
    "keras": (2 / 1000) ** 0.5,
    "zeros": 0.0,
}


@pytest.mark.parametrize("kind", DEVIATIONS)
def test_first_weights_have_the_variance_that_their_name_promises(kind: str) -> None:
    torch.manual_seed(0)
    network = build_network(Layers(["flatten", "dense 600"], init=kind), (1, 20, 20), 3)
    weights, expected = network.dense1.weight, DEVIATIONS[kind]
    assert weights.std().item() == pytest.approx(expected, rel=0.01)
    assert not network.dense1.bias.any()
    cut = kind in ("he_normal", "lecun_normal", "glorot_normal")
    if cut:
        assert weights.abs().max() <= 2 * expected / 0.8796 + 1e-6
    if kind.endswith("normal") and not cut:
        assert weights.abs().max() > 3 * expected
    if kind.endswith("uniform"):
        assert weights.abs().max() <= 3**0.5 * expected + 1e-6


def test_fans_of_a_convolution_count_its_window() -> None:
    torch.manual_seed(0)
    network = build_network(Layers(["conv 64", "conv 128 5x5", "flatten"], init="he_uniform"), (1, 12, 12), 3)
    assert network.conv2.weight.std().item() == pytest.approx((2 / (64 * 25)) ** 0.5, rel=0.01)


def test_biases_begin_as_asked() -> None:
    words = ["flatten", "dense 4000"]
    drawn = build_network(Layers(words, init="normal", init_std=0.5, bias_init="normal"), (1, 2, 2), 3).dense1.bias
    assert drawn.std().item() == pytest.approx(0.5, rel=0.05)
    torch.manual_seed(1)
    kept = build_network(Layers(words, init="zeros", bias_init="torch"), (1, 2, 2), 3).dense1
    torch.manual_seed(1)
    assert torch.equal(kept.bias, nn.Linear(4, 4000).bias)
    assert not kept.weight.any()
    assert not build_network(Layers(words, init="torch", bias_init="zeros"), (1, 2, 2), 3).dense1.bias.any()
