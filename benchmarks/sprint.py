"""MNIST to 99 %: accuracy on the test set and seconds of `dlrun experiment=mnist_99`, over thirty seeds.

    python benchmarks/sprint.py [--seeds 30] [--threads 2] [--bfloat16]

Each seed is a command of its own, one after the other, as someone would type it. The accuracy is that of the last
epoch; the lower bound is that of a one-sided 95 % interval of Student's t for the mean. Training is the run's own
figure, without evaluation; the whole command is from start to prompt, with the import of PyTorch and all files.
Writes benchmarks/results/VENDOR/sprint.json and sprint.md.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from report import markdown, save, spread

from dlrun.statistics import t_quantile
from dlrun.store.result import Result


def sprint(seed: int, words: list[str], folder: Path) -> dict[str, float]:
    """Accuracy and seconds of one command."""
    run = folder / f"seed{seed}"
    started = time.perf_counter()
    command = [sys.executable, "-m", "dlrun", "experiment=mnist_99", f"seed={seed}", *words, f"hydra.run.dir={run}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    whole = time.perf_counter() - started
    result = Result.read(run)
    assert result.test is not None
    return {"accuracy": result.test["accuracy"], "training": result.seconds["train"], "whole": whole}


def lower_bound(values: list[float]) -> float:
    """Of the mean, at 95 %."""
    error = statistics.stdev(values) / len(values) ** 0.5
    return statistics.mean(values) - t_quantile(len(values) - 1, 0.95) * error


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--bfloat16", action="store_true", help="on a CPU that has it")
    options = parser.parse_args()
    words = [f"threads={options.threads}", "device=cpu", "tensorboard=off"]
    words += ["precision=bfloat16"] if options.bfloat16 else []
    with tempfile.TemporaryDirectory() as name:
        runs = [sprint(seed, words, Path(name)) for seed in range(options.seeds)]
    accuracies, training, whole = ([run[what] for run in runs] for what in ("accuracy", "training", "whole"))
    middle = statistics.mean(accuracies)
    rows = [
        ["test accuracy, mean ± standard deviation", f"{middle:.5f} ± {statistics.stdev(accuracies):.5f}"],
        ["lower 95 % bound of the mean", f"{lower_bound(accuracies):.5f}"],
        ["seconds of training, median (min–max)", spread(training)],
        ["seconds of the whole command", spread(whole)],
    ]
    table = markdown([f"{options.seeds} seeds, {options.threads} threads", ""], rows)
    save("sprint_bfloat16" if options.bfloat16 else "sprint", {"runs": runs}, table, sys.argv[1:])


if __name__ == "__main__":
    main()
