"""What a process per job costs: sweeps of short runs against separate commands and against bare training.

    python benchmarks/sweep.py [--runs 16] [--data mnist] [--slots 2] [--repeats 3]

The sweeps and the separate commands take turns in one sitting. Bare training is what the runs themselves
report as time of training and evaluation. The overhead of a further run is the slope between a sweep of a
quarter of the runs and one of all, less bare training; what does not grow is the sweep's own start and end.
Writes benchmarks/results/VENDOR/sweep.json and sweep.md.
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

from dlrun.store.result import Result


def timed(words: list[str], folder: Path) -> float:
    """Seconds of a `dlrun` command in a working directory."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dlrun", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def bare_of(folder: Path) -> float:
    """Seconds of training and evaluation of all runs below a folder."""
    results = [Result.read(path.parent) for path in folder.rglob("result.json")]
    return sum(result.seconds["train"] + result.seconds["evaluate"] for result in results)


def overhead(common: list[str], runs: int, slots: int, folder: Path) -> dict[str, float]:
    """Seconds of a sweep of all runs, of its bare training, of its start and end, and of a further run's overhead."""
    few = runs // 4
    words = ["-m", *common, f"sweep.slots={slots}"]
    short = timed([*words, f"seed=range({few})", "sweep.name=few"], folder)
    swept = timed([*words, f"seed=range({runs})", "sweep.name=all"], folder)
    bare = bare_of(folder / "outputs" / "sweeps" / "all")
    slope = (swept - short) / (runs - few)
    return {"sweep": swept, "bare": bare, "ends": short - few * slope, "overhead": slope * slots - bare / runs}


def one_round(runs: int, common: list[str], slots: int) -> dict[str, float]:
    """The figures of sweeps with and without figures, and the seconds of one command after the other."""
    threads = max(1, (os.cpu_count() or 1) // slots)
    taken = {}
    for kind, more in (("", []), (" without pictures", ["tensorboard=off"])):
        with tempfile.TemporaryDirectory() as name:
            measured = overhead([*common, *more], runs, slots, Path(name))
        taken |= {f"{what}{kind}": value for what, value in measured.items()}
    with tempfile.TemporaryDirectory() as name:
        taken["separate"] = sum(timed([*common, f"seed={n}", f"threads={threads}"], Path(name)) for n in range(runs))
    return taken


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
    medians = {name: f"{statistics.median(one[name] for one in rounds):.2f}" for name in rounds[0]}
    rows = [
        ["one sweep", medians["sweep"], medians["sweep without pictures"]],
        ["training and evaluation alone, summed over its runs", medians["bare"], medians["bare without pictures"]],
        ["start and end of the sweep itself", medians["ends"], medians["ends without pictures"]],
        ["overhead of a further run", medians["overhead"], medians["overhead without pictures"]],
        [f"{options.runs} commands, one after the other", medians["separate"], ""],
    ]
    what = f"{options.runs} runs of fc_64, an epoch of {options.data}, {options.slots} at a time: seconds"
    save("sweep", {"rounds": rounds}, markdown([what, "as usual", "tensorboard=off"], rows), sys.argv[1:])


if __name__ == "__main__":
    main()
