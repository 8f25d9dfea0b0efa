"""The figures of some runs as pictures inside the page."""

import base64
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlrun.store.scan import Run
from dlrun.store.status import Status

KINDS = ("confusion", "mistake", "class", "filter")
"""Figures that the page does not draw itself, by a part of their names, in the order shown."""
MOST_ENTRIES = 12
MOST_BYTES = 8_000_000
"""Of all files together: a page should still open at once, and fit into a mail."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A PNG as a data URL, with its size in pixels and what it shows."""

    title: str
    width: int
    height: int
    url: str


def pictures(entries: Iterable[tuple[str, Sequence[Run]]]) -> list[tuple[str, str, list[Picture]]]:
    """Label, run and pictures of each entry's first completed run that has some, while there is room."""
    found: list[tuple[str, str, list[Picture]]] = []
    room = MOST_BYTES
    for label, runs in entries:
        run = next((run for run in runs if run.status == Status.COMPLETED and _files(run.folder)), None)
        if run is None or len(found) == MOST_ENTRIES:
            continue
        files = _files(run.folder)
        room -= sum(file.stat().st_size for file in files)
        if room < 0:
            break
        found.append((label, run.folder.name, [one for file in files if (one := _picture(file))]))
    return found


def _files(folder: Path) -> list[Path]:
    files = sorted((folder / "figures").glob("*.png"))
    return list(dict.fromkeys(file for kind in KINDS for file in files if kind in file.stem))


def _picture(file: Path) -> Picture | None:
    """The picture; None where the file is none."""
    content = file.read_bytes()
    if not content.startswith(SIGNATURE) or len(content) < 24:
        return None
    width, height = struct.unpack(">II", content[16:24])
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    return Picture(file.stem.replace("_", " ").capitalize(), width, height, url)
