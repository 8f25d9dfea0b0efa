"""Time of a whole epoch with evaluation: dlrun against the floor, the usual PyTorch loop, and Keras.

    python benchmarks/epoch.py [--networks fc_64,cnn_dropout] [--repeats 5] [--threads 2] [--keras PYTHON]

The contenders take turns in one sitting, so that a machine that gets slower does so for all. The floor is
the same training steps on one fixed batch and the same evaluation batches, with nothing else, in dlrun's
process; the usual loop and Keras have processes of their own. Needs real MNIST (and ASL for asl_cnn) where
dlrun finds it; writes benchmarks/results/VENDOR/epoch.json and epoch.md. Fully connected networks train three epochs
a turn, for three times the repeats.
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
from report import markdown, save, spread
from torch.nn import functional as F

from dlrun.config.compose import compose
from dlrun.config.settled import settle
from dlrun.runs.parts import Parts, build
from dlrun.training.evaluation import evaluate
from dlrun.training.events import EpochEnded
from dlrun.training.loop import train

NETWORKS = {
    "fc_64": ["model=fc_64", "data=mnist", "optimizer=adam", "batch_size=128"],
    "fc_512": ["model=fc_512", "data=mnist", "optimizer=adam", "batch_size=128"],
    "cnn_dropout": ["model=cnn_dropout", "data=mnist", "optimizer=sgd", "batch_size=32"],
    "asl_cnn": ["model=asl_cnn", "data=asl", "optimizer=rmsprop", "batch_size=32"],
}
CPU = ["device=cpu", "precision=float32"]
PAUSE = 1.0
"""Seconds between two turns: threads of the contender before wait actively for a while."""
Epoch = Callable[[], float]
"""Trains and evaluates one epoch and returns its seconds."""


def parts_of(overrides: list[str], threads: int) -> Parts:
    """The parts of a run, as dlrun builds them."""
    return build(settle(compose([*overrides, f"threads={threads}", "epochs=1000000"])))


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


class Peer:
    """Another way to train the same network, in a process of its own that trains an epoch when asked.

    Of its own, so that nothing that dlrun sets in a process (threads, number format, memory) helps it.
    """

    def __init__(self, python: str, script: str, overrides: list[str], threads: int, folder: Path) -> None:
        parts = parts_of(overrides, threads)
        name = overrides[0].partition("=")[2]
        file = folder / f"{name}.npz"
        if not file.exists():
            _write_arrays(parts, file)
        arguments = [name, str(file), str(threads), str(parts.config.batch_size), parts.state.device.type]
        self.process = subprocess.Popen(
            [python, str(Path(__file__).with_name(script)), *arguments],
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


def usual_epochs(overrides: list[str], threads: int, folder: Path) -> Peer:
    """What most scripts do: Dataset, transforms on PIL pictures, DataLoader, `.item()` every step."""
    return Peer(sys.executable, "usual_epoch.py", overrides, threads, folder)


def _write_arrays(parts: Parts, file: Path) -> None:
    import numpy as np

    arrays = {
        "train": parts.train.images.permute(0, 2, 3, 1).cpu().numpy(),
        "train_labels": parts.train.labels.cpu().numpy(),
        "test": parts.test.images.permute(0, 2, 3, 1).cpu().numpy(),
        "test_labels": parts.test.labels.cpu().numpy(),
    }
    np.savez(file, **arrays)


def measure(
    contenders: dict[str, Epoch], repeats: int, epochs: int = 1, pause: float = PAUSE
) -> dict[str, list[float]]:
    """Seconds an epoch of every contender, in turns of some epochs; the first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(repeats + 1):
        for name, epoch in contenders.items():
            time.sleep(pause)
            taken = sum(epoch() for _ in range(epochs)) / epochs
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
    return spread(ratios)


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
            "usual": usual_epochs(overrides, options.threads, Path(scratch.name)),
        }
        if options.keras:
            keras = Peer(options.keras, "keras_epoch.py", overrides, options.threads, Path(scratch.name))
            contenders["keras"] = keras
        # Epochs below a second or two vary more from one to the next, and cost less to repeat.
        short = 3 if name.startswith("fc_") else 1
        results[name] = measure(contenders, options.repeats * short, short)
    scratch.cleanup()
    words = ["PYTHON" if word == options.keras else word for word in sys.argv[1:]]
    save("epoch", {"threads": options.threads, "seconds": results}, table(results), words)


if __name__ == "__main__":
    main()
