"""Time from `dlrun` to the first training step of fc_64, against importing torch and loading the same tensors.

    python benchmarks/start.py [--data mnist] [--repeats 7]

Both are fresh processes with a warm cache and take turns in one sitting. Also prints the time of `dlrun --help`
and the peak memory of a run of one epoch. Writes benchmarks/results/VENDOR/start.json and start.md.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import markdown, save, spread

FIRST_STEP = """
import os, sys
from dlrun.training.step import TrainingStep

def leave(*_):
    os._exit(0)

TrainingStep.__call__ = leave
from dlrun.cli import main
main()
"""
"""`dlrun` that leaves at its first step; the import above it is one that the run would do later."""
FLOOR = """
import os
import torch
from dlrun.config.groups import Data
from dlrun.data.load import load

load(Data(name="{data}"))
os._exit(0)
"""


def seconds(words: list[str], folder: Path) -> float:
    """Seconds of a Python process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    run = ["model=fc_64", f"data={options.data}", "epochs=1", "device=cpu"]
    commands = {
        "to the first step": ["-c", FIRST_STEP, *run],
        "import torch, load the tensors": ["-c", FLOOR.format(data=options.data)],
        "dlrun --help": ["-m", "dlrun", "--help"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds(["-m", "dlrun", *run], folder)
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        for _ in range(options.repeats):
            for what, words in commands.items():
                taken[what].append(seconds(words, folder))
    first, floor = taken["to the first step"], taken["import torch, load the tensors"]
    ratios = [own / bare for own, bare in zip(first, floor, strict=True)]
    rows = [[what, spread(values)] for what, values in taken.items()]
    rows.append(["first step to import and load, ratio", f"{statistics.median(ratios):.2f}"])
    rows.append(["peak memory of a run of one epoch, GiB", f"{memory:.2f}"])
    table = markdown(["", "seconds, median (min–max)"], rows)
    save("start", {"seconds": taken, "memory": memory}, table, sys.argv[1:])


if __name__ == "__main__":
    main()
