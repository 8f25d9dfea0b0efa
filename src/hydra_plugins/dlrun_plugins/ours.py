"""Tells dlrun's own composition from that of another application that shares its environment."""

from hydra.errors import CompactHydraException
from hydra.types import TaskFunction


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
