"""Which device a config means on this machine, and the precision that `auto` means there."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.config.schema import Config
from dlrun.errors import ConfigError

if TYPE_CHECKING:
    import torch


def settle_precision(config: Config) -> Config:
    """`precision=auto` replaced by a name, so that the run has an identity.

    Torch is imported only where a GPU may be present.

    Raises:
        ConfigError: The device asked for is not there.
    """
    if config.precision != "auto":
        return config
    if config.device == "cpu" or (config.device == "auto" and not _may_have_gpu()):
        return replace(config, precision="float32")
    return replace(config, precision="bfloat16" if _has_bfloat16(pick_device(config.device)) else "float32")


def _may_have_gpu() -> bool:
    return (
        sys.platform == "darwin"
        or os.name == "nt"
        or any(list(Path("/dev").glob(pattern)) for pattern in ("nvidia[0-9]*", "dxg", "kfd"))
    )


def _has_bfloat16(device: "torch.device") -> bool:
    import torch

    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def pick_device(name: str) -> "torch.device":
    """The device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        ConfigError: There is no such device here.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdecimal())):
        raise ConfigError(f"device={name}: expected auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= count:
            raise ConfigError(
                f"device={name}: PyTorch {torch.__version__} sees {count} CUDA devices here; try device=auto"
            )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device=mps: not available here; try device=auto")
    return torch.device(kind, int(number)) if number else torch.device(kind)
