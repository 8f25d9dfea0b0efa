"""On a GPU: epochs against the bare recorded step and the usual PyTorch loop, and several runs on one GPU.

    python benchmarks/gpu.py [--precisions float32,bfloat16] [--repeats 5] [--runs 16]

Epochs are whole, with evaluation, on real MNIST; the contenders take turns. The floor is one training step on a
fixed batch, recorded as a CUDA graph and replayed, and the same evaluation batches. Packing is a sweep of `--runs`
runs with 1, 2, 4 and 8 jobs on the GPU. Last comes `dlrun reproduce` of the PSC tables with one seed, four jobs
at a time. Writes benchmarks/results/gpu.json and gpu.md. A trial of the script itself, without a GPU and writing
nothing: `--device cpu --limit 1000`.
"""

import argparse
import statistics
import sys
import tempfile
import time
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
PACKED = (1, 2, 4, 8)
TABLES = ("psc_mnist", "psc_fashion_baseline", "psc_fashion_changes", "psc_fashion_steps")
WARM_UP = 3


def floor_epochs(overrides: list[str]) -> Epoch:
    """A recorded step on one fixed batch, replayed, and the evaluation; on a CPU the step is not recorded."""
    parts = parts_of(overrides, 1)
    model, optimizer, size = parts.state.model, parts.state.optimizer, parts.config.batch_size
    images, labels = parts.prepare(parts.train.images[:size]), parts.train.labels[:size]
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
    scratch = tempfile.TemporaryDirectory()
    for precision in precisions:
        for name, overrides in NETWORKS.items():
            where = [*overrides, *common, f"precision={precision}"]
            contenders = {
                "dlrun": dlrun_epochs(where, 1),
                "floor": floor_epochs(where),
                "usual": usual_epochs(where, 1, Path(scratch.name)),
            }
            print(f"{name}, {precision}", flush=True)
            taken[f"{name}, {precision}"] = measure(contenders, repeats)
    scratch.cleanup()
    return taken


def packing(common: list[str], runs: int) -> dict[str, dict[int, float]]:
    """Seconds of a sweep by network and by jobs that share the GPU."""
    return {
        name: {jobs: _sweep([*overrides, *common, "epochs=3"], runs, jobs) for jobs in PACKED}
        for name, overrides in NETWORKS.items()
    }


def _sweep(overrides: list[str], runs: int, jobs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        slots = [f"sweep.per_gpu={jobs}", f"sweep.slots={jobs}", "tensorboard=off"]
        return timed(["-m", *overrides, *slots, f"seed=range({runs})"], Path(folder))


def table(
    taken: dict[str, dict[str, list[float]]],
    packed: dict[str, dict[int, float]],
    runs: int,
    reproduced: dict[str, float],
) -> str:
    """Markdown: epochs, packing, the whole table."""
    first = [
        [
            name,
            *(f"{statistics.median(seconds[who]):.3f} s" for who in ("dlrun", "floor", "usual")),
            ratio(seconds, "floor"),
            ratio(seconds, "usual"),
        ]
        for name, seconds in taken.items()
    ]
    second = [
        [name, *(f"{seconds[jobs]:.1f} s ({seconds[1] / seconds[jobs]:.1f} times)" for jobs in PACKED)]
        for name, seconds in packed.items()
    ]
    return "\n\n".join(
        [
            markdown(["epoch", "dlrun", "floor", "usual", "to floor", "to usual"], first),
            markdown([f"{runs} runs of 3 epochs by jobs at once", *map(str, PACKED)], second),
            markdown(
                ["dlrun reproduce --seeds 1", *reproduced],
                [["seconds", *(f"{one:.0f}" for one in reproduced.values())]],
            ),
        ]
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--runs", type=int, default=16)
    parser.add_argument("--limit", type=int, help="use only so many images, and two epochs of the table")
    options = parser.parse_args()
    common = [f"device={options.device}", *([f"limit={options.limit}"] if options.limit else [])]
    taken = epochs(common, options.precisions.split(","), options.repeats)
    packed = packing(common, options.runs)
    words = ["--seeds", "1", *(["--quick"] if options.limit else []), *common, "sweep.per_gpu=4", "sweep.slots=4"]
    with tempfile.TemporaryDirectory() as folder:
        reproduced = {name: timed(["reproduce", name, *words, "tensorboard=off"], Path(folder)) for name in TABLES}
    figures = {"epochs": taken, "packing": packed, "reproduce": reproduced}
    shown = table(taken, packed, options.runs, reproduced)
    if options.limit:
        print(shown)
    else:
        save("gpu", figures, shown, sys.argv[1:])


if __name__ == "__main__":
    main()
