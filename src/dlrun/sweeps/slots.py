"""Places for jobs on this machine: GPUs times jobs per GPU, or CPU cores divided among jobs."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlrun.config.schema import Config, Sweep
from dlrun.config.settled import Settled
from dlrun.linux import cores


@dataclass(frozen=True)
class Slot:
    """A place where one job at a time runs."""

    number: int
    gpu: str | None
    """What `CUDA_VISIBLE_DEVICES` holds for its jobs: an index or a UUID; None leaves it alone."""
    threads: int | None
    """CPU threads for its jobs unless they ask for a number themselves; None where that is seen to elsewhere."""

    def environment(self) -> dict[str, str]:
        """Variables that must be set before CUDA is initialised."""
        return {} if self.gpu is None else {"CUDA_VISIBLE_DEVICES": self.gpu}

    def fitted(self, settled: Settled) -> Settled:
        """The config as a job in this slot runs it.

        The one GPU a job sees has the index 0, whatever it was outside.
        """
        config = settled.config
        device = "cuda" if self.gpu is not None and config.device.startswith("cuda") else config.device
        return settled.placed(device=device, threads=config.threads or self.threads)


def gpus(environment: Mapping[str, str] = os.environ, dev: Path = Path("/dev")) -> list[str]:
    """The NVIDIA GPUs this process may use, as `CUDA_VISIBLE_DEVICES` names them, without asking CUDA."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return [name for name in names if name and not name.startswith("-")]
    found = [match[1] for path in dev.glob("nvidia*") if (match := re.fullmatch(r"nvidia(\d+)", path.name))]
    return [str(index) for index in range(len(found))]


def slots_for(configs: Sequence[Config], settings: Sweep, most: int | None = None) -> list[Slot]:
    """The slots for these jobs, at most `most`.

    Jobs that all say `device=cpu`, or all jobs where there is no GPU, share the cores; where every job says
    `device=cuda:N`, only those GPUs are used.
    """
    chosen = gpus_for(configs)
    asked = max((config.threads or 1 for config in configs), default=1)
    usual = len(chosen) * settings.per_gpu if chosen else max(1, cores() // asked)
    count = max(1, min(settings.slots or usual, most if most is not None else settings.slots or usual))
    threads = max(1, cores() // count)
    return [Slot(number, chosen[number % len(chosen)] if chosen else None, threads) for number in range(count)]


def gpus_for(configs: Sequence[Config]) -> list[str]:
    """The GPUs of this process that these jobs use: none if all say `device=cpu`, those that all name, or all."""
    return _wanted(configs, gpus())


def _wanted(configs: Sequence[Config], gpus: Sequence[str]) -> list[str]:
    devices = {config.device for config in configs}
    if devices and all(device in ("cpu", "mps") for device in devices):
        return []
    named = {int(device[5:]) for device in devices if re.fullmatch(r"cuda:\d+", device)}
    if named and all(":" in device for device in devices):
        return [gpu for index, gpu in enumerate(gpus) if index in named]
    return list(gpus)
