"""What the groups can hold: data, model, optimizer, scheduler and augment, with every field of theirs."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dlrun.config.fields import option

GROUPS = ("data", "model", "optimizer", "scheduler", "augment")


@dataclass
class Target:
    """A part of the user's own: any importable callable and its arguments."""

    target: str
    arguments: dict[str, Any]


# --- data -------------------------------------------------------------------------------------------------


def _are_weights(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > 1 and all(math.isfinite(one) and one > 0 for one in value)
    return bool(value == "balanced")


@dataclass
class Balance:
    """How training deals with classes of different sizes, whatever the data set."""

    class_weights: str | list[float] | None = option(
        None,
        "weight of each class in the training loss, relative to each other; balanced: the inverse of its number of "
        "training images (null: all alike)",
        fits=_are_weights,
        expected="balanced, a list with a number above 0 for each class, or null",
    )
    sampling: str = option(
        "once",
        "once: every training image once an epoch; balanced: as many, drawn with replacement so that all classes are "
        "equally likely",
        choices=("once", "balanced"),
    )


@dataclass
class DataTarget(Balance, Target):
    """A data set of the user's own, with what is not its function's to know."""


@dataclass
class StoredData:
    """Where a data set lies, and how its pictures are read."""

    name: str = option("", "which data set")
    root: str | None = option(
        None, "folder that holds the data, and nowhere else (null: $DLRUN_DATA, else the cache)", hashed=False
    )
    verify: bool = option(True, "demand the official checksums; false accepts a partial or changed copy", hashed=False)
    normalize: str = option(
        "unit", "unit: x/255; standard: also subtract the mean, divide by the deviation", choices=("unit", "standard")
    )
    mean: list[float] | None = option(
        None, "what `standard` subtracts, one number a channel on a scale of 0-1 (null: the training set's own)"
    )
    std: list[float] | None = option(None, "what `standard` divides by, likewise")
    size: int | None = option(None, "resize pictures to size x size pixels (null: as they are)", low=1, high=1024)


@dataclass
class Data(Balance, StoredData):
    """Fields of every data set."""


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
    damaged: str = option(
        "refuse",
        "pictures that can't be read: refuse to start, or skip them and list them in damaged.txt",
        choices=("refuse", "skip"),
        hashed=False,
    )


@dataclass
class ImageTable(ImageFolder):
    """The user's own pictures with a CSV file that says the class of each: file,label and perhaps split."""

    table: str | None = option(
        None, "the CSV file; names of files in it are relative to root (null: to the table's folder)", hashed=False
    )


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and (
        len(value) == 2 or (len(value) == 3 and (value[0] in (1, 3) or value[2] in (1, 3)))
    )


@dataclass
class PixelTable(Data):
    """The user's own pictures as lines of a CSV file: the class and every pixel, 0-255."""

    table: str | None = option(None, "the CSV file, also in gzip or zip: label,pixel0,pixel1,…", hashed=False)
    test_table: str | None = option(
        None, "such a file with the test pictures (null: test_fraction of table is tested)", hashed=False
    )
    test_fraction: float = option(
        0.2, "share of every class held out as test set where there is no test_table", above=0, below=1
    )
    shape: list[int] | None = option(
        None,
        "height and width, and the channels behind them or in front, as a line has its pixels (null: square, grey)",
        fits=lambda value: _is_shape(value) and all(0 < one <= 1024 for one in value),
        expected="[HEIGHT,WIDTH], [HEIGHT,WIDTH,CHANNELS] or [CHANNELS,HEIGHT,WIDTH] with 1 or 3 channels",
    )


@dataclass
class Synthetic(Data):
    """Noisy copies of one random pattern a class: learnable, for tests and trials without data."""

    shape: list[int] = option([1, 28, 28], "channels, height, width")
    classes: int = option(10, "number of classes", low=2, high=100_000)
    train_images: int = option(2000, "images in the training set", low=1, high=100_000_000)
    test_images: int = option(500, "images in the test set", low=1, high=100_000_000)


UNPINNED = (ImageFolder, PixelTable)
"""Data sets whose content no official checksum pins."""

DATA: dict[str, type[Data]] = {
    "mnist": Data,
    "fashion_mnist": Data,
    "kmnist": Data,
    "cifar10": Data,
    "cifar100": Cifar100,
    "asl": Data,
    "image_folder": ImageFolder,
    "image_table": ImageTable,
    "pixel_table": PixelTable,
    "synthetic": Synthetic,
}

# --- models -----------------------------------------------------------------------------------------------


NEIGHBOURS = "dlrun.models.neighbours.Neighbours"
"""The `_target_` of model=knn, which trains nothing."""

INITIALISATIONS = (
    *("zeros", "normal", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal"),
    *("lecun_uniform", "lecun_normal", "kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal"),
)
"""Ways to draw a network's first weights; `models/layers.py` has what each is."""


@dataclass
class Start:
    """What a network begins with, and what of it is trained, however it is built."""

    init_from: str | None = option(
        None,
        "begin with the weights of another run (its folder) or of a file: a checkpoint, or a state_dict that "
        "torch.save wrote; a last layer for other classes is new",
        hashed=False,
    )
    init_checksum: str | None = option(
        None,
        "checksum of what init_from names, by which a run is known wherever that lies (null: taken when a run begins)",
        fits=lambda value: re.fullmatch("[0-9a-f]{16}", value) is not None,
        expected="16 hex digits or null",
    )
    freeze: list[str] = option(
        [],
        "layers or parameters that stay as they are, by names or patterns such as conv*; all_but_head: all but the "
        "last layer; frozen batch norm uses its running statistics",
    )


@dataclass
class NetworkTarget(Start, Target):
    """A network of a class or function, with what is not its to know."""


def trains_nothing(model: "Layers | NetworkTarget") -> bool:
    """Whether the network is none: it remembers the training pictures."""
    return isinstance(model, NetworkTarget) and model.target == NEIGHBOURS


@dataclass
class Phrases:
    """A network as a list of layer phrases; the scalars are defaults for the phrases."""

    layers: list[str] = option([], "the phrases, e.g. [conv 32, pool 2, flatten, dense 100]")
    kernel: int = option(3, "kernel size of a conv that names none", low=1)
    padding: str = option("valid", "padding of a conv that names none", choices=("valid", "same"))
    activation: str = option(
        "relu",
        "activation of a conv or dense that names none",
        choices=("relu", "sigmoid", "tanh", "elu", "gelu", "leaky_relu", "silu", "softplus", "mish", "none"),
    )
    init: str = option(
        "keras",
        "weights at the start: keras is glorot_uniform, torch PyTorch's defaults; lecun, he and glorot as in Keras "
        "(normal ones cut at two deviations), kaiming and xavier as in PyTorch; normal has the deviation init_std",
        choices=("keras", "torch", *INITIALISATIONS),
    )
    init_std: float = option(0.05, "standard deviation of init=normal", above=0)
    bias_init: str | None = option(
        None,
        "biases at the start: zeros, PyTorch's uniform ones, or drawn as the weights are with init=normal "
        "(null: torch where init is torch, else zeros)",
        choices=("zeros", "torch", "normal"),
    )
    norm: str | None = option(
        None,
        "constants of batch norm: keras (epsilon 1e-3, average 0.99) or torch (1e-5, 0.9) "
        "(null: torch where init is torch, else keras)",
        choices=("keras", "torch"),
    )
    l2: float = option(
        0.0,
        "L2 penalty of a conv or dense that names none: this times the sum of the squares of its weights (not biases) "
        "is part of what is made small (Keras' l2; Nielsen's lambda / 2n)",
        low=0,
    )
    named: dict[str, float] = option({}, "further scalars that the phrases refer to, e.g. conv_dropout")


@dataclass
class Layers(Start, Phrases):
    """A network given as layers."""


# --- optimizers -------------------------------------------------------------------------------------------


@dataclass
class Optimizer:
    """Fields of every optimizer."""

    name: str = option("", "which optimizer")
    lr: float = option(0.01, "learning rate", above=0)
    weight_decay: float = option(0.0, "L2 penalty (adamw: decoupled decay)", low=0)
    decay_on: str = option(
        "all", "what decays: all, or weights: neither biases nor what norms have", choices=("all", "weights")
    )


@dataclass
class Sgd(Optimizer):
    """Stochastic gradient descent (Keras' and PyTorch's agree at a constant rate)."""

    momentum: float = option(0.0, "momentum", low=0, below=1)
    nesterov: bool = option(False, "look ahead (needs momentum)")


@dataclass
class AdamOrAdamW(Optimizer):
    """Adam as Keras computes it: epsilon is added before the bias correction (Kingma & Ba, section 2)."""

    lr: float = option(0.001, "learning rate", above=0)
    beta1: float = option(0.9, "decay of the first moment", low=0, below=1)
    beta2: float = option(0.999, "decay of the second moment", low=0, below=1)
    eps: float = option(1e-7, "term that keeps the division finite", above=0)


@dataclass
class Rmsprop(Optimizer):
    """RMSprop as Keras computes it today: epsilon inside the root."""

    lr: float = option(0.001, "learning rate", above=0)
    rho: float = option(0.9, "decay of the squared gradient's average", low=0, below=1)
    momentum: float = option(0.0, "momentum", low=0, below=1)
    eps: float = option(1e-7, "term that keeps the division finite", above=0)
    eps_outside: bool = option(
        False,
        "add eps to the root and not inside it, as PyTorch does, and as Keras 2 did up to TensorFlow 2.10 without "
        "momentum: small gradients then take larger steps",
    )


@dataclass
class Adadelta(Optimizer):
    """Adadelta with PyTorch's defaults, which the PyTorch example of the slides uses."""

    lr: float = option(1.0, "learning rate", above=0)
    rho: float = option(0.9, "decay of the averages", low=0, below=1)
    eps: float = option(1e-6, "term that keeps the division finite", above=0)


@dataclass
class Defined(Optimizer):
    """Fields of the optimizers that Keras and PyTorch compute in two ways."""

    lr: float = option(0.001, "learning rate", above=0)
    definition: str = option(
        "keras", "whose formula and constants: keras or torch (the rate is what lr says)", choices=("keras", "torch")
    )


@dataclass
class Nadam(Defined):
    """Adam with Nesterov's momentum (Dozat 2016)."""

    beta1: float = option(0.9, "decay of the first moment", low=0, below=1)
    beta2: float = option(0.999, "decay of the second moment", low=0, below=1)
    momentum_decay: float | None = option(
        None, "how fast the momentum rises to beta1 (null: Keras' 1, PyTorch's 0.004)", low=0
    )
    eps: float | None = option(None, "added to the root (null: Keras' 1e-7, PyTorch's 1e-8)", above=0)


@dataclass
class Adamax(Defined):
    """Adam with the largest gradient in place of the second moment (Kingma & Ba, section 7.1)."""

    beta1: float = option(0.9, "decay of the first moment", low=0, below=1)
    beta2: float = option(0.999, "decay of the largest gradient", low=0, below=1)
    eps: float | None = option(
        None,
        "added to the largest gradient (Keras), or to every gradient before the largest is taken (PyTorch) "
        "(null: 1e-7, PyTorch's 1e-8)",
        above=0,
    )


@dataclass
class Adagrad(Defined):
    """The rate falls with the sum of squared gradients (Duchi et al. 2011)."""

    initial: float | None = option(None, "the sum at the start (null: Keras' 0.1, PyTorch's 0)", low=0)
    eps: float | None = option(
        None, "added below the root (Keras) or to it (PyTorch) (null: 1e-7, PyTorch's 1e-10)", above=0
    )


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": Sgd,
    "adam": AdamOrAdamW,
    "adamw": AdamOrAdamW,
    "rmsprop": Rmsprop,
    "adadelta": Adadelta,
    "nadam": Nadam,
    "adamax": Adamax,
    "adagrad": Adagrad,
}

# --- schedulers -------------------------------------------------------------------------------------------


EXTENSIONS = ("keep", "restart")
"""How a schedule goes on beyond its end where it is not computed anew for the longer run."""


class Extension(NamedTuple):
    """An entry of `scheduler.extend`."""

    way: str
    """One of `EXTENSIONS`."""
    after: int
    """Epochs before it."""


def extensions(texts: Sequence[str]) -> list[Extension]:
    """What the entries of `scheduler.extend` say.

    >>> extensions(["keep 10", "restart 20"])
    [Extension(way='keep', after=10), Extension(way='restart', after=20)]

    Raises:
        ValueError: One of them is no extension, or they don't rise.
    """
    found: list[Extension] = []
    for text in texts:
        matched = re.fullmatch(rf"({'|'.join(EXTENSIONS)}) ([1-9][0-9]{{0,8}})", text)
        if matched is None or (found and found[-1].after >= int(matched[2])):
            raise ValueError(text)
        found.append(Extension(matched[1], int(matched[2])))
    return found


def _are_extensions(texts: Any) -> bool:
    try:
        extensions(texts)
    except ValueError:
        return False
    return True


@dataclass
class Scheduler:
    """Factor on the learning rate; `constant` has only the warm-up."""

    name: str = option("constant", "which schedule")
    warmup: float = option(0.0, "epochs of linear rise from 0 at the start", low=0)
    extend: list[str] = option(
        [],
        "how the schedule of a shorter run goes on: [keep 10]: after 10 epochs the rate stays; [restart 10]: it begins "
        "anew, warm-up and all, over the epochs added (dlrun resume RUN epochs=N scheduler.extend=keep|restart)",
        fits=_are_extensions,
        expected="[keep N] or [restart N], rising; keep or restart alone goes with dlrun resume RUN epochs=…",
    )


@dataclass
class Step(Scheduler):
    """Multiply the rate by `gamma` every `every` epochs."""

    every: int = option(1, "epochs between two cuts", low=1)
    gamma: float = option(0.7, "factor of each cut", above=0, high=1)


@dataclass
class Steps(Scheduler):
    """Multiply the rate by `gamma` after each of the epochs `at` (PyTorch's MultiStepLR; Keras' PiecewiseConstant)."""

    at: list[int] = option(
        [],
        "epochs after which the rate is cut, e.g. [80,120]",
        fits=lambda epochs: epochs == sorted({*epochs}) and all(epoch >= 1 for epoch in epochs),
        expected="a list of whole numbers >= 1 that rise",
    )
    gamma: float = option(0.1, "factor of each cut", above=0, high=1)


@dataclass
class Exponential(Scheduler):
    """Multiply the rate by `gamma` in every `every` epochs, a little at each step (Keras' ExponentialDecay)."""

    every: float = option(1.0, "epochs in which the rate falls to gamma of itself", above=0)
    gamma: float = option(0.9, "what is left of the rate after them", above=0, high=1)


@dataclass
class InverseTime(Scheduler):
    """Divide the rate by (1 + decay * steps done) ** power (`decay` of Keras' optimizers; power scheduling)."""

    decay: float = option(0.0001, "decay a step", above=0)
    power: float = option(1.0, "power of the divisor", above=0)


@dataclass
class Linear(Scheduler):
    """A straight line from the full rate down to `final` of it at the end of the run."""

    final: float = option(0.0, "share of the rate left at the end", low=0, high=1)


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
    "steps": Steps,
    "exponential": Exponential,
    "inverse_time": InverseTime,
    "linear": Linear,
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
    crop: int = option(0, "pad by this many pixels, then crop at a random place", low=0, high=1000)
    fill: str = option(
        "zeros",
        "what comes in from outside where pictures are moved, rotated, made smaller or padded: zeros, or nearest: the "
        "pixels of the border once more, as Keras' ImageDataGenerator has it",
        choices=("zeros", "nearest"),
        tells=lambda augment: augment.fill != Augment.fill and augment.looks_outside,
    )
    noise: float = option(0.0, "standard deviation of added noise, in units of the full range 0-1", low=0)
    randaugment: int = option(
        0, "so many operations on each picture, drawn from RandAugment's fourteen (Cubuk et al. 2020)", low=0
    )
    magnitude: float = option(
        9.0,
        "how far each of them goes, on a scale of 30",
        low=0,
        high=30,
        tells=lambda augment: augment.randaugment > 0 and augment.magnitude != Augment.magnitude,
    )
    erase: float = option(
        0.0, "share of the pictures in which a rectangle is erased, of 2 to 33 % (Zhong et al. 2020)", low=0, high=1
    )
    mixup: float = option(
        0.0,
        "mix each picture and its label with another of the batch, by a share from Beta(mixup, mixup) (Zhang et al. "
        "2018; 0: not)",
        low=0,
    )
    cutmix: float = option(
        0.0,
        "put a rectangle of another picture into each, its share from Beta(cutmix, cutmix), and mix their labels by it "
        "(Yun et al. 2019; 0: not); beside mixup each picture gets one of the two",
        low=0,
    )

    @property
    def looks_outside(self) -> bool:
        """Whether pixels beyond the border are asked for."""
        return bool(self.shift or self.rotate or self.zoom or self.crop)

    @property
    def mixes(self) -> bool:
        """Whether labels are mixed, too."""
        return self.mixup > 0 or self.cutmix > 0
