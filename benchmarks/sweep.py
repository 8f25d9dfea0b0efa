"""What a process per job costs: a sweep of short runs against separate commands and against bare training.

    python benchmarks/sweep.py [--runs 16] [--data mnist] [--slots 2] [--repeats 3]

The sweep and the separate commands take turns in one sitting. Bare training is what the runs themselves
report as time of training and evaluation. Writes benchmarks/results/sweep.json and sweep.md.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import markdown, save

from dlrun.result import Result


def timed(words: list[str], folder: Path) -> float:
    """Seconds of a `dlrun` command in a working directory."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dlrun", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def one_round(runs: int, common: list[str], slots: int) -> dict[str, float]:
    """Seconds of a sweep, of the same runs one command after the other, and of their bare training."""
    threads = max(1, (os.cpu_count() or 1) // slots)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        swept = timed(["-m", *common, f"seed=range(0,{runs})", f"sweep.slots={slots}", "sweep.name=s"], folder)
        results = [Result.read(path.parent) for path in folder.glob("outputs/sweeps/s/*/result.json")]
        bare = sum(result.seconds["train"] + result.seconds["evaluate"] for result in results)
        separate = sum(timed([*common, f"seed={seed}", f"threads={threads}"], folder) for seed in range(runs))
    return {"sweep": swept, "separate": separate, "bare": bare, "overhead": (swept * slots - bare) / runs}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=16)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    common = ["model=fc_64", f"data={options.data}", "epochs=1", "batch_size=128", "device=cpu"]
    rounds = [one_round(options.runs, common, options.slots) for _ in range(options.repeats)]
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    rows = [
        ["one sweep", f"{medians['sweep']:.1f}"],
        [f"{options.runs} commands, one after the other", f"{medians['separate']:.1f}"],
        ["training and evaluation alone, summed over the runs", f"{medians['bare']:.1f}"],
        ["overhead per run in the sweep", f"{medians['overhead']:.2f}"],
    ]
    head = f"{options.runs} runs of fc_64, an epoch of {options.data}, {options.slots} at a time"
    save("sweep", {"rounds": rounds}, markdown([head, "seconds"], rows), sys.argv[1:])


if __name__ == "__main__":
    main()
