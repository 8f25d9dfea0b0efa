"""The losses by their formulas, and that every verb says of a class what the loss makes of it."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from helpers import heard, said

from dlrun.config.compose import compose
from dlrun.config.settled import settle
from dlrun.data.load import load
from dlrun.errors import ConfigError
from dlrun.runs.check import check
from dlrun.runs.exporting import Classifier
from dlrun.runs.loading import load_run
from dlrun.runs.parts import build
from dlrun.store.history import read_history
from dlrun.training.loss import Penalty, loss_of
from dlrun.training.step import TrainingStep

LOGITS = [[0.3, -1.2, 2.0], [-0.5, 0.1, 0.0]]
LABELS = [2, 0]
WORDS = [
    *("data=synthetic", "data.train_images=64", "data.test_images=32", "epochs=2", "batch_size=16"),
    *("threads=1", "device=cpu", "precision=float32", "tensorboard=off", "optimizer=sgd"),
]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def squared_error(logits: list[float], wanted: list[float]) -> float:
    return sum((sigmoid(z) - y) ** 2 for z, y in zip(logits, wanted, strict=True)) / 2


def binary_cross_entropy(logits: list[float], wanted: list[float]) -> float:
    pairs = [(sigmoid(z), y) for z, y in zip(logits, wanted, strict=True)]
    return -sum(y * math.log(a) + (1 - y) * math.log(1 - a) for a, y in pairs)


def cross_entropy(logits: list[float], wanted: list[float]) -> float:
    total = math.log(sum(map(math.exp, logits)))
    return sum(y * (total - z) for z, y in zip(logits, wanted, strict=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("by_hand", [squared_error, binary_cross_entropy, cross_entropy])
def test_losses_are_their_formulas(by_hand, smoothing):
    targets = [[float(k == label) * (1 - smoothing) + smoothing / 3 for k in range(3)] for label in LABELS]
    expected = sum(by_hand(*pair) for pair in zip(LOGITS, targets, strict=True))
    arguments = (by_hand.__name__, torch.tensor(LOGITS, dtype=torch.float64), torch.tensor(LABELS))
    assert loss_of(*arguments, None, smoothing, "sum").item() == pytest.approx(expected, rel=1e-12)
    assert loss_of(*arguments, None, smoothing).item() == pytest.approx(expected / 2, rel=1e-12)
    alike = torch.full((3,), 2.0, dtype=torch.float64)
    assert loss_of(*arguments, alike, smoothing).item() == pytest.approx(expected / 2, rel=1e-12)


def test_the_penalty_of_each_layer_is_in_the_gradient_and_not_in_the_loss():
    """Twice the factor times the weights is what it adds, to no bias."""
    layers = "model.layers=[conv 2 l2 0.5, conv 3 l2 0, flatten, dense 4]"
    steps = []
    for words in (["model.l2=0.25"], ["model.l2=0.25", "batch_size=8", "accumulate=2"], []):
        parts = build(settle(compose([*WORDS, layers.replace(" l2 0.5", "") if not words else layers, *words])))
        before = {name: p.detach().clone() for name, p in parts.state.model.named_parameters()}
        images, labels = parts.prepare(parts.train.images[:16]), parts.train.labels[:16]
        TrainingStep(parts.state, parts.settings, parts.prepare)(images, labels, 16)
        moved = {name: p.detach() - before[name] for name, p in parts.state.model.named_parameters()}
        steps.append((parts.state.totals.metrics().loss, before, moved))
    (loss, before, penalised), (in_parts, _, added), (same, _, plain) = steps
    assert loss == same == pytest.approx(in_parts)
    factors = {"conv1.weight": 0.5, "dense1.weight": 0.25, "dense2.weight": 0.25}
    torch.testing.assert_close(added, penalised)
    for name, moved in penalised.items():
        expected = plain[name] - 0.01 * 2 * factors.get(name, 0.0) * before[name]
        torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-7)


def test_classes_weigh_in_every_loss():
    weights = torch.tensor([5.0, 1.0, 2.0], dtype=torch.float64)
    for by_hand in (squared_error, binary_cross_entropy, cross_entropy):
        each = [
            by_hand(logits, [float(k == label) for k in range(3)]) for logits, label in zip(LOGITS, LABELS, strict=True)
        ]
        arguments = (by_hand.__name__, torch.tensor(LOGITS, dtype=torch.float64), torch.tensor(LABELS), weights)
        assert loss_of(*arguments).item() == pytest.approx((2 * each[0] + 5 * each[1]) / 7, rel=1e-12)
        assert loss_of(*arguments, reduction="sum").item() == pytest.approx(2 * each[0] + 5 * each[1], rel=1e-12)


def test_the_penalty_is_scaled_as_the_gradients_are():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    Penalty(model, (0.0, 3.0)).add_to_gradients(lambda weight: 8 * weight)
    torch.testing.assert_close(model[2].weight.grad, 1 + 8 * 6 * model[2].weight.detach())
    assert all((p.grad == 1).all() for p in (*model[0].parameters(), model[2].bias))


@pytest.mark.parametrize(
    ("phrase", "said_of_it"),
    [
        ("dense 4 l2", "expected the factor of the L2 penalty, a number from 0, found nothing"),
        ("dense 4 l2 -1", "found -1"),
        ("dense 4 l2 nan", "found nan"),
        ("conv 4 l2 1e-4 l2 1e-3", "l2 stands there twice"),
        ("pool 2 l2 1", "'l2' is not understood"),
    ],
)
def test_penalties_that_are_none(phrase, said_of_it):
    layers = [phrase, "flatten"] if phrase[0] != "d" else ["flatten", phrase]
    with pytest.raises(ConfigError, match=said_of_it):
        check(compose([*WORDS, f"model.layers=[{', '.join(layers)}]"]))


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_every_verb_takes_each_output_by_itself(loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*WORDS, "model.layers=[flatten, dense 8 sigmoid]", "model.l2=1e-4", "hydra.run.dir=r"]
    status, text = said(*words, f"loss={loss}")
    assert status == 0, text
    assert f", loss {loss}" in text
    assert said(*words)[0] == 2  # another experiment
    status, found, _ = heard("evaluate", "r", "--json", "--csv", "answers.csv")
    last = read_history(Path("r"))[-1]
    assert json.loads(found)["loss"] == pytest.approx(last["test_loss"], rel=1e-5)
    assert json.loads(found)["accuracy"] == pytest.approx(last["test_accuracy"])
    with Path("answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    run = load_run(Path("r"), changes={"device": "cpu"})
    pictures = load(run.config.data).test.images
    exported = Classifier(run)(pictures)
    outputs = run.model(run.prepare(pictures)).sigmoid()
    torch.testing.assert_close(exported, outputs)
    torch.testing.assert_close(run.probabilities(pictures), outputs)
    for number, name in enumerate(run.inputs.classes):
        answers = torch.tensor([float(row[f"p_{name}"]) for row in rows])
        torch.testing.assert_close(answers, outputs[:, number].detach())
