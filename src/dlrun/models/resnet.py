"""Residual networks for small pictures: a 3x3 first convolution, and no pooling before the first block."""

from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, figure 2; option B where the shape changes)."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != filters:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, filters, H/stride, W/stride), rounded up."""
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(inner + self.shortcut(x))


def resnet18(num_classes: int, in_channels: int = 3) -> nn.Sequential:
    """ResNet-18, two blocks at each of 64, 128, 256, 512 channels: (N, C, H, W) to (N, num_classes)."""
    return _resnet(num_classes, in_channels, blocks=2)


def resnet9(num_classes: int, in_channels: int = 3) -> nn.Sequential:
    """ResNet-9: the same with one block each, which makes nine layers with the first and the last one."""
    return _resnet(num_classes, in_channels, blocks=1)


def _resnet(num_classes: int, in_channels: int, blocks: int) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
    ]
    channels = 64
    for filters in (64, 128, 256, 512):
        for number in range(blocks):
            layers.append(Block(channels, filters, 2 if number == 0 and filters > 64 else 1))
            channels = filters
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
