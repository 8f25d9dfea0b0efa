"""Checkpoints: tensors and plain values, written whole with a checksum, read without unpickling code."""

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from dlrun.errors import RunFailed, UsageError
from dlrun.files import read_regular, sync_folder, write_atomically
from dlrun.store import check

log = logging.getLogger("dlrun")

LARGEST = 1 << 37
"""Bytes; no memory here holds more."""

MARK = b"sha256:"
TRAILER = len(MARK) + 64
"""torch.save writes a zip file; the checksum stands in the zip's closing comment, so that one rename moves both."""


class CheckpointError(UsageError):
    """A checkpoint that is missing, damaged or not a checkpoint."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, text, lists, dicts) so that `path` is replaced whole or not at all.

    Raises:
        OSError: The folder can't be written or the disk is full.
    """
    write_atomically(path, _sealed(content))


def save_last(folder: Path, content: dict[str, Any]) -> None:
    """Write `last.pt`, read it back, and only then let go of the one before, which stays as `previous.pt`.

    Raises:
        OSError: As `save`; the earlier checkpoints are still there.
        RunFailed: What the disk gives back is not what was written.
    """
    last, previous, new = folder / "last.pt", folder / "previous.pt", folder / "new.pt"
    save(new, content)
    try:
        _proven(new)
    except CheckpointError as error:
        raise RunFailed(f"{error}, right after it was written") from None
    if last.exists():
        last.replace(previous)
    new.replace(last)
    sync_folder(folder)


def load(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint and check its checksum.

    Raises:
        CheckpointError: It is missing, damaged, or holds anything but tensors and plain values.
    """
    return _loaded(_proven(path), path, device)


def load_weights(path: Path) -> tuple[dict[str, Any], bytes]:
    """The weights by name in a checkpoint of dlrun or a state_dict that torch.save wrote, and the file's bytes.

    Of a run with an average of the weights they are the average, as everywhere. A state_dict may stand in a dict under
    `state_dict` or `model`.

    Raises:
        CheckpointError: It can't be read, is damaged, or holds anything but weights.
    """
    try:
        data = read_regular(path, LARGEST)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror})") from None
    if data[-TRAILER:].startswith(MARK) and data[-TRAILER - 2 :] != _seal(data[: -TRAILER - 2]):
        raise CheckpointError(f"{path}: damaged (its checksum does not match its content)")
    try:
        found: Any = _loaded(data, path, "cpu")
        if isinstance(found.get("state"), dict):
            found = found["state"].get("average") or found["state"].get("model")
        for name in ("state_dict", "model"):
            if isinstance(found, dict) and isinstance(found.get(name), dict):
                found = found[name]
        weights = check.group(found, "a dict of weights")
        if not weights:
            raise check.Wrong("it is empty")
        return {check.text(name, "a name"): check.tensor(one, str(name)) for name, one in weights.items()}, data
    except (CheckpointError, check.Wrong) as error:
        said = f" ({error})" if isinstance(error, check.Wrong) else ""
        raise CheckpointError(
            f"{path}: no file of weights{said}; expected a checkpoint of dlrun, or what "
            "torch.save(network.state_dict(), FILE) writes"
        ) from None


def _loaded(data: bytes, path: Path, device: str) -> dict[str, Any]:
    try:
        content = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except MemoryError:
        raise
    # A file made up by someone may have the right checksum; a wrong pickle raises nearly any exception.
    except Exception as error:
        raise CheckpointError(f"{path}: not a checkpoint of dlrun ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a checkpoint of dlrun")
    return content


def load_last(folder: Path, device: str = "cpu") -> dict[str, Any] | None:
    """The newest good checkpoint of a run; None when the run has none yet.

    A damaged `last.pt` is logged as a warning and the one before is used.

    Raises:
        CheckpointError: There are checkpoints and none of them is whole.
    """
    damaged: list[str] = []
    for path in (folder / "last.pt", folder / "previous.pt"):
        if not path.exists():
            continue
        try:
            content = load(path, device)
        except CheckpointError as error:
            damaged.append(str(error))
            continue
        for text in damaged:
            log.warning("%s; going on from %s", text, path.name)
        return content
    if damaged:
        raise CheckpointError("; ".join(damaged))
    return None


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is as it was written, by its checksum."""
    try:
        _proven(path)
    except CheckpointError:
        return False
    return True


def _sealed(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    body = buffer.getvalue()[:-2]  # the last two bytes are the length of the zip's (empty) comment
    return body + _seal(body)


def _seal(body: bytes) -> bytes:
    return TRAILER.to_bytes(2, "little") + MARK + hashlib.sha256(body).hexdigest().encode()


def _proven(path: Path) -> bytes:
    try:
        data = read_regular(path, LARGEST)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror})") from None
    body, end = data[: -TRAILER - 2], data[-TRAILER - 2 :]
    if end != _seal(body):
        raise CheckpointError(f"{path}: damaged (its checksum does not match its content)")
    return data
