"""Time of a whole epoch with evaluation: dlrun against the floor, the usual PyTorch loop, and Keras.

    python benchmarks/epoch.py [--networks fc_64,cnn_dropout] [--repeats 5] [--threads 2] [--keras PYTHON]

The contenders take turns in one sitting, so that a machine that gets slower does so for all. The floor is
the same training steps on one fixed batch and the same evaluation batches, with nothing else. Needs real
MNIST (and ASL for asl_cnn) where dlrun finds it; writes benchmarks/results/epoch.json and epoch.md.
Fully connected networks get three times the repeats.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from report import markdown, save
from torch.nn import functional as F

from dlrun.compose import compose
from dlrun.events import EpochEnded
from dlrun.models import torchvision_ops
from dlrun.parts import Parts, build
from dlrun.training import evaluate, train

NETWORKS = {
    "fc_64": ["model=fc_64", "data=mnist", "optimizer=adam", "batch_size=128"],
    "fc_512": ["model=fc_512", "data=mnist", "optimizer=adam", "batch_size=128"],
    "cnn_dropout": ["model=cnn_dropout", "data=mnist", "optimizer=sgd", "batch_size=32"],
    "asl_cnn": ["model=asl_cnn", "data=asl", "optimizer=rmsprop", "batch_size=32"],
}
CPU = ["device=cpu", "precision=float32"]
Epoch = Callable[[], float]
"""Trains and evaluates one epoch and returns its seconds."""


def parts_of(overrides: list[str], threads: int) -> Parts:
    """The parts of a run, as dlrun builds them."""
    return build(compose([*overrides, f"threads={threads}", "epochs=1000000"]))


def dlrun_epochs(overrides: list[str], threads: int) -> Epoch:
    """dlrun's own loop, one epoch a call."""
    parts = parts_of(overrides, threads)
    events = train(
        parts.state, parts.train, parts.evaluated, parts.prepare, parts.prepare_evaluated, parts.factor, parts.settings
    )

    def epoch() -> float:
        started = time.perf_counter()
        while not isinstance(next(events), EpochEnded):
            pass
        return time.perf_counter() - started

    return epoch


def floor_epochs(overrides: list[str], threads: int) -> Epoch:
    """The same steps on one fixed batch, the same evaluation, nothing else."""
    parts = parts_of(overrides, threads)
    model, optimizer, size = parts.state.model, parts.state.optimizer, parts.config.batch_size
    images, labels = parts.prepare(parts.train.images[:size]), parts.train.labels[:size]
    fixed = type(parts.test)(parts.test.images, parts.test.labels)

    def epoch() -> float:
        started = time.perf_counter()
        model.train()
        for _ in range(parts.steps_per_epoch):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
        evaluate(model, fixed, parts.prepare_evaluated, parts.settings)
        return time.perf_counter() - started

    return epoch


def usual_epochs(overrides: list[str], threads: int) -> Epoch:
    """What most scripts do: Dataset, transforms on PIL pictures, DataLoader, `.item()` every step."""
    torchvision_ops.prepare()
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    parts = parts_of(overrides, threads)
    to_tensor = transforms.ToTensor()

    class Pictures(Dataset):  # type: ignore[type-arg]
        def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
            self.images, self.labels = images.squeeze(1).cpu().numpy(), labels.cpu()

        def __len__(self) -> int:
            return len(self.labels)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return to_tensor(Image.fromarray(self.images[index])), int(self.labels[index])

    device = parts.state.device
    plain = plain_model(overrides[0].partition("=")[2], parts).to(device)
    kinds = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
    name = parts.config.optimizer.name
    optimizer = (
        kinds[name](plain.parameters(), lr=1e-3)
        if name in kinds
        else torch.optim.SGD(plain.parameters(), lr=0.01, momentum=0.9)
    )
    size = parts.config.batch_size
    train_loader = DataLoader(Pictures(parts.train.images, parts.train.labels), batch_size=size, shuffle=True)
    test_loader = DataLoader(Pictures(parts.test.images, parts.test.labels), batch_size=1000)

    def epoch() -> float:
        started = time.perf_counter()
        plain.train()
        total = correct = 0.0
        for batch in train_loader:
            images, labels = (tensor.to(device) for tensor in batch)
            optimizer.zero_grad()
            logits = plain(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
        plain.eval()
        with torch.no_grad():
            for batch in test_loader:
                images, labels = (tensor.to(device) for tensor in batch)
                logits = plain(images)
                total += F.cross_entropy(logits, labels, reduction="sum").item()
                correct += (logits.argmax(1) == labels).sum().item()
        return time.perf_counter() - started

    return epoch


def plain_model(name: str, parts: Parts) -> torch.nn.Module:
    """The same network out of PyTorch's own layers, as one would write it."""
    from torch import nn

    if name.startswith("fc_"):
        width = int(name[3:])
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
        )
    if name == "cnn_dropout":
        return nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
            *(nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
        )
    blocks = [nn.Conv2d(1, 75, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(75), nn.MaxPool2d(2, ceil_mode=True)]
    blocks += [nn.Conv2d(75, 50, 3, padding=1), nn.ReLU(), nn.Dropout(0.2), nn.BatchNorm2d(50)]
    blocks += [nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(50, 25, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(25)]
    blocks += [nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.Linear(400, 512), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(*blocks, nn.Linear(512, len(parts.dataset.classes)))


class Keras:
    """The slides' script in TensorFlow, in a process of its own that trains an epoch when asked."""

    def __init__(self, python: str, name: str, overrides: list[str], threads: int, folder: Path) -> None:
        import numpy as np

        parts = parts_of(overrides, threads)
        file = folder / f"{name}.npz"
        arrays = {
            "train": parts.train.images.permute(0, 2, 3, 1).numpy(),
            "train_labels": parts.train.labels.numpy(),
            "test": parts.test.images.permute(0, 2, 3, 1).numpy(),
            "test_labels": parts.test.labels.numpy(),
        }
        np.savez(file, **arrays)
        script = Path(__file__).with_name("keras_epoch.py")
        self.process = subprocess.Popen(
            [python, str(script), name, str(file), str(threads), str(parts.config.batch_size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self) -> float:
        """Train an epoch; its seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def measure(contenders: dict[str, Epoch], repeats: int) -> dict[str, list[float]]:
    """Seconds of every contender, in turns; the first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(repeats + 1):
        for name, epoch in contenders.items():
            taken = epoch()
            if round_number:
                seconds[name].append(taken)
                print(f"  {name}: {taken:.2f} s", flush=True)
    return seconds


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Markdown: medians, and the median of the pairwise ratios of dlrun to each peer (min-max)."""
    rows = []
    for network, seconds in results.items():
        medians = [f"{statistics.median(seconds[name]):.2f} s" if name in seconds else "–" for name in ORDER]
        rows.append([network, *medians, *(ratio(seconds, peer) for peer in ORDER[1:])])
    return markdown(["network", "dlrun", "floor", "usual", "Keras", "to floor", "to usual", "to Keras"], rows)


ORDER = ("dlrun", "floor", "usual", "keras")


def ratio(seconds: dict[str, list[float]], peer: str) -> str:
    """dlrun's time over a peer's, pair by pair."""
    if peer not in seconds:
        return "–"
    ratios = [own / other for own, other in zip(seconds["dlrun"], seconds[peer], strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--keras", help="a Python that has tensorflow")
    options = parser.parse_args()
    scratch = tempfile.TemporaryDirectory()
    results = {}
    for name in options.networks.split(","):
        print(name, flush=True)
        overrides = [*NETWORKS[name], *CPU]
        contenders: dict[str, Epoch] = {
            "dlrun": dlrun_epochs(overrides, options.threads),
            "floor": floor_epochs(overrides, options.threads),
            "usual": usual_epochs(overrides, options.threads),
        }
        if options.keras:
            contenders["keras"] = Keras(options.keras, name, overrides, options.threads, Path(scratch.name))
        # Epochs below a second or two vary more from one to the next, and cost less to repeat.
        results[name] = measure(contenders, options.repeats * (3 if name.startswith("fc_") else 1))
    scratch.cleanup()
    words = ["PYTHON" if word == options.keras else word for word in sys.argv[1:]]
    save("epoch", {"threads": options.threads, "seconds": results}, table(results), words)


if __name__ == "__main__":
    main()
