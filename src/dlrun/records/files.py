"""Files of records, a record a line: read line by line, merged in one order whatever the order they came in."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dlrun.errors import Damaged, UsageError
from dlrun.files import replacing
from dlrun.records.record import LONGEST, Record

OWN = Path("records")
"""A folder of this name in the working directory, beside `configs/`, is found by itself."""


@dataclass(frozen=True)
class RecordLine:
    """A record and where it stands."""

    record: Record
    path: Path
    number: int
    """Of the line, from 1."""
    text: bytes
    """As it stands there, less its line break."""
    start: int
    """Bytes of the file before it."""


def record_files(paths: Iterable[Path]) -> list[Path]:
    """The files meant, each once: of a folder those in it whose names end in .jsonl.

    Raises:
        UsageError: There is no such file, or none in the folder.
    """
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path}: a folder without files of records (*.jsonl)")
        if not path.exists():
            raise UsageError(f"{path}: no such file of records")
        found.update(dict.fromkeys(inside))
    return list(found)


def own() -> list[Path]:
    """The files of the user's own folder of records."""
    return sorted(OWN.glob("*.jsonl")) if OWN.is_dir() else []


def read(paths: Iterable[Path]) -> Iterator[RecordLine]:
    """Every record of some files, one at a time.

    Raises:
        Damaged: A line is not as it was written; the message has its number.
        UsageError: A line is no record, or a file can't be read.
    """
    for path in paths:
        start, empty = 0, True
        for number, text in enumerate(_lines(path), start=1):
            line = text.rstrip(b"\r\n")
            if line:
                empty = False
                yield RecordLine(_record(line, path, number), path, number, line, start)
            start += len(text)
        if empty:
            raise UsageError(f"{path}: there is no record in it")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        if not path.is_file():
            raise UsageError(f"{path}: not a file")
        with path.open("rb") as file:
            while text := file.readline(LONGEST + 1):
                yield text
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})") from None


def _record(line: bytes, path: Path, number: int) -> Record:
    try:
        if len(line) > LONGEST:
            raise UsageError(f"longer than {LONGEST:,} bytes")
        return Record.of_line(line)
    except UsageError as error:
        raise type(error)(f"{path}: line {number}: {error}") from None


@dataclass(frozen=True, order=True)
class _Place:
    """Where a line stands, in the order of a merged file: the seeds of one configuration beside each other."""

    experiment: str
    seed: int
    digest: bytes
    """Of the line."""
    path: Path
    start: int
    length: int


class Merged:
    """Lines of several sources without repeats, in one order; only their places are kept in memory.

    Repeats are runs of one hash, one content of the data, one seed and one environment with the same numbers: of
    several the line that comes first in the order of bytes of its digest stays, whatever the order they came in. Equal
    runs with other numbers are all kept.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, _Place] = {}
        self._numbers: dict[bytes, str] = {}
        self.disagreeing: set[bytes] = set()
        """Digests of hash, content of the data and seed of the runs whose results differ from each other."""

    def add(self, line: RecordLine) -> None:
        """Take a line in, unless its run is there already."""
        record, digest = line.record, hashlib.sha256(line.text).digest()
        place = _Place(record.experiment, record.result.seed, digest, line.path, line.start, len(line.text))
        same = same_run(record)
        if self._numbers.setdefault(same, record.numbers) != record.numbers:
            self.disagreeing.add(same)
        repeat = hashlib.sha256(same + f"{record.environment} {record.numbers}".encode()).digest()
        known = self._places.setdefault(repeat, place)
        if place.digest < known.digest:
            self._places[repeat] = place

    def __len__(self) -> int:
        return len(self._places)

    def write(self, path: Path) -> None:
        """Write the lines to `path`, which may be one of those they came from.

        Raises:
            Damaged: A file has changed in between.
            OSError: It can't be written.
        """
        with replacing(path) as file:
            for place in sorted(self._places.values()):
                with place.path.open("rb") as source:
                    source.seek(place.start)
                    text = source.read(place.length)
                if hashlib.sha256(text).digest() != place.digest:
                    raise Damaged(f"{place.path}: changed while it was read")
                file.write(text + b"\n")


def same_run(record: Record) -> bytes:
    """A digest of what two records of one run share on whatever machines: hash, content of the data, seed."""
    result = record.result
    return hashlib.sha256(f"{result.hash} {result.data['fingerprint']} {result.seed}".encode()).digest()
