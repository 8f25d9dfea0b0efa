"""load(config) -> Dataset: found, verified, parsed (or taken from the cache), resized, as tensors."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dlrun.config.groups import Data, ImageFolder, Synthetic, Target
from dlrun.config.targets import explained, imported
from dlrun.data.catalogue import ENTRIES
from dlrun.data.dataset import Dataset, Split
from dlrun.data.decoded import Decoded, Pictures, fingerprint, moments
from dlrun.data.parsed import Parsed, cached
from dlrun.data.places import Source, locate
from dlrun.data.read import read
from dlrun.data.strays import refuse_lost_classes, unused
from dlrun.errors import ConfigError, DataError
from dlrun.output import counted

log = logging.getLogger("dlrun")

CHANNELS = (1, 3, 4)
"""So many channels pictures have mostly."""

RESIZED_AT_ONCE = 1000
"""Images; bounds the floats in memory."""


def load(config: Data | Target) -> Dataset:
    """The data set that is configured; a `Target` is called with its arguments and must return a Dataset.

    Images are as stored, or resized to `data.size` by antialiased bilinear interpolation. The tensors of a
    data set from files are views of the cache (see `parsed`).

    Raises:
        DataError: Missing, damaged or inconsistent data, or (with `data.verify`) a wrong checksum.
        ConfigError: A `_target_` that can't be imported or called.
    """
    if isinstance(config, Target):
        return _own(config)
    source = locate(config)
    if isinstance(config, ImageFolder):
        refuse_lost_classes(source)
    if not config.verify:
        log.warning("data.verify=false: the checksums of %s in %s are not checked", config.name, source.folder)
    try:
        parsed = (
            _build(config, source)
            if isinstance(config, Synthetic)
            else cached(config, source, lambda: _build(config, source))
        )
    except OSError as error:
        raise DataError(f"{config.name}: can't read {error.filename or source.folder}: {error.strerror}") from error
    if isinstance(config, ImageFolder):
        _say_what_is_not_used(source, parsed.decoded)
    return Dataset(
        name=config.name,
        **{name: _split(pictures) for name, pictures in parsed.decoded.splits.items()},
        damaged=parsed.decoded.damaged,
        classes=parsed.decoded.classes,
        mean=parsed.mean,
        std=parsed.std,
        fingerprint=parsed.fingerprint,
        verified=config.verify,
    )


def _build(config: Data, source: Source) -> Parsed:
    decoded = read(config, source)
    entry = ENTRIES[config.name]
    mean, std = (entry.mean, entry.std) if entry.mean else moments(decoded.train.images)
    return Parsed(_resized(decoded, config), fingerprint(*decoded.splits.values()), mean, std, config.verify)


def _say_what_is_not_used(source: Source, decoded: Decoded) -> None:
    where, left = source.table or source.folder, unused(source)
    if left:
        log.warning("%s: %s", where, left)
    if decoded.damaged:
        log.warning("%s: %s left out", where, counted(len(decoded.damaged), "damaged picture"))
    untested = set(range(len(decoded.classes))) - set(decoded.test.labels.tolist())
    if untested:
        names = ", ".join(decoded.classes[place] for place in sorted(untested))
        log.warning("%s: no test picture of %s", where, names)


def _resized(decoded: Decoded, config: Data) -> Decoded:
    # A folder's pictures were resized one by one when they were read.
    if config.size is None or isinstance(config, ImageFolder):
        return decoded
    sized = {name: Pictures(_resize(images, config.size), labels) for name, (images, labels) in decoded.splits.items()}
    return decoded._replace(train=sized["train"], test=sized["test"], val=sized.get("val"))


def _resize(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 (N, C, H, W) to uint8 (N, C, size, size)."""
    resized = np.empty((*images.shape[:2], size, size), np.uint8)
    for start in range(0, len(images), RESIZED_AT_ONCE):
        stop = start + RESIZED_AT_ONCE
        pixels = torch.tensor(images[start:stop], dtype=torch.float32)
        scaled = interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
        resized[start:stop] = scaled.round_().clamp_(0, 255).to(torch.uint8).numpy()
    return resized


def _split(pictures: Pictures) -> Split:
    return Split(*(_tensor(array) for array in pictures))


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _own(config: Target) -> Dataset:
    make = imported(config.target, "data")
    with explained(make, config, "data"):
        made = make(**config.arguments)
    if not isinstance(made, Dataset):
        raise ConfigError(f"data: {config.target} returned {type(made).__name__}; expected dlrun.data.dataset.Dataset")
    if not isinstance(made.name, str):
        raise DataError(f"{config.target}: name: expected text, found {made.name!r:.80}")
    splits = {"training": made.train, "test": made.test} | ({} if made.val is None else {"held-out": made.val})
    for split in splits.values():
        _check_own(split, config.target, len(made.classes))
    first = tuple(made.train.images.shape[1:])
    for name, split in splits.items():
        if (shape := tuple(split.images.shape[1:])) != first:
            raise DataError(f"{config.target}: training pictures are {first}, {name} pictures {shape} (C, H, W)")
    _check_moments(made, config.target)
    # What a run belongs to is the content; a text of the user's may stay the same when that changes.
    contents = (Pictures(split.images.cpu().numpy(), split.labels.cpu().numpy()) for split in splits.values())
    return replace(made, fingerprint=fingerprint(*contents))


def _check_own(split: Split, target: str, classes: int) -> None:
    images, labels = split.images, split.labels
    if images.dtype != torch.uint8 or images.ndim != 4 or labels.dtype != torch.int64 or labels.ndim != 1:
        raise DataError(
            f"{target}: expected uint8 images (N, C, H, W) and int64 labels (N,); "
            f"found {images.dtype} {tuple(images.shape)} and {labels.dtype} {tuple(labels.shape)}"
        )
    if len(images) != len(labels) or not len(labels) or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(f"{target}: expected as many labels as images, at least one, each 0-{classes - 1}")
    channels, height, width = images.shape[1:]
    if width in CHANNELS and channels == height > max(CHANNELS):
        raise DataError(
            f"{target}: images are {tuple(images.shape)}, so {channels} channels of {height}x{width}; "
            "expected (N, C, H, W): images.permute(0, 3, 1, 2)"
        )


def _check_moments(made: Dataset, target: str) -> None:
    for name, values in (("mean", made.mean), ("std", made.std)):
        if not isinstance(values, Sequence) or not all(isinstance(value, Real) for value in values):
            raise DataError(f"{target}: {name}: expected a number for each channel, found {values!r:.80}")
    if not all(value > 0 for value in made.std):
        raise DataError(f"{target}: std: expected numbers above 0, found {made.std!r:.80}")
    if len(set(made.classes)) < len(made.classes):
        twice = next(name for name in made.classes if made.classes.count(name) > 1)
        raise DataError(f"{target}: classes: {twice!r} is there twice")
