"""Layer phrases such as `conv 32 5x5 same`: grammar, shapes and numbers of parameters, without PyTorch.

conv N [KxK] [stride S] [same|valid] [nobias] [l2 F] [activation] [init]    dense N [nobias] [l2 F] [activation] [init]
pool N [stride S] [same]        largest of a window            flatten
avgpool N [stride S] [same]     mean of a window               globalpool      mean of each channel, flat
bn [M]        batch norm; M: share of the old average kept     dropout P       dropout2d P
groupnorm G   normalizes G groups of channels                  layernorm       normalizes all values of a picture
relu, sigmoid, tanh, elu, gelu, leaky_relu [SLOPE], silu, softplus, mish: an activation as a layer of its own

`conv 64 nobias none`, `bn`, `relu` puts batch norm before the activation. `init`, he_normal for one, is one of those
that model.init takes, for the weights of this layer.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dlrun.config.fields import fields_of
from dlrun.config.groups import Layers
from dlrun.errors import ConfigError, did_you_mean

Shape = tuple[int, ...]
"""Of one picture: (channels, height, width), or (units,) once it is flat."""

ACTIVATIONS: tuple[str, ...] = fields_of(Layers)["activation"].metadata["choices"]
INITIALISATIONS: tuple[str, ...] = fields_of(Layers)["init"].metadata["choices"]
LARGEST = 2**20
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Phrase:
    """One layer with its shapes."""

    text: str
    in_shape: Shape
    out_shape: Shape

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return 0

    @property
    def statistics(self) -> int:
        """How many running means and variances are kept."""
        return 0


@dataclass(frozen=True)
class ConvPhrase(Phrase):
    """2-D convolution; `padding` is (top, bottom, left, right), `l2` the factor of its penalty."""

    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int, int, int]
    activation: str
    bias: bool = True
    init: str = ""
    """Of its weights, where not that of the network."""
    l2: float = 0.0

    @property
    def parameters(self) -> int:
        """Kernels and biases."""
        height, width = self.kernel
        return self.out_shape[0] * (self.in_shape[0] * height * width + self.bias)


@dataclass(frozen=True)
class PoolPhrase(Phrase):
    """2-D pooling; `padding` as of Conv, with values that never win and don't count towards a mean."""

    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int, int, int]
    mean: bool = False
    """The mean of a window instead of its largest value."""


@dataclass(frozen=True)
class GlobalPoolPhrase(Phrase):
    """(C, H, W) to the mean of each channel, (C,) (Lin et al. 2013)."""


@dataclass(frozen=True)
class BatchNormPhrase(Phrase):
    """Batch normalization over the channels or units (Ioffe & Szegedy 2015).

    `momentum` is the share of the running averages that a batch leaves, as Keras counts (PyTorch's is 1 less it);
    None: that of the definition in use, 0.99 in Keras', 0.9 in PyTorch's.
    """

    momentum: float | None = None

    @property
    def parameters(self) -> int:
        """A factor and an offset a channel."""
        return 2 * self.in_shape[0]

    @property
    def statistics(self) -> int:
        """A mean and a variance a channel."""
        return 2 * self.in_shape[0]


@dataclass(frozen=True)
class GroupNormPhrase(Phrase):
    """Normalization of each picture by itself, over `groups` groups of channels (Wu & He 2018)."""

    groups: int

    @property
    def parameters(self) -> int:
        """A factor and an offset a channel."""
        return 2 * self.in_shape[0]


@dataclass(frozen=True)
class LayerNormPhrase(Phrase):
    """Normalization of each picture by itself, over all its values (Ba et al. 2016), a factor and offset a channel."""

    @property
    def parameters(self) -> int:
        """A factor and an offset a channel."""
        return 2 * self.in_shape[0]


@dataclass(frozen=True)
class ActivationPhrase(Phrase):
    """An activation as a layer of its own; `slope` is that of leaky_relu below 0."""

    activation: str
    slope: float | None = None


@dataclass(frozen=True)
class DropoutPhrase(Phrase):
    """Dropout of values or, `by_channel`, of whole channels; `rate` is the share dropped, 0 <= rate < 1."""

    rate: float
    by_channel: bool


@dataclass(frozen=True)
class FlattenPhrase(Phrase):
    """(C, H, W) to (H*W*C,), in Keras' order: the channel runs fastest."""


@dataclass(frozen=True)
class DensePhrase(Phrase):
    """Fully connected layer; `l2` is the factor of its penalty."""

    activation: str
    bias: bool = True
    init: str = ""
    """Of its weights, where not that of the network."""
    l2: float = 0.0

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.out_shape[0] * (self.in_shape[0] + self.bias)


def plan(layers: Layers, shape: Sequence[int], classes: int) -> tuple[Phrase, ...]:
    """The layers of a network with their shapes, the final dense layer to `classes` logits included.

    Args:
        shape: (channels, height, width) of a picture.

    Raises:
        ConfigError: A phrase that can't be read, or a layer that does not fit what comes before it.
    """
    planned: list[Phrase] = []
    reached: Shape = tuple(shape)
    for number, text in enumerate(layers.layers, 1):
        planned.append(_read(text, f"model.layers, phrase {number} {text!r}: ", layers, reached))
        reached = planned[-1].out_shape
    if len(reached) != 1:
        raise ConfigError(
            f"model.layers: the last phrase {layers.layers[-1]!r} leaves the shape {_shown(reached)}; "
            "write flatten after it"
        )
    return (*planned, DensePhrase(f"dense {classes} none", reached, (classes,), "none", l2=layers.l2))


def penalties(layers: Layers, shape: Sequence[int], classes: int) -> tuple[float, ...]:
    """Factors of the L2 penalty of each conv and dense; arguments and errors as of `plan`."""
    phrases = plan(layers, shape, classes)
    return tuple(phrase.l2 for phrase in phrases if isinstance(phrase, ConvPhrase | DensePhrase))


def _read(text: str, where: str, layers: Layers, shape: Shape) -> Phrase:
    words = _Words(text.split(), where)
    if not words.left:
        raise ConfigError(f"{where}is empty; there are: {', '.join(sorted(READERS))}")
    kind = words.left.pop(0)
    if kind not in READERS:
        raise ConfigError(f"{where}no layer is called {kind!r}{did_you_mean(kind, READERS)}")
    phrase = READERS[kind](text, words, layers, shape)
    words.end()
    return phrase


class _Words:
    """The words of a phrase that are still to be read, and where to say that one is wrong."""

    def __init__(self, words: list[str], where: str) -> None:
        self.left = words
        self.where = where
        self.asked: list[str] = []

    def fail(self, problem: str) -> ConfigError:
        return ConfigError(self.where + problem)

    def whole(self, what: str) -> int:
        """The next word as a whole number from 1."""
        word = self.left.pop(0) if self.left else "nothing"
        if not re.fullmatch("[0-9]{1,9}", word) or not 1 <= int(word) <= LARGEST:
            raise self.fail(f"expected {what}, a whole number from 1 to {LARGEST}, found {word}")
        return int(word)

    def share(self, what: str) -> float:
        """The next word as a number from 0 to below 1."""
        word = self.left.pop(0) if self.left else "nothing"
        try:
            rate = float(word)
        except ValueError:
            rate = -1.0
        if not 0 <= rate < 1:
            raise self.fail(f"expected {what}, a number from 0 to below 1, found {word}")
        return rate

    def from_zero(self, what: str) -> float:
        """The next word as a number from 0."""
        word = self.left.pop(0) if self.left else "nothing"
        try:
            number = float(word)
        except ValueError:
            number = -1.0
        if not 0 <= number < math.inf:
            raise self.fail(f"expected {what}, a number from 0, found {word}")
        return number

    def flag(self, name: str) -> bool:
        """Whether the word is there."""
        return self.one_of((name,), "") == name

    def one_of(self, choices: Sequence[str], default: str) -> str:
        """The word among `choices` if there is one, wherever it stands."""
        self.asked += choices
        found = [word for word in self.left if word in choices]
        if len(found) > 1:
            raise self.fail(f"{found[0]} and {found[1]} exclude each other")
        for word in found:
            self.left.remove(word)
        return found[0] if found else default

    def stride(self, default: int) -> int:
        """The number after the word `stride`."""
        return self._after("stride", default, lambda rest: rest.whole("the stride"))

    def l2(self, default: float) -> float:
        """The number after the word `l2`."""
        return self._after("l2", default, lambda rest: rest.from_zero("the factor of the L2 penalty"))

    def _after(self, name: str, default: Number, read: "Callable[[_Words], Number]") -> Number:
        self.asked.append(name)
        if name not in self.left:
            return default
        at = self.left.index(name)
        rest = _Words(self.left[at + 1 :], self.where)
        found = read(rest)
        self.left = self.left[:at] + rest.left
        return found

    def kernel(self, default: int) -> tuple[int, int]:
        """The word that looks like 3x3."""
        self.asked.append("KxK")
        for word in self.left:
            match = re.fullmatch("([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", word)
            if match:
                self.left.remove(word)
                return int(match[1]), int(match[2])
        return default, default

    def end(self) -> None:
        """Nothing may be left."""
        if not self.left:
            return
        word = self.left[0]
        if word in self.asked:
            raise self.fail(f"{word} stands there twice")
        meant = did_you_mean(word, self.asked) if self.asked else "; nothing may follow here"
        raise self.fail(f"{word!r} is not understood{meant}")

    def picture(self, shape: Shape) -> tuple[int, int, int]:
        """`shape`, which must be a picture's still."""
        if len(shape) != 3:
            raise self.fail("needs channels, height and width, but a flatten stands before it")
        return shape[0], shape[1], shape[2]

    def fit(self, size: Sequence[int], kernel: Sequence[int], stride: int, padding: str) -> tuple[Shape, Shape]:
        """Height and width after a window, and the padding (top, bottom, left, right), as in TensorFlow."""
        if padding == "same":
            after = tuple(-(-n // stride) for n in size)
            totals = [max((m - 1) * stride + k - n, 0) for n, m, k in zip(size, after, kernel, strict=True)]
            return after, tuple(side for total in totals for side in (total // 2, total - total // 2))
        if any(k > n for n, k in zip(size, kernel, strict=True)):
            raise self.fail(
                f"a window of {_shown(kernel)} does not fit into its input of {_shown(size)}; "
                "use same, a smaller window, or larger pictures (data.size)"
            )
        return tuple((n - k) // stride + 1 for n, k in zip(size, kernel, strict=True)), (0, 0, 0, 0)


def _conv(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    filters = words.whole("the number of filters")
    stride, l2 = words.stride(1), words.l2(layers.l2)
    kernel = words.kernel(layers.kernel)
    padding = words.one_of(("same", "valid"), layers.padding)
    bias = not words.flag("nobias")
    activation = words.one_of(ACTIVATIONS, layers.activation)
    init = words.one_of(INITIALISATIONS, "")
    _, *size = words.picture(shape)
    after, sides = words.fit(size, kernel, stride, padding)
    return ConvPhrase(text, shape, (filters, *after), kernel, stride, _four(sides), activation, bias, init, l2)


def _pool(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    return _window(text, words, shape, mean=False)


def _avgpool(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    return _window(text, words, shape, mean=True)


def _window(text: str, words: _Words, shape: Shape, mean: bool) -> Phrase:
    window = words.whole("the size of the window")
    stride = words.stride(window)
    padding = words.one_of(("same",), "valid")
    channels, *size = words.picture(shape)
    after, sides = words.fit(size, (window, window), stride, padding)
    return PoolPhrase(text, shape, (channels, *after), (window, window), stride, _four(sides), mean)


def _globalpool(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    channels, *_ = words.picture(shape)
    return GlobalPoolPhrase(text, shape, (channels,))


def _bn(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    momentum = words.share("the share of the old average that is kept") if words.left else None
    return BatchNormPhrase(text, shape, shape, momentum)


def _groupnorm(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    groups = words.whole("the number of groups")
    if shape[0] % groups:
        raise words.fail(f"{shape[0]} channels can't be put into {groups} groups of one size")
    return GroupNormPhrase(text, shape, shape, groups)


def _layernorm(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    return LayerNormPhrase(text, shape, shape)


def _activation(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    name = text.split()[0]
    slope = words.share("the slope below 0") if name == "leaky_relu" and words.left else None
    return ActivationPhrase(text, shape, shape, name, slope)


def _dropout(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    return DropoutPhrase(text, shape, shape, words.share("the share to drop"), by_channel=False)


def _dropout2d(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    return DropoutPhrase(text, words.picture(shape), shape, words.share("the share to drop"), by_channel=True)


def _flatten(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    units = 1
    for length in shape:
        units *= length
    return FlattenPhrase(text, shape, (units,))


def _dense(text: str, words: _Words, layers: Layers, shape: Shape) -> Phrase:
    units = words.whole("the number of units")
    bias, l2 = not words.flag("nobias"), words.l2(layers.l2)
    activation = words.one_of(ACTIVATIONS, layers.activation)
    init = words.one_of(INITIALISATIONS, "")
    if len(shape) != 1:
        raise words.fail(f"its input has the shape {_shown(shape)}; write flatten before it")
    return DensePhrase(text, shape, (units,), activation, bias, init, l2)


READERS: dict[str, Callable[[str, _Words, Layers, Shape], Phrase]] = {
    "conv": _conv,
    "pool": _pool,
    "avgpool": _avgpool,
    "globalpool": _globalpool,
    "bn": _bn,
    "groupnorm": _groupnorm,
    "layernorm": _layernorm,
    "dropout": _dropout,
    "dropout2d": _dropout2d,
    "flatten": _flatten,
    "dense": _dense,
    **{name: _activation for name in ACTIVATIONS if name != "none"},
}


def _four(sides: Shape) -> tuple[int, int, int, int]:
    top, bottom, left, right = sides
    return top, bottom, left, right


def _shown(shape: Sequence[int]) -> str:
    return "x".join(str(length) for length in shape)
