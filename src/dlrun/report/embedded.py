"""The figures of some runs as pictures inside the page."""

import base64
import re
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
VECTOR = re.compile(rb'<svg xmlns="http://www\.w3\.org/2000/svg" width="([\d.]+)" height="([\d.]+)" viewBox=')
"""How the figures begin whose text is text; those of 0.1.0 have outlines, or a PNG inside."""


@dataclass(frozen=True)
class Picture:
    """A figure as a data URL, with its size in pixels of the page and what it shows."""

    title: str
    width: float
    height: float
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
    chosen = dict.fromkeys(file for kind in KINDS for file in files if kind in file.stem)
    return [_vector(file) or file for file in chosen]


def _vector(file: Path) -> Path | None:
    """The SVG beside a PNG, where it is one of `VECTOR`: any letters are shown, whatever fonts drew the PNG."""
    vector = file.with_suffix(".svg")
    if not vector.is_file():
        return None
    with vector.open("rb") as begun:
        return vector if VECTOR.match(begun.read(200)) else None


def _picture(file: Path) -> Picture | None:
    """The picture; None where the file is none."""
    content = file.read_bytes()
    if head := VECTOR.match(content):
        kind, width, height = "svg+xml", *(float(side) for side in head.groups())
    elif content.startswith(SIGNATURE) and len(content) >= 24:
        kind, width, height = "png", *struct.unpack(">II", content[16:24])
    else:
        return None
    url = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return Picture(file.stem.replace("_", " ").capitalize(), width, height, url)
