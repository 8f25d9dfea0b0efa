"""Which training images are held out, to be evaluated instead of the test set: by class, at random, first, last, folds.

What is drawn does not depend on a run's seed, so that runs with different seeds are compared on the same images.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dlrun.config.schema import OWN, Config, evaluated_on
from dlrun.errors import ConfigError
from dlrun.output import few

if TYPE_CHECKING:
    from torch import Tensor

    from dlrun.data.dataset import Dataset, Split

MOST_NAMES = 5
"""Classes that a line names."""


class Division(NamedTuple):
    """Indices into the training set, int64 on the CPU, rising."""

    train: "Tensor"
    held_out: "Tensor"


def how_many(config: Config, images: int) -> int:
    """How many of so many training images are held out.

    Raises:
        ConfigError: Nothing would be left to train on.
    """
    value = config.validation
    if config.folds is not None and config.fold is not None:
        if images < config.folds:
            raise ConfigError(f"folds={config.folds}: expected no more than the {images} training images")
        return len(range(config.fold, images, config.folds))
    if isinstance(value, str) or not value:
        return 0
    count = share(images, value) if isinstance(value, float) else value
    if count >= images:
        raise ConfigError(f"validation={value}: expected fewer than the {images} training images")
    return count


def share(images: int, part: float) -> int:
    """How many of so many images a part of them is: rounded up, as Keras' `validation_split` is."""
    return images - math.floor(images * (1 - part))


def divide(config: Config, labels: "Tensor") -> Division:
    """Which images are trained on and which are held out of a training set that `limit` has cut already.

    Args:
        labels: int64 (N,), of the training set.

    Raises:
        ConfigError: Nothing would be left to train on.
    """
    import torch

    labels = labels.cpu()
    total, count = len(labels), how_many(config, len(labels))
    places = torch.arange(total)
    if config.validation_by == "first":
        return Division(places[count:], places[:count])
    if config.validation_by == "last":
        return Division(places[: total - count], places[total - count :])
    order = torch.randperm(total, generator=torch.Generator().manual_seed(0))
    if config.folds is not None:
        # Dealt class by class, without a break between two classes: the folds differ by one image at most.
        dealt = order[labels[order].argsort(stable=True)]
        held_out = torch.zeros(total, dtype=torch.bool).index_fill_(0, dealt[config.fold :: config.folds], True)
        return Division(places[~held_out], places[held_out])
    chosen = order[:count] if config.validation_by == "random" else _of_each_class(labels[order], count, order)
    held_out = torch.zeros(total, dtype=torch.bool).index_fill_(0, chosen, True)
    return Division(places[~held_out], places[held_out])


def _of_each_class(shuffled: "Tensor", count: int, order: "Tensor") -> "Tensor":
    """The first images of each class in a random order, as many as its quota says."""
    import torch

    from dlrun.data.dataset import place_in_class

    quota = torch.tensor(quotas(shuffled.bincount().tolist(), count))
    return order[place_in_class(shuffled) < quota[shuffled]]


def quotas(sizes: Sequence[int], count: int) -> list[int]:
    """How many of `count` fall to each class: in proportion to its size, but one at least and never all of a class.

    "One at least" holds where `count` suffices, "never all" where enough others are there.

    >>> quotas([190, 6], 5)
    [4, 1]
    >>> quotas([190, 6, 1], 20)
    [19, 1, 0]
    """
    total = sum(sizes)
    most = [max(size - 1, 0) for size in sizes]
    if sum(most) < count:
        most = list(sizes)
    least = [min(1, one) for one in most]
    if sum(least) > count:
        least = [0] * len(sizes)
    shares = [max(low, min(count * size // total, high)) for size, low, high in zip(sizes, least, most, strict=True)]

    def lacks(place: int) -> int:
        return count * sizes[place] - shares[place] * total

    while sum(shares) < count:
        shares[max((place for place, high in enumerate(most) if shares[place] < high), key=lacks)] += 1
    while sum(shares) > count:
        shares[min((place for place, low in enumerate(least) if shares[place] > low), key=lacks)] -= 1
    return shares


def split_off(config: Config, dataset: "Dataset") -> tuple["Split", "Split | None"]:
    """The images to train on and those held out (None: none), both cut by `limit`, the former by `train_limit`, too.

    Raises:
        ConfigError: Nothing would be left to train on, or the data set brings no images of its own to hold out.
    """
    from dlrun.data.dataset import limited

    train = limited(dataset.train, config.limit)
    if config.validation == OWN:
        if dataset.val is None:
            raise ConfigError(
                f"validation={OWN}: {dataset.name} brings no held-out images; "
                "hold out some of the training set: validation=0.1, validation=1000"
            )
        return limited(train, config.train_limit), limited(dataset.val, config.limit)
    if evaluated_on(config) == "test":
        return limited(train, config.train_limit), None
    division = divide(config, train.labels)
    return train.at(division.train[: config.train_limit]), train.at(division.held_out)


def left_out(config: Config, train: "Split", held_out: "Split", classes: Sequence[str]) -> list[str]:
    """Sentences on the classes of which nothing is held out, or all is."""
    sizes = [split.labels.cpu().bincount(minlength=len(classes)).tolist() for split in (train, held_out)]
    counts = list(zip(classes, *sizes, strict=True))
    none = [f"{name} ({trained} to train on)" for name, trained, held in counts if trained and not held]
    every = [f"{name} ({held} held out)" for name, trained, held in counts if held and not trained]
    found = (("held out", none), ("to train on", every))
    return [f"{_way(config)}: no image {what} of {few(names, MOST_NAMES)}" for what, names in found if names]


def _way(config: Config) -> str:
    if config.folds is not None:
        return f"fold={config.fold} folds={config.folds}"
    own = config.validation == OWN
    way = "the data set's own" if own else f"validation_by={config.validation_by}"
    return f"validation={config.validation} ({way})"
