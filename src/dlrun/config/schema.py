"""What can be configured: every flat field with its type, default, range and meaning, and the check of a config.

The dataclasses here and in `groups.py` are the single source: the command line, the checks, `dlrun --help`,
the reference page and the hash of a run derive from them. A YAML file under `configs/` holds only what differs.
"""

import dataclasses
import hashlib
import itertools
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dlrun.config.fields import default_of, fields_of, fill, option
from dlrun.config.groups import (
    DATA,
    GROUPS,
    OPTIMIZERS,
    SCHEDULERS,
    Augment,
    Cosine,
    Data,
    DataTarget,
    Layers,
    NetworkTarget,
    Optimizer,
    Scheduler,
    Target,
    extensions,
)
from dlrun.errors import ConfigError, did_you_mean, nearest

NUMERICS = 1
"""Raised when a change of the code changes every run's results: part of every hash; for other changes see `revised`."""

OBJECTIVES = ("accuracy", "loss", "parameters", "seconds")
"""What a search can look for; accuracy is to be high, all else low."""
PRUNERS = ("median", "percentile", "successive_halving", "hyperband", "none")

OWN = "own"
"""The value of `validation` that takes the images which the data set brings for it."""


OF_EVERY_TARGET = tuple(fields_of(Target))
"""Fields of a part of the user's own that are not typed by their names."""


def objectives(value: str | list[str]) -> list[str]:
    """`sweep.objective` as a list; what is named twice counts once.

    >>> objectives("loss"), objectives(["accuracy", "seconds"])
    (['loss'], ['accuracy', 'seconds'])
    """
    return [value] if isinstance(value, str) else list(dict.fromkeys(value))


def _is_share(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1


@dataclass
class Checkpoint:
    """When to save besides the end of every epoch, and what to keep."""

    every_steps: int | None = option(None, "also save every so many steps", low=1, hashed=False)
    every_minutes: float | None = option(None, "also save every so many minutes", above=0, hashed=False)
    keep_best: int | None = option(
        None, "keep the weights of the so many best epochs (best_by), for --epoch N", low=1, hashed=False
    )
    keep_every: int | None = option(None, "keep the weights after every so many epochs", low=1, hashed=False)


@dataclass
class Sweep:
    """How the jobs of a sweep are run."""

    slots: int | None = option(None, "jobs at once (null: one a GPU times per_gpu, or one a core)", low=1, hashed=False)
    per_gpu: int = option(1, "jobs that share one GPU", low=1, hashed=False)
    on_failure: str = option("continue", "what to do when a job fails", choices=("continue", "stop"), hashed=False)
    retries: int = option(0, "how often to start a killed job again", low=0, hashed=False)
    timeout: float | None = option(None, "minutes after which a job is stopped", above=0, hashed=False)
    failed: str = option(
        "keep", "failed runs of an earlier call: keep or retry", choices=("keep", "retry"), hashed=False
    )
    fresh: bool = option(False, "run everything again in a new folder", hashed=False)
    name: str | None = option(None, "folder below outputs/sweeps (null: derived from what was typed)", hashed=False)
    rows: list[str] = option(
        [], "points written out, each a text of overrides, e.g. ['model=fc_64 seed=0,1','model=fc_512']", hashed=False
    )
    zip: list[str] = option([], "lists that go in step, e.g. ['optimizer.lr=0.1,0.01 batch_size=128,32']", hashed=False)
    exclude: list[str] = option([], "points left out: those with all of a text's overrides", hashed=False)
    random: int | None = option(
        None, "draw so many points instead of taking all, each with every seed and fold", low=1, hashed=False
    )
    trials: int = option(20, "points that hydra/sweeper=search tries", low=1, hashed=False)
    sampler: str = option("tpe", "how a search picks points", choices=("tpe", "random"), hashed=False)
    objective: str | list[str] = option(
        "accuracy",
        "what a search looks for: the highest accuracy, or the least loss, parameters or seconds of training; "
        "of several, as [accuracy,parameters], the points that none beats in all",
        fits=lambda value: bool(objectives(value)) and set(objectives(value)) <= set(OBJECTIVES),
        expected=f"one of {', '.join(OBJECTIVES)}, or a list of several",
        hashed=False,
    )
    first: list[str] = option(
        [],
        "points that a search tries first, e.g. ['optimizer.lr=0.01 batch_size=32']; it draws what they leave out",
        hashed=False,
    )
    prune: bool = option(True, "let a search stop runs that fall behind", hashed=False)
    pruner: str = option("median", "by what rule of Optuna's a search stops runs", choices=PRUNERS, hashed=False)


@dataclass
class Config:
    """Everything one run is: the fields typed flat on the command line, and the groups."""

    data: Data | DataTarget
    model: Layers | NetworkTarget
    optimizer: Optimizer | Target
    scheduler: Scheduler
    augment: Augment
    epochs: int = option(10, "passes over the training set", low=1)
    batch_size: int = option(32, "images per training step", low=1)
    accumulate: int = option(
        1, "batches in a step: their gradients are averaged for one update, as that of one large batch", low=1
    )
    eval_batch_size: int = option(1000, "images per evaluation step", low=1)
    seed: int = option(0, "seed of every random number", low=0, high=2**63 - 1)
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps", hashed=False)
    precision: str = option(
        "auto",
        "auto is bfloat16 on a GPU that has it, else float32",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    threads: int | None = option(None, "CPU threads (null: all cores)", low=1, high=1024, hashed=False)
    cuda_graphs: bool = option(
        True, "on a GPU, replay the step as a CUDA graph where the network is known to allow it", hashed=False
    )
    deterministic: bool = option(False, "only algorithms that give the same bits every time")
    compile: bool = option(False, "run the network through torch.compile")
    validation: int | float | str = option(
        0,
        "training images held out and evaluated each epoch instead of the test set: how many, or a share "
        "(0: none, as the slides do); own: those that the data set brings",
        fits=lambda value: value == OWN or (value >= 0 if isinstance(value, int) else _is_share(value)),
        expected="a whole number >= 0, a share > 0 and < 1, or own",
    )
    validation_by: str = option(
        "class",
        "which are held out: class: as many of each class as its share, at least one; random: any; "
        "first, last: of the training set as it comes",
        choices=("class", "random", "first", "last"),
        # Until 0.1.0 there was no other way than at random.
        tells=lambda config: config.validation not in (0, OWN) and config.validation_by != "random",
    )
    folds: int | None = option(
        None,
        "divide the training set into so many folds, each with its share of every class, and hold out one of them "
        "(fold), instead of validation: -m fold='range(0,5)' folds=5",
        low=2,
    )
    fold: int | None = option(None, "which of the folds is held out, counted from 0", low=0)
    limit: int | None = option(None, "use only the first so many images of train and of test", low=1)
    train_limit: int | None = option(
        None, "train on only the first so many images that are not held out; the test set stays whole", low=1
    )
    shuffle: bool = option(True, "draw the order of the training images anew every epoch (false: as they lie)")
    drop_last: bool = option(False, "leave out the last batch of an epoch of training if it is not full")
    scale_last: bool = option(
        False,
        "divide the gradient of an epoch's last batch, if it is not full, by batch_size, as MXNet's "
        "trainer.step(batch_size) does, and not by the number of its images: a step of its share",
    )
    best_by: str = option(
        "accuracy",
        "what makes an epoch better than another, for best.pt, checkpoint.keep_best and early_stopping: accuracy or "
        "loss of the images held out; where none are, of the test set, which flatters",
        choices=("accuracy", "loss"),
    )
    early_stopping: int | None = option(None, "stop after so many epochs without a better one (best_by)", low=1)
    min_delta: float = option(
        0.0,
        "for early_stopping an epoch is better only if it is by more than this",
        low=0,
        tells=lambda config: config.early_stopping is not None and config.min_delta != 0,
    )
    loss: str = option(
        "cross_entropy",
        "what is made small: cross_entropy of the softmax; squared_error (half of it) or binary_cross_entropy of the "
        "sigmoid of each output, summed over the classes",
        choices=("cross_entropy", "squared_error", "binary_cross_entropy"),
    )
    label_smoothing: float = option(0.0, "share of the target spread over all classes", low=0, below=1)
    clip_norm: float | None = option(None, "largest norm of the whole gradient", above=0)
    average: float | None = option(
        None, "decay of an exponential average of the weights, used for evaluation", above=0, below=1
    )
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    tensorboard: str = option(
        "full",
        "what to log for TensorBoard; off leaves out figures/, too",
        choices=("full", "scalars", "off"),
        hashed=False,
    )
    sinks: list[str] = option(
        [],
        "trackers that are told of each epoch: mlflow, wandb, trackio, or package.Class of your own; what they call "
        "the run is kept in trackers.json; never read from a run folder",
        hashed=False,
    )
    profile: bool = option(False, "record a torch.profiler trace of some steps", hashed=False)
    log_every: int = option(100, "steps between two updates of the console and TensorBoard", low=1, hashed=False)
    name: str | None = option(None, "a name for the run", hashed=False)
    tags: list[str] = option([], "words to find the run by", hashed=False)
    on_end: str | None = option(
        None,
        "command for the shell when the run, or a whole sweep, ends or fails; its environment says how (DLRUN_STATUS "
        "and others); never read from a run folder",
        hashed=False,
    )
    scale_lr: bool = option(
        False, "under torchrun: batch_size is that of each rank, and the learning rate grows with their number"
    )
    trust: bool = option(
        False,
        "behind a run folder: let its config build what is not on dlrun's list, which runs code of whoever made it",
        hashed=False,
    )
    sweep: Sweep = field(default_factory=Sweep)
    choices: dict[str, str] = option({}, "the option chosen for each group, for the record", hashed=False)


def defaults() -> dict[str, Any]:
    """The default of every flat field and of `checkpoint` and `sweep`, as plain values."""
    made = {name: default_of(item) for name, item in fields_of(Config).items() if name not in (*GROUPS, "choices")}
    return {
        name: dataclasses.asdict(value) if isinstance(value, Checkpoint | Sweep) else value
        for name, value in made.items()
    }


def parse(values: Mapping[str, Any]) -> Config:
    """Check a composed, resolved config (plain values) and fill in what it leaves out.

    Raises:
        ConfigError: An unknown key, a wrong type, a value out of range; the message names it.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"expected a config with its fields, got {values!r:.40}")
    given = dict(values)
    for group in GROUPS:
        if not isinstance(given.get(group, {}), Mapping):
            raise ConfigError(f"{group}: expected a group of fields, got {given[group]!r}")
    parts: dict[str, Any] = {
        "data": _data(given.pop("data", {})),
        "model": _model(given.pop("model", {})),
        "optimizer": _by_name("optimizer", given.pop("optimizer", {}), OPTIMIZERS),
        "scheduler": _scheduler(given.pop("scheduler", {"name": "constant"})),
        "augment": fill(Augment, given.pop("augment", {}), "augment."),
        "checkpoint": fill(Checkpoint, given.pop("checkpoint", {}), "checkpoint."),
        "sweep": fill(Sweep, given.pop("sweep", {}), "sweep."),
    }
    for key in given:
        _refuse_if_of_a_group(str(key), parts)
    config = typing.cast(Config, fill(Config, {**given, **parts}, ""))
    _check_extensions(config)
    _check_folds(config)
    return config


def evaluated_on(config: Config) -> str:
    """What is evaluated after every epoch: `val` where images are held out, else `test`."""
    return "val" if config.validation or config.folds else "test"


def _check_folds(config: Config) -> None:
    if config.folds is None and config.fold is None:
        return
    if config.folds is None:
        raise ConfigError(f"fold={config.fold}: of how many? folds=5, say; all of them: -m fold='range(0,5)' folds=5")
    if config.fold is None:
        raise ConfigError(f"folds={config.folds}: which is held out? All in turn: -m fold='range(0,{config.folds})'")
    if config.fold >= config.folds:
        raise ConfigError(f"fold={config.fold}: expected 0 to {config.folds - 1}, as folds={config.folds}")
    if config.validation:
        raise ConfigError(f"validation={config.validation}: the fold is what is held out; leave out one of the two")
    if config.validation_by != "class":
        raise ConfigError(f"validation_by={config.validation_by}: folds are drawn by class; it goes with validation")


def _check_extensions(config: Config) -> None:
    scheduler = config.scheduler
    if not scheduler.extend:
        return
    typed = f"scheduler.extend=[{', '.join(scheduler.extend)}]"
    if scheduler.name == "constant" and not scheduler.warmup:
        raise ConfigError(f"{typed}: the rate is constant, so that there is nothing to choose")
    if extensions(scheduler.extend)[-1].after >= config.epochs:
        raise ConfigError(f"{typed}: expected fewer epochs than the run has, {config.epochs}")


def as_meant(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values of a run folder's config, with what a field that is missing there meant when they were written."""
    if values.get("validation") and "validation_by" not in values:  # 0.1.0 drew all at random
        return {**values, "validation_by": "random"}
    return values


def _refuse_if_of_a_group(key: str, parts: Mapping[str, Any]) -> None:
    """`lr=0.1` means `optimizer.lr=0.1`, and the nearest flat field would be no help."""
    if key in fields_of(Config):
        return
    inside = [f"{group}.{name}" for group, part in parts.items() for name in fields_of(type(part)) if name != "name"]
    same = [name for name in inside if name.partition(".")[2] == key]
    meant = " or ".join(same) or nearest(key, [*fields_of(Config), *inside])
    if meant:
        raise ConfigError(f"{key}: no such field; did you mean {meant}?")


def plain(config: Config) -> dict[str, Any]:
    """The config as plain values for YAML or JSON; `parse` of it gives the same config again."""
    values = dataclasses.asdict(config)
    values["model"].update(values["model"].pop("named", {}))
    for group in GROUPS:
        part = getattr(config, group)
        if isinstance(part, Target):
            values[group] = {"_target_": part.target, **part.arguments, **_own_fields(part)}
    return values


def _own_fields(part: Target) -> dict[str, Any]:
    """What a part of the user's own has besides its arguments, where it is not at its default."""
    own = {name: item for name, item in fields_of(type(part)).items() if name not in OF_EVERY_TARGET}
    return {name: getattr(part, name) for name, item in own.items() if getattr(part, name) != default_of(item)}


def identity(config: Config) -> str:
    """Eight hex digits of what determines the numbers of a run, `NUMERICS` included.

    Fields at their defaults are left out, so that a field added later leaves older runs what they were. Call
    `dlrun.config.settled.settle`, which alone calls this: a config has no identity before it is settled.

    Raises:
        ConfigError: It is not settled.
    """
    if config.precision == "auto" or config.scale_lr:
        raise ConfigError("precision=auto or scale_lr=true: not settled yet, so it is not known which run this is")
    return _hashed(config, revised(config))


def earlier_identities(config: Config) -> dict[str, list[str]]:
    """The hashes that a settled config has had, each with what of `revised` was computed otherwise then.

    A result with one of them is of this config. Where nothing was computed otherwise, only the hash was made in
    another way: 0.1.0 counted in where one's own data lie.
    """
    now = revised(config)
    found = {}
    for some in itertools.product(*(range(1, last + 1) for last in now.values())):
        revisions = dict(zip(now, some, strict=True))
        for placed in {False, isinstance(config.data, Target)}:
            found[_hashed(config, revisions, placed)] = [name for name in now if revisions[name] != now[name]]
    del found[_hashed(config, now)]
    return found


def _hashed(config: Config, revisions: Mapping[str, int], placed: bool = False) -> str:
    values = {"numerics": NUMERICS, **decisive(config)}
    if placed:
        values["data"] = decisive(config.data)
    if changes := {name: number for name, number in revisions.items() if number > 1}:
        values["revised"] = changes
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def revised(config: Config) -> dict[str, int]:
    """What the code has come to compute otherwise, for those configs alone that use it: name to revision, from 2 on.

    Whoever changes what a config computes adds an entry here under the condition that the config uses it, e.g.
    `if config.scheduler.warmup: found["warm-up"] = 2`. Then results made before count no more for these configs, and
    all others keep their hashes. `NUMERICS` is for what changes every run. Where the old way can still be chosen, as
    with `validation_by`, the field's `tells` leaves it out of the hash instead.
    """
    found = {}
    if isinstance(config.scheduler, Cosine) and config.scheduler.warmup:
        found["cosine"] = 2  # begins where the warm-up ends; 1 was multiplied with the warm-up, and never reached lr
    return found


def decisive(part: Any) -> dict[str, Any]:
    """The fields of a config, or of a part, that can change the numbers: not at their defaults, or as `tells` says."""
    own = isinstance(part, Target)
    values = {"_target_": part.target, **part.arguments} if own else {}
    for name, item in fields_of(type(part)).items():
        if not item.metadata.get("hashed", True) or (own and name in OF_EVERY_TARGET):
            continue
        value = getattr(part, name)
        if name == "data" and isinstance(value, Target):
            # Where data lie is no part of what they are; their content has a fingerprint.
            kept = {key: given for key, given in value.arguments.items() if key != "root"}
            value = dataclasses.replace(value, arguments=kept)
        if dataclasses.is_dataclass(value):
            value = decisive(value)
        tells = item.metadata.get("tells")
        told = tells(part) if tells else value not in ({}, default_of(item))
        if told:
            values[name] = value
    return values


def of_length(config: Config, epochs: int) -> Config:
    """The config of the shorter run that one with this config goes on from."""
    scheduler = config.scheduler
    before = [text for text in scheduler.extend if extensions([text])[0].after < epochs]
    return replace(config, epochs=epochs, scheduler=replace(scheduler, extend=before))


def contains_shorter(config: Config) -> bool:
    """Whether the first k epochs of this run are those of the run of k epochs, bit for bit.

    So it is where nothing in training knows the end: under a constant rate (its warm-up counts from the start), without
    early stopping and without an average of the weights.
    """
    scheduler = config.scheduler
    steady = scheduler.name == "constant" and not scheduler.extend
    return steady and config.early_stopping is None and config.average is None


def _data(values: Mapping[str, Any]) -> Data | DataTarget:
    found = _target("data", values, DataTarget) if "_target_" in values else _by_name("data", values, DATA)
    return typing.cast(Data | DataTarget, found)


def _by_name(group: str, values: Mapping[str, Any], specs: Mapping[str, type]) -> Any:
    if "_target_" in values:
        return _target(group, values)
    name = values.get("name")
    if not isinstance(name, str) or name not in specs:
        raise ConfigError(f"{group}.name: {name!r} is unknown{did_you_mean(str(name), specs)}")
    return fill(specs[name], values, f"{group}.")


def _scheduler(values: Mapping[str, Any]) -> Scheduler:
    if "_target_" in values:
        # A class with a state of its own could not be put back from the number of a step.
        raise ConfigError(f"scheduler._target_: not supported; scheduler is one of {', '.join(SCHEDULERS)}")
    return typing.cast(Scheduler, _by_name("scheduler", values, SCHEDULERS))


def _target(group: str, values: Mapping[str, Any], spec: type[Target] = Target) -> Target:
    """The part that `_target_` names: its arguments, and the fields that `spec` has besides."""
    if not isinstance(values["_target_"], str):
        raise ConfigError(f"_target_: expected the dotted name of a class or function, got {values['_target_']!r}")
    typed = [name for name in fields_of(spec) if name not in OF_EVERY_TARGET]
    own = {name: values[name] for name in typed if name in values}
    arguments = {key: value for key, value in values.items() if key not in ("_target_", *own)}
    filled = fill(spec, {"target": values["_target_"], "arguments": arguments, **own}, f"{group}.")
    return typing.cast(Target, filled)


def _model(values: Mapping[str, Any]) -> Layers | NetworkTarget:
    if isinstance(values.get("freeze"), str):
        values = {**values, "freeze": [values["freeze"]]}
    if "_target_" in values:
        return typing.cast(NetworkTarget, _target("model", values, NetworkTarget))
    known = fields_of(Layers)
    named = {key: value for key, value in values.items() if key not in known}
    for key, value in named.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"model.{key}: no such field{did_you_mean(key, known)}")
    listed = {key: value for key, value in values.items() if key in known}
    if not listed.get("layers"):
        raise ConfigError("model.layers: the list of layers is empty; e.g. model.layers='[flatten, dense 64]'")
    return typing.cast(Layers, fill(Layers, {**listed, "named": named}, "model."))
