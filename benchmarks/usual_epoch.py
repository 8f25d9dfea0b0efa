"""What most PyTorch scripts do, an epoch at a time for every line on standard input (see epoch.py).

A Dataset with transforms on PIL pictures, a DataLoader, and `.item()` at every step; of dlrun only what lets a
torchvision without compiled operators be imported.
"""

import sys
import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from dlrun.models import torchvision_ops


class Pictures(Dataset):  # type: ignore[type-arg]
    """Arrays, uint8 (N, H, W), as pictures and then tensors, one by one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        torchvision_ops.prepare()
        from torchvision import transforms

        self.images, self.labels, self.to_tensor = images, labels, transforms.ToTensor()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.to_tensor(Image.fromarray(self.images[index])), int(self.labels[index])


def network(name: str, classes: int) -> nn.Module:
    """The slides' network out of PyTorch's own layers, as one would write it."""
    if name.startswith("fc_"):
        width = int(name[3:])
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, classes),
        )
    if name == "cnn_dropout":
        return nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
            *(nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, classes)),
        )
    blocks = [nn.Conv2d(1, 75, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(75), nn.MaxPool2d(2, ceil_mode=True)]
    blocks += [nn.Conv2d(75, 50, 3, padding=1), nn.ReLU(), nn.Dropout(0.2), nn.BatchNorm2d(50)]
    blocks += [nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(50, 25, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(25)]
    blocks += [nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.Linear(400, 512), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(*blocks, nn.Linear(512, classes))


def optimizer(name: str, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of the slide."""
    if name == "cnn_dropout":
        return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return {"asl_cnn": torch.optim.RMSprop}.get(name, torch.optim.Adam)(model.parameters(), lr=1e-3)


def main() -> None:
    """Arguments: network, .npz with the data, threads, batch size, device."""
    name, file, threads, batch_size, place = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.backends.cudnn.allow_tf32 = False  # the same arithmetic for all contenders
    device = torch.device(place)
    data = np.load(file)
    train, test = (
        DataLoader(Pictures(data[key].squeeze(-1), data[f"{key}_labels"]), batch_size=size, shuffle=key == "train")
        for key, size in (("train", int(batch_size)), ("test", 1000))
    )
    model = network(name, int(data["train_labels"].max()) + 1).to(device)
    chosen = optimizer(name, model)
    for _ in sys.stdin:
        started = time.perf_counter()
        model.train()
        total = correct = 0.0
        for images, labels in train:
            images, labels = images.to(device), labels.to(device)
            chosen.zero_grad()
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            chosen.step()
            total += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
        model.eval()
        with torch.no_grad():
            for images, labels in test:
                images, labels = images.to(device), labels.to(device)
                logits = model(images)
                total += F.cross_entropy(logits, labels, reduction="sum").item()
                correct += (logits.argmax(1) == labels).sum().item()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
