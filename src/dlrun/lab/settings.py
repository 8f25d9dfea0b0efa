"""What `hydra/launcher=dask` is told, with its checks (no torch, no Dask)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from dlrun.config.compose import compose_with_hydra, hydra_started
from dlrun.config.fields import fill, option
from dlrun.errors import ConfigError

LAUNCHER = "hydra/launcher="
FIELD = "hydra.launcher."
TARGET = "hydra_plugins.dlrun_plugins.launcher.DaskLauncher"


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


def asked(words: Sequence[str]) -> tuple[DaskSettings | None, list[str]]:
    """What was typed, parted: the settings where a launcher of Dask was chosen, and the rest; else None and all words.

    Raises:
        ConfigError: As of `settings_from`.
    """
    own = [word for word in words if word.startswith((LAUNCHER, FIELD))]
    if not any(word.startswith(LAUNCHER) for word in own):
        return None, list(words)
    with hydra_started():
        composed = compose_with_hydra(own)
    values: Any = OmegaConf.to_container(composed.hydra.launcher, resolve=True)
    if values.get("_target_") != TARGET:
        return None, list(words)
    return settings_from(values), [word for word in words if word not in own]
