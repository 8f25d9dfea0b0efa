"""Which pictures `dlrun evaluate` tests: those the run knows as its own, or others with its classes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.config.groups import Data, ImageFolder, ImageTable, PixelTable, Synthetic, Target
from dlrun.config.overrides import hydra_value
from dlrun.config.schema import OWN, evaluated_on
from dlrun.errors import ConfigError, DataError
from dlrun.output import counted
from dlrun.store.content import incomparable, same_content

if TYPE_CHECKING:
    from dlrun.data.dataset import Dataset, Split
    from dlrun.data.listing import ByClass
    from dlrun.data.places import Source
    from dlrun.runs.loading import Loaded

PARTS = ("test", "train", "val")


@dataclass(frozen=True)
class Tested:
    """Pictures to test and the names of their classes."""

    split: "Split"
    classes: tuple[str, ...]
    name: str
    """Of the data set."""
    part: str
    """`test`, `train`, `val`, or `all` of a folder that is not divided."""
    names: tuple[Path | int, ...]
    """Of each picture its file; where pictures have none of their own, its place in the data set's test or training
    set (those that are held out are of the training set), counted from 0."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers must know of how the pictures were chosen and read."""

    @property
    def named_by(self) -> str:
        """What `names` are: `file` or `index`."""
        return "file" if isinstance(self.names[0], Path) else "index"


def tested(run: "Loaded", changes: Mapping[str, Any], part: str, limits: Mapping[str, int | None]) -> Tested:
    """The pictures to test.

    Of the data that the run was trained on, wherever they lie now, its own test, training or held-out pictures. Of
    another folder of pictures its `test/`, or all of them, each read and fitted as `dlrun predict` does it.

    Args:
        changes: What was typed of `data` and `data.…`.
        part: One of `PARTS`.
        limits: `limit`, if it was typed: only the first so many. The run's own applies to its own data.

    Raises:
        UsageError: Data that are missing or don't suit the network, or a part that there is not.
    """
    from dlrun.data.dataset import limited
    from dlrun.data.load import load

    if part == "val" and evaluated_on(run.config) == "test":
        raise ConfigError("split=val: this run held no images out (validation=0, folds=null)")
    config = _config(run, changes)
    dataset = _own(run, config, changes)
    limit = limits.get("limit")
    if dataset is not None:
        split, names = _part(run, dataset, part, limits), _names(run, dataset, config, part, limits)
        found = Tested(split, dataset.classes, dataset.name, part, names, _changed(run, dataset))
    elif part == "val":
        raise ConfigError("split=val: only the data that the run was trained on have pictures that it held out")
    elif isinstance(config, ImageFolder):
        return _of_folder(run, config, part, changes, limit)
    else:
        whole = _undivided(config, part, changes)
        dataset = load(config if whole is None else replace(whole, test_table=whole.table))
        split = dataset.train if part == "train" else dataset.test
        notes: tuple[str, ...] = ()
        if whole is not None:
            part = "all"
            notes = (f"all of {whole.table} is tested: it is not the run's own data and has no data.test_table",)
        found = Tested(split, dataset.classes, dataset.name, part, tuple(range(len(split))), notes)
    _check_shape(run, found)
    return replace(found, split=limited(found.split, limit), names=found.names[:limit])


def _undivided(config: Data | Target, part: str, changes: Mapping[str, Any]) -> PixelTable | None:
    """A table of pixels that has no part which is to be tested, so that all of it is."""
    asked = part == "test" and "data.test_fraction" not in changes
    return config if asked and isinstance(config, PixelTable) and config.test_table is None else None


def _config(run: "Loaded", changes: Mapping[str, Any]) -> Data | Target:
    """The data as they are configured now, at the size and in the colours that the network takes."""
    from dlrun.config.schema import parse, plain

    values = plain(run.config)
    if "data" in changes:
        from dlrun.config.compose import compose

        values["data"] = plain(compose([f"{key}={hydra_value(value)}" for key, value in changes.items()]))["data"]
    else:
        values["data"].update({key.removeprefix("data."): value for key, value in changes.items()})
    config = parse(values).data
    if isinstance(config, Target):
        return config
    _refuse_contradictions(run, config, changes)
    channels, height, width = run.inputs.shape
    if "data" in changes and height == width and not isinstance(config, Synthetic):
        config = replace(config, size=height)
    if isinstance(config, ImageFolder) and channels in (1, 3):
        config = replace(config, color="grey" if channels == 1 else "rgb")
    return config


def _refuse_contradictions(run: "Loaded", config: Data, changes: Mapping[str, Any]) -> None:
    """What was typed of the pictures must be what the network takes, from which it would be known."""
    channels, height, width = run.inputs.shape
    takes = f"the network takes pictures of {'x'.join(map(str, run.inputs.shape))} (channels, height, width)"
    if changes.get("data.size") is not None and {height, width} != {config.size}:
        raise ConfigError(f"data.size={config.size}: {takes}; leave data.size out")
    if "data.color" in changes and channels != (1 if changes["data.color"] == "grey" else 3):
        raise ConfigError(f"data.color={changes['data.color']}: {takes}; leave data.color out")
    for name, usual in (("normalize", "unit"), ("mean", None), ("std", None)):
        typed, trained = getattr(config, name), getattr(run.config.data, name, usual)
        if f"data.{name}" in changes and typed != trained:
            raise ConfigError(
                f"data.{name}={hydra_value(typed)}: the network was trained with {hydra_value(trained)}, which stays"
            )


def _own(run: "Loaded", config: Data | Target, changes: Mapping[str, Any]) -> "Dataset | None":
    """The data that the run was trained on, if that is what there is, told by the fingerprint."""
    from dlrun.data.load import load

    if not changes:
        return load(config)
    trained = run.config.data
    if isinstance(config, Target) or isinstance(trained, Target):
        found = load(config) if isinstance(config, Target) else None
    elif isinstance(config, ImageFolder) and isinstance(trained, ImageFolder):
        if type(config) is not type(trained):
            return None
        if config.test_fraction != trained.test_fraction and "data.test_fraction" in changes:
            return None
        found = _loaded_if_whole(_elsewhere(trained, config))
    else:
        found = load(config) if config.name == trained.name else None
    return found if found is not None and same_content(run.fingerprint, found.fingerprint) else None


def _elsewhere(trained: ImageFolder, config: ImageFolder) -> ImageFolder:
    """The data that were trained on, in the folder and by the table that are named now."""
    if isinstance(trained, ImageTable) and isinstance(config, ImageTable):
        return replace(trained, root=config.root, table=config.table)
    return replace(trained, root=config.root)


def _changed(run: "Loaded", dataset: "Dataset") -> tuple[str, ...]:
    if run.fingerprint is None or same_content(run.fingerprint, dataset.fingerprint):
        return ()
    if said := incomparable(run.fingerprint):
        return (f"the run was {said}",)
    return (f"the data have changed since the training (fingerprint {dataset.fingerprint}, then {run.fingerprint})",)


def _loaded_if_whole(config: Data) -> "Dataset | None":
    from dlrun.data.load import load

    try:
        return load(config)
    except DataError:
        return None  # Reading it as another folder says what is wrong, if anything is.


def _part(run: "Loaded", dataset: "Dataset", part: str, limits: Mapping[str, int | None]) -> "Split":
    """Of the run's own data what it trained on, held out, or was tested on."""
    from dlrun.data.dataset import limited
    from dlrun.data.heldout import split_off

    config = run.config
    if part == "test":
        return limited(dataset.test, limits.get("limit", config.limit))
    train, held_out = split_off(config, dataset)
    return train if part == "train" or held_out is None else held_out


def _names(
    run: "Loaded", dataset: "Dataset", config: Data | Target, part: str, limits: Mapping[str, int | None]
) -> tuple[Path | int, ...]:
    """Of the pictures of `_part` their files or places, found by dividing places instead of pictures."""
    import torch

    from dlrun.data.dataset import Split
    from dlrun.data.folder import files
    from dlrun.data.places import locate

    def numbered(split: "Split") -> "Split":
        return Split(torch.arange(len(split)), split.labels)

    val = None if dataset.val is None else numbered(dataset.val)
    places = replace(dataset, train=numbered(dataset.train), test=numbered(dataset.test), val=val)
    chosen: list[int] = _part(run, places, part, limits).images.tolist()
    trained = run.config.data
    if not isinstance(config, ImageFolder) or not isinstance(trained, ImageFolder):
        return tuple(chosen)
    own = _elsewhere(trained, config)
    paths = files(locate(own), own, dataset.damaged)
    among = paths["test" if part == "test" else "val" if part == "val" and run.config.validation == OWN else "train"]
    return tuple(among[place] for place in chosen)


def _of_folder(run: "Loaded", config: ImageFolder, part: str, changes: Mapping[str, Any], limit: int | None) -> Tested:
    import numpy as np
    import torch

    from dlrun.data.dataset import Split
    from dlrun.data.folder import all_of, in_turns
    from dlrun.data.places import locate

    source = locate(config)
    folder, fraction = source.table or source.folder, config.test_fraction if "data.test_fraction" in changes else None
    listing, which = _listing(source, part, fraction)
    classes = tuple(name for name, paths in listing.items() if paths)
    if not classes:
        raise ConfigError(f"split={part}: {folder} has no {part}/; leave split out to test all of it")
    paths, labels = in_turns(listing, classes)
    pictures = all_of(paths[:limit], run.fitted)
    images = torch.from_numpy(np.stack([picture.pixels for picture in pictures]))
    split = Split(images, torch.tensor(labels[:limit]))
    notes = _notes(folder, which, [picture.found for picture in pictures if picture.inverted])
    return Tested(split, classes, changes.get("data", config.name), which, tuple(paths[:limit]), notes)


def _listing(source: "Source", part: str, fraction: float | None) -> tuple["ByClass", str]:
    """The pictures of a folder or a table that a network is tested on, by class, and which they are in a word.

    They are those of `test/`, which may stand alone; without it all are tested, as none was trained on.

    Args:
        part: `test`, or `train` for the others of the two.
        fraction: Without `test/` test this share of each class alone; None: all.

    Returns:
        An empty listing where there is no such part.
    """
    from dlrun.data.listing import held_out, listing, split_folders

    train, test, _ = source.listing
    splits = split_folders(source.folder) if source.table is None else {}
    if not any(test.values()) and set(splits) == {"test"}:
        train, test = {}, listing(splits["test"])
    if any(test.values()):
        return (test if part == "test" else train), part
    if part == "train" and "train" in splits:
        return train, part
    if fraction is None:
        return (train, "all") if part == "test" else ({}, part)
    held = {name: held_out(paths, fraction) for name, paths in train.items()}
    if part == "test":
        return held, part
    return {name: sorted(set(paths) - set(held[name])) for name, paths in train.items()}, part


def _notes(folder: Path, part: str, inverted: list[str]) -> tuple[str, ...]:
    whole = [f"all of {folder} is tested: it is not the run's own data and has no test/"] if part == "all" else []
    turned = (
        [f"{counted(len(inverted), 'picture')} inverted ({inverted[0]}), as dlrun predict does"] if inverted else []
    )
    return (*whole, *turned)


def _check_shape(run: "Loaded", found: Tested) -> None:
    shape = tuple(found.split.images.shape[1:])
    if shape != run.inputs.shape:
        theirs, ours = ("x".join(map(str, sizes)) for sizes in (shape, run.inputs.shape))
        raise ConfigError(f"the pictures of {found.name} are {theirs}, the network takes {ours}")
