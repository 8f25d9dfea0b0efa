"""What a run is made of: built from its config and seed, or put back as a checkpoint holds it."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.config import Config, identity
from dlrun.distributed import ALONE, Ranks
from dlrun.errors import UsageError
from dlrun.precision import Precision, pick_device, set_determinism, set_threads

if TYPE_CHECKING:
    from dlrun.data.dataset import Dataset, Split
    from dlrun.data.prepare import Prepare
    from dlrun.training import Settings, State

log = logging.getLogger("dlrun")


@dataclass
class Parts:
    """What a run is made of, on its device."""

    config: Config
    hash: str
    dataset: "Dataset"
    train: "Split"
    evaluated: "Split"
    test: "Split"
    prepare: "Prepare"
    prepare_evaluated: "Prepare"
    state: "State"
    settings: "Settings"
    threads: int
    parameters: dict[str, int]
    ranks: Ranks
    origin: dict[str, Any] | None = None
    """`hash` and `epochs` of the run that this one extends."""

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.train) / self.config.batch_size)

    def factor(self, step: int) -> float:
        """The schedule: factor on the learning rate of a step, by the number of steps before it."""
        from dlrun.optim.schedule import factor

        total = self.steps_per_epoch * self.config.epochs
        return factor(self.config.scheduler, step, self.steps_per_epoch, total)


def build(config: Config, ranks: Ranks = ALONE) -> Parts:
    """Load the data and make network, optimizer and the rest on the device, from `config.seed`.

    Raises:
        UsageError: The data, the device or a part of the user's own is not usable.
    """
    import torch

    from dlrun.data.dataset import limited, split_off
    from dlrun.data.load import load
    from dlrun.data.prepare import prepare_for
    from dlrun.models.build import build as build_model
    from dlrun.models.build import count_parameters
    from dlrun.optim.average import Average
    from dlrun.optim.build import build as build_optimizer
    from dlrun.optim.quick_start import without_compiler
    from dlrun.training import Settings, State, Totals

    device = pick_device(config.device)
    threads = set_threads(config.threads)
    set_determinism(config.deterministic)
    dataset = load(config.data)
    train, test = (limited(split, config.limit).to(device) for split in (dataset.train, dataset.test))
    evaluated = test
    if config.validation:
        train, evaluated = split_off(train, config.validation)
    torch.manual_seed(config.seed)
    model = build_model(config.model, tuple(train.images.shape[1:]), len(dataset.classes)).to(device)
    parameters = count_parameters(model)
    if not config.compile:
        without_compiler()
    optimizer = build_optimizer(config.optimizer, list(model.parameters()))
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    precision = Precision(config.precision, device.type)
    average = Average(model, config.average) if config.average else None
    if config.compile:
        model.compile()
    if not ranks.first:
        # The weights are the same everywhere; dropout and augmentation must not be.
        torch.manual_seed((config.seed * 1_000_003 + 7919 * ranks.rank) % 2**63)
    return Parts(
        config=config,
        hash=identity(config),
        dataset=dataset,
        train=train,
        evaluated=evaluated,
        test=test,
        prepare=prepare_for(dataset, config.data, device, config.augment),
        prepare_evaluated=prepare_for(dataset, config.data, device),
        state=State(model, optimizer, precision.scaler(), average, Totals.zero(device)),
        settings=Settings(
            epochs=config.epochs,
            batch_size=config.batch_size,
            eval_batch_size=config.eval_batch_size,
            seed=config.seed,
            precision=precision,
            label_smoothing=config.label_smoothing,
            clip_norm=config.clip_norm,
            early_stopping=config.early_stopping,
            log_every=config.log_every,
            save_every=config.checkpoint.every_steps,
            split="val" if config.validation else "test",
        ),
        threads=threads,
        parameters=parameters,
        ranks=ranks,
    )


def resume(parts: Parts, run_dir: Path, extended: Mapping[str, Any] | None = None) -> None:
    """Put the state of the run's last good checkpoint into `parts`, if there is one.

    A checkpoint of the run that is extended is saved again under the new hash before anything else, so that
    the folder fits together whenever the process dies.
    """
    from dlrun import checkpoint

    saved = checkpoint.load_last(run_dir / "checkpoints")
    if saved is None:
        return
    origin = dict(extended) if extended else saved.get("origin")
    if parts.hash not in (saved.get("hash"), (saved.get("origin") or {}).get("hash")) and not (
        origin and origin.get("hash") == saved.get("hash")
    ):
        raise UsageError(f"{run_dir / 'checkpoints'}: of another run ({saved.get('hash')}, this one is {parts.hash})")
    parts.state.load(saved["state"], parts.ranks)
    before, now = 1 + len(saved["state"].get("others", [])), parts.ranks.count
    if before != now:
        log.warning("saved by %d ranks, going on with %d: the same within rounding, not bit by bit", before, now)
    parts.origin = origin
    if saved.get("hash") != parts.hash and parts.ranks.first:
        state = parts.state.tensors()
        checkpoint.save_last(run_dir / "checkpoints", {"hash": parts.hash, "origin": origin, "state": state})
    log.info("going on after epoch %d, step %d", parts.state.epoch - 1, parts.state.step)
