"""Whole networks and every optimizer against Keras: same weights, same batches, the same losses.

In float64 ten steps agree to the last digits, which shows that the formulas are the same. In float32, with the
slides' own settings, they agree within rounding until a rounding error switches a ReLU or the place of a maximum;
batch normalization magnifies such a switch.

Needs an interpreter with tensorflow: this one, or the one that $DLRUN_KERAS_PYTHON names.
"""

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import KERAS_PYTHON as PYTHON
from torch import nn
from torch.nn import functional as F

from dlrun.config.groups import Adadelta, Adagrad, Adamax, AdamOrAdamW, Layers, Nadam, Optimizer, Rmsprop, Sgd
from dlrun.models.build import build_network
from dlrun.models.layers import KerasBatchNorm
from dlrun.models.phrases import penalties
from dlrun.optim.build import build_optimizer
from dlrun.training.loss import Penalty

pytestmark = [
    pytest.mark.keras,
    pytest.mark.skipif(PYTHON is None, reason="set DLRUN_KERAS_PYTHON to a Python that has tensorflow"),
]

STEPS, BATCH = 10, 16
Found = dict[str, np.ndarray]

NETWORKS = {
    "fc_64": Layers(["flatten", "dense 64", "dense 64"]),
    "cnn_dropout": Layers(["conv 32", "conv 64", "pool 2", "dropout 0", "flatten", "dense 128", "dropout 0"]),
    "cnn_batchnorm": Layers(["conv 32", "bn", "conv 64", "pool 2", "bn", "flatten", "dense 128", "bn"]),
    "asl_cnn": Layers(
        [
            *["conv 75", "bn", "pool 2 same", "conv 50", "dropout 0", "bn", "pool 2 same"],
            *["conv 25", "bn", "pool 2 same", "flatten", "dense 512", "dropout 0"],
        ],
        padding="same",
    ),
    "penalised": Layers(["conv 4 l2 0.03125", "flatten", "dense 20 l2 0"], l2=0.0078125),
    "uneven": Layers(
        [
            *["conv 12 4x3 stride 2 same sigmoid", "pool 3 stride 2 same", "conv 8 2x2 same leaky_relu"],
            *["pool 2 stride 1 same", "flatten", "dense 20 elu"],
        ]
    ),
}

EXACT = {"beta1": 0.875, "beta2": 1 - 2**-10}
CHOSEN = {
    "float64": {
        "sgd_exact": Sgd("sgd", momentum=0.875),
        "nesterov_exact": Sgd("sgd", momentum=0.875, nesterov=True),
        "adam_exact": AdamOrAdamW("adam", **EXACT),
        "adamw_exact": AdamOrAdamW("adamw", weight_decay=2**-6, **EXACT),
        "rmsprop": Rmsprop("rmsprop"),
        "rmsprop_momentum": Rmsprop("rmsprop", momentum=0.9),
        "adadelta": Adadelta("adadelta"),
        "nadam_exact": Nadam("nadam", **EXACT),
        "adamax_exact": Adamax("adamax", **EXACT),
        "adagrad_exact": Adagrad("adagrad", lr=0.01, initial=0.125),
    },
    "float32": {
        "sgd": Sgd("sgd", momentum=0.9),
        "nesterov": Sgd("sgd", momentum=0.9, nesterov=True),
        "adam": AdamOrAdamW("adam"),
        "rmsprop": Rmsprop("rmsprop"),
    },
}


def network(name: str, floats: str) -> nn.Module:
    torch.manual_seed(0)
    return build_network(NETWORKS[name], (1, 28, 28), 10).to(getattr(torch, floats))


def weights(model: nn.Module) -> list[np.ndarray]:
    """In Keras' order and layout."""
    found = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            found += [module.weight.permute(2, 3, 1, 0), module.bias]
        elif isinstance(module, nn.Linear):
            found += [module.weight.T, module.bias]
        elif isinstance(module, KerasBatchNorm):
            found += [module.weight, module.bias, module.running_mean, module.running_var]
    return [weight.detach().numpy().copy() for weight in found]


def batches() -> tuple[np.ndarray, np.ndarray]:
    """Pictures that depend on their label, so that there is something to learn."""
    random = np.random.default_rng(0)
    patterns = random.random((10, 28, 28, 1))
    labels = random.integers(0, 10, (STEPS, BATCH))
    return (0.5 * patterns[labels] + 0.5 * random.random((STEPS, BATCH, 28, 28, 1))), labels


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Found]:
    """What Keras finds in one type of float, computed once."""

    @functools.cache
    def found(floats: str) -> Found:
        folder = tmp_path_factory.mktemp("keras")
        images, labels = batches()
        given = {"images": images, "labels": labels}
        for name in NETWORKS:
            for number, weight in enumerate(weights(network(name, floats))):
                given[f"{name}/{number}"] = weight
        np.savez(folder / "given.npz", **given)
        paths = [Path(__file__).with_name("reference.py"), folder / "given.npz", folder / "found.npz"]
        command = [str(PYTHON), *map(str, paths), floats, *CHOSEN[floats]]
        subprocess.run(command, check=True, timeout=1200, capture_output=True)
        return dict(np.load(folder / "found.npz"))

    return found


def trained(name: str, optimizer: Optimizer, floats: str) -> tuple[list[float], np.ndarray, list[np.ndarray]]:
    """The losses, the first batch's logits afterwards and the weights, of dlrun's network."""
    images, labels = (torch.from_numpy(array) for array in batches())
    images = images.permute(0, 1, 4, 2, 3).to(getattr(torch, floats))
    model = network(name, floats)
    stepper = build_optimizer(optimizer, model.parameters())
    penalty = Penalty(model, penalties(NETWORKS[name], (1, 28, 28), 10))
    losses = []
    for pictures, wanted in zip(images, labels, strict=True):
        stepper.zero_grad()
        loss = F.cross_entropy(model(pictures), wanted)
        loss.backward()
        penalty.add_to_gradients()
        stepper.step()
        losses.append(loss.item())
    with torch.no_grad():
        return losses, model.eval()(images[0]).numpy(), weights(model)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("chosen", CHOSEN["float64"])
def test_float64_losses_weights_and_logits_equal_keras(keras: Callable[[str], Found], name: str, chosen: str) -> None:
    found = keras("float64")
    losses, logits, final = trained(name, CHOSEN["float64"][chosen], "float64")
    # TensorFlow rounds leaky ReLU's slope to float32, and Nadam's 0.96. Adamax divides by the largest gradient alone,
    # which may be next to nothing.
    by_optimizer = {"nadam_exact": 1e-6, "adamax_exact": 1e-8}.get(chosen, 1e-9)
    tolerance = max(2e-8, by_optimizer) if name == "uneven" else by_optimizer
    same = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    same(losses, found[f"{name}/{chosen}/loss"])
    same(logits, found[f"{name}/{chosen}/logits"])
    for number, weight in enumerate(final):
        same(weight, found[f"{name}/{chosen}/{number}"])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("chosen", CHOSEN["float32"])
def test_float32_losses_are_those_of_keras(keras: Callable[[str], Found], name: str, chosen: str) -> None:
    losses, _, _ = trained(name, CHOSEN["float32"][chosen], "float32")
    theirs = keras("float32")[f"{name}/{chosen}/loss"]
    steps = 2 if "bn" in NETWORKS[name].layers else STEPS
    np.testing.assert_allclose(losses[:steps], theirs[:steps], rtol=5e-4, atol=1e-4)
