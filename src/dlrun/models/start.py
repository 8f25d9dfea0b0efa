"""A network begun with weights that are there already, and what of it is not trained."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from dlrun.errors import ConfigError, did_you_mean
from dlrun.models.build import head_of
from dlrun.output import counted, few

ALL_BUT_HEAD = "all_but_head"
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Outputs of GoogLeNet and Inception for training them from nothing, which dlrun's have not."""
COUNTER = "num_batches_tracked"
"""A buffer of batch norm that changes nothing here, and that older files lack."""
MOST_NAMES = 5


def frozen(network: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """Let what the patterns name be no longer trained; the batch norm among it, which must stay in evaluation mode.

    Args:
        patterns: Names of layers or parameters, with `*` and `?`; `all_but_head`.

    Raises:
        ConfigError: A pattern that names nothing.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in patterns:
        if not any(_named(name, pattern, network) for name in names):
            layers = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
            raise ConfigError(
                f"model.freeze={pattern}: no layer of the network is called so; it has {few(layers, MOST_NAMES)}"
                f"{did_you_mean(pattern, layers)}"
            )
    chosen = {name for name in names if any(_named(name, pattern, network) for pattern in patterns)}
    for name, parameter in network.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)
    return [
        module
        for name, module in network.named_modules()
        if getattr(module, "running_mean", None) is not None and _is_frozen(name, module, patterns, network)
    ]


def _is_frozen(name: str, module: nn.Module, patterns: Sequence[str], network: nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    if own:
        return not any(parameter.requires_grad for parameter in own)
    return any(_named(f"{name}.", pattern, network) for pattern in patterns)


def _named(parameter: str, pattern: str, network: nn.Module) -> bool:
    if pattern == ALL_BUT_HEAD:
        return not parameter.startswith(f"{head_of(network)}.")
    return fnmatchcase(parameter, pattern) or fnmatchcase(parameter, f"{pattern}.*")


def fitting(network: nn.Module, saved: Mapping[str, Tensor], source: str) -> tuple[dict[str, Any], list[str]]:
    """The weights for `network.load_state_dict`: the saved ones, and its own where its last layer is for other classes.

    Args:
        source: Where they are from, for messages.

    Returns:
        The weights by name, and sentences on what of the saved ones is not taken.

    Raises:
        ConfigError: They are of another network; all that differs is counted, the first few are named.
    """
    own = network.state_dict()
    head = head_of(network)
    other_classes = [name for name in own if name in saved and _for_other_classes(name, saved[name], own[name], head)]
    left = [name for name in saved if name not in own and name.startswith(AUXILIARY)]
    wrong = [
        *(f"{name} is missing" for name in own if name not in saved and not name.endswith(f".{COUNTER}")),
        *(f"{name} is not known" for name in saved if name not in own and name not in left),
        *(
            f"{name} is {_shape(saved[name])}, here {_shape(own[name])}"
            for name in own
            if name in saved and name not in other_classes and not _alike(saved[name], own[name])
        ),
    ]
    if wrong:
        differences = f"{counted(len(wrong), 'difference')}: {few(wrong, MOST_NAMES)}"
        raise ConfigError(f"model.init_from={source}: of another network, {differences}")
    taken = {name: saved[name] for name in own if name in saved and name not in other_classes}
    said = []
    if other_classes:
        before, now = (len(weights[other_classes[0]]) for weights in (saved, own))
        said.append(f"model.init_from={source}: the last layer ({head}) is new, for {now} classes in place of {before}")
    if left:
        parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in left))
        said.append(f"model.init_from={source}: {parts} left out, which this network has not")
    return {**own, **taken}, said


def _for_other_classes(name: str, saved: Tensor, own: Tensor, head: str) -> bool:
    of_head = name.rpartition(".")[0] == head
    return of_head and saved.ndim == own.ndim > 0 and saved.shape[1:] == own.shape[1:] and len(saved) != len(own)


def _alike(saved: Tensor, own: Tensor) -> bool:
    return saved.shape == own.shape and saved.is_floating_point() == own.is_floating_point()


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
