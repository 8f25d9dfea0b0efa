"""What a run left behind: `result.json`, written last and whole."""

import dataclasses
import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlrun.errors import Damaged, UsageError
from dlrun.files import read_regular, write_atomically
from dlrun.store.status import WRITTEN, Status

SCHEMA = 1
LARGEST = 50_000_000
"""Bytes of the largest result or history that is read."""


@dataclass
class Result:
    """The content of `result.json`. Accuracies are fractions 0-1, losses those of the field `loss`, times seconds."""

    status: Status
    """`completed`, `failed` or `interrupted`."""
    hash: str
    """Eight hex digits of all that determines the numbers."""
    name: str
    """The name given (`name=…`), else that of the folder."""
    seed: int
    """Of every random number."""
    overrides: list[str]
    """What was typed."""
    data: dict[str, Any]
    """`name`, `fingerprint` of the decoded content, `verified` against official checksums."""
    model: str
    """What the network is called: the option chosen for `model` if it is what that says, else its layers."""
    parameters: dict[str, int]
    """`total`, `trainable`, `non_trainable` (batch-norm statistics included, as Keras counts)."""
    epochs: int
    """Epochs that were completed."""
    train: dict[str, float] | None
    """`loss` and `accuracy` of the last epoch: running averages during the epoch."""
    test: dict[str, float] | None
    """`loss` and `accuracy` on the test set after the last epoch."""
    best: dict[str, Any] | None
    """`epoch`, `accuracy`, `selected_on` (`test` or `val`); where the lowest loss was best, `loss` and `by: loss`."""
    seconds: dict[str, float]
    """`total`, `train`, `evaluate`, `start` (from the process' start to the first step)."""
    images_per_second: float | None
    """Training images, in the last epoch."""
    device: str
    """`cpu`, or the name of the GPU."""
    precision: str
    """`float32`, `bfloat16` or `float16`."""
    threads: int
    """CPU threads of PyTorch; their number changes the last bits."""
    cpu_capability: str
    """Vector instructions that PyTorch uses (`AVX2` …); they change the last bits."""
    versions: dict[str, str]
    """Of Python, the system, dlrun and the packages it rests on."""
    git: dict[str, Any] | None
    """`commit` of the working directory when the run began and whether it was `dirty`; None outside a repository."""
    error: dict[str, str] | None = None
    """`type` and `message` of what ended a run that failed."""
    ranks: int = 1
    """Processes (of `torchrun`) that trained it together."""
    origin: dict[str, Any] | None = None
    """Of an extended run: `hash` and `epochs` of the run it went on from."""
    history: str | None = None
    """Checksum of `history.csv`; None while the run goes on and changes it."""
    cpu: str | None = None
    """Vendor, family and model of the CPU, and the variables that hold its libraries to other instructions."""
    schema: int = field(default=SCHEMA)
    """Version of this format."""

    def write(self, run_dir: Path) -> None:
        """Write `result.json` atomically, with a checksum over its other fields."""
        values = json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))
        text = json.dumps({**values, "checksum": _checksum(values)}, indent=2)
        write_atomically(run_dir / "result.json", text + "\n")

    @classmethod
    def read(cls, run_dir: Path) -> "Result":
        """Read `result.json` of a run folder.

        Raises:
            Damaged: It is not as it was written.
            UsageError: It is missing, can't be opened, or is of another schema.
        """
        path = run_dir / "result.json"
        try:
            values = json.loads(content(path))
        except FileNotFoundError:
            raise UsageError(f"{run_dir}: no result.json, so this is no finished run") from None
        except (ValueError, RecursionError) as error:
            raise Damaged(f"{path}: can't be read as JSON ({type(error).__name__})") from None
        return cls(**checked(values, path))


def content(path: Path) -> bytes:
    """The bytes of a result or a history.

    Raises:
        FileNotFoundError: It is not there.
        UsageError: It can't be read, or is larger than any.
    """
    try:
        return read_regular(path, LARGEST)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})") from None


def _checksum(values: dict[str, Any]) -> str:
    """Sixteen hex digits of all fields but `checksum`, whatever their order and the white space."""
    text = json.dumps({key: values[key] for key in values if key != "checksum"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def reopen(run_dir: Path, hash: str, origin: dict[str, Any] | None) -> None:
    """Say of an earlier result that its run goes on, from now on under this hash: it is no outcome any more.

    What it holds of the epochs so far stays; the checksum of the history, which grows, does not.
    """
    result = read_result(run_dir)
    if result is not None:
        going = dataclasses.replace(
            result, status=Status.INTERRUPTED, hash=hash, origin=origin, history=None, error=None
        )
        going.write(run_dir)


def checked(values: Any, path: Path | str) -> dict[str, Any]:
    """The arguments of `Result` from the values of a file.

    Raises:
        Damaged: A field is missing or wrong, or the checksum among them does not fit.
        UsageError: They are of another schema.
    """
    known = {item.name for item in dataclasses.fields(Result)}
    required = known - {"error", "origin", "ranks", "history", "cpu"}
    if isinstance(values, dict) and "checksum" in values and values["checksum"] != _checksum(values):
        raise Damaged(f"{path}: damaged (its checksum does not match its content)")
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise UsageError(f"{path}: not a result of schema {SCHEMA}")
    missing = sorted(required - values.keys())
    if missing or values["status"] not in WRITTEN or not _well_typed(values):
        raise Damaged(f"{path}: damaged (missing or wrong: {', '.join(missing) or 'a field'})")
    return {key: value for key, value in values.items() if key in known} | {"status": Status(values["status"])}


def _well_typed(values: dict[str, Any]) -> bool:
    groups = ("data", "parameters", "seconds", "versions")
    texts = ("hash", "name", "model", "device", "precision", "cpu_capability")
    optional_groups = ("train", "test", "best", "error", "origin", "git")
    return (
        all(isinstance(values[name], dict) for name in groups)
        and all(isinstance(values[name], str) for name in texts)
        and all(values.get(name) is None or isinstance(values[name], dict) for name in optional_groups)
        and all(_numbers(values[name]) for name in ("train", "test") if values[name] is not None)
        and all(isinstance(values.get(name), str | None) for name in ("history", "cpu"))
        and all(isinstance(text, str) for text in (values.get("error") or {}).values())
        and all(map(_is_number, (*values["parameters"].values(), *values["seconds"].values())))
        and (values["images_per_second"] is None or _is_number(values["images_per_second"]))
        and (values["best"] is None or _is_best(values["best"]))
        and all(type(values.get(name, 1)) is int for name in ("seed", "epochs", "threads", "ranks"))
        and isinstance(values["overrides"], list)
        and all(isinstance(item, str) for item in values["overrides"])
    )


def _numbers(metrics: dict[str, Any]) -> bool:
    return all(_is_number(metrics.get(name)) for name in ("loss", "accuracy"))


def _is_best(best: dict[str, Any]) -> bool:
    chosen = isinstance(best.get("selected_on"), str)
    return chosen and type(best.get("epoch")) is int and _is_number(best.get("accuracy"))


def _is_number(value: Any) -> bool:
    # A whole number may be too large for a float, of which math.isfinite would raise.
    most = sys.float_info.max
    return isinstance(value, int | float) and not isinstance(value, bool) and -most <= value <= most


def read_result(run_dir: Path) -> Result | None:
    """The result in a run folder, None where there is none or it is damaged."""
    try:
        return Result.read(run_dir)
    except UsageError:
        return None


def was_killed(result: Result) -> bool:
    """Whether the run's process was killed, which says nothing against its configuration."""
    return result.status == Status.FAILED and (result.error or {}).get("type") == "Killed"
