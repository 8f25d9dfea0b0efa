"""A config as it is run and known: settled once, hashed once. Whatever runs, finds or compares takes this value.

Settling carries out what only the machine can say: `precision=auto` becomes a name, `scale_lr` is applied for the
number of ranks, and weights to begin with get their checksum. What results needs none of this any more, so that a run
means the same wherever it goes on.
"""

import os
from dataclasses import dataclass, replace
from typing import Any

from dlrun.config.device import settle_precision
from dlrun.config.fields import fields_of
from dlrun.config.groups import UNPINNED, Data, Synthetic, Target
from dlrun.config.schema import Config, identity
from dlrun.config.start import started
from dlrun.errors import ConfigError


@dataclass(frozen=True)
class Settled:
    """A config ready to run, and its hash; made by `settle` alone, or taken from where its maker wrote both down."""

    config: Config
    hash: str
    """Eight hex digits of what determines the numbers; see `dlrun.config.schema.identity`."""

    @property
    def pinned(self) -> bool:
        """Whether the fields alone say what the pictures are: they are made up, or official checksums are demanded."""
        data = self.config.data
        return isinstance(data, Synthetic) or (
            isinstance(data, Data) and data.verify and not isinstance(data, UNPINNED)
        )

    @property
    def place(self) -> str:
        """The folder or tables of data that are not pinned, absolute; empty where none is named.

        It is not part of the hash: what lies there is, by its fingerprint. It tells two points apart whose data have
        not been read yet.
        """
        data = self.config.data
        root = data.arguments.get("root") if isinstance(data, Target) else data.root
        tables = [path for name in ("table", "test_table") if (path := getattr(data, name, None))]
        paths = tables or [root]
        if self.pinned or not isinstance(paths[0], str):
            return ""
        # pathlib raises for an unknown ~user.
        return ":".join(os.path.realpath(os.path.expanduser(path)) for path in paths)  # noqa: PTH111

    def placed(self, **changes: Any) -> "Settled":
        """The same experiment with other values of fields that leave its identity alone, such as `threads`."""
        hashed = [name for name in changes if fields_of(Config)[name].metadata.get("hashed", True)]
        if hashed:
            raise ValueError(f"{', '.join(hashed)}: part of the identity; settle the new config instead")
        return replace(self, config=replace(self.config, **changes))


class OfOneRun:
    """What stands for one run by its settled config: a job, a row of a table with a seed."""

    settled: Settled

    @property
    def config(self) -> Config:
        """What is trained."""
        return self.settled.config

    @property
    def hash(self) -> str:
        """What it is known by."""
        return self.settled.hash


def settle(config: Config, ranks: int = 1) -> Settled:
    """Settle a checked config and hash it.

    Args:
        ranks: The number of processes that train it together (torchrun's), for `scale_lr`.

    Raises:
        ConfigError: The device that decides on the precision is not there, `scale_lr` finds no rate to scale, or the
            weights to begin with are not there.
    """
    config = started(_scaled(settle_precision(config), ranks))
    return Settled(config, identity(config))


def _scaled(config: Config, ranks: int) -> Config:
    """The config with `scale_lr` carried out: `ranks` times the batch and the learning rate.

    This is the linear rule (Goyal et al. 2017), as Horovod's examples apply it. What results is the config
    of a run on one device with that batch and rate, and has its identity.
    """
    if not config.scale_lr:
        return config
    optimizer = config.optimizer
    if isinstance(optimizer, Target):
        if "lr" not in optimizer.arguments:
            raise ConfigError(f"scale_lr: {optimizer.target} was given no lr that could be scaled")
        arguments = {**optimizer.arguments, "lr": optimizer.arguments["lr"] * ranks}
        optimizer = replace(optimizer, arguments=arguments)
    else:
        optimizer = replace(optimizer, lr=optimizer.lr * ranks)
    return replace(config, scale_lr=False, batch_size=config.batch_size * ranks, optimizer=optimizer)
