import io
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

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
from dlrun.errors import ConfigError
from dlrun.optim.build import build_optimizer

Update = Callable[[float, list[float]], float]
GRADIENTS = [0.3, -0.02, 1e-7, 0.5]


def sgd(w: float, gradients: list[float], nesterov: bool = False) -> float:
    velocity = 0.0
    for g in gradients:
        velocity = 0.9 * velocity - 0.01 * g
        w += 0.9 * velocity - 0.01 * g if nesterov else velocity
    return w


def adam(w: float, gradients: list[float], decay: float = 0.0) -> float:
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w -= decay * 0.001 * w
        w -= 0.001 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (math.sqrt(v) + 1e-7)
    return w


def rmsprop(w: float, gradients: list[float], momentum: float = 0.0) -> float:
    v = velocity = 0.0
    for g in gradients:
        v = 0.9 * v + 0.1 * g * g
        velocity = momentum * velocity + 0.001 * g / math.sqrt(v + 1e-7)
        w -= velocity
    return w


def adadelta(w: float, gradients: list[float]) -> float:
    v = u = 0.0
    for g in gradients:
        v = 0.9 * v + 0.1 * g * g
        change = math.sqrt(u + 1e-6) / math.sqrt(v + 1e-6) * g
        u = 0.9 * u + 0.1 * change * change
        w -= change
    return w


def nadam(w: float, gradients: list[float], decay: float = 1.0) -> float:
    m = v = 0.0
    product = 1.0
    for t, g in enumerate(gradients, 1):
        now, after = (0.9 * (1 - 0.5 * 0.96 ** (i * decay)) for i in (t, t + 1))
        product *= now
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        mean = after * m / (1 - product * after) + (1 - now) * g / (1 - product)
        w -= 0.001 * mean / (math.sqrt(v / (1 - 0.999**t)) + 1e-7)
    return w


def adamax(w: float, gradients: list[float]) -> float:
    m = u = 0.0
    for t, g in enumerate(gradients, 1):
        m, u = 0.9 * m + 0.1 * g, max(0.999 * u, abs(g))
        w -= 0.001 / (1 - 0.9**t) * m / (u + 1e-7)
    return w


def adagrad(w: float, gradients: list[float]) -> float:
    v = 0.1
    for g in gradients:
        v += g * g
        w -= 0.001 * g / math.sqrt(v + 1e-7)
    return w


def torchs(made: Callable[[list[Tensor]], torch.optim.Optimizer]) -> Update:
    """What PyTorch's own class makes of one weight."""

    def update(w: float, gradients: list[float]) -> float:
        weight = nn.Parameter(torch.tensor([w], dtype=torch.float64))
        optimizer = made([weight])
        for gradient in gradients:
            step(optimizer, [weight], gradient)
        return weight.item()

    return update


CASES: dict[str, tuple[Optimizer, Update]] = {
    "sgd": (Sgd("sgd", momentum=0.9), sgd),
    "nesterov": (Sgd("sgd", momentum=0.9, nesterov=True), lambda w, g: sgd(w, g, nesterov=True)),
    "adam": (AdamOrAdamW("adam"), adam),
    "adamw": (AdamOrAdamW("adamw", weight_decay=0.1), lambda w, g: adam(w, g, decay=0.1)),
    "rmsprop": (Rmsprop("rmsprop"), rmsprop),
    "rmsprop_momentum": (Rmsprop("rmsprop", momentum=0.9), lambda w, g: rmsprop(w, g, momentum=0.9)),
    "rmsprop_outside": (
        Rmsprop("rmsprop", eps_outside=True, eps=1e-3, weight_decay=0.1),
        torchs(lambda weights: torch.optim.RMSprop(weights, 0.001, alpha=0.9, eps=1e-3, weight_decay=0.1)),
    ),
    "adadelta": (Adadelta("adadelta"), adadelta),
    "nadam": (Nadam("nadam"), nadam),
    "nadam_torch": (
        Nadam("nadam", definition="torch", weight_decay=0.1),
        torchs(lambda weights: torch.optim.NAdam(weights, 0.001, weight_decay=0.1)),
    ),
    "adamax": (Adamax("adamax"), adamax),
    "adamax_torch": (
        Adamax("adamax", definition="torch", weight_decay=0.1),
        torchs(lambda weights: torch.optim.Adamax(weights, 0.001, weight_decay=0.1)),
    ),
    "adagrad": (Adagrad("adagrad"), adagrad),
    "adagrad_torch": (
        Adagrad("adagrad", definition="torch", lr=0.01, weight_decay=0.1),
        torchs(lambda weights: torch.optim.Adagrad(weights, 0.01, weight_decay=0.1)),
    ),
    "adagrad_torch_initial": (
        Adagrad("adagrad", definition="torch", initial=0.5),
        torchs(lambda weights: torch.optim.Adagrad(weights, 0.001, initial_accumulator_value=0.5)),
    ),
}


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    picture = torch.randn(4, 3, 3, 3, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(torch.tensor([0.7], dtype=torch.float64)), nn.Parameter(picture)]


def step(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], gradient: float) -> None:
    for p in params:
        p.grad = torch.full_like(p, gradient)
    optimizer.step()


@pytest.mark.parametrize("name", CASES)
def test_updates_against_their_closed_forms(name: str) -> None:
    config, expected = CASES[name]
    params = parameters()
    firsts = [p.detach().clone() for p in params]
    optimizer = build_optimizer(config, params)
    for gradient in GRADIENTS:
        step(optimizer, params, gradient)
    for p, first in zip(params, firsts, strict=True):
        by_hand = first.clone().apply_(lambda w: expected(w, GRADIENTS))
        tolerance = 1e-10 if name == "nadam_torch" else 1e-12  # PyTorch's keeps the product of momenta in float32
        torch.testing.assert_close(p.detach(), by_hand, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_a_saved_state_goes_on_with_the_same_bits(name: str) -> None:
    config, _ = CASES[name]
    one, other = parameters(), parameters()
    first, second = build_optimizer(config, one), build_optimizer(config, other)
    for gradient in GRADIENTS:
        step(first, one, gradient)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for p, its in zip(other, one, strict=True):
        p.data.copy_(its)
    for gradient in GRADIENTS:
        step(first, one, gradient)
        step(second, other, gradient)
    assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_the_rate_of_every_step_is_read_from_the_groups_as_number_or_tensor(name: str) -> None:
    config, _ = CASES[name]
    moved = []
    for rate in (0.0, torch.tensor(0.0)):
        params = parameters()
        optimizer = build_optimizer(config, params)
        step(optimizer, params, 0.5)
        before = [p.detach().clone() for p in params]
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        if name != "rmsprop_momentum":  # its velocity rolls on
            step(optimizer, params, 0.5)
            moved += [not torch.equal(*pair) for pair in zip(before, params, strict=True)]
    assert not any(moved)


@pytest.mark.parametrize(
    "config",
    [
        *(Sgd("sgd", weight_decay=0.1), AdamOrAdamW("adam", weight_decay=0.1), Rmsprop("rmsprop", weight_decay=0.1)),
        *(Nadam("nadam", weight_decay=0.1), Adamax("adamax", weight_decay=0.1), Adagrad("adagrad", weight_decay=0.1)),
    ],
)
def test_weight_decay_is_an_l2_penalty(config: Optimizer) -> None:
    decayed, penalised = parameters(), parameters()
    step(build_optimizer(config, decayed), decayed, 0.0)
    plain = type(config)(config.name)
    optimizer = build_optimizer(plain, penalised)
    for p in penalised:
        p.grad = 0.1 * p.detach()
    optimizer.step()
    for one, other in zip(decayed, penalised, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", CASES)
def test_parameters_without_gradient_stay(name: str) -> None:
    params = parameters()
    optimizer = build_optimizer(CASES[name][0], params)
    params[1].grad = torch.ones_like(params[1])
    optimizer.step()
    assert params[0].item() == 0.7


def test_frozen_parameters_are_left_out() -> None:
    params = parameters()
    params[0].requires_grad_(False)
    assert build_optimizer(AdamOrAdamW("adam"), params).param_groups[0]["params"] == params[1:]
    with pytest.raises(ConfigError, match="no trainable parameters"):
        build_optimizer(AdamOrAdamW("adam"), params[:1])


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"set optimizer\.momentum=0\.9"):
        build_optimizer(Sgd("sgd", nesterov=True), parameters())


def test_a_target_is_called_with_the_parameters() -> None:
    made = build_optimizer(Target("torch.optim.NAdam", {"lr": 0.5}), parameters())
    assert isinstance(made, torch.optim.NAdam)
    assert made.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        (
            "torch.optim.NAdam",
            {"lrx": 1},
            r"optimizer\.lrx: torch\.optim\.NAdam takes no such argument; did you mean lr\?",
        ),
        ("torch.optim.Addam", {}, "torch.optim has no 'Addam'"),
        ("builtins.list", {}, "gives a list, not a torch.optim.Optimizer"),
    ],
)
def test_targets_that_do_not_work(name: str, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_optimizer(Target(name, arguments), parameters())


@pytest.mark.cuda
@pytest.mark.parametrize("name", CASES)
def test_the_gpu_computes_the_same(name: str) -> None:
    found: list[Tensor] = []
    for device in ("cpu", "cuda"):
        params = [nn.Parameter(p.detach().float().to(device)) for p in parameters()]
        optimizer = build_optimizer(CASES[name][0], params)
        for gradient in GRADIENTS:
            step(optimizer, params, gradient)
        found.append(params[1].detach().cpu())
    torch.testing.assert_close(*found)
