"""Networks for pictures of 32x32: torchvision's, with less of the picture thrown away at the start.

They are those of https://github.com/paulgavrikov/pytorch-pretrained-cnns at commit 2116fe2 (`lowres_*`), whose results
the slides print: the same layers, shapes, numbers of parameters and first weights.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models.googlenet import BasicConv2d as GoogLeNetConv
from torchvision.models.inception import BasicConv2d as InceptionConv
from torchvision.models.resnet import BasicBlock, ResNet

from dlrun.errors import ConfigError, did_you_mean


def lowres(name: str, num_classes: int, in_channels: int = 3) -> nn.Module:
    """The network of that name, newly initialised: float (N, in_channels, 32, 32) to logits (N, num_classes).

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in NETWORKS:
        raise ConfigError(f"model.name={name}: no such network{did_you_mean(name, NETWORKS)}")
    return NETWORKS[name](num_classes, in_channels)


def _resnet(name: str, classes: int, channels: int) -> nn.Module:
    return _with_small_stem(models.get_model(name, weights=None, num_classes=classes), channels)


def _resnet14(classes: int, channels: int) -> nn.Module:
    """Three stages of two blocks instead of ResNet-18's four."""
    network = _with_small_stem(ResNet(BasicBlock, [2, 2, 2, 1], num_classes=classes), channels)
    network.layer4 = nn.Identity()
    network.fc = nn.Linear(256, classes)
    return network


def _with_small_stem(network: ResNet, channels: int) -> ResNet:
    network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    _draw_by_outputs(network.conv1)
    return network


def _vgg(name: str, classes: int, channels: int) -> nn.Module:
    """The mean of each map goes to the classifier instead of 7x7 values of it."""
    network: Any = models.get_model(name, weights=None, num_classes=classes)
    network.features[0] = nn.Conv2d(channels, 64, 3, padding=1)
    _draw_by_outputs(network.features[0])
    nn.init.zeros_(network.features[0].bias)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier[0] = nn.Linear(512, 4096)
    nn.init.normal_(network.classifier[0].weight, 0, 0.01)
    nn.init.zeros_(network.classifier[0].bias)
    return network


def _densenet(name: str, classes: int, channels: int) -> nn.Module:
    network: Any = models.get_model(name, weights=None, num_classes=classes)
    network.features.conv0 = nn.Conv2d(channels, network.features.conv0.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.features.conv0.weight)
    return network


def _mobilenet_v2(classes: int, channels: int) -> nn.Module:
    """The first convolution and the stage of 24 channels keep the size of the picture."""
    stages = [[1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]
    network: Any = models.MobileNetV2(classes, inverted_residual_setting=stages)
    network.features[0][0] = nn.Conv2d(channels, 32, 3, padding=1, bias=False)
    _draw_by_outputs(network.features[0][0])
    return network


def _googlenet(classes: int, channels: int) -> nn.Module:
    """One 3x3 convolution before the first module, and pools that keep half the size, rounded up."""
    network = models.GoogLeNet(classes, aux_logits=False, init_weights=False)
    network.conv1 = GoogLeNetConv(channels, 192, kernel_size=3, padding=1)
    for name in ("maxpool1", "conv2", "conv3", "maxpool2"):
        setattr(network, name, nn.Identity())
    for name in ("maxpool3", "maxpool4"):
        setattr(network, name, nn.MaxPool2d(3, stride=2, padding=1))
    return network


def _inception_v3(classes: int, channels: int) -> nn.Module:
    """One 3x3 convolution before the first module."""
    network = models.Inception3(classes, aux_logits=False, init_weights=False)
    network.Conv2d_1a_3x3 = InceptionConv(channels, 192, kernel_size=3, padding=1)
    for name in ("Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"):
        setattr(network, name, nn.Identity())
    return network


def _alexnet(classes: int, channels: int) -> nn.Module:
    """AlexNet's five convolutions, all 3x3, and pools of 2 (Krizhevsky 2014, changed)."""
    layers: list[nn.Module] = []
    for inputs, outputs, pooled in ((channels, 64, 1), (64, 192, 1), (192, 384, 0), (384, 256, 0), (256, 256, 1)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(2)] * pooled
    layers += [nn.Flatten(), nn.Dropout(), nn.Linear(256 * 4 * 4, 4096), nn.ReLU(inplace=True)]
    layers += [nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, classes)]
    return nn.Sequential(*layers)


def _resnet9(classes: int, channels: int) -> nn.Module:
    """Four convolutions, two residual blocks between them, and a linear layer without bias."""
    layers = [*_convolved(channels, 64, 0.1), *_convolved(64, 128, 0.1), nn.MaxPool2d(2), _Residual(128)]
    layers += [*_convolved(128, 256, 0.1), nn.MaxPool2d(2), *_convolved(256, 512, 0.1), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, _Residual(512), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(512, classes, bias=False))


class _Residual(nn.Module):
    """Two convolutions beside their input, which is added after the second activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(*_convolved(channels, channels, 0.9), *_convolved(channels, channels, 0.9))

    def forward(self, x: Tensor) -> Tensor:
        """float (N, channels, H, W) to the same shape."""
        added: Tensor = self.inner(x) + x
        return added


def _convolved(inputs: int, outputs: int, momentum: float) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    # Not in place: the block's input is added to the result.
    return [convolution, nn.BatchNorm2d(outputs, momentum=momentum), nn.ReLU()]


def _draw_by_outputs(convolution: nn.Conv2d) -> None:
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")


NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    "alexnet": _alexnet,
    "googlenet": _googlenet,
    "inception_v3": _inception_v3,
    "mobilenet_v2": _mobilenet_v2,
    "resnet9": _resnet9,
    "resnet14": _resnet14,
    **{f"densenet{depth}": partial(_densenet, f"densenet{depth}") for depth in (121, 161, 169)},
    **{f"resnet{depth}": partial(_resnet, f"resnet{depth}") for depth in (18, 34, 50, 101, 152)},
    **{f"vgg{depth}_bn": partial(_vgg, f"vgg{depth}_bn") for depth in (11, 13, 16, 19)},
}
