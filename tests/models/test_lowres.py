"""The low-resolution networks against their source: numbers of parameters as its own code gives them."""

import pytest
import torch

from dlrun.errors import ConfigError
from dlrun.models import torchvision_ops

torchvision_ops.prepare()

from dlrun.models.lowres import NETWORKS, lowres  # noqa: E402  (torchvision can be imported only now)

# Trained parameters on pictures of one channel with ten classes, counted on the source's networks at 2116fe2.
PARAMETERS = {
    "alexnet": 35_854_026,
    "googlenet": 5_487_530,
    "inception_v3": 21_635_498,
    "mobilenet_v2": 2_236_106,
    "resnet9": 6_571_968,
    "resnet14": 2_776_522,
    "densenet121": 6_955_274,
    "densenet161": 26_480_842,
    "densenet169": 12_492_298,
    "resnet18": 11_172_810,
    "resnet34": 21_280_970,
    "resnet50": 23_519_690,
    "resnet101": 42_511_818,
    "resnet152": 58_155_466,
    "vgg11_bn": 28_148_362,
    "vgg13_bn": 28_333_258,
    "vgg16_bn": 33_645_514,
    "vgg19_bn": 38_957_770,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_those_of_the_source(name: str) -> None:
    with torch.device("meta"):
        network = lowres(name, 10, 1)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


def test_every_network_is_checked() -> None:
    assert set(PARAMETERS) == set(NETWORKS)


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "mobilenet_v2", "resnet9", "resnet14", "vgg11_bn"])
def test_small_pictures_of_any_colour_give_logits(name: str) -> None:
    network = lowres(name, 7, 3).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_maps_keep_the_size_that_torchvisions_lose_at_the_start() -> None:
    sizes = {}
    network = lowres("resnet14", 10, 1).eval()
    for part in ("conv1", "maxpool", "layer1", "layer3"):
        network.get_submodule(part).register_forward_hook(
            lambda _, __, out, part=part: sizes.update({part: out.shape[2]})
        )
    with torch.no_grad():
        network(torch.zeros(1, 1, 32, 32))
    assert sizes == {"conv1": 32, "maxpool": 16, "layer1": 16, "layer3": 4}


def test_first_weights_are_drawn_by_the_number_of_outputs() -> None:
    torch.manual_seed(0)
    assert lowres("resnet18", 10, 1).conv1.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


def test_an_unknown_name_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"model\.name=resnet81: no such network; did you mean"):
        lowres("resnet81", 10)
