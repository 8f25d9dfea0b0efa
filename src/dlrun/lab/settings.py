"""What `hydra/launcher=dask` is told, with its checks (no torch, no Dask)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlrun.config.fields import fill, option
from dlrun.errors import ConfigError

FIELD = "hydra.launcher."


@dataclass
class DaskSettings:
    """Which workers of Dask a sweep runs on."""

    address: str | None = option(
        None, "scheduler of a running cluster, e.g. tcp://lab1:8786 (null: workers of this machine, for the sweep)"
    )
    workers: int = option(2, "how many workers of this machine, where no address is given", low=1)


def settings_from(values: Mapping[str, Any]) -> DaskSettings:
    """The settings of a composed `hydra.launcher` node, checked.

    Raises:
        ConfigError: An unknown field, a wrong type, a value out of range, what is no address.
    """
    plain = {key: value for key, value in values.items() if key != "_target_"}
    settings: DaskSettings = fill(DaskSettings, plain, FIELD)
    if settings.address is not None and not re.fullmatch(r"(tcp|tls)://\S+:\d{1,5}", settings.address):
        raise ConfigError(f"{FIELD}address={settings.address}: expected tcp://HOST:PORT or tls://HOST:PORT")
    return settings
