"""What must be right before a run begins: its data and layers, and the folder it goes to."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlrun.config.groups import Augment, ImageFolder, Layers, Target, trains_nothing
from dlrun.config.schema import Config, earlier_identities
from dlrun.config.settled import Settled, settle
from dlrun.errors import ConfigError, UsageError
from dlrun.store.content import incomparable, same_data
from dlrun.store.folders import read_config
from dlrun.store.result import Result, read_result
from dlrun.store.standing import standing
from dlrun.store.status import Status

log = logging.getLogger("dlrun")


def check(config: Config) -> None:
    """Find every mistake that can be found without PyTorch: data or a tracker that are missing, layers that can't fit.

    Raises:
        UsageError: The first mistake found.
    """
    from dlrun.data.balance import refuse_weights
    from dlrun.data.facts import facts
    from dlrun.data.places import locate
    from dlrun.data.strays import refuse_lost_classes
    from dlrun.models.phrases import plan
    from dlrun.sinks.told import check_sinks

    check_sinks(config.sinks)
    if config.model.init_checksum and not config.model.init_from:
        raise ConfigError("model.init_checksum: of no weights; model.init_from=RUN or =FILE names them")
    if config.data.sampling == "balanced" and not config.shuffle:
        raise ConfigError("shuffle=false: data.sampling=balanced draws the images of an epoch at random; choose one")
    if trains_nothing(config.model):
        _refuse_training(config)
    if isinstance(config.data, Target):
        return
    source = locate(config.data)
    if isinstance(config.data, ImageFolder):
        refuse_lost_classes(source)
    known = facts(config.data)
    refuse_weights(config.data, known.classes)
    if isinstance(config.model, Layers):
        plan(config.model, known.shape, len(known.classes))


def _refuse_training(config: Config) -> None:
    """What would have to train, where nothing is trained."""
    typed = {
        f"epochs={config.epochs}": config.epochs > 1,
        f"average={config.average}": config.average is not None,
        f"loss={config.loss}": config.loss != "cross_entropy",
        "compile=true": config.compile,
        "augment": config.augment != Augment(),
        "model.init_from": config.model.init_from is not None,
        "model.freeze": bool(config.model.freeze),
    }
    for name, there in typed.items():
        if there:
            needed = "; leave it out, or epochs=1" if name.startswith("epochs") else "; leave it out"
            raise ConfigError(f"{name}: model=knn trains nothing{needed}")


def refuse_foreign(run_dir: Path, hash: str, extended: Mapping[str, Any] | None) -> None:
    """A folder keeps one run: another hash in it means that something would be overwritten."""
    if not (run_dir / "config.yaml").exists():
        return
    there = settle(read_config(run_dir)).hash
    if there not in (hash, (extended or {}).get("hash")):
        raise UsageError(
            f"{run_dir}: holds another run ({there}, this one is {hash}); "
            "choose another hydra.run.dir, or extend that run with dlrun resume"
        )


def result_there(run_dir: Path, settled: Settled) -> Result | None:
    """The result of a run that was completed here, on what the data hold now; a damaged one is made anew.

    Raises:
        UsageError: It can't be read, or stays that of the data it was made on, whatever lies in their place now.
    """
    from dlrun.data.load import load

    found = standing(
        run_dir, settled.hash, lambda done: same_data(settled, done, lambda one: load(one.config.data).fingerprint)
    )
    if found.status == Status.DAMAGED:
        log.warning("%s; it is made anew", found.damage)
    elif found.damage:
        raise found.damage
    elif found.status == Status.OTHER_DATA:
        recorded = found.result.data.get("fingerprint") if found.result else None
        if said := incomparable(recorded):
            raise UsageError(f"{run_dir}: {said}; choose another hydra.run.dir to train it again")
        raise UsageError(
            f"{run_dir}: holds the result of this run on other data (fingerprint {recorded}); "
            "choose another hydra.run.dir, or put those data back"
        )
    return found.done


def refuse_to_replace(run_dir: Path, settled: Settled) -> None:
    """A result that an earlier dlrun made of this config stays, also where its checkpoints are gone."""
    result = read_result(run_dir)
    if result is not None and result.status == Status.COMPLETED and result.hash in earlier_identities(settled.config):
        raise UsageError(
            f"{run_dir}: holds the result of an earlier dlrun ({result.hash}, now this run is {settled.hash}) and no "
            "checkpoint to go on from; choose another hydra.run.dir to train it again"
        )
