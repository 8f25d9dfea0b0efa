"""What a run left behind: `result.json`, written last and whole, and `history.csv`, a row an epoch."""

import csv
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlrun.errors import UsageError
from dlrun.files import write_atomically

SCHEMA = 1
STATUSES = ("completed", "failed", "interrupted")


@dataclass
class Result:
    """The content of `result.json`. Accuracies are fractions 0-1, losses nats, times seconds."""

    status: str
    hash: str
    name: str
    seed: int
    overrides: list[str]
    data: dict[str, Any]
    """`name`, `fingerprint` of the decoded content, `verified` against official checksums."""
    model: str
    parameters: dict[str, int]
    """`total`, `trainable`, `non_trainable` (batch-norm statistics included, as Keras counts)."""
    epochs: int
    """Epochs that were completed."""
    train: dict[str, float] | None
    """`loss` and `accuracy` of the last epoch: running averages during the epoch."""
    test: dict[str, float] | None
    """`loss` and `accuracy` on the test set after the last epoch."""
    best: dict[str, Any] | None
    """`epoch`, `accuracy`, `selected_on` (`test` or `val`)."""
    seconds: dict[str, float]
    """`total`, `train`, `evaluate`, `start` (from the process' start to the first step)."""
    images_per_second: float | None
    device: str
    precision: str
    threads: int
    cpu_capability: str
    versions: dict[str, str]
    git: dict[str, Any] | None
    error: dict[str, str] | None = None
    ranks: int = 1
    """Processes (of `torchrun`) that trained it together."""
    origin: dict[str, Any] | None = None
    """Of an extended run: `hash` and `epochs` of the run it went on from."""
    schema: int = field(default=SCHEMA)

    def write(self, run_dir: Path) -> None:
        """Write `result.json` atomically."""
        text = json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False)
        write_atomically(run_dir / "result.json", text + "\n")

    @classmethod
    def read(cls, run_dir: Path) -> "Result":
        """Read `result.json` of a run folder.

        Raises:
            UsageError: It is missing, damaged or of another schema.
        """
        path = run_dir / "result.json"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"{run_dir}: no result.json, so this is no finished run") from None
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{path}: can't be read ({type(error).__name__})") from None
        return cls(**_checked(values, path))


def _checked(values: Any, path: Path) -> dict[str, Any]:
    known = {item.name for item in dataclasses.fields(Result)}
    required = known - {"error", "origin", "ranks"}
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise UsageError(f"{path}: not a result of schema {SCHEMA}")
    missing = sorted(required - values.keys())
    if missing or values["status"] not in STATUSES or not _well_typed(values):
        raise UsageError(f"{path}: damaged (missing or wrong: {', '.join(missing) or 'a field'})")
    return {key: value for key, value in values.items() if key in known}


def _well_typed(values: dict[str, Any]) -> bool:
    groups = ("data", "parameters", "seconds", "versions")
    texts = ("hash", "name", "model", "device", "precision", "cpu_capability")
    optional_groups = ("train", "test", "best", "error", "origin", "git")
    return (
        all(isinstance(values[name], dict) for name in groups)
        and all(isinstance(values[name], str) for name in texts)
        and all(values.get(name) is None or isinstance(values[name], dict) for name in optional_groups)
        and all(_numbers(values[name]) for name in ("train", "test") if values[name] is not None)
        and isinstance(values["seed"], int)
        and isinstance(values["epochs"], int)
        and isinstance(values["overrides"], list)
        and all(isinstance(item, str) for item in values["overrides"])
    )


def _numbers(metrics: dict[str, Any]) -> bool:
    return all(isinstance(metrics.get(name), int | float) for name in ("loss", "accuracy"))


def read_history(run_dir: Path) -> list[dict[str, float]]:
    """The rows of `history.csv` (see the design for the columns); a torn last line is left out.

    Returns an empty list when the file is not there.

    Raises:
        UsageError: The file is there and is no history.
    """
    path = run_dir / "history.csv"
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{path}: can't be read ({type(error).__name__})") from None
    if not lines or not lines[0] or lines[0][0] != "epoch":
        raise UsageError(f"{path}: not a history (its first line does not begin with epoch)")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            rows.append({name: float(value) for name, value in zip(lines[0], line, strict=True)})
        except ValueError:
            if number == len(lines):
                break
            raise UsageError(f"{path}: line {number} is damaged") from None
    return rows
