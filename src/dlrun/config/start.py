"""The weights that a run begins with: where they lie, and their checksum, by which the run is known (no torch)."""

import functools
import hashlib
import os
from dataclasses import replace
from pathlib import Path

from dlrun.config.groups import Start
from dlrun.config.schema import Config
from dlrun.errors import ConfigError

DIGITS = 16
"""Of a checksum, in hex."""


def started(config: Config) -> Config:
    """The config with the checksum of the weights that it begins with; one that is there already is not taken again.

    So a run goes on and is used wherever those weights are then.

    Raises:
        ConfigError: They are not there, or can't be read.
    """
    model = config.model
    if not isinstance(model, Start) or not model.init_from or model.init_checksum:
        return config
    path = weights_file(model.init_from)
    try:
        status = path.stat()
        found = _checksum(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ConfigError(f"model.init_from={path}: can't be read ({error.strerror})") from None
    return replace(config, model=replace(model, init_checksum=found))


def weights_file(init_from: str) -> Path:
    """The file of weights that is meant: of a run folder its last checkpoint.

    Raises:
        ConfigError: There is none.
    """
    path = Path(os.path.expanduser(init_from))  # noqa: PTH111 pathlib raises for an unknown ~user
    if path.is_dir():
        path = path / "checkpoints" / "last.pt"
        if not path.is_file():
            raise ConfigError(f"model.init_from={init_from}: no run with weights ({path} is not there)")
    if not path.is_file():
        last = "; dlrun list tells which folder is the last one" if init_from == "last" else ""
        raise ConfigError(
            f"model.init_from={init_from}: not found; expected the folder of a run or a file of weights{last}"
        )
    return path


def checksum_of(content: bytes) -> str:
    """The checksum of a file of weights, by its content."""
    return hashlib.sha256(content).hexdigest()[:DIGITS]


@functools.lru_cache(maxsize=1000)
def _checksum(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
