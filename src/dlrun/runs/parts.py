"""What a run is made of: built from its config and seed, or put back as a checkpoint holds it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.config.device import pick_device
from dlrun.config.groups import Layers, Target
from dlrun.config.schema import OWN, Config, earlier_identities, evaluated_on, of_length
from dlrun.config.settled import Settled
from dlrun.config.start import checksum_of, weights_file
from dlrun.environment import cpu
from dlrun.errors import ConfigError, DataError, UsageError, is_out_of_memory
from dlrun.linux import keep_freed
from dlrun.optim.schedule import factor
from dlrun.store.content import incomparable, same_content
from dlrun.store.history import check_rows, read_history
from dlrun.training.distributed import ALONE, Ranks
from dlrun.training.precision import Precision, set_determinism, set_exact_float32, set_threads

if TYPE_CHECKING:
    import torch

    from dlrun.data.dataset import Dataset, Split
    from dlrun.data.inputs import Inputs
    from dlrun.data.prepare import Prepare
    from dlrun.models.neighbours import Neighbours
    from dlrun.training.state import State
    from dlrun.training.step import LoopSettings

log = logging.getLogger("dlrun")


@dataclass
class Parts:
    """What a run is made of, on its device."""

    config: Config
    hash: str
    dataset: "Dataset"
    inputs: "Inputs"
    train: "Split"
    evaluated: "Split"
    test: "Split"
    prepare: "Prepare"
    prepare_evaluated: "Prepare"
    state: "State"
    settings: "LoopSettings"
    threads: int
    parameters: dict[str, int]
    ranks: Ranks
    origin: dict[str, Any] | None = None
    """`hash` and `epochs` of the run that this one extends."""

    def about(self) -> dict[str, Any]:
        """What a checkpoint says besides the state: whose it is, and all that going on or using it needs."""
        return {
            "hash": self.hash,
            "origin": self.origin,
            "fingerprint": self.dataset.fingerprint,
            "numerics": self.numerics(),
            "data": self.inputs.plain(),
        }

    def numerics(self) -> dict[str, Any]:
        """What the same bits are promised for, besides the hash."""
        import torch

        return {
            "torch": str(torch.__version__),
            "device": self.state.device.type,
            "threads": self.threads,
            "capability": torch.backends.cpu.get_cpu_capability(),
            "cpu": cpu(),
            "ranks": self.ranks.count,
            "cuda graph": self.state.device.type == "cuda" and not self.settings.no_graph,
        }

    @property
    def held_out(self) -> int:
        """How many images are held out."""
        return 0 if self.evaluated is self.test else len(self.evaluated)

    def counts(self) -> str:
        """The numbers of images in words: `55,000 train + 5,000 held out + 10,000 test`."""
        held_out = f"{self.held_out:,} held out + " if self.held_out else ""
        val = self.dataset.val if self.config.validation != OWN else None
        unused = f" ({len(val):,} more for validation=own)" if val else ""
        return f"{len(self.train):,} train + {held_out}{len(self.test):,} test{unused}"

    @property
    def steps_per_epoch(self) -> int:
        """The last, smaller batch counted, unless it is left out."""
        return self.settings.steps_per_epoch(len(self.train))

    def factor(self, step: int) -> float:
        """The schedule: factor on the learning rate of a step, by the number of steps before it."""
        total = self.steps_per_epoch * self.config.epochs
        return factor(self.config.scheduler, step, self.steps_per_epoch, total)


def build(settled: Settled, ranks: Ranks = ALONE) -> Parts:
    """Load the data and make network, optimizer and the rest on the device, from `config.seed`.

    Raises:
        UsageError: The data, the device or a part of the user's own is not usable.
    """
    import torch

    from dlrun.data.balance import class_weights
    from dlrun.data.dataset import limited
    from dlrun.data.heldout import left_out, split_off
    from dlrun.data.inputs import Inputs
    from dlrun.data.load import load
    from dlrun.data.prepare import prepare_for
    from dlrun.data.sameness import sameness
    from dlrun.models.build import count_parameters
    from dlrun.models.neighbours import Neighbours

    config = settled.config
    device = pick_device(config.device)
    threads = set_threads(config.threads)
    set_determinism(config.deterministic)
    set_exact_float32()
    keep_freed()
    dataset = load(config.data)
    inputs = Inputs.of(dataset)
    same = sameness(dataset)
    if same and ranks.first:
        log.warning("%s: %s", dataset.name, same)
    test = limited(dataset.test, config.limit).to(device)
    train, held_out = split_off(config, dataset)
    if config.drop_last and len(train) < config.batch_size:
        raise ConfigError(
            f"drop_last=true: no batch of {config.batch_size} images can be made of {len(train)}; lower batch_size"
        )
    if held_out is not None and ranks.first:
        for sentence in left_out(config, train, held_out, dataset.classes):
            log.warning("%s", sentence)
    weights = class_weights(config.data, train.labels, dataset.classes)
    if weights is not None and bool((weights == weights[0]).all()) and ranks.first:
        log.warning("data.class_weights: all classes have the same weight, which changes nothing")
    precision = Precision(config.precision, device.type)
    torch.manual_seed(config.seed)
    state = _state(config, tuple(train.images.shape[1:]), len(dataset.classes), device, precision)
    _refuse_one_over(config, len(train), tuple(train.images.shape[1:]), state, ranks)
    prepare_evaluated = prepare_for(dataset.mean, dataset.std, config.data, device)
    if isinstance(state.model, Neighbours):
        remember(state.model, train.to(device), prepare_evaluated, ranks)
    if not ranks.first:
        # The weights are the same everywhere; dropout and augmentation must not be.
        torch.manual_seed((config.seed * 1_000_003 + 7919 * ranks.rank) % 2**63)
    return Parts(
        config=config,
        hash=settled.hash,
        dataset=dataset,
        inputs=inputs,
        train=train.to(device),
        evaluated=test if held_out is None else held_out.to(device),
        test=test,
        prepare=prepare_for(dataset.mean, dataset.std, config.data, device, config.augment),
        prepare_evaluated=prepare_evaluated,
        state=state,
        settings=_settings(config, precision, None if weights is None else weights.to(device), _l2(config, dataset)),
        threads=threads,
        parameters=count_parameters(state.model),
        ranks=ranks,
    )


def remember(model: "Neighbours", train: "Split", prepare: "Prepare", ranks: Ranks = ALONE) -> None:
    """Give neighbours their training pictures.

    Raises:
        ConfigError: They are too few, or this is one of several ranks.
    """
    if ranks.count > 1:
        raise ConfigError("model=knn: nothing is trained that several ranks could share; start it without torchrun")
    model.remember(prepare(train.images), train.labels)


def _refuse_one_over(config: Config, images: int, shape: tuple[int, ...], state: "State", ranks: Ranks) -> None:
    """Batch norm has no variance of one value: try a batch of one picture where training will come to one.

    Raises:
        ConfigError: The network can't take it.
    """
    if 1 not in _sizes_at_once(config, images, ranks.count):
        return
    import copy

    import torch

    from dlrun.randomness import undisturbed_random

    model, still = copy.deepcopy((state.model, state.still))
    model.train()
    for module in still:
        module.eval()
    with undisturbed_random(state.device), torch.no_grad():
        try:
            model(torch.zeros(1, *shape, device=state.device))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            batches = f"{images:,} images in batches of {config.batch_size}"
            raise ConfigError(
                f"{batches} leave one over, which batch normalization can't take; "
                f"{'' if config.batch_size == 1 else 'drop_last=true, or '}batch_size={config.batch_size + 1}"
            ) from None


def _sizes_at_once(config: Config, images: int, ranks: int) -> set[int]:
    """How many of a step's images a rank may take at once, over an epoch."""
    step = config.batch_size * config.accumulate
    images -= images % config.batch_size if config.drop_last else 0
    whole = -(-config.batch_size // ranks)
    shares = {share for size in (min(step, images), images % step) for share in (size // ranks, -(-size // ranks))}
    return {part for share in shares for part in (min(share, whole), share % whole)}


def _state(
    config: Config, shape: tuple[int, ...], classes: int, device: "torch.device", precision: Precision
) -> "State":
    """Network, optimizer and average as they are before the first step, drawn from torch's generator."""
    import torch

    from dlrun.models.build import build_network
    from dlrun.models.neighbours import Neighbours
    from dlrun.models.start import frozen
    from dlrun.optim.average import Average
    from dlrun.optim.build import build_optimizer
    from dlrun.optim.quick_start import without_compiler
    from dlrun.training.state import State, Totals

    model = build_network(config.model, shape, classes).to(device)
    still = frozen(model, config.model.freeze)
    if not config.compile:
        without_compiler()
    # What is remembered needs no optimizer; the state of a run has one.
    trained = [torch.nn.Parameter(torch.zeros(()))] if isinstance(model, Neighbours) else list(model.parameters())
    optimizer = build_optimizer(config.optimizer, trained)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    average = Average(model, config.average) if config.average else None
    if config.compile:
        model.compile()
    return State(model, optimizer, precision.scaler(), average, Totals.zero(device), still=still)


def _l2(config: Config, dataset: "Dataset") -> tuple[float, ...]:
    """Factors of the L2 penalty of a list of layers."""
    from dlrun.models.phrases import penalties

    if not isinstance(config.model, Layers):
        return ()
    return penalties(config.model, tuple(dataset.train.images.shape[1:]), len(dataset.classes))


def _settings(
    config: Config, precision: Precision, class_weights: "torch.Tensor | None", l2: tuple[float, ...]
) -> "LoopSettings":
    from dlrun.training.step import LoopSettings

    return LoopSettings(
        epochs=config.epochs,
        batch_size=config.batch_size,
        eval_batch_size=config.eval_batch_size,
        seed=config.seed,
        precision=precision,
        no_graph=no_graph(config),
        accumulate=config.accumulate,
        balanced=config.data.sampling == "balanced",
        class_weights=class_weights,
        loss=config.loss,
        l2=l2,
        label_smoothing=config.label_smoothing,
        clip_norm=config.clip_norm,
        best_by=config.best_by,
        early_stopping=config.early_stopping,
        min_delta=config.min_delta,
        shuffle=config.shuffle,
        drop_last=config.drop_last,
        scale_last=config.scale_last,
        log_every=config.log_every,
        save_every=config.checkpoint.every_steps,
        split=evaluated_on(config),
    )


STATELESS = ("dlrun.models.", "torchvision.models.")
"""Where networks come from that keep no state in Python, which a replayed step would leave as it was."""


def no_graph(config: Config) -> str:
    """Why the config rules out that its step is replayed as a CUDA graph; empty where it may be."""
    if not config.cuda_graphs:
        return "cuda_graphs=false"
    if config.compile:
        return "compile=true"
    if isinstance(config.model, Target) and not config.model.target.startswith(STATELESS):
        return f"{config.model.target} may keep a state in Python"
    return ""


def begin(parts: Parts) -> None:
    """Put the weights that the config begins with into the network of `parts`; what is new of them is said.

    Raises:
        ConfigError: They are not there, or don't fit the network.
        CheckpointError: They are no weights, or damaged.
        UsageError: They are others than those by which the run is known.
    """
    start = parts.config.model
    if not start.init_from:
        return
    from dlrun.models.start import fitting
    from dlrun.store.checkpoint import load_weights

    path = weights_file(start.init_from)
    saved, content = load_weights(path)
    if start.init_checksum and checksum_of(content) != start.init_checksum:
        raise UsageError(
            f"{path}: not the weights of this run (checksum {checksum_of(content)}, its own are "
            f"{start.init_checksum}); put those back, or start a new run"
        )
    weights, said = fitting(parts.state.model, saved, start.init_from)
    parts.state.model.load_state_dict(weights)
    if parts.state.average:
        parts.state.average.load_state_dict(weights)
    for sentence in said if parts.ranks.first else ():
        log.warning("%s", sentence)
    log.info("begun with the weights of %s (%s)", path, start.init_checksum)


def resume(parts: Parts, run_dir: Path, extended: Mapping[str, Any] | None = None) -> bool:
    """Put the state of the run's last good checkpoint into `parts`; false where there is none.

    A checkpoint of the run that is extended is saved again under the new hash before anything else, so that
    the folder fits together whenever the process dies.

    Raises:
        CheckpointError: No checkpoint is whole, or it does not fit the network that the config gives now.
        DataError: The data are not those it was trained on.
        UsageError: It is of another run.
    """
    from dlrun.store import check, checkpoint

    folder = run_dir / "checkpoints"
    saved = checkpoint.load_last(folder)
    if saved is None:
        return False
    try:
        check.about(saved)
        origin = dict(extended) if extended else saved.get("origin")
        _refuse_another(saved, parts, origin, run_dir)
        parts.state.load(saved.get("state"), parts.ranks)
        # Taken from here, so that a history that was lost or changed is whole again.
        known = "history" in saved
        history = saved["history"] if known else _history_on_disk(run_dir, parts.state.epoch)
        # A tensor; earlier versions wrote a list.
        parts.state.history = history.tolist() if hasattr(history, "tolist") else history
        _check_progress(parts)
    # Beside what is checked, PyTorch and parts of the user's own refuse in their own ways.
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        said = str(error) if isinstance(error, check.Wrong) else type(error).__name__
        raise checkpoint.CheckpointError(
            f"{folder}: does not fit the network and optimizer of config.yaml, or is no dlrun checkpoint "
            f"({said}); has their code changed?"
        ) from error
    _warn_of_other_bits(saved.get("numerics", {}), parts.numerics())
    # An extension that was taken back before its first step leaves the run what it was.
    parts.origin = origin if origin is None or origin["hash"] != parts.hash else None
    if saved.get("hash") != parts.hash and parts.ranks.first:
        for _ in range(2):  # The one before, too, since a checkpoint of the old hash would be refused.
            checkpoint.save_last(folder, {**parts.about(), **parts.state.saved()})
    log.info("going on after epoch %d, step %d", parts.state.epoch - 1, parts.state.step)
    return True


def _check_progress(parts: Parts) -> None:
    """The counters must fit each other and the run, and there must be a row for every epoch that is done.

    Raises:
        Wrong: They don't.
    """
    from dlrun.store import check

    state, steps = parts.state, parts.steps_per_epoch
    check.whole(state.epoch, "counters.epoch", low=1, high=parts.config.epochs + 1)
    check.whole(state.steps_done, "counters.steps_done", high=steps)
    done = (state.epoch - 1) * steps + state.steps_done
    check.whole(state.step, "counters.step", low=done, high=done)
    check_rows(state.history, state.epoch - 1, parts.settings.split)


def _refuse_another(saved: Mapping[str, Any], parts: Parts, origin: Mapping[str, Any] | None, run_dir: Path) -> None:
    """Refuse a checkpoint of another run, and other data than those it was made with."""
    config, made = parts.config, saved.get("hash")
    earlier = earlier_identities(config)
    own = {parts.hash, *earlier}
    known = set(own)
    if origin is not None:
        shorter = earlier_identities(of_length(config, origin["epochs"]))
        earlier |= shorter
        known |= {origin["hash"], *shorter}
    if changes := earlier.get(str(made)):
        raise UsageError(
            f"{run_dir}: begun before dlrun changed its {' and '.join(changes)}, and can't go on the same; "
            "start a new run"
        )
    if made not in known and (saved.get("origin") or {}).get("hash") not in own:
        raise UsageError(f"{run_dir / 'checkpoints'}: of another run ({made}, this one is {parts.hash})")
    began, now = saved.get("fingerprint"), parts.dataset.fingerprint
    if began is None or same_content(began, now):
        return
    if said := incomparable(began):
        raise DataError(f"{run_dir}: {said}; start a new run in another folder (evaluate and predict take this one)")
    raise DataError(
        f"{run_dir}: the data are not those this run began with (fingerprint {now}, then {began}); "
        "put them back, or start a new run"
    )


def _history_on_disk(run_dir: Path, epoch: int) -> list[list[float]]:
    return [list(row.values()) for row in read_history(run_dir) if row["epoch"] < epoch]


def _warn_of_other_bits(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [f"{name} {before[name]} is now {now[name]}" for name in now if before.get(name, now[name]) != now[name]]
    if changed:
        log.warning("%s: the run goes on the same within rounding, not bit by bit", ", ".join(changed))
