"""What is known of a data set without reading it: enough to plan a network, and to miss absent data early."""

from dataclasses import dataclass

from dlrun.config.groups import Cifar100, Data, ImageFolder, PixelTable, Synthetic, Target
from dlrun.data.catalogue import CIFAR100_COARSE, ENTRIES
from dlrun.data.places import locate


@dataclass(frozen=True)
class Facts:
    """The size of the pictures as a network gets them, the names of the classes, mean and deviation."""

    shape: tuple[int, int, int]
    """Channels, height, width."""
    classes: tuple[str, ...]
    mean: tuple[float, ...] | None
    """One a channel, on a scale of 0-1; None where only reading the pictures tells."""
    std: tuple[float, ...] | None


def facts(config: Data | Target) -> Facts:
    """The facts of the data set that is configured; only one's own pictures are looked at on the disk.

    The user's own data set (`Target`) has to be built to be known, which imports torch.

    Raises:
        DataError: A folder of pictures is missing, or its first picture is unreadable.
        ConfigError: The shape of `synthetic` is impossible.
    """
    if isinstance(config, Target):
        return _of_target(config)
    if isinstance(config, ImageFolder):
        return _of_pictures(config)
    if isinstance(config, PixelTable):
        return _of_pixels(config)
    channels, height, width = _shape(config)
    if config.size is not None:
        height = width = config.size
    entry = ENTRIES[config.name]
    return Facts((channels, height, width), _classes(config), entry.mean or None, entry.std or None)


def images_in(split: str, name: str | None, limit: int | None, drawn: int | None) -> int | None:
    """How many pictures the training set or the test set of a data set has, None where only reading it tells.

    Args:
        split: `train` or `test`.
        name: Of the data set.
        limit: As of a config: only the first so many.
        drawn: Of `synthetic`, its `train_images` or `test_images`.
    """
    entry = ENTRIES.get(name or "")
    whole = drawn if entry is None or entry.pictures is None else entry.pictures[split == "test"]
    return whole if whole is None or limit is None else min(whole, limit)


def _shape(config: Data) -> tuple[int, int, int]:
    if isinstance(config, Synthetic):
        from dlrun.data.synthetic import shape_of  # Imports numpy.

        return shape_of(config)
    return ENTRIES[config.name].shape


def _classes(config: Data) -> tuple[str, ...]:
    if isinstance(config, Synthetic):
        return tuple(str(number) for number in range(config.classes))
    coarse = isinstance(config, Cifar100) and config.labels == "coarse"
    return CIFAR100_COARSE if coarse else ENTRIES[config.name].classes


def _of_pictures(config: ImageFolder) -> Facts:
    listing = locate(config).listing
    channels, height, width = 1 if config.color == "grey" else 3, config.size, config.size
    if height is None or width is None:
        from dlrun.data.folder import picture  # Imports numpy and Pillow.

        _, height, width = picture(listing.pictures[0], config).shape
    return Facts((channels, height, width), listing.classes, None, None)


def _of_pixels(config: PixelTable) -> Facts:
    from dlrun.data.pixels import known  # Imports numpy.

    (channels, height, width), classes = known(locate(config), config)
    return Facts((channels, config.size or height, config.size or width), classes, None, None)


def _of_target(target: Target) -> Facts:
    from dlrun.data.load import load  # Imports torch.

    dataset = load(target)
    _, channels, height, width = dataset.train.images.shape
    return Facts((channels, height, width), dataset.classes, dataset.mean, dataset.std)
