"""A run folder as a network that can be used: possibly a stranger's, so nothing in it is run or unpickled."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.config.device import pick_device, settle_precision
from dlrun.config.groups import Data, ImageFolder, Target
from dlrun.config.schema import Config, earlier_identities, parse, plain
from dlrun.config.settled import settle
from dlrun.data.foreign import Fitted, fitted
from dlrun.data.heldout import split_off
from dlrun.data.inputs import Inputs
from dlrun.data.load import load
from dlrun.data.prepare import Prepare, prepare_for
from dlrun.errors import Damaged, DataError, UsageError, is_out_of_memory
from dlrun.models.build import build_network
from dlrun.models.neighbours import Neighbours
from dlrun.runs.parts import remember
from dlrun.runs.trust import check_trust, without_download
from dlrun.store import check, checkpoint, kept
from dlrun.store.checkpoint import CheckpointError
from dlrun.store.content import same_content
from dlrun.store.folders import outcome, read_config
from dlrun.store.status import Status
from dlrun.training.evaluation import logits_of
from dlrun.training.loss import probabilities
from dlrun.training.precision import Precision, set_threads

log = logging.getLogger("dlrun")


@dataclass(frozen=True)
class Loaded:
    """A run ready to classify, in evaluation mode on `device`."""

    config: Config
    model: nn.Module
    inputs: Inputs
    fingerprint: str | None
    """Of the data that it was trained on."""
    prepare: Prepare
    """uint8 pictures (N, C, H, W) to what the network takes."""
    precision: Precision
    device: torch.device
    weights: str
    """Which weights these are, in words."""

    def fitted(self, path: Path) -> Fitted:
        """A picture file as this network takes it.

        Raises:
            DataError: As `dlrun.data.foreign.fitted`.
        """
        own = isinstance(self.config.data, ImageFolder)
        known = isinstance(self.config.data, Data) and not own
        # Checkpoints of 0.1.0 know the mean border alone, which says enough of the data sets that dlrun knows.
        rim = self.inputs.rim or (self.inputs.border[:1] * 3 if known else ())
        return fitted(path, self.inputs.shape, rim, squeeze=own)  # as its own pictures were for training

    def probabilities(self, images: Tensor) -> Tensor:
        """Of each class, float32 (N, classes) on the CPU, for uint8 (N, C, H, W); see `dlrun.training.loss`."""
        logits = logits_of(self.model, images.to(self.device), self.prepare, self.precision)
        return probabilities(self.config.loss, logits).cpu()


def load_run(
    run_dir: Path,
    best: bool = False,
    changes: Mapping[str, Any] = MappingProxyType({}),
    epoch: int | None = None,
) -> Loaded:
    """Build the network of a run and load its weights.

    Args:
        best: The weights of the best epoch instead of those of the last.
        changes: `device` (where the network is put; else wherever there is room here), `threads`, and
            `trust`: true builds whatever class the config names, which runs code of others; what the config itself
            says of it counts for nothing.
        epoch: The weights kept after this epoch.

    Raises:
        UsageError: No run, a damaged file, or a network outside the list of `dlrun.runs.trust`.
    """
    given = read_config(run_dir)
    values = {**plain(given), "device": "auto", "compile": False, "trust": False, **changes}
    config = settle_precision(parse(values))
    if isinstance(config.model, Target):
        config = replace(config, model=without_download(config.model))
    check_trust(config, ("model",), config.trust)
    place = pick_device(config.device)
    set_threads(config.threads)
    path = run_dir / "checkpoints" / ("best.pt" if best else "last.pt") if epoch is None else _kept(run_dir, epoch)
    weights_only = best or epoch is not None
    content = _content(run_dir, path, weights_only)
    finished = _is_finished(run_dir, given)
    if not weights_only:
        _refuse_another(content, given, path)
    inputs = _inputs(content, path)
    model = build_network(config.model, inputs.shape, len(inputs.classes))
    _load_weights(model, content, path, weights_only)
    prepare = prepare_for(inputs.mean, inputs.std, config.data, place)
    if isinstance(model, Neighbours):
        _remember(model, config, content, prepare, place)
    return Loaded(
        config=config,
        model=model.to(place).eval(),
        inputs=inputs,
        fingerprint=content.get("fingerprint"),
        prepare=prepare,
        precision=Precision(config.precision, place.type),
        device=place,
        weights=_describe(content, path, weights_only, None if finished else given.epochs),
    )


def _kept(run_dir: Path, epoch: int) -> Path:
    there = kept.kept(run_dir)
    if epoch not in there:
        known = f"epoch {', '.join(map(str, there))}" if there else "no epoch"
        raise UsageError(
            f"{run_dir}: keeps no weights of epoch {epoch}, but of {known}; checkpoint.keep_every=N and "
            "checkpoint.keep_best=K say what a run keeps"
        )
    return there[epoch]


def _remember(
    model: Neighbours, config: Config, content: Mapping[str, Any], prepare: Prepare, place: torch.device
) -> None:
    """Read the training pictures again, which neighbours have in place of weights.

    Raises:
        DataError: They are not there, or are others now.
    """
    check_trust(config, ("data",), config.trust)
    dataset = load(config.data)
    if not same_content(content.get("fingerprint"), dataset.fingerprint):
        raise DataError(
            f"{dataset.name}: model=knn classifies by its training pictures, and those are others now (fingerprint "
            f"{dataset.fingerprint}, then {content.get('fingerprint')})"
        )
    train, _ = split_off(config, dataset)
    remember(model, train.to(place), prepare)


def _is_finished(run_dir: Path, config: Config) -> bool:
    try:
        result = outcome(run_dir, settle(config))
    except Damaged as error:
        log.warning("%s; whether the run is finished is not known", error)
        return True
    return result is not None and result.status == Status.COMPLETED


def _refuse_another(content: dict[str, Any], config: Config, path: Path) -> None:
    """Refuse weights that were not trained as `config` says: it was changed by hand."""
    saved, origin, settled = content.get("hash"), content.get("origin"), settle(config)
    known = {saved, origin.get("hash") if isinstance(origin, dict) else None}
    if known.isdisjoint({settled.hash, *earlier_identities(settled.config)}):
        raise UsageError(f"{path}: of another run ({saved}) than config.yaml ({settled.hash})")


def _content(run_dir: Path, path: Path, weights_only: bool) -> dict[str, Any]:
    if weights_only:
        return checkpoint.load(path)
    content = checkpoint.load_last(run_dir / "checkpoints")
    if content is None:
        raise CheckpointError(f"{path}: not there, so this run has no weights yet")
    return content


def _inputs(content: dict[str, Any], path: Path) -> Inputs:
    try:
        return Inputs.parse(content.get("data"))
    except (ArithmeticError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of dlrun ({error})") from None


def _load_weights(model: nn.Module, content: dict[str, Any], path: Path, weights_only: bool) -> None:
    try:
        state = content if weights_only else check.group(content.get("state"), "state")
        weights = state.get("model") if weights_only else state.get("average") or state.get("model")
        model.load_state_dict(check.fits(weights, model.state_dict(), "model"))
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        said = str(error) if isinstance(error, check.Wrong) else type(error).__name__
        raise CheckpointError(f"{path}: its weights don't fit the network of config.yaml ({said})") from None


def _describe(content: dict[str, Any], path: Path, weights_only: bool, going_to: int | None) -> str:
    """Which weights they are; of an unfinished run, which goes to epoch `going_to`, how far they are, too."""
    unfinished = "" if going_to is None else f" of a run that is not finished ({going_to} epochs)"
    try:
        if weights_only:
            epoch = check.whole(content.get("epoch"), "epoch", low=1)
            chosen = check.text(content.get("selected_on"), "selected_on")
            if path.name != "best.pt":
                return f"epoch {epoch}{unfinished}"
            by = " loss" if content.get("by") == "loss" else ""
            return f"best epoch ({epoch}, selected on {chosen}{by}){unfinished}"
        if going_to is None:
            return "last epoch"
        if "counters" not in content["state"]:
            return f"last checkpoint{unfinished}"
        counters = check.group(content["state"]["counters"], "counters")
        done = check.whole(counters.get("epoch"), "counters.epoch", low=1) - 1
        within = check.whole(counters.get("steps_done"), "counters.steps_done")
        return f"{f'in epoch {done + 1}' if within else f'epoch {done}'} of {going_to}, not finished"
    except check.Wrong as error:
        raise CheckpointError(f"{path}: not a checkpoint of dlrun ({error})") from None
