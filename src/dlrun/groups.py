"""What the groups can hold: data, model, optimizer, scheduler and augment, with every field of theirs."""

from dataclasses import dataclass
from typing import Any

from dlrun.fields import option

GROUPS = ("data", "model", "optimizer", "scheduler", "augment")


@dataclass
class Target:
    """A part of the user's own: any importable callable and its arguments."""

    target: str
    arguments: dict[str, Any]


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

# --- augment -----------------------------------------------------------------------------------------------


@dataclass
class Augment:
    """Random changes to each training picture, drawn anew every epoch; all off by default."""

    flip: bool = option(False, "mirror left and right, half of the time")
    shift: float = option(0.0, "move by up to this share of the width and height", low=0, high=1)
    rotate: float = option(0.0, "rotate by up to this many degrees", low=0, high=180)
    zoom: float = option(0.0, "scale by a factor within 1 - zoom .. 1 + zoom", low=0, below=1)
    crop: int = option(0, "pad by this many pixels, then crop at a random place", low=0)
    noise: float = option(0.0, "standard deviation of added noise, in units of the full range 0-1", low=0)
