"""How the cost of training grows: with batch size, width, number of epochs and number of runs.

    python benchmarks/growth.py [--threads 2] [--repeats 3]

Steps are dlrun's own, on real MNIST; epochs and runs are whole `dlrun` commands. Writes
benchmarks/results/VENDOR/growth.json and growth.md.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from epoch import CPU, dlrun_epochs
from report import markdown, save
from sweep import timed

BATCHES = (8, 32, 128, 512, 2048)
WIDTHS = (64, 128, 256, 512, 1024, 2048)
EPOCHS = (1, 2, 4, 8, 16)
RUNS = (1, 2, 4, 8, 16)
FEW = 12_000
"""Images of an epoch of a convolutional network, to keep this short."""


def seconds_of_epoch(overrides: list[str], threads: int, repeats: int) -> float:
    """Median of an epoch with its evaluation; the first one warms up."""
    epoch = dlrun_epochs(["data=mnist", *overrides, *CPU], threads)
    epoch()
    return statistics.median(epoch() for _ in range(repeats))


def command(words: list[str], repeats: int) -> float:
    """Median of a whole `dlrun` command in an empty folder."""
    taken = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            taken.append(timed([*words, "data=mnist", "batch_size=128", "device=cpu"], Path(folder)))
    return statistics.median(taken)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    one = (options.threads, options.repeats)
    started = time.perf_counter()
    measured = {
        "epoch of fc_64 by batch size": {
            n: seconds_of_epoch(["model=fc_64", f"batch_size={n}"], *one) for n in BATCHES
        },
        f"epoch of cnn_dropout on {FEW:,} images by batch size": {
            n: seconds_of_epoch(["model=cnn_dropout", f"limit={FEW}", f"batch_size={n}"], *one) for n in BATCHES
        },
        "epoch by width of two dense layers, batch 128": {
            n: seconds_of_epoch([f"model.layers=[flatten, dense {n}, dense {n}]", "batch_size=128"], *one)
            for n in WIDTHS
        },
        "whole run of fc_64 by epochs": {n: command(["model=fc_64", f"epochs={n}"], options.repeats) for n in EPOCHS},
        "sweep of fc_64, one epoch, by runs": {
            n: command(["-m", "model=fc_64", "epochs=1", f"seed=range(0,{n})"], options.repeats) for n in RUNS
        },
    }
    print(f"took {time.perf_counter() - started:.0f} s", file=sys.stderr)
    tables = [
        markdown([what, *map(str, by)], [["seconds", *(f"{value:.2f}" for value in by.values())]])
        for what, by in measured.items()
    ]
    save("growth", {"threads": options.threads, "seconds": measured}, "\n\n".join(tables), sys.argv[1:])


if __name__ == "__main__":
    main()
