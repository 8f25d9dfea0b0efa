"""SGD, Adam and RMSprop as Keras computes them, and those of the others that Keras and PyTorch define in two ways.

PyTorch's Adam and RMSprop differ in where epsilon is added.

SGD is the same in both. It stands here because the step of PyTorch's class imports the compiler (0.7 s).

No step waits for the device, and every step reads the learning rate from `param_groups`, where it may be a
number or a tensor. State and groups are saved by `state_dict` as those of PyTorch's own optimizers; state that
is not there yet is 0. SGD and Adam leave it to their kernels to unscale gradients and to skip a step whose
gradients overflowed, so that float16 needs no waiting either (`_scaling`).
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _Whole(torch.optim.Optimizer):
    """An optimizer that updates all parameters of a group at once."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._update(group, params)

    # Else PyTorch wraps the step for its hooks, which dlrun has none of: 3 % of the time of the slides' FC 64.
    step.hooked = True  # type: ignore[attr-defined]

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        raise NotImplementedError

    def _kept(self, name: str, params: list[Tensor]) -> list[Tensor]:
        """What is kept by this name of each parameter, 0 at first."""
        for p in params:
            if name not in self.state[p]:
                self.state[p][name] = torch.zeros_like(p)
        return [self.state[p][name] for p in params]

    def _kept_once(self, name: str, params: list[Tensor], like: Tensor | None = None) -> Tensor:
        """A number kept with the first parameter, 0 at first, on its device."""
        kept = self.state[params[0]]
        if name not in kept:
            kept[name] = torch.zeros((), device=params[0].device, dtype=None if like is None else like.dtype)
        found: Tensor = kept[name]
        return found


class SGD(_Whole):
    """v = momentum * v + g, w -= lr * v; with `nesterov` w -= lr * (g + momentum * v) (Sutskever et al. 2013)."""

    _step_supports_amp_scaling = True

    def __init__(self, params: Any, lr: float, momentum: float, nesterov: bool, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        torch._fused_sgd_(
            params,
            _gradients(params),
            self._kept("momentum_buffer", params) if group["momentum"] else [],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=0.0,
            nesterov=group["nesterov"],
            maximize=False,
            is_first_step=False,
            **_scaling(self),
        )


class Adam(_Whole):
    """w -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps) (Kingma & Ba 2015, end of section 2).

    Args:
        weight_decay: Factor of the weights added to the gradient or, if `decoupled`, share of them that is
            taken off, times the learning rate (Loshchilov & Hutter 2019).
    """

    _step_supports_amp_scaling = True

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        # `fused` is for load_state_dict: it then keeps "step" on the parameters' device.
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled": decoupled,
        }
        super().__init__(params, {**defaults, "fused": True})

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        means, squares = self._kept("exp_avg", params), self._kept("exp_avg_sq", params)
        step = self._kept_once("step", params)
        beta1, beta2 = group["betas"]
        decay = group["weight_decay"]
        scaling = _scaling(self)
        # 1, or 0 for a step that is skipped because a gradient overflowed.
        taken = 1 - scaling["found_inf"] if "found_inf" in scaling else 1
        if group["decoupled"] and decay:
            torch._foreach_mul_(params, 1 - group["lr"] * decay * taken)
        # PyTorch's kernel divides v by its bias correction before eps is added. Told that t is past counting,
        # it corrects nothing; both corrections are in the rate instead, which is Keras' formula.
        endless = _endless(params[0].device)
        torch._fused_adam_(
            params,
            _gradients(params),
            means,
            squares,
            [],
            [endless] * len(params),
            lr=_corrected(group["lr"], step.add_(taken), beta1, beta2),
            beta1=beta1,
            beta2=beta2,
            weight_decay=0.0 if group["decoupled"] else decay,
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
            **scaling,
        )


@functools.cache
def _endless(device: torch.device) -> Tensor:
    return torch.full((), 1e9, device=device)


def _scaling(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What GradScaler has told the optimizer for this step: `found_inf`, and `grad_scale` if still to be undone."""
    told = {name: getattr(optimizer, name, None) for name in ("grad_scale", "found_inf")}
    return {name: value for name, value in told.items() if value is not None}


def _gradients(params: list[Tensor]) -> list[Tensor]:
    return [p.grad for p in params if p.grad is not None]


def _penalised(group: dict[str, Any], params: list[Tensor]) -> list[Tensor]:
    """The gradients with that of an L2 penalty."""
    gradients = _gradients(params)
    if group["weight_decay"]:
        return list(torch._foreach_add(gradients, params, alpha=group["weight_decay"]))
    return gradients


def _corrected(lr: float | Tensor, step: Tensor, beta1: float, beta2: float) -> Any:
    """lr * sqrt(1 - beta2^t) / (1 - beta1^t): a number on a CPU, else a tensor, so that nothing waits."""
    if step.device.type == "cpu":
        t = max(step.item(), 1)
        return float(lr) * math.sqrt(1 - beta2**t) / (1 - beta1**t)
    return (1 - beta2**step).sqrt_() / (1 - beta1**step) * lr


class RMSprop(_Whole):
    """w -= lr * g / sqrt(v + eps), where v averages g^2; momentum accumulates these increments (Keras).

    With `eps_outside` it is sqrt(v) + eps (PyTorch; TensorFlow up to 2.10 without momentum).
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        rho: float,
        momentum: float,
        eps: float,
        eps_outside: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "momentum": momentum,
            "eps": eps,
            "eps_outside": eps_outside,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        gradients = _penalised(group, params)
        squares = self._kept("square_avg", params)
        torch._foreach_mul_(squares, group["rho"])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["rho"])
        roots = list(torch._foreach_add(squares, 0 if group["eps_outside"] else group["eps"]))
        torch._foreach_sqrt_(roots)
        if group["eps_outside"]:
            torch._foreach_add_(roots, group["eps"])
        increments = list(torch._foreach_div(gradients, roots))
        torch._foreach_mul_(increments, group["lr"])
        if group["momentum"]:
            velocities = self._kept("momentum_buffer", params)
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, increments)
            increments = velocities
        torch._foreach_sub_(params, increments)


class NAdam(_Whole):
    """Adam with Nesterov's momentum (Dozat 2016), which rises as beta1 * (1 - 0.96^(t * momentum_decay) / 2).

    w -= lr * (mu' * m / (1 - M') + (1 - mu) * g / (1 - M)) / (sqrt(v / (1 - beta2^t)) + eps), where mu is the momentum
    of this step and mu' that of the next, and M and M' are the products of all up to them. Keras and PyTorch agree in
    it, and differ in its constants.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        momentum_decay: float,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "momentum_decay": momentum_decay,
            "weight_decay": weight_decay,
        }
        super().__init__(params, {**defaults, "fused": True})  # as in Adam

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        gradients, lr = _penalised(group, params), group["lr"]
        (beta1, beta2), decay = group["betas"], group["momentum_decay"]
        means, squares = self._kept("exp_avg", params), self._kept("exp_avg_sq", params)
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        t = _number(self._kept_once("step", params).add_(1))
        now, after = (beta1 * (1 - 0.5 * 0.96 ** (i * decay)) for i in (t, t + 1))
        # 1 - M, since what is kept begins at 0.
        lacking = self._kept_once("lacking", params, like=params[0])
        lacking.copy_(1 - (1 - lacking) * now)
        of_this = _number(lacking)
        of_next = 1 - (1 - of_this) * after
        moves = list(torch._foreach_mul(means, lr * after / of_next))
        torch._foreach_add_(moves, torch._foreach_mul(gradients, lr * (1 - now) / of_this))
        roots = list(torch._foreach_div(squares, 1 - beta2**t))
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(params, moves, roots, value=-1)


class AdaMax(_Whole):
    """Adam with the largest gradient, which fades, in place of the second moment (Kingma & Ba 2015, section 7.1).

    w -= lr / (1 - beta1^t) * m / u. Keras takes the largest of beta2 * u and |g|, and adds eps to it in the division;
    PyTorch takes the largest of beta2 * u and |g| + eps (`eps_in_largest`).
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        eps_in_largest: bool,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "eps_in_largest": eps_in_largest,
            "weight_decay": weight_decay,
        }
        super().__init__(params, {**defaults, "fused": True})  # as in Adam

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        gradients, (beta1, beta2) = _penalised(group, params), group["betas"]
        means, largest = self._kept("exp_avg", params), self._kept("exp_inf", params)
        t = _number(self._kept_once("step", params).add_(1))
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        sizes = list(torch._foreach_abs(gradients))
        if group["eps_in_largest"]:
            torch._foreach_add_(sizes, group["eps"])
        torch._foreach_mul_(largest, beta2)
        torch._foreach_maximum_(largest, sizes)
        divisors = largest if group["eps_in_largest"] else torch._foreach_add(largest, group["eps"])
        moves = torch._foreach_mul(means, group["lr"] / (1 - beta1**t))
        torch._foreach_addcdiv_(params, moves, divisors, value=-1)


class AdaGrad(_Whole):
    """w -= lr * g / root of the sum of g^2, which begins at `initial` (Duchi et al. 2011).

    Keras adds eps below the root, PyTorch to the root (`eps_outside`).
    """

    def __init__(
        self, params: Any, lr: float, initial: float, eps: float, eps_outside: bool, weight_decay: float = 0.0
    ) -> None:
        defaults = {
            "lr": lr,
            "initial": initial,
            "eps": eps,
            "eps_outside": eps_outside,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        gradients, sums = _penalised(group, params), self._kept("sum", params)
        torch._foreach_addcmul_(sums, gradients, gradients, 1)
        # What is kept begins at 0.
        roots = list(torch._foreach_add(sums, group["initial"] + (0 if group["eps_outside"] else group["eps"])))
        torch._foreach_sqrt_(roots)
        if group["eps_outside"]:
            torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(params, torch._foreach_mul(gradients, group["lr"]), roots, value=-1)


def _number(kept: Tensor) -> Any:
    """A number on a CPU, else the tensor as it is now, so that nothing waits."""
    return kept.item() if kept.device.type == "cpu" else kept.clone()


OPTIMIZERS = (SGD, Adam, RMSprop, NAdam, AdaMax, AdaGrad)
