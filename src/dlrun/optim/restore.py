"""An optimizer's state out of a checkpoint, checked and copied before it is loaded."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dlrun.optim import keras
from dlrun.store import check
from dlrun.store.check import Wrong

KEPT: Mapping[type, tuple[set[str], set[str]]] = {
    keras.SGD: ({"momentum_buffer"}, set()),
    keras.Adam: ({"exp_avg", "exp_avg_sq"}, {"step"}),
    keras.RMSprop: ({"square_avg"}, {"momentum_buffer"}),
    keras.NAdam: ({"exp_avg", "exp_avg_sq"}, {"step", "lacking"}),
    keras.AdaMax: ({"exp_avg", "exp_inf"}, {"step"}),
    keras.AdaGrad: ({"sum"}, set()),
    torch.optim.Adadelta: ({"square_avg", "acc_delta", "step"}, set()),
    torch.optim.Adagrad: ({"sum", "step"}, set()),
    torch.optim.Adam: ({"exp_avg", "exp_avg_sq", "step"}, {"max_exp_avg_sq"}),
    torch.optim.AdamW: ({"exp_avg", "exp_avg_sq", "step"}, {"max_exp_avg_sq"}),
    torch.optim.SGD: ({"momentum_buffer"}, set()),
}
"""What each keeps of a parameter, if anything: what must be there, what may. What is of `NUMBERS` has no dimensions."""
NUMBERS = ("step", "lacking")
OF_THE_DEVICE = ("capturable", "foreach", "fused")
"""Fields of a group that say how it is computed, here and now."""


def restorable(optimizer: torch.optim.Optimizer, saved: Any) -> dict[str, Any]:
    """What `optimizer.load_state_dict` may be given of a saved state.

    Every tensor is a copy of the shape, dtype and memory layout of its parameter, or has no dimensions. A class of
    others may keep other tensors, unless its kernels are fused ones, which check nothing.

    Raises:
        Wrong: It is not a state of this optimizer.
    """
    states, groups = check.group(check.group(saved, "optimizer").get("state"), "optimizer.state"), saved["param_groups"]
    own = optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or [_parameters(one) for one in groups] != [one["params"] for one in own]:
        raise Wrong("optimizer: other groups of parameters")
    parameters = [p for one in optimizer.param_groups for p in one["params"]]
    for key in states:
        check.whole(key, "optimizer.state", high=len(parameters) - 1)
    return {
        "state": {key: _state(optimizer, state, parameters[key]) for key, state in states.items()},
        "param_groups": [_group(theirs, ours) for theirs, ours in zip(groups, own, strict=True)],
    }


def _parameters(group: Any) -> Any:
    return check.group(group, "optimizer.param_groups").get("params")


def _group(saved: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The group with what was saved of it; fields that it did not have yet are as they are."""
    kept = {}
    for name, value in saved.items():
        if name != "params" and name not in OF_THE_DEVICE:
            where = f"optimizer: {name}"
            kept[name] = _same_kind(value, own[name], where) if name in own else check.simple(value, where)
    if "lr" in own:
        check.real(kept.get("lr", 0), "optimizer: lr", low=0)
    return {**own, **kept}


def _same_kind(value: Any, own: Any, where: str) -> Any:
    if isinstance(own, float) and isinstance(value, float) and value == own:
        return value  # infinite, perhaps
    if isinstance(own, Sequence) and not isinstance(own, str):
        if type(value) is not type(own) or len(value) != len(own):
            raise Wrong(where)
        return type(own)(_same_kind(one, ours, where) for one, ours in zip(value, own, strict=True))  # type: ignore[call-arg]
    if isinstance(own, Tensor):
        return check.like(value, own, where)
    check.simple(value, where)
    of_numbers = [type(one) in (int, float) for one in (value, own)]
    if own is not None and not all(of_numbers) and type(value) is not type(own):
        raise Wrong(where)
    return value


def _state(optimizer: torch.optim.Optimizer, state: Any, parameter: Tensor) -> dict[str, Any]:
    check.group(state, "optimizer.state")
    known = KEPT.get(type(optimizer))
    if known is None:
        fused = any(one.get("fused") for one in optimizer.param_groups)
        return {check.text(name, "optimizer.state"): _copied(value, parameter, fused) for name, value in state.items()}
    needed, possible = known
    if state and not needed <= state.keys() <= needed | possible:
        raise Wrong(f"optimizer.state: {', '.join(sorted(map(str, state)))} in place of {', '.join(sorted(needed))}")
    return {
        name: check.scalar(value, name) if name in NUMBERS else check.like(value, parameter, f"optimizer.{name}")
        for name, value in state.items()
    }


def _copied(value: Any, parameter: Tensor, fused: bool) -> Any:
    where = "optimizer.state"
    if isinstance(value, list | tuple):
        return type(value)(_copied(one, parameter, fused) for one in value)
    if isinstance(value, dict):
        return {check.text(name, where): _copied(one, parameter, fused) for name, one in value.items()}
    if not isinstance(value, Tensor):
        return check.simple(value, where)
    found = check.tensor(value, where)
    if found.shape == parameter.shape and found.dtype == parameter.dtype:
        return check.like(found, parameter, where)
    if fused and found.shape:
        raise Wrong(f"{where}: {tuple(found.shape)} in place of {tuple(parameter.shape)}")
    return found.clone()
