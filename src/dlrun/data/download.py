"""One file from the first mirror that serves it whole: progress bar, resume, checksum, atomic rename."""

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dlrun.data import content
from dlrun.errors import DataError

TIMEOUT = 30
"""Seconds without an answer after which a mirror is given up."""

TRIES = 3
"""How often a mirror that breaks off is asked to go on."""

BLOCK = 1 << 18

FAILURES = (OSError, http.client.HTTPException, ValueError)
"""What urllib raises when a mirror is unreachable, refuses or talks nonsense (URLError is an OSError)."""


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """A bar a file on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield bars


def download(addresses: Sequence[str], target: Path, md5: str, bars: Progress) -> None:
    """Put the file with that md5 at `target`; what arrives before a failure stays in `<target>.part`.

    Raises:
        DataError: No mirror served the file; the message lists each with its reason.
        OSError: The folder can't be written.
    """
    part = target.with_name(f"{target.name}.part")
    task = bars.add_task(target.name, total=None)
    reasons = []
    for address in addresses:
        reason = _from_mirror(address, part, md5, bars, task)
        if reason is None:
            part.replace(target)
            return
        reasons.append(f"{address}: {reason}")
    raise DataError(f"{target.name} could not be downloaded: " + "; ".join(reasons))


def _from_mirror(address: str, part: Path, md5: str, bars: Progress, task: TaskID) -> str | None:
    """Complete `part` from one mirror; None, or why that failed."""
    reason = None
    for _ in range(TRIES):
        resumed = _size(part) > 0
        reason = _broken_off(address, part, bars, task) or _wrong(part, md5)
        if reason is None:
            return None
        # What an earlier call or another mirror left may have been at fault: then once more from the start.
        if not resumed and _size(part) == 0:
            return reason
    return reason


def _broken_off(address: str, part: Path, bars: Progress, task: TaskID) -> str | None:
    """Receive what is missing in `part`; None, or why that failed."""
    try:
        return None if _receive(address, part, bars, task) else "the connection broke off"
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        return f"{error.code} {error.reason}"
    except FAILURES as error:
        return str(getattr(error, "reason", None) or error)


def _wrong(part: Path, md5: str) -> str | None:
    found = content.md5(content.read(part))
    if found == md5:
        return None
    part.unlink()
    return f"checksum mismatch: expected md5 {md5}, found {found}"


def _receive(address: str, part: Path, bars: Progress, task: TaskID) -> bool:
    """Append what is missing in `part`; whether all has arrived."""
    have = _size(part)
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        # A server without ranges answers 200 and sends everything.
        resumed = answer.status == http.client.PARTIAL_CONTENT
        have = have if resumed else 0
        total = have + int(answer.headers["Content-Length"]) if answer.headers["Content-Length"] else None
        bars.update(task, completed=have, total=total)
        with part.open("ab" if resumed else "wb") as file:
            for block in _blocks(answer):
                file.write(block)
                have += len(block)
                bars.update(task, completed=have)
                if have > content.LIMIT:
                    raise ValueError(f"more than {content.LIMIT} bytes")
    return total is None or have == total


def _blocks(answer: Any) -> Iterator[bytes]:
    while block := answer.read(BLOCK):
        yield block


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
