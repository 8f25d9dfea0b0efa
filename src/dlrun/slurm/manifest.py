"""What was submitted: the runs, and which job of Slurm has which of them, as one JSON file (no torch)."""

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dlrun.arrays.submitted import SubmittedRun
from dlrun.errors import UsageError, did_you_mean
from dlrun.files import write_atomically
from dlrun.locks import locked

PARENT = Path("outputs/slurm")
SCHEMA = 1


@dataclass(frozen=True)
class Submitted:
    """A job of Slurm and the folders of the runs that it holds."""

    id: str
    """As squeue shows it: `12`, or `12_3` in an array."""
    folders: list[str]


@dataclass
class Manifest:
    """Everything submitted under one name, from the first call on; of a run's jobs the last one counts."""

    name: str
    words: list[str]
    """What was typed after `dlrun slurm submit`; empty for the launcher."""
    runs: list[SubmittedRun] = field(default_factory=list)
    jobs: list[Submitted] = field(default_factory=list)
    schema: int = SCHEMA
    of: str = ""
    """What the name stands for: the sweep in a folder, rows and seeds of a table. Empty in one of dlrun 0.1.0."""

    @property
    def folder(self) -> Path:
        """Where the manifest, the batch scripts and the logs of the jobs lie."""
        return PARENT / self.name

    def add(self, runs: Iterable[SubmittedRun]) -> None:
        """Take runs in; one that is there already is replaced."""
        by_folder = {run.folder: run for run in (*self.runs, *runs)}
        self.runs = list(by_folder.values())

    def job_of(self, folder: str) -> str | None:
        """The newest job that holds this run."""
        return next((job.id for job in reversed(self.jobs) if folder in job.folders), None)

    def write(self) -> None:
        """Write `manifest.json`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(self), indent=1)
        write_atomically(self.folder / "manifest.json", text + "\n")


def read(name: str) -> Manifest:
    """The manifest of a name.

    Raises:
        UsageError: There is none, or it is damaged.
    """
    path = PARENT / name / "manifest.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["schema"] != SCHEMA:
            raise ValueError("schema")
        values["runs"] = [SubmittedRun(**one) for one in values["runs"]]
        values["jobs"] = [Submitted(**one) for one in values["jobs"]]
        return Manifest(**values)
    except FileNotFoundError:
        raise UsageError(f"{name}: nothing was submitted under this name{did_you_mean(name, names())}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: damaged ({type(error).__name__}); move it away") from None


@contextlib.contextmanager
def submitting(name: str, of: str, words: Sequence[str] = ()) -> Iterator[Manifest]:
    """The manifest of what goes by a name, or a new one, while nobody else submits from this working directory.

    Two things may be called alike, such as sweeps in two folders: the second one gets the name with a number.

    Args:
        of: What the name stands for, as `Manifest.of` has it.
        words: What was typed this time; without any, those from before stay.
    """
    PARENT.mkdir(parents=True, exist_ok=True)
    lock = PARENT / ".lock"
    try:
        with locked(lock):
            try:
                yield _begun(name, of, words)
            finally:
                lock.unlink(missing_ok=True)
    finally:
        with contextlib.suppress(OSError):  # of a refusal nothing stays behind
            PARENT.rmdir()
            PARENT.parent.rmdir()


def _begun(name: str, of: str, words: Sequence[str]) -> Manifest:
    numbered = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    for one in numbered:
        if not (PARENT / one / "manifest.json").exists():
            return Manifest(one, list(words), of=of)
        found = read(one)
        if found.of in ("", of):
            return dataclasses.replace(found, words=list(words) or found.words, of=of)
    raise AssertionError("numbers don't end")


def names() -> list[str]:
    """Everything submitted from this working directory, the newest first."""
    found = sorted(PARENT.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.parent.name for path in found]
