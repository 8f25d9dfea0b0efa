"""Which floating-point precision a run computes in, and with how many threads."""

import contextlib
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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


def set_exact_float32() -> None:
    """Let float32 be float32: on NVIDIA GPUs convolutions would else round their factors to 10 bits (TF32)."""
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
