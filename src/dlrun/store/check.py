"""What a checkpoint says, checked before it is used: its seal proves that it is whole, not that dlrun wrote it."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

MOST = 2**53
"""No count of steps or pictures is larger; floats hold whole numbers up to here."""


class Wrong(ValueError):
    """What is wrong with the content of a checkpoint, in words."""


def group(value: Any, name: str) -> dict[Any, Any]:
    """The value if it is a dict.

    Raises:
        Wrong: It is none.
    """
    if not isinstance(value, dict):
        raise Wrong(name)
    return value


def whole(value: Any, name: str, low: int = 0, high: int = MOST) -> int:
    """The value if it is a whole number within `low` and `high`.

    Raises:
        Wrong: It is none.
    """
    if type(value) is not int or not low <= value <= high:
        raise Wrong(name)
    return value


def real(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """The value if it is a finite number within `low` and `high`.

    Raises:
        Wrong: It is none.
    """
    if type(value) not in (int, float) or abs(value) > MOST**4 or not math.isfinite(value) or not low <= value <= high:
        raise Wrong(name)
    return float(value)


def text(value: Any, name: str) -> str:
    """The value if it is a text.

    Raises:
        Wrong: It is none.
    """
    if not isinstance(value, str):
        raise Wrong(name)
    return value


def simple(value: Any, name: str) -> Any:
    """The value if it is null, a text, true or false, or a finite number.

    Raises:
        Wrong: It is none of these.
    """
    if value is not None and not isinstance(value, str | bool):
        real(value, name)
    return value


def tensor(value: Any, name: str) -> Tensor:
    """The value if it is an ordinary tensor: dense, in memory, of no quantized kind.

    Raises:
        Wrong: It is none.
    """
    ordinary = type(value) in (Tensor, nn.Parameter) and value.layout is torch.strided
    if not ordinary or value.is_quantized or value.is_meta or value.is_nested:
        raise Wrong(name)
    return value.detach()


def like(value: Any, own: Tensor, name: str) -> Tensor:
    """A copy of the value in the memory layout of `own`, on the CPU, if it is a tensor of its shape and dtype.

    Kernels of optimizers take the layout for granted, and would read and write beyond a smaller tensor.

    Raises:
        Wrong: It is none.
    """
    found = tensor(value, name)
    if found.shape != own.shape or found.dtype != own.dtype:
        expected, got = (f"{str(one.dtype).removeprefix('torch.')} {tuple(one.shape)}" for one in (own, found))
        raise Wrong(f"{name}: {got} in place of {expected}")
    return torch.empty_like(own.detach(), device="cpu").copy_(found)


def scalar(value: Any, name: str) -> Tensor:
    """A copy of the value if it is a finite real tensor without dimensions.

    Raises:
        Wrong: It is none.
    """
    found = tensor(value, name)
    if found.shape or found.is_complex() or not found.isfinite():
        raise Wrong(name)
    return found.clone()


def fits(saved: Any, own: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The saved weights if they have the names, shapes and dtypes of those that they are to replace.

    Raises:
        Wrong: They differ.
    """
    saved = group(saved, name)
    for key in sorted(map(str, saved.keys() ^ own.keys())):
        raise Wrong(f"{name}: {key} {'is missing' if key in own else 'is not known'}")
    for key, value in own.items():
        if isinstance(value, Tensor):
            found = tensor(saved[key], f"{name}.{key}")
            if found.shape != value.shape or found.dtype != value.dtype:
                raise Wrong(f"{name}.{key}: {tuple(found.shape)} in place of {tuple(value.shape)}")
    return saved


def about(saved: Mapping[str, Any]) -> None:
    """Check what a checkpoint says besides the state: whose it is, and what the same bits are promised for.

    Raises:
        Wrong: A name, a type or a number is none of dlrun's.
    """
    for name in ("hash", "fingerprint"):
        text(saved.get(name, ""), name)
    for name, value in group(saved.get("numerics", {}), "numerics").items():
        simple(value, text(name, "numerics"))
    origin = saved.get("origin")
    if origin is not None:
        text(group(origin, "origin").get("hash"), "origin")
        whole(origin.get("epochs"), "origin")
