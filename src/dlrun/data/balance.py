"""Classes of different sizes made to count alike: by weights in the loss, or by how often their images are drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlrun.config.groups import Balance
from dlrun.errors import ConfigError

if TYPE_CHECKING:
    from torch import Generator, Tensor


def refuse_weights(config: Balance, classes: Sequence[str]) -> None:
    """Refuse a list of weights that does not fit the classes.

    Raises:
        ConfigError: It doesn't.
    """
    given = config.class_weights
    if isinstance(given, list) and len(given) != len(classes):
        raise ConfigError(f"data.class_weights: {len(given)} weights for {len(classes)} classes; expected one a class")


def class_weights(config: Balance, labels: "Tensor", classes: Sequence[str]) -> "Tensor | None":
    """The weights of the classes in the loss, float32 (classes,) on the CPU; None where all are alike by default.

    `balanced` is n / (k * n_c), for n training images of k classes, n_c of them of the class. A class without any has
    weight 0, since its label never occurs.

    Args:
        labels: int64 (n,), of the images that are trained on.

    Raises:
        ConfigError: A list that does not fit the classes.
    """
    import torch

    refuse_weights(config, classes)
    if config.class_weights is None:
        return None
    if isinstance(config.class_weights, list):
        return torch.tensor(config.class_weights, dtype=torch.float32)
    sizes = labels.cpu().bincount(minlength=len(classes)).double()
    weights = len(labels) / (len(classes) * sizes)
    return torch.where(sizes > 0, weights, 0).float()


def evenly_drawn(labels: "Tensor", generator: "Generator") -> "Tensor":
    """As many places as there are labels, int64 (n,): each of a class drawn evenly, and of that class evenly, too.

    Args:
        labels: int64 (n,), on the CPU.
    """
    import torch

    sizes = labels.bincount()
    by_class, starts = labels.argsort(stable=True), sizes.cumsum(0) - sizes
    there = sizes.nonzero()[:, 0]
    drawn = there[torch.randint(len(there), (len(labels),), generator=generator)]
    # In float64 a share below 1 of a size stays below the size.
    within = (torch.rand(len(labels), generator=generator, dtype=torch.float64) * sizes[drawn]).long()
    return by_class[starts[drawn] + within]
