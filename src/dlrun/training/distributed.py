"""One run on several devices: every rank trains on its share of each batch; a world of one costs nothing.

`torchrun` starts the ranks and names them in the environment. What the ranks see, decide and write is agreed
here: gradients (DistributedDataParallel), sums of losses, stop signals, random state for the checkpoint.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dlrun.errors import ConfigError, RunFailed, first_line
from dlrun.training.signals import Noticed
from dlrun.training.started import local_rank, ranks_started

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

ASKED_EVERY = 10
"""Steps between two agreements on whether to stop: asking every step would cost small networks a tenth."""


@dataclass(frozen=True)
class Ranks:
    """The processes of one run, as one of them sees them."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that alone writes and prints."""
        return self.rank == 0

    def share(self, batch: "Tensor") -> "Tensor":
        """This rank's part of a batch, split along the first dimension; sizes differ by one at most."""
        return batch if self.count == 1 else batch.tensor_split(self.count)[self.rank]

    def share_of(self, count: int) -> int:
        """The size of this rank's part of a batch of `count`."""
        return count // self.count + (self.rank < count % self.count)

    def wrapped(self, model: "nn.Module") -> "nn.Module":
        """`model` such that its backward pass averages gradients over the ranks; the weights are shared."""
        if self.count == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(model)

    def add(self, *sums: "Tensor") -> None:
        """Replace each tensor, in place, by its sum over the ranks."""
        if self.count > 1:
            from torch import distributed

            for one in sums:
                distributed.all_reduce(one)

    def total(self, weight: "Tensor") -> "Tensor":
        """The sum of the ranks' tensors."""
        summed = weight.clone()
        self.add(summed)
        return summed

    def unsynchronised(self, model: "nn.Module") -> contextlib.AbstractContextManager[object]:
        """While backward passes of what `wrapped` gave add to the gradients of this rank alone."""
        return contextlib.nullcontext() if self.count == 1 else model.no_sync()  # type: ignore[operator]

    def align(self, model: "nn.Module") -> None:
        """Give every rank the first one's buffers (running statistics of batch norm)."""
        if self.count > 1:
            from torch import distributed

            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)

    def gather(self, value: T) -> list[T]:
        """The ranks' values, by rank."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def told(self, value: Callable[[], T]) -> T:
        """What the first rank says; only there `value` is called."""
        if self.count == 1:
            return value()
        from torch import distributed

        values: list[Any] = [value() if self.first else None]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers."""
        import torch

        found = torch.tensor(number)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return int(found.item())

    def wait(self) -> None:
        """Return when all ranks have come here."""
        if self.count > 1:
            self.largest(0)


ALONE = Ranks()


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The ranks that `torchrun` started this process among; `ALONE` without it.

    Args:
        device: As in the config. On CUDA each rank of a machine gets a GPU of its own.

    Raises:
        ConfigError: There are fewer GPUs than ranks on this machine, or `device` names a single one.
        UsageError: As of `ranks_started`.
        RunFailed: The ranks don't find each other.
    """
    if ranks_started() == 1:
        yield ALONE
        return
    import torch

    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(_local_gpu(device, torch.cuda.device_count()))
    # Flags and random states go by the CPU, so that no step waits for a GPU to agree on stopping.
    try:
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RunFailed(f"the ranks of this run don't find each other at {where}: {first_line(error)}") from None
    try:
        yield Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        torch.distributed.destroy_process_group()


def _local_gpu(device: str, there: int) -> int:
    local, count = local_rank()
    if ":" in device:
        raise ConfigError(f"device={device}: under torchrun each rank has its own GPU; use device=cuda")
    if count > there:
        raise ConfigError(
            f"torchrun --nproc-per-node={count}: there are {there} GPUs here; take fewer ranks or device=cpu"
        )
    return local


class Agreed:
    """Whether any rank was asked to stop; all ranks get the same answer at the same step.

    Every rank must ask equally often. It takes up to `ASKED_EVERY` questions until all know.

    Args:
        noticed: The signal that this process received; the agreed one is put there.
    """

    def __init__(self, noticed: Noticed, ranks: Ranks) -> None:
        self.noticed, self.ranks = noticed, ranks
        self.asked, self.stopping = 0, False

    def __call__(self) -> bool:
        """Whether to stop; with several ranks true only where all of them have been told."""
        if self.ranks.count == 1:
            return self.noticed.signal is not None
        self.asked += 1
        if not self.stopping and self.asked % ASKED_EVERY == 0:
            number = self.ranks.largest(self.noticed.signal or 0)
            if number:
                self.noticed.signal, self.stopping = number, True
        return self.stopping
