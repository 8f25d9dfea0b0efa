"""How much is hurt (`DLRUN_FAULTS`: unset a little, `all` thoroughly), the command to hurt, and the record of it.

With `DLRUN_FAULTS=all` and nothing failed, `docs/reliability.md` is written from what was counted.
"""

import csv
import datetime
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

THOROUGH = os.environ.get("DLRUN_FAULTS") == "all"
COUNTS = pytest.StashKey["Counts"]()
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
PATIENCE = 300
"""Seconds that one command may take on a busy machine."""

SMALL = ["data=synthetic", "data.train_images=256", "data.test_images=64", "model=fc_64", "threads=1", "device=cpu"]
EVERYTHING = [
    *("data=synthetic", "data.train_images=320", "data.test_images=64", "threads=1", "device=cpu"),
    "model=cnn_dropout",
    "model.layers=[conv 4, pool 2, 'dropout ${..conv_dropout}', flatten, dense 16, bn, 'dropout ${..dense_dropout}']",
    *("augment=shift_flip", "average=0.9", "scheduler=cosine", "optimizer=adam", "validation=40", "clip_norm=1"),
    *("label_smoothing=0.1", "early_stopping=50", "checkpoint.every_steps=7", "batch_size=8", "tensorboard=off"),
]
"""All that has a state, and checkpoints in the middle of an epoch."""


@dataclass
class Counts:
    """What was done to dlrun, and what became of it."""

    done: Counter[str] = field(default_factory=Counter)
    by_target: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    slowest_stop: float = 0.0

    def corrupted(self, target: str, outcome: str) -> None:
        """One corruption of a kind of file, and whether it was `refused`, `rebuilt` or `harmless`."""
        self.by_target[target] += 1
        self.outcomes.setdefault(target, Counter())[outcome] += 1


@pytest.fixture(scope="session")
def counts(pytestconfig: pytest.Config) -> Counts:
    return pytestconfig.stash.setdefault(COUNTS, Counts())


@pytest.fixture(scope="session")
def few_or() -> Callable[[int, int], int]:
    """The smaller number in the default suite, the larger one with `DLRUN_FAULTS=all`."""
    return lambda few, many: many if THOROUGH else few


@pytest.fixture(scope="session")
def words() -> SimpleNamespace:
    return SimpleNamespace(small=SMALL, everything=EVERYTHING)


class Command:
    """`dlrun` in a process of its own, in a folder; output goes to files, so that no pipe can stall it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *arguments: str, code: str | None = None, **options: Any) -> "subprocess.Popen[bytes]":
        """Start the command; with `code`, Python code that runs before (and may call) `dlrun.cli.main`."""
        program = ["-m", "dlrun"] if code is None else ["-c", code]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("variables", {})}
        with (self.folder / "stdout").open("wb") as stdout, (self.folder / "stderr").open("wb") as stderr:
            return subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=self.folder,
                env=environment,
                stdout=stdout,
                stderr=stderr,
                **options,
            )

    def run(self, *arguments: str, code: str | None = None, **options: Any) -> int:
        """Run it to its end and give its exit status."""
        return self.start(*arguments, code=code, **options).wait(PATIENCE)

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture(scope="session")
def command_in() -> Callable[[Path], Command]:
    return Command


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of EVERYTHING that nobody hurt: its folder, what it left, and the seconds it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    command = Command(folder)
    assert command.run(*EVERYTHING, "epochs=3", "hydra.run.dir=r") == 0, command.stderr
    seconds = time.monotonic() - started
    return SimpleNamespace(folder=folder / "r", left=left_by(folder / "r"), seconds=seconds)


def left_by(run_dir: Path) -> dict[str, Any]:
    """What must be the same bits however often a run was stopped: weights, metrics, history."""
    import torch

    from dlrun.store.result import Result

    result = Result.read(run_dir)
    with (run_dir / "history.csv").open() as file:
        rows = [
            {name: value for name, value in row.items() if name not in ("seconds", "images_per_second")}
            for row in csv.DictReader(file)
        ]
    state = torch.load(run_dir / "checkpoints" / "last.pt", weights_only=True)["state"]
    best = torch.load(run_dir / "checkpoints" / "best.pt", weights_only=True)
    tensors = {**flat(state["model"], "model"), **flat(state["optimizer"], "optimizer")}
    tensors |= {**flat(state["average"] or {}, "average"), **flat(best["model"], "best")}
    return {
        "status": result.status,
        "hash": result.hash,
        "metrics": (result.epochs, result.train, result.test, result.best),
        "history": rows,
        "tensors": {name: (value.dtype, value.numpy().tobytes()) for name, value in tensors.items()},
    }


def flat(values: dict[Any, Any], prefix: str) -> dict[str, Any]:
    """All tensors in nested dicts and lists by path."""
    import torch

    found = {}
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if isinstance(value, torch.Tensor):
            found[f"{prefix}.{key}"] = value
        elif isinstance(value, dict | list):
            found |= flat(value, f"{prefix}.{key}")
    return found


@pytest.fixture(scope="session", name="left_by")
def _left_by() -> Callable[[Path], dict[str, Any]]:
    return left_by


def hurt(data: bytes, chance: random.Random) -> tuple[bytes, str]:
    """The bytes with damage at a random place, and a word for it."""
    size = len(data)
    at = chance.randrange(size)
    span = min(chance.choice([1, 4, 64, 512, 4096]), size - at)
    noise = chance.randbytes(span)
    kinds = {
        "flip": data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
        "overwrite": data[:at] + noise + data[at + span :],
        "zero": data[:at] + bytes(span) + data[at + span :],
        "insert": data[:at] + noise + data[at:],
        "delete": data[:at] + data[at + span :],
        "repeat": data[: at + span] + data[at:],
        "truncate": data[:at],
    }
    kind = chance.choice(list(kinds))
    return kinds[kind], f"{kind} {span} at {at} of {size}"


@pytest.fixture(scope="session", name="hurt")
def _hurt() -> Callable[[bytes, random.Random], tuple[bytes, str]]:
    return hurt


def complaints(stderr: str) -> list[str]:
    """The lines of standard error that are no warnings; a traceback fails at once."""
    assert "Traceback" not in stderr, stderr
    assert "Logging error" not in stderr, stderr
    return [line for line in stderr.splitlines() if not line.startswith(("WARNING", "going on"))]


@pytest.fixture(scope="session", name="complaints")
def _complaints() -> Callable[[str], list[str]]:
    return complaints


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes put in here do not outlive the test."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


# --- the page ---------------------------------------------------------------------------------------------


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    counts = session.config.stash.get(COUNTS, None)
    if counts is not None and THOROUGH and not session.testsfailed and counts.done["kill"] and counts.by_target:
        PAGE.write_text(page(counts), encoding="utf-8")


def page(counts: Counts) -> str:
    """docs/reliability.md."""
    import torch

    import dlrun

    total, by_command = sum(counts.by_target.values()), counts.done["corruption by command"]
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}, dlrun {dlrun.__version__}"
    lines = [
        "# Reliability",
        "",
        "Written by the fault suite from what it counted: `DLRUN_FAULTS=all .venv/bin/python -m pytest tests/faults`",
        f"({datetime.date.today()}; {system}; {versions}). `scripts/test --all` does the same in small numbers.",
        "",
        "| what was done | times | what became of it |",
        "|---|---|---|",
        f"| kill -9 at random moments of a run | {counts.done['kill']} | "
        "0 finished results lost, 0 runs that differ after resume |",
        f"| kill -9 inside a write (before and after each `fsync` and rename, half a file written) | "
        f"{counts.done['kill in a write']} | 0 finished results lost, 0 runs that differ after resume |",
        f"| TERM, USR1, USR2, INT in training, in a long evaluation, before training | {counts.done['signal']} | "
        f"all left with 128 + N, the slowest after {counts.slowest_stop:.1f} s |",
        f"| corrupted files | {total} | 0 tracebacks, 0 silent acceptances |",
        f"| of these by command | {by_command} | one or two lines and exit status 1 or 2, or the same results |",
        f"| changed tables (files that people write) | {counts.done['table']} | 0 tracebacks |",
        f"| full disk, file-size limit, too few open files, read-only, vanished folder, too little memory | "
        f"{counts.done['limit']} | a sentence each; what was saved stays whole; goes on when there is room |",
        f"| bad inputs to the verbs | {counts.done['bad input']} | 0 tracebacks |",
        f"| runs started at once in one `outputs` | {counts.done['same second']} | a folder each, all complete |",
        f"| second resume of a run that lives | {counts.done['second resume']} | refused; free again after kill -9 |",
        "",
        "*Differ* means: any bit of weights, averages, optimizer state, best weights, losses or accuracies. The killed",
        "runs have dropout, augmentation, an average of the weights, a schedule, validation, early stopping, gradient",
        "clipping and checkpoints in the middle of an epoch. Both runs are of one machine: with another PyTorch,",
        "or on a CPU of another vendor or model, a run goes on the same within rounding, and says so.",
        "",
        "## Corrupted files",
        "",
        "Bits flipped, bytes overwritten, zeroed, inserted, deleted, repeated, files cut off, at random places.",
        "*Refused*: an error of one or two lines. *Rebuilt*: noticed, and the same content taken from elsewhere.",
        "*Harmless*: the content read is the same (white space, a comment, a padding byte).",
        "",
        "| file | corrupted | refused | rebuilt | harmless |",
        "|---|---|---|---|---|",
    ]
    for target, number in sorted(counts.by_target.items()):
        found = counts.outcomes[target]
        lines.append(f"| {target} | {number} | {found['refused']} | {found['rebuilt']} | {found['harmless']} |")
    return "\n".join([*lines, *LIMITS, ""])


LIMITS = """
Data are checked while `data.verify` is on, its default; a folder of one's own pictures and a table have no
checksum anywhere, so there a change that leaves the file valid is taken for what it says (the data's fingerprint
stands in every result, and a run does not go on with other data than it began with).

## Disk

A run keeps `last.pt`, the checkpoint before it (`previous.pt`) and `best.pt`. With weights of W bytes, optimizer
state of O (momentum: W, Adam: 2 W) and an average of A (0 or W), `last.pt` and `previous.pt` take W + O + A each and
`best.pt` takes W: 5 W with momentum, 7 W with Adam, 9 W with Adam and an average. While a checkpoint is written,
one more of its size. That does not grow with the number of epochs; what a killed process left half-written is
deleted when the run goes on. `history.csv` and TensorBoard files grow with the epochs.""".splitlines()
