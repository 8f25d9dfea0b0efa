"""Which device and which floating-point precision a run uses, and how many threads."""

import contextlib
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dlrun.config import Config
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


@dataclass(frozen=True)
class Precision:
    """How the forward pass computes: `float32`, or autocast to `bfloat16` or `float16`."""

    name: str
    device_type: str

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass."""
        if self.name == "float32":
            return contextlib.nullcontext()
        import torch

        return torch.autocast(self.device_type, dtype=getattr(torch, self.name))

    def scaler(self) -> "torch.amp.GradScaler":
        """Scales the loss under float16, whose gradients would vanish otherwise; does nothing else."""
        import torch

        return torch.amp.GradScaler(self.device_type, enabled=self.name == "float16")


def in_words(threads: int) -> str:
    """`1 thread`, `2 threads`."""
    return f"{threads} {'thread' if threads == 1 else 'threads'}"


def set_threads(threads: int | None) -> int:
    """Let PyTorch use so many CPU threads (None: as many as it chose) and return the number in use.

    Numbers below 1e-38 count as 0 from here on, as in TensorFlow: averages of gradients that have become 0 decay
    through them, where every operation takes a hundred times as long. Threads that PyTorch starts later inherit it.
    """
    import torch

    torch.set_flush_denormal(True)
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def set_determinism(deterministic: bool) -> None:
    """Allow only algorithms that give the same bits every time, or the fastest ones."""
    import torch

    if deterministic:
        # cuBLAS reads this when it is first used; without it some of its sums have no fixed order.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(deterministic)  # imports the compiler: 0.7 s that few runs need
    torch.backends.cudnn.benchmark = not deterministic
