"""Whatever carries a flag (`-m`, `--cfg job`, `--info` …) is Hydra's: this hands the command to it."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from dlrun.compose import configs_dir, permit, sentence, settle
from dlrun.distributed import refuse_ranks
from dlrun.errors import ConfigError
from dlrun.verbs.train import train


def main(arguments: list[str]) -> int:
    """Run Hydra with the arguments as typed.

    Raises:
        ConfigError: Hydra refuses what was typed.
    """
    refuse_ranks("a sweep")
    # Hydra would print its own words and leave with 1; this makes it raise instead.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["dlrun", *(word if word.startswith("-") else permit([word])[0] for word in arguments)]
    try:
        hydra.main(version_base="1.3", config_path=str(configs_dir()), config_name="config")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(sentence(error)) from error
    return 0


def task(composed: DictConfig) -> float:
    """One job of Hydra's; returns its test accuracy, which sweepers of others may maximise."""
    job = HydraConfig.get()
    overrides = [text.lstrip("+") for text in job.overrides.task]
    config = settle(composed, job.runtime.choices, overrides)
    result = train(config, Path(job.runtime.output_dir), overrides)
    return result.test["accuracy"] if result.test else 0.0
