"""Optimizers from their config, in Keras' form where it differs from PyTorch's."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from dlrun.config.groups import (
    Adadelta,
    Adagrad,
    Adamax,
    AdamOrAdamW,
    Nadam,
    Optimizer,
    Rmsprop,
    Sgd,
    Target,
)
from dlrun.config.targets import explained, imported
from dlrun.errors import ConfigError
from dlrun.optim import keras


def build_optimizer(optimizer: Optimizer | Target, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The optimizer of these parameters, on the device where they are.

    Raises:
        ConfigError: Fields that exclude each other, or a target that can't be imported or called.
    """
    trained = [p for p in parameters if p.requires_grad]
    if not trained:
        raise ConfigError("optimizer: the model has no trainable parameters")
    if isinstance(optimizer, Target):
        return _called(optimizer, trained)
    groups = trained if optimizer.decay_on == "all" else _by_decay(trained)
    match optimizer:
        case Sgd():
            return _sgd(optimizer, groups)
        case AdamOrAdamW():
            return keras.Adam(
                groups,
                lr=optimizer.lr,
                betas=(optimizer.beta1, optimizer.beta2),
                eps=optimizer.eps,
                weight_decay=optimizer.weight_decay,
                decoupled=optimizer.name == "adamw",
            )
        case Rmsprop():
            return keras.RMSprop(
                groups,
                optimizer.lr,
                optimizer.rho,
                optimizer.momentum,
                optimizer.eps,
                optimizer.eps_outside,
                optimizer.weight_decay,
            )
        case Adadelta():
            return torch.optim.Adadelta(
                groups,
                lr=optimizer.lr,
                rho=optimizer.rho,
                eps=optimizer.eps,
                weight_decay=optimizer.weight_decay,
                # Only then may a CUDA graph hold the step.
                capturable=trained[0].is_cuda,
            )
        case Nadam() | Adamax() | Adagrad():
            return _defined(optimizer, groups)
    raise AssertionError(f"no optimizer for {optimizer}")


def _defined(optimizer: Nadam | Adamax | Adagrad, parameters: Any) -> torch.optim.Optimizer:
    """With the constants of the definition asked for, where the config names none."""
    torchs = optimizer.definition == "torch"

    def constant(given: float | None, of_keras: float, of_torch: float) -> float:
        return given if given is not None else of_torch if torchs else of_keras

    match optimizer:
        case Nadam():
            return keras.NAdam(
                parameters,
                optimizer.lr,
                (optimizer.beta1, optimizer.beta2),
                constant(optimizer.eps, 1e-7, 1e-8),
                constant(optimizer.momentum_decay, 1.0, 0.004),
                optimizer.weight_decay,
            )
        case Adamax():
            return keras.AdaMax(
                parameters,
                optimizer.lr,
                (optimizer.beta1, optimizer.beta2),
                constant(optimizer.eps, 1e-7, 1e-8),
                torchs,
                optimizer.weight_decay,
            )
        case Adagrad():
            return keras.AdaGrad(
                parameters,
                optimizer.lr,
                constant(optimizer.initial, 0.1, 0.0),
                constant(optimizer.eps, 1e-7, 1e-10),
                torchs,
                optimizer.weight_decay,
            )


def _by_decay(parameters: list[Tensor]) -> list[dict[str, Any]]:
    """Groups of what decays and of what does not: biases, and the scales and shifts of norms, have one dimension."""
    kept = [p for p in parameters if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": kept, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _sgd(optimizer: Sgd, parameters: Any) -> torch.optim.Optimizer:
    if optimizer.nesterov and not optimizer.momentum:
        raise ConfigError("optimizer.nesterov=true needs momentum; set optimizer.momentum=0.9")
    return keras.SGD(parameters, optimizer.lr, optimizer.momentum, optimizer.nesterov, optimizer.weight_decay)


def _called(optimizer: Target, parameters: list[Tensor]) -> torch.optim.Optimizer:
    make: Any = imported(optimizer.target, "optimizer")
    with explained(make, optimizer, "optimizer", filled=1):
        made = make(parameters, **optimizer.arguments)
    if not isinstance(made, torch.optim.Optimizer):
        raise ConfigError(f"optimizer {optimizer.target}: gives a {type(made).__name__}, not a torch.optim.Optimizer")
    return made
