"""What can be configured: every field with its type, default, range and meaning, in one place.

The dataclasses below are the single source: the command line, the checks, `dlrun --help`, the reference
page and the hash of a run derive from them. A YAML file under `configs/` holds only what differs.
"""

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dlrun.errors import ConfigError, did_you_mean
from dlrun.fields import default_of, fields_of, fill, option

NUMERICS = 1
"""Raised when a change of the code changes results: part of every run's hash."""


# --- data -------------------------------------------------------------------------------------------------


@dataclass
class Data:
    """Fields of every data set."""

    name: str = option("", "which data set")
    root: str | None = option(
        None, "folder that holds the data, and nowhere else (null: $DLRUN_DATA, else the cache)", hashed=False
    )
    verify: bool = option(True, "demand the official checksums; false accepts a partial or changed copy", hashed=False)
    normalize: str = option(
        "unit", "unit: x/255; standard: also subtract the mean, divide by the deviation", choices=("unit", "standard")
    )
    size: int | None = option(None, "resize pictures to size x size pixels (null: as they are)", low=1, high=1024)


@dataclass
class Cifar100(Data):
    """CIFAR-100 has two sets of labels."""

    labels: str = option("fine", "fine: 100 classes; coarse: 20 superclasses", choices=("fine", "coarse"))


@dataclass
class ImageFolder(Data):
    """The user's own pictures, one folder a class (or train/ and test/ with one folder a class each)."""

    size: int | None = option(32, "resize pictures to size x size pixels", low=1, high=1024)
    color: str = option("rgb", "read the pictures as rgb or grey", choices=("rgb", "grey"))
    test_fraction: float = option(
        0.2, "share of every class held out as test set where there is no test/ folder", above=0, below=1
    )


@dataclass
class Synthetic(Data):
    """Noisy copies of one random pattern a class: learnable, for tests and trials without data."""

    shape: list[int] = option([1, 28, 28], "channels, height, width")
    classes: int = option(10, "number of classes", low=2, high=100_000)
    train_images: int = option(2000, "images in the training set", low=1)
    test_images: int = option(500, "images in the test set", low=1)


DATA: dict[str, type[Data]] = {
    "mnist": Data,
    "fashion_mnist": Data,
    "kmnist": Data,
    "cifar10": Data,
    "cifar100": Cifar100,
    "asl": Data,
    "image_folder": ImageFolder,
    "synthetic": Synthetic,
}

# --- models -----------------------------------------------------------------------------------------------


@dataclass
class Layers:
    """A network as a list of layer phrases; the scalars are defaults for the phrases."""

    layers: list[str] = option([], "the phrases, e.g. [conv 32, pool 2, flatten, dense 100]")
    kernel: int = option(3, "kernel size of a conv that names none", low=1)
    padding: str = option("valid", "padding of a conv that names none", choices=("valid", "same"))
    activation: str = option(
        "relu",
        "activation of a conv or dense that names none",
        choices=("relu", "sigmoid", "tanh", "elu", "gelu", "leaky_relu", "silu", "none"),
    )
    init: str = option(
        "keras",
        "keras: glorot-uniform weights, zero biases, Keras' batch norm; torch: PyTorch's defaults",
        choices=("keras", "torch"),
    )
    named: dict[str, float] = option({}, "further scalars that the phrases refer to, e.g. conv_dropout")


# --- optimizers -------------------------------------------------------------------------------------------


@dataclass
class Optimizer:
    """Fields of every optimizer."""

    name: str = option("", "which optimizer")
    lr: float = option(0.01, "learning rate", above=0)
    weight_decay: float = option(0.0, "L2 penalty (adamw: decoupled decay)", low=0)


@dataclass
class Sgd(Optimizer):
    """Stochastic gradient descent (Keras' and PyTorch's agree at a constant rate)."""

    momentum: float = option(0.0, "momentum", low=0, below=1)
    nesterov: bool = option(False, "look ahead (needs momentum)")


@dataclass
class Adam(Optimizer):
    """Adam as Keras computes it: epsilon is added before the bias correction (Kingma & Ba, section 2)."""

    lr: float = option(0.001, "learning rate", above=0)
    beta1: float = option(0.9, "decay of the first moment", low=0, below=1)
    beta2: float = option(0.999, "decay of the second moment", low=0, below=1)
    eps: float = option(1e-7, "term that keeps the division finite", above=0)


@dataclass
class Rmsprop(Optimizer):
    """RMSprop as Keras computes it: epsilon inside the root."""

    lr: float = option(0.001, "learning rate", above=0)
    rho: float = option(0.9, "decay of the squared gradient's average", low=0, below=1)
    momentum: float = option(0.0, "momentum", low=0, below=1)
    eps: float = option(1e-7, "term that keeps the division finite", above=0)


@dataclass
class Adadelta(Optimizer):
    """Adadelta with PyTorch's defaults, which the PyTorch example of the slides uses."""

    lr: float = option(1.0, "learning rate", above=0)
    rho: float = option(0.9, "decay of the averages", low=0, below=1)
    eps: float = option(1e-6, "term that keeps the division finite", above=0)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": Sgd,
    "adam": Adam,
    "adamw": Adam,
    "rmsprop": Rmsprop,
    "adadelta": Adadelta,
}

# --- schedulers -------------------------------------------------------------------------------------------


@dataclass
class Scheduler:
    """Factor on the learning rate; `constant` has only the warm-up."""

    name: str = option("constant", "which schedule")
    warmup: float = option(0.0, "epochs of linear rise from 0 at the start", low=0)


@dataclass
class Step(Scheduler):
    """Multiply the rate by `gamma` every `every` epochs."""

    every: int = option(1, "epochs between two cuts", low=1)
    gamma: float = option(0.7, "factor of each cut", above=0, high=1)


@dataclass
class Cosine(Scheduler):
    """Half a cosine from the full rate down to `final` of it at the end of the run (Loshchilov & Hutter)."""

    final: float = option(0.0, "share of the rate left at the end", low=0, high=1)


@dataclass
class OneCycle(Scheduler):
    """Rise to `optimizer.lr` over the first part of the run, then anneal (Smith & Topin)."""

    rise: float = option(0.3, "share of the run spent rising", above=0, below=1)
    start: float = option(0.04, "share of the rate at the start", above=0, high=1)
    final: float = option(0.0001, "share of the rate at the end", low=0, high=1)


SCHEDULERS: dict[str, type[Scheduler]] = {
    "constant": Scheduler,
    "step": Step,
    "cosine": Cosine,
    "one_cycle": OneCycle,
}

# --- the rest ---------------------------------------------------------------------------------------------


@dataclass
class Augment:
    """Random changes to each training picture, drawn anew every epoch; all off by default."""

    flip: bool = option(False, "mirror left and right, half of the time")
    shift: float = option(0.0, "move by up to this share of the width and height", low=0, high=1)
    rotate: float = option(0.0, "rotate by up to this many degrees", low=0, high=180)
    zoom: float = option(0.0, "scale by a factor within 1 - zoom .. 1 + zoom", low=0, below=1)
    crop: int = option(0, "pad by this many pixels, then crop at a random place", low=0)
    noise: float = option(0.0, "standard deviation of added noise, in units of the full range 0-1", low=0)


@dataclass
class Checkpoint:
    """When to save besides the end of every epoch."""

    every_steps: int | None = option(None, "also save every so many steps", low=1, hashed=False)
    every_minutes: float | None = option(None, "also save every so many minutes", above=0, hashed=False)


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
        None, "draw so many points instead of taking all, each with every seed", low=1, hashed=False
    )
    trials: int = option(20, "points that hydra/sweeper=search tries", low=1, hashed=False)
    sampler: str = option("tpe", "how a search picks points", choices=("tpe", "random"), hashed=False)
    prune: bool = option(True, "let a search stop runs that fall behind", hashed=False)


@dataclass
class Target:
    """A part of the user's own: any importable callable and its arguments."""

    target: str
    arguments: dict[str, Any]


@dataclass
class Config:
    """Everything one run is: the fields typed flat on the command line, and the groups."""

    data: Data | Target
    model: Layers | Target
    optimizer: Optimizer | Target
    scheduler: Scheduler | Target
    augment: Augment
    epochs: int = option(10, "passes over the training set", low=1)
    batch_size: int = option(32, "images per training step", low=1)
    eval_batch_size: int = option(1000, "images per evaluation step", low=1)
    seed: int = option(0, "seed of every random number", low=0, high=2**63 - 1)
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps", hashed=False)
    precision: str = option(
        "auto",
        "auto is bfloat16 on a GPU that has it, else float32",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    threads: int | None = option(None, "CPU threads (null: all cores)", low=1, high=1024, hashed=False)
    deterministic: bool = option(False, "only algorithms that give the same bits every time")
    compile: bool = option(False, "run the network through torch.compile")
    validation: int = option(
        0,
        "training images held out and evaluated each epoch instead of the test set (0: none, as the slides do)",
        low=0,
    )
    limit: int | None = option(None, "use only the first so many images of train and of test", low=1)
    early_stopping: int | None = option(None, "stop after so many epochs without a better accuracy", low=1)
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
    profile: bool = option(False, "record a torch.profiler trace of some steps", hashed=False)
    log_every: int = option(100, "steps between two updates of the console and TensorBoard", low=1, hashed=False)
    name: str | None = option(None, "a name for the run", hashed=False)
    tags: list[str] = option([], "words to find the run by", hashed=False)
    scale_lr: bool = option(
        False, "under torchrun: batch_size is that of each rank, and the learning rate grows with their number"
    )
    trust: bool = option(False, "allow a loaded run to build classes outside dlrun's list", hashed=False)
    sweep: Sweep = field(default_factory=Sweep)
    choices: dict[str, str] = option({}, "the option chosen for each group, for the record", hashed=False)


GROUPS = ("data", "model", "optimizer", "scheduler", "augment")


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
        "data": _by_name("data", given.pop("data", {}), DATA),
        "model": _model(given.pop("model", {})),
        "optimizer": _by_name("optimizer", given.pop("optimizer", {}), OPTIMIZERS),
        "scheduler": _by_name("scheduler", given.pop("scheduler", {"name": "constant"}), SCHEDULERS),
        "augment": fill(Augment, given.pop("augment", {}), "augment."),
        "checkpoint": fill(Checkpoint, given.pop("checkpoint", {}), "checkpoint."),
        "sweep": fill(Sweep, given.pop("sweep", {}), "sweep."),
    }
    for key in given:
        _refuse_if_of_a_group(str(key), parts)
    return typing.cast(Config, fill(Config, {**given, **parts}, ""))


def _refuse_if_of_a_group(key: str, parts: Mapping[str, Any]) -> None:
    """`lr=0.1` means `optimizer.lr=0.1`, and the nearest flat field would be no help."""
    inside = [f"{group}.{key}" for group, part in parts.items() if key in fields_of(type(part)) and key != "name"]
    if key not in fields_of(Config) and inside:
        raise ConfigError(f"{key}: no such field; did you mean {' or '.join(inside)}?")


def plain(config: Config) -> dict[str, Any]:
    """The config as plain values for YAML or JSON; `parse` of it gives the same config again."""
    values = dataclasses.asdict(config)
    values["model"].update(values["model"].pop("named", {}))
    for group in GROUPS:
        part = getattr(config, group)
        if isinstance(part, Target):
            values[group] = {"_target_": part.target, **part.arguments}
    return values


def identity(config: Config) -> str:
    """Eight hex digits of what determines the numbers of a run, `NUMERICS` included.

    Fields at their defaults are left out, so that a field added later leaves older runs what they were;
    whoever changes a default raises `NUMERICS`.

    Raises:
        ConfigError: `precision` is still `auto`: it must be resolved for a device first.
    """
    if config.precision == "auto":
        raise ConfigError("precision=auto has no hash before it is resolved")
    values = {"numerics": NUMERICS, **_decisive(config)}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _decisive(part: Any) -> dict[str, Any]:
    """The fields that can change the numbers and are not at their defaults."""
    if isinstance(part, Target):
        return {"_target_": part.target, **part.arguments}
    values = {}
    for name, item in fields_of(type(part)).items():
        value = getattr(part, name)
        if dataclasses.is_dataclass(value):
            value = _decisive(value)
        if item.metadata.get("hashed", True) and value != {} and value != default_of(item):
            values[name] = value
    return values


def _by_name(group: str, values: Mapping[str, Any], specs: Mapping[str, type]) -> Any:
    if "_target_" in values:
        return _target(values)
    name = values.get("name")
    if not isinstance(name, str) or name not in specs:
        raise ConfigError(f"{group}.name: {name!r} is unknown{did_you_mean(str(name), specs)}")
    return fill(specs[name], values, f"{group}.")


def _target(values: Mapping[str, Any]) -> Target:
    arguments = {key: value for key, value in values.items() if key != "_target_"}
    if not isinstance(values["_target_"], str):
        raise ConfigError(f"_target_: expected the dotted name of a class or function, got {values['_target_']!r}")
    return Target(values["_target_"], arguments)


def _model(values: Mapping[str, Any]) -> Layers | Target:
    if "_target_" in values:
        return _target(values)
    known = fields_of(Layers)
    named = {key: value for key, value in values.items() if key not in known}
    for key, value in named.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"model.{key}: no such field{did_you_mean(key, known)}")
    listed = {key: value for key, value in values.items() if key in known}
    if not listed.get("layers"):
        raise ConfigError("model.layers: the list of layers is empty; e.g. model.layers='[flatten, dense 64]'")
    return typing.cast(Layers, fill(Layers, {**listed, "named": named}, "model."))
