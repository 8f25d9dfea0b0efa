"""What several test modules need and no fixture has to prepare."""

import contextlib
import csv
import importlib.util
import io
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from dlrun.config.schema import Config
from dlrun.config.settled import settle
from dlrun.files import write_atomically
from dlrun.records.record import Record
from dlrun.store.history import NAME, as_text, columns
from dlrun.store.result import Result

WITHOUT_FORKS = "import dlrun.linux; dlrun.linux.FORKS = False; "
"""Lets a command take the way of macOS and Windows, where every job is a fresh process."""

KERAS_PYTHON = os.environ.get("DLRUN_KERAS_PYTHON") or (
    sys.executable if importlib.util.find_spec("tensorflow") else None
)
"""The interpreter that has Keras, None if there is none."""


def hear_ctrl_c() -> None:
    """As `preexec_fn`: a shell in the background starts what is to ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def write_history(run_dir: Path, rows: Sequence[Sequence[float]], split: str) -> None:
    """Write the `history.csv` of a run that has got so far."""
    write_atomically(run_dir / NAME, as_text([columns(split)]) + as_text(rows))


def wait_for(reached: Callable[[], object], seconds: float = 300) -> None:
    """Return when `reached()` is true; fail when that takes too long."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.05)


def heard(*words: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `dlrun WORDS`, in this process and its working directory."""
    from dlrun import cli

    stdout, stderr = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            status = cli.main(list(words))
    except SystemExit as error:  # argparse
        status = int(error.code or 0)
    assert "Traceback" not in stdout.getvalue() + stderr.getvalue()
    return status, stdout.getvalue(), stderr.getvalue()


def said(*words: str) -> tuple[int, str]:
    """Exit status of `dlrun WORDS` and all that it prints, as `heard`."""
    status, stdout, stderr = heard(*words)
    return status, stdout + stderr


def json_keys(command: str) -> list[str]:
    """The keys that the reference names for `dlrun COMMAND --json`."""
    text = (Path(__file__).parents[1] / "docs/reference.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(f"| `dlrun {command} --json` |"))
    return re.findall(r"`(\w+)`", row.split(" | ")[-1])


def result_of_a_run(**changes: Any) -> Result:
    """The result of a completed run of FC 64 on MNIST, less what is given."""
    values: dict[str, Any] = {
        "status": "completed",
        "hash": "",
        "name": "",
        "seed": 0,
        "overrides": [],
        "data": {"name": "mnist", "fingerprint": "ab" * 32, "verified": True},
        "model": "fc_64",
        "parameters": {"total": 55_050, "trainable": 55_050, "non_trainable": 0},
        "epochs": 10,
        "train": {"loss": 0.1, "accuracy": 0.95},
        "test": {"loss": 0.3, "accuracy": 0.9},
        "best": {"epoch": 7, "accuracy": 0.91, "selected_on": "test"},
        "seconds": {"total": 12.0, "train": 10.0, "evaluate": 1.0, "start": 1.0},
        "images_per_second": 1e5,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "cpu_capability": "AVX2",
        "versions": {"dlrun": "0.1.0", "torch": "2.13.0"},
        "git": None,
    }
    return Result(**{**values, **changes})


def on_terminal(
    words: Sequence[str], folder: Path, columns: int = 80, interrupt_at: str | None = None
) -> tuple[int, str]:
    """Exit status and output of `dlrun WORDS` on a terminal of its own, less the codes that move the cursor.

    What is written over a line stands in a line of its own; no line is so long that the terminal would wrap it.

    Args:
        interrupt_at: Ctrl-C is typed when this appears.
    """
    import fcntl
    import pty
    import termios

    def in_a_session_of_its_own() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        hear_ctrl_c()

    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "dlrun", *words],
        cwd=folder,
        env={**environment, "TERM": "xterm-256color"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        preexec_fn=in_a_session_of_its_own,
    )
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):  # raised where the other end is closed
        while received := os.read(controller, 65536):
            seen += received
            if interrupt_at is not None and interrupt_at.encode() in seen:
                os.write(controller, b"\x03")
                interrupt_at = None
    os.close(controller)
    status = process.wait(60)
    text = re.sub(r"\x1b\[([0-9;]*H|\?1049l)", "\n", seen.decode(errors="replace"))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\^C", "", text)
    lines = [line for line in re.split(r"[\r\n]+", text) if line]
    long = [line for line in lines if cell_len(line) > columns]
    assert not long, "\n".join(long)
    return status, "\n".join(lines)


def record_of_a_run(
    config: Config, accuracies: Sequence[float] = (0.8, 0.9), split: str = "test", **changes: Any
) -> Record:
    """The record of a completed run with these accuracies an epoch, less what is given of its result."""
    rows = [
        {
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "train_accuracy": 0.99 * accuracy,
            f"{split}_loss": 2 / epoch,
            f"{split}_accuracy": accuracy,
            "lr": 0.01,
            "seconds": 1.5,
            "images_per_second": 1000.5,
        }
        for epoch, accuracy in enumerate(accuracies, start=1)
    ]
    last, best = rows[-1], max(accuracies)
    values = {
        "hash": settle(config).hash,
        "seed": config.seed,
        "data": {"name": getattr(config.data, "name", "own"), "fingerprint": "abcd0123abcd0123", "verified": True},
        "epochs": len(rows),
        "train": {"loss": last["train_loss"], "accuracy": last["train_accuracy"]},
        "test": {"loss": 2 / len(rows), "accuracy": accuracies[-1]},
        "best": {"epoch": list(accuracies).index(best) + 1, "accuracy": best, "selected_on": split},
    }
    return Record.of(config, result_of_a_run(**{**values, **changes}), rows)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, less locks, what was typed and the commands that stand in for Slurm's."""
    left_out = (".lock", ".claim", "sbatch", "sweep.yaml")
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in left_out}


def same_bits(one: Path, other: Path) -> bool:
    """Whether two runs have the same weights and the same curve."""
    import torch

    from dlrun.store.history import read_history

    def weights(folder: Path) -> dict[str, Any]:
        state: dict[str, Any] = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["state"]["model"]
        return state

    def curve(folder: Path) -> list[float]:
        return [row[name] for row in read_history(folder) for name in ("train_loss", "test_loss", "test_accuracy")]

    first, second = weights(one), weights(other)
    return curve(one) == curve(other) and all(torch.equal(first[name], second[name]) for name in first)


def process_of(job: str, module: bytes) -> int:
    """The process of a job of Slurm that runs a module of Python."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        ours = f"SLURM_JOB_ID={job}".encode() in environment and b"SLURM_PROCID=0" in environment
        if ours and module in command.split(b"\0"):
            return int(folder.name)
    raise AssertionError(f"no process of job {job} runs {module!r}")


def bits(folder: Path) -> dict[str, list[list[str]]]:
    """What was learnt, less times: the first columns of every history, by name of the run."""
    paths = sorted(folder.glob("*/history.csv"))
    return {path.parent.name: [row[:6] for row in csv.reader(path.read_text().splitlines())] for path in paths}


def ended(folder: Path, status: str = "completed") -> list[Path]:
    """The runs of a sweep with this status."""
    paths = [path.parent for path in folder.glob("*/result.json")]
    return [path for path in paths if Result.read(path).status == status]


def daemon(command: list[str], folder: Path, stack: contextlib.ExitStack, own_session: bool = False) -> None:
    """Start a server of a cluster, whose output goes to a file in `folder`; it ends with the stack.

    Args:
        own_session: For one that ends what it has started by its process group.
    """
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program, f"{command[0]} is not installed"
    output = stack.enter_context((folder / f"{command[0]}.out").open("wb"))
    process = subprocess.Popen(
        [program, *command[1:]],
        stdout=output,
        stderr=output,
        stdin=subprocess.DEVNULL,
        start_new_session=own_session,
    )
    stack.callback(_stop, process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
