"""Networks from their config: a list of layer phrases, or any importable class or function."""

import inspect
import itertools
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.config.groups import Layers, Target
from dlrun.config.targets import explained, imported
from dlrun.errors import ConfigError, first_line
from dlrun.models import layers as own
from dlrun.models import torchvision_ops
from dlrun.models.dense import Dense
from dlrun.models.phrases import (
    ActivationPhrase,
    BatchNormPhrase,
    ConvPhrase,
    DensePhrase,
    DropoutPhrase,
    FlattenPhrase,
    GlobalPoolPhrase,
    GroupNormPhrase,
    LayerNormPhrase,
    Phrase,
    PoolPhrase,
    Shape,
    plan,
)

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "elu": lambda: nn.ELU(inplace=True),
    "gelu": nn.GELU,
    # Keras' slope; PyTorch's is 0.01.
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
}
RISING = ("relu", "sigmoid", "tanh", "elu", "leaky_relu", "softplus")
"""Activations that the maximum may be taken before: they never change which value is largest."""

SIZES = (32, 64, 75, 96, 128, 160, 224, 299)
"""Picture sizes to try for a network that can't take the data's."""


def build_network(model: Layers | Target, shape: Sequence[int], classes: int) -> nn.Module:
    """The network, newly initialised from the default generator, on the CPU.

    It maps float pictures (N, C, H, W) of that shape to logits (N, classes).

    Args:
        shape: (channels, height, width) of a picture.

    Raises:
        ConfigError: Phrases that are wrong, a target that can't be imported or called, or pictures of a
            size that the network can't take.
    """
    if isinstance(model, Layers):
        return _from_phrases(plan(model, shape, classes), model)
    torchvision_ops.prepare()
    network = _adapted(_called(model, shape, classes), shape[0], classes)
    _check_output(network, model.target, tuple(shape), classes)
    return network


def count_parameters(module: nn.Module) -> dict[str, int]:
    """`total`, `trainable`, `non_trainable`; as in Keras, running statistics count as the last."""
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in module.parameters() if not p.requires_grad)
    statistics = sum(b.numel() for b in module.buffers() if b.is_floating_point())
    return {
        "total": trainable + frozen + statistics,
        "trainable": trainable,
        "non_trainable": frozen + statistics,
    }


# --- from phrases -----------------------------------------------------------------------------------------


def _from_phrases(phrases: Sequence[Phrase], model: Layers) -> nn.Sequential:
    network = nn.Sequential()
    numbers: Counter[str] = Counter()
    for kind, module in _modules(phrases, model):
        numbers[kind] += 1
        network.add_module(f"{kind}{numbers[kind]}", module)
    weighted = [phrase for phrase in phrases if isinstance(phrase, ConvPhrase | DensePhrase)]
    modules = [module for module in network if isinstance(module, nn.Conv2d | nn.Linear)]
    for phrase, module in zip(weighted, modules, strict=True):
        _initialise(module, phrase.init or model.init, model)
    # Convolution and pooling are faster in channels_last, and Flatten then copies nothing: a step of
    # cnn_dropout takes 11.0 ms instead of 14.4 ms. The first convolution's weights hand the layout on.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _modules(phrases: Sequence[Phrase], model: Layers) -> Iterable[tuple[str, nn.Module]]:
    """Every module with the kind its name begins with.

    A pool trades places with the activation before it where the values stay the same: less is left to do.
    """
    waiting: list[tuple[str, nn.Module]] = []
    for phrase, after in itertools.zip_longest(phrases, phrases[1:]):
        yield from _of_phrase(phrase, model)
        if isinstance(phrase, PoolPhrase):
            yield from waiting
            waiting = []
        if isinstance(phrase, ConvPhrase | DensePhrase | ActivationPhrase) and phrase.activation != "none":
            activation = (phrase.activation, _activation(phrase))
            if isinstance(after, PoolPhrase) and not after.mean and phrase.activation in RISING:
                waiting = [activation]
            else:
                yield activation


def _activation(phrase: ConvPhrase | DensePhrase | ActivationPhrase) -> nn.Module:
    module = ACTIVATIONS[phrase.activation]()
    if isinstance(phrase, ActivationPhrase):
        # What stands before it may need its own output for the gradient, as another activation does.
        if isinstance(module, nn.ReLU | nn.ELU | nn.LeakyReLU):
            module.inplace = False
        if isinstance(module, nn.LeakyReLU) and phrase.slope is not None:
            module.negative_slope = phrase.slope
    return module


def _of_phrase(phrase: Phrase, model: Layers) -> Iterable[tuple[str, nn.Module]]:
    match phrase:
        case ConvPhrase():
            yield from _conv(phrase)
        case PoolPhrase():
            yield from _pool(phrase)
        case BatchNormPhrase():
            yield "bn", _batch_norm(phrase, _keras_constants(model))
        case GroupNormPhrase():
            yield "groupnorm", nn.GroupNorm(phrase.groups, phrase.in_shape[0], _epsilon(model))
        case LayerNormPhrase():
            yield "layernorm", own.ChannelLayerNorm(phrase.in_shape[0], _epsilon(model))
        case GlobalPoolPhrase():
            yield "globalpool", own.GlobalPool()
        case DropoutPhrase(by_channel=True):
            yield "dropout", own.ChannelDropout(phrase.rate)
        case DropoutPhrase():
            yield "dropout", own.Dropout(phrase.rate)
        case FlattenPhrase():
            yield "flatten", own.Flatten()
        case DensePhrase():
            yield "dense", Dense(phrase.in_shape[0], phrase.out_shape[0], phrase.bias)


def _conv(conv: ConvPhrase) -> Iterable[tuple[str, nn.Module]]:
    top, bottom, left, right = conv.padding
    symmetric = top == bottom and left == right
    if not symmetric:
        yield "pad", nn.ZeroPad2d((left, right, top, bottom))
    padding = (top, left) if symmetric else 0
    yield "conv", nn.Conv2d(conv.in_shape[0], conv.out_shape[0], conv.kernel, conv.stride, padding, bias=conv.bias)


def _pool(pool: PoolPhrase) -> Iterable[tuple[str, nn.Module]]:
    top, bottom, left, right = pool.padding
    if pool.mean:
        yield "avgpool", own.MeanPool(pool.kernel, pool.stride, (left, right, top, bottom))
        return
    if _rounding_up_pads(pool):
        yield "pool", nn.MaxPool2d(pool.kernel, pool.stride, (top, left), ceil_mode=True)
        return
    if any(pool.padding):
        yield "pad", nn.ConstantPad2d((left, right, top, bottom), -math.inf)
    yield "pool", nn.MaxPool2d(pool.kernel, pool.stride)


def _rounding_up_pads(pool: PoolPhrase) -> bool:
    """Whether PyTorch's symmetric padding, rounded up, gives just these windows, without a copy."""
    if not any(pool.padding):
        return False
    sizes = zip(pool.in_shape[1:], pool.out_shape[1:], pool.kernel, pool.padding[::2], strict=True)
    return all(-(-(n + 2 * before - k) // pool.stride) + 1 == out for n, out, k, before in sizes)


def _keras_constants(model: Layers) -> bool:
    return (model.norm or ("torch" if model.init == "torch" else "keras")) == "keras"


def _epsilon(model: Layers) -> float:
    return 1e-3 if _keras_constants(model) else 1e-5


def _batch_norm(bn: BatchNormPhrase, as_in_keras: bool) -> nn.Module:
    channels = bn.in_shape[0]
    if as_in_keras:
        return own.KerasBatchNorm(channels, **({} if bn.momentum is None else {"momentum": bn.momentum}))
    kind = nn.BatchNorm2d if len(bn.in_shape) == 3 else nn.BatchNorm1d
    return kind(channels, momentum=0.1 if bn.momentum is None else 1 - bn.momentum)


def _initialise(module: nn.Conv2d | nn.Linear, init: str, model: Layers) -> None:
    """First weights and biases. PyTorch has drawn its own already: `torch` leaves them as they are."""
    biases = model.bias_init or ("torch" if init == "torch" else "zeros")
    if init != "torch":
        own.draw_weights(module.weight, init, model.init_std)
    if module.bias is not None and biases != "torch":
        nn.init.zeros_(module.bias) if biases == "zeros" else nn.init.normal_(module.bias, std=model.init_std)


# --- from a target ----------------------------------------------------------------------------------------


def _called(model: Target, shape: Sequence[int], classes: int) -> nn.Module:
    """What the target returns, told of classes, channels and size where it takes them."""
    build_network = imported(model.target, "model")
    arguments = {**_fitting(build_network, model, shape, classes), **model.arguments}
    with explained(build_network, replace(model, arguments=arguments), "model"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old initialisations and unused auxiliary outputs
        network = build_network(**arguments)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"model {model.target}: gives a {type(network).__name__}, not a torch.nn.Module")
    return network


def _fitting(build_network: Any, model: Target, shape: Sequence[int], classes: int) -> dict[str, Any]:
    if model.target.startswith("torchvision."):
        # These functions hand their keywords on, so their signatures don't tell.
        name = model.arguments.get("name", model.target.rpartition(".")[2])
        return {"weights": None, "num_classes": classes, **_without_auxiliary_outputs(str(name))}
    known = {"num_classes": classes, "in_channels": shape[0], "image_size": shape[1]}
    try:
        taken = inspect.signature(build_network).parameters
    except (TypeError, ValueError):
        return {}
    return {name: value for name, value in known.items() if name in taken}


def _without_auxiliary_outputs(name: str) -> dict[str, Any]:
    return {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}


def _adapted(network: nn.Module, channels: int, classes: int) -> nn.Module:
    """The network with its first convolution and its last layer replaced where they don't fit."""
    convolutions = _of_kind(network, nn.Conv2d)
    if convolutions:
        name, first = convolutions[0]
        if first.in_channels != channels and first.groups == 1:
            _replace(network, name, _convolution(first, channels, first.out_channels))
    name = head_of(network)
    if name:
        last = network.get_submodule(name)
        if isinstance(last, nn.Linear) and last.out_features != classes:
            _replace(network, name, nn.Linear(last.in_features, classes, last.bias is not None))
        if isinstance(last, nn.Conv2d) and last.out_channels != classes and last.kernel_size == (1, 1):
            _replace(network, name, _convolution(last, last.in_channels, classes))
    return network


def head_of(network: nn.Module) -> str:
    """The name of the layer that gives the classes: the last dense one, else the last convolution; empty if none."""
    found = _of_kind(network, nn.Linear) or _of_kind(network, nn.Conv2d)
    return found[-1][0] if found else ""


def _of_kind(network: nn.Module, kind: type[nn.Module]) -> list[tuple[str, Any]]:
    return [(name, module) for name, module in network.named_modules() if name and isinstance(module, kind)]


def _convolution(like: nn.Conv2d, channels: int, filters: int) -> nn.Conv2d:
    return nn.Conv2d(
        channels,
        filters,
        like.kernel_size,  # type: ignore[arg-type]
        like.stride,  # type: ignore[arg-type]
        like.padding,  # type: ignore[arg-type]
        like.dilation,  # type: ignore[arg-type]
        bias=like.bias is not None,
    )


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)


def _check_output(network: nn.Module, target: str, shape: Shape, classes: int) -> None:
    """Try one picture, so that a misfit is an error before training starts."""
    channels, height, width = shape
    try:
        output = _tried(network, shape)
    except Exception as error:
        problem = f"model {target}: can't take pictures of {height}x{width}"
        for size in SIZES:
            if size > max(height, width) and _takes(network, (channels, size, size)):
                raise ConfigError(f"{problem}; data.size={size} works") from error
        raise ConfigError(f"{problem} with {channels} channels: {first_line(error)}") from error
    found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if found != (1, classes):
        raise ConfigError(f"model {target}: gives {found} for one picture, expected logits of shape (1, {classes})")


def _tried(network: nn.Module, shape: Shape) -> Any:
    training = network.training
    try:
        with torch.no_grad():
            return network.eval()(torch.zeros(1, *shape))
    finally:
        network.train(training)


def _takes(network: nn.Module, shape: Shape) -> bool:
    try:
        _tried(network, shape)
    except Exception:
        return False
    return True
