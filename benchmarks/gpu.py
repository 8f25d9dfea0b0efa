"""On a GPU: the `cuda` tests, epochs against a floor and the usual loop, runs that share the GPU, then the deck.

    python benchmarks/gpu.py [--out FOLDER] [--minutes 10] [--parts tests,epochs,packing,deck] [--jobs 8] [--lanes 3]
                             [--repeats 2] [--runs 8]

Epochs are whole, with evaluation, on real MNIST; the contenders take turns. The floor is one training step on a
fixed batch, recorded as a CUDA graph and replayed, and the same evaluation batches; in two layouts of memory, since
which one is the faster depends on the precision. All of them compute float32 as float32, not as TF32. The usual loop,
which takes many times as long, is measured once. Packing is a sweep of `--runs` runs with 1 and 8 jobs on the GPU;
NVIDIA's MPS daemon (`nvidia-cuda-mps-control -d`) lets the jobs compute at the same time, if it runs. The deck is
`dlrun reproduce` of the slides' tables, a few commands side by side (`--lanes`, which share `--jobs` processes), for
as long as `--minutes` leaves; what is complete is packed into FOLDER/deck.jsonl again and again, so that a machine may
be taken away at any time. Writes benchmarks/results/VENDOR/gpu.json and gpu.md (the vendor is the processor's). A trial
of the script itself, without a GPU and writing no results: `--device cpu --limit 1000`.
"""

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from epoch import Epoch, dlrun_epochs, measure, parts_of, ratio, usual_epochs
from report import markdown, save
from sweep import timed
from torch.nn import functional as F

from dlrun.training.evaluation import evaluate

NETWORKS = {
    "fc_64, batch 128": ["model=fc_64", "data=mnist", "optimizer=adam", "batch_size=128"],
    "cnn_dropout, batch 32": ["model=cnn_dropout", "data=mnist", "optimizer=sgd", "batch_size=32"],
    "cnn_dropout, batch 128": ["model=cnn_dropout", "data=mnist", "optimizer=sgd", "batch_size=128"],
}
PACKED = (1, 8)
PACKED_NETWORK = "cnn_dropout, batch 128"
WARM_UP = 3
LONGEST = "--rows 1-12,14-16,18,19,21,23-25"
"""Of the changes: the other rows are the first epochs of these, or the same computation."""
DECK = (
    "psc_fashion_baseline --seeds 3",
    "psc_mnist --seeds 3",
    "nvidia_dli --seeds 3",
    "pytorch_mnist_example --seeds 3",
    "psc_mnist_readings --seeds 3",
    "psc_fashion_readings --seeds 1",
    f"psc_fashion_changes --seeds 1 {LONGEST}",
    "psc_fashion_steps --seeds 1 --rows 1-8",
    "psc_fashion_baseline --seeds 3 --rows 2,3 precision=bfloat16",
    "psc_mnist --seeds 3 --rows 5-7 precision=bfloat16",
    "nvidia_dli --seeds 3 --rows 3,4 precision=bfloat16",
    "psc_fashion_steps --seeds 1 --rows 9-26 precision=bfloat16",
    f"psc_fashion_changes --seeds 1-2 {LONGEST}",
)
"""In the order of their worth; float32 unless it says otherwise."""
PACK_EVERY = 30.0
"""Seconds from one packing of the records to the next."""
LEAVE = 25.0
"""Seconds before the end at which what still runs is asked to stop."""


def floor_epochs(overrides: list[str], layout: torch.memory_format) -> Epoch:
    """A recorded step on one fixed batch, replayed, and the evaluation; on a CPU the step is not recorded."""
    parts = parts_of(overrides, 1)
    model, optimizer, size = parts.state.model, parts.state.optimizer, parts.config.batch_size
    model.to(memory_format=layout)  # type: ignore[call-overload]
    images = parts.prepare(parts.train.images[:size]).contiguous(memory_format=layout)
    labels = parts.train.labels[:size]
    on_gpu = parts.state.device.type == "cuda"

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with parts.settings.precision.autocast():
            loss = F.cross_entropy(model(images).float(), labels)
        loss.backward()
        optimizer.step()

    model.train()
    if on_gpu:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], device=parts.state.device)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
    run = graph.replay if on_gpu else step

    def epoch() -> float:
        started = time.perf_counter()
        model.train()
        for _ in range(parts.steps_per_epoch):
            run()
        evaluate(model, parts.test, parts.prepare_evaluated, parts.settings)
        return time.perf_counter() - started

    return epoch


def epochs(common: list[str], precisions: list[str], repeats: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of every contender by network and precision."""
    taken = {}
    with tempfile.TemporaryDirectory() as scratch:
        for precision in precisions:
            for name, overrides in NETWORKS.items():
                where = [*overrides, *common, f"precision={precision}"]
                contenders = {
                    "dlrun": dlrun_epochs(where, 1),
                    "floor": floor_epochs(where, torch.channels_last),
                    "floor, contiguous": floor_epochs(where, torch.contiguous_format),
                }
                print(f"{name}, {precision}", flush=True)
                taken[f"{name}, {precision}"] = measure(contenders, repeats, pause=0)
                if precision == "float32":
                    once = usual_epochs(where, 1, Path(scratch))()
                    taken[f"{name}, {precision}"]["usual"] = [once] * repeats
    return taken


def packing(common: list[str], runs: int) -> dict[int, float]:
    """Seconds of a sweep by the number of jobs that share the GPU."""
    return {jobs: _sweep([*NETWORKS[PACKED_NETWORK], *common, "epochs=5"], runs, jobs) for jobs in PACKED}


def _sweep(overrides: list[str], runs: int, jobs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        slots = [f"sweep.per_gpu={jobs}", f"sweep.slots={jobs}", "tensorboard=off"]
        return timed(["-m", *overrides, *slots, f"seed=range({runs})"], Path(folder))


def tests(out: Path) -> str:
    """Run the tests marked `cuda`; pytest's last line, the rest is in the file cuda.log."""
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-q", "-ra", "-p", "no:benchmark"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    (out / "cuda.log").write_text(done.stdout + done.stderr)
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else done.stderr


@dataclass
class Deck:
    """Commands of `dlrun reproduce` that wait, run and have ended, in one working directory."""

    out: Path
    overrides: list[str]
    ends: float
    """On the clock of `time.monotonic`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of the commands that have ended by themselves."""

    def run(self, lanes: int) -> None:
        """Start commands in order, so many at a time, until the time is over; pack what is complete meanwhile."""
        waiting: Iterator[str] = iter(DECK)
        running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
        packed = time.monotonic()
        while time.monotonic() < self.ends - LEAVE:
            while len(running) < lanes and (words := next(waiting, None)):
                running[words] = (self._start(words), time.monotonic())
            if not running:
                break
            time.sleep(0.5)
            ended = [words for words, (process, _) in running.items() if process.poll() is not None]
            for words in ended:
                self.seconds[words] = time.monotonic() - running.pop(words)[1]
            if ended or time.monotonic() > packed + PACK_EVERY:
                self.pack()
                packed = time.monotonic()
        for process, _ in running.values():
            process.send_signal(signal.SIGTERM)
        for process, _ in running.values():
            process.wait()
        self.pack()

    def _start(self, words: str) -> subprocess.Popen[bytes]:
        log = (self.out / f"{words.replace(' ', '_')}.log").open("wb")
        command = [sys.executable, "-m", "dlrun", "reproduce", *words.split(), *self.overrides]
        return subprocess.Popen(command, cwd=self.out, stdout=log, stderr=subprocess.STDOUT)

    def pack(self) -> None:
        """Write the records of all complete runs."""
        command = [sys.executable, "-m", "dlrun", "records", "pack", "outputs/runs", "-o", "deck.jsonl"]
        if (self.out / "outputs" / "runs").is_dir():
            subprocess.run(command, cwd=self.out, stdout=subprocess.DEVNULL, check=False)


def table(figures: dict[str, object]) -> str:
    """Markdown of what was measured."""
    shown = []
    if tested := figures.get("tests"):
        shown.append(f"`pytest -m cuda`: {tested}")
    if taken := figures.get("epochs"):
        shown.append(_epochs_shown(taken))
    if packed := figures.get("packing"):
        row = [f"{seconds:.1f} s ({packed[1] / seconds:.1f} times)" for seconds in packed.values()]
        head = [f"runs of 5 epochs of {PACKED_NETWORK}, by jobs at once", *map(str, PACKED)]
        shown.append(markdown(head, [["", *row]]))
    if deck := figures.get("deck"):
        rows = [[words, f"{seconds:.0f} s"] for words, seconds in deck.items()]
        shown.append(markdown(["dlrun reproduce", "side by side with others"], rows))
    return "\n\n".join(shown)


def _epochs_shown(taken: dict[str, dict[str, list[float]]]) -> str:
    who = ("dlrun", "floor", "floor, contiguous", "usual")
    rows = [
        [
            name,
            *(f"{statistics.median(seconds[one]):.3f} s" if one in seconds else "–" for one in who),
            ratio(seconds, "floor"),
            ratio(seconds, "usual"),
        ]
        for name, seconds in taken.items()
    ]
    return markdown(["epoch", *who, "to floor", "to usual"], rows)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--parts", default="tests,epochs,packing,deck")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--lanes", type=int, default=3)
    parser.add_argument("--limit", type=int, help="use only so many images, and two epochs of the table")
    options = parser.parse_args()
    ends = time.monotonic() + 60 * options.minutes
    parts = options.parts.split(",")
    options.out.mkdir(parents=True, exist_ok=True)
    common = [f"device={options.device}", *([f"limit={options.limit}"] if options.limit else [])]
    figures: dict[str, object] = {}
    if "tests" in parts:
        figures["tests"] = tests(options.out)
        print(figures["tests"], flush=True)
    if "epochs" in parts:
        figures["epochs"] = epochs(common, options.precisions.split(","), options.repeats)
    if "packing" in parts:
        figures["packing"] = packing(common, options.runs)
        print(figures["packing"], flush=True)
    if "deck" in parts:
        jobs = max(1, options.jobs // options.lanes)
        quick = ["--quick"] if options.limit else []
        words = [*quick, *common, "threads=1", f"sweep.per_gpu={jobs}", f"sweep.slots={jobs}", "tensorboard=off"]
        deck = Deck(options.out, words, ends)
        deck.run(options.lanes)
        figures["deck"] = deck.seconds
    if options.limit:
        print(table(figures))
    else:
        save("gpu", figures, table(figures), sys.argv[1:])


if __name__ == "__main__":
    main()
