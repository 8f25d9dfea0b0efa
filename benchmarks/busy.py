"""Epochs on an idle machine and beside processes that never sleep, with dlrun's bound on waiting threads and without.

    python benchmarks/busy.py [--repeats 5]

The commands take turns: idle and busy, bounded and as the OpenMP library has it (GOMP_SPINCOUNT=300000). A figure is
that of the fastest epoch but the first of one command, so that starting up does not count. As many processes are
busy as the machine has cores, so that half the machine is gone and a factor of two is the floor. The machine must
have nothing else to do. Writes benchmarks/results/VENDOR/busy.json and busy.md.
"""

import argparse
import contextlib
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from report import markdown, save

RUNS = {
    "FC 64, MNIST": ["model=fc_64", "optimizer=adam", "batch_size=128", "epochs=4"],
    "CNN with dropout, 6,000 images": ["model=cnn_dropout", "limit=6000", "epochs=2"],
}
WAYS = {"bounded": {}, "the library's own": {"GOMP_SPINCOUNT": "300000"}}


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that never sleep."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def epoch_seconds(words: list[str], environment: dict[str, str], folder: Path) -> float:
    """Seconds of the fastest epoch but the first, training alone."""
    own = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    with tempfile.TemporaryDirectory(dir=folder) as name:
        command = [sys.executable, "-m", "dlrun", *words, "data=mnist", "device=cpu", "tensorboard=off"]
        subprocess.run(
            [*command, f"hydra.run.dir={name}/run"],
            env={**own, **environment},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with Path(name, "run", "history.csv").open(newline="") as file:
            return min(float(row["seconds"]) for row in list(csv.DictReader(file))[1:])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    taken: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(options.repeats):
            for what, words in RUNS.items():
                for others in (0, cores):
                    for way, environment in WAYS.items():
                        with busy(others):
                            seconds = epoch_seconds(words, environment, Path(name))
                        where = f"{'busy' if others else 'idle'}, {way}"
                        taken.setdefault(what, {}).setdefault(where, []).append(seconds)
    columns = [f"{where}, {way}" for where in ("idle", "busy") for way in WAYS]
    rows = []
    for what, figures in taken.items():
        idle = statistics.median(figures["idle, bounded"])
        shown = [f"{statistics.median(figures[one]):.2f} (worst {max(figures[one]):.2f})" for one in columns]
        rows.append([what, *shown, f"{max(figures['busy, bounded']) / idle:.2f}"])
    table = markdown(["seconds an epoch, median", *columns, "worst busy to idle, bounded"], rows)
    save("busy", {"seconds": taken}, table, sys.argv[1:])


if __name__ == "__main__":
    main()
