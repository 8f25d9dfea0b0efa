"""Tells dlrun's own composition from that of another application that shares its environment."""

from hydra.errors import CompactHydraException
from hydra.types import TaskFunction
from omegaconf import DictConfig


def refuse_others(plugin: str, task_function: TaskFunction) -> None:
    """Refuse to work for another application: dlrun's launchers and sweepers run dlrun's configs, not a task function.

    Args:
        plugin: What was named, such as `hydra/launcher=local`.

    Raises:
        CompactHydraException: The task is not dlrun's.
    """
    owner = getattr(task_function, "__module__", None) or "this application"
    if not owner.startswith("dlrun."):
        raise CompactHydraException(
            f"{plugin} belongs to dlrun and trains dlrun's networks only; {owner} needs another one"
        )


def refuse_misread_fields(config: DictConfig) -> None:
    """Refuse numbers in a launcher's file that YAML reads otherwise than they are written.

    Raises:
        dlrun.errors.ConfigError: There is one.
    """
    from dlrun.config.compose import config_folders
    from dlrun.config.yaml_numbers import refuse_misread_options

    refuse_misread_options(config.hydra.runtime.choices, config_folders())
