"""`model=knn` through every verb, and its votes by hand."""

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import heard, said

from dlrun.config.compose import compose
from dlrun.data.load import load
from dlrun.models.neighbours import Neighbours
from dlrun.runs.no_effect import without_effect

WORDS = [
    *("model=knn", "data=synthetic", "data.train_images=90", "data.test_images=40", "data.shape=[1,4,4]"),
    *("threads=1", "device=cpu", "tensorboard=off", "hydra.run.dir=r"),
]


def votes(train, labels, pictures, k, weighted, itself=None):
    """Shares of votes, by the definition; `itself` are the places of the pictures in the training set."""
    found = np.zeros((len(pictures), 10))
    for row, picture in enumerate(pictures):
        distances = np.sqrt(((train - picture) ** 2).sum(1))
        if itself is not None:
            distances[itself[row]] = np.inf
        for place in np.argsort(distances, kind="stable")[:k]:
            found[row, labels[place]] += 1 / distances[place] if weighted else 1
    return found / found.sum(1, keepdims=True)


@pytest.mark.parametrize(("k", "weights"), [(4, "distance"), (7, "uniform"), (1, "distance"), (90, "uniform")])
def test_votes_are_those_of_the_definition(k, weights, monkeypatch):
    monkeypatch.setattr("dlrun.models.neighbours.BLOCK", 16)  # not one block, and the last one is smaller than k
    random = np.random.default_rng(0)
    train, pictures = (random.random((n, 1, 3, 3)).astype(np.float32) for n in (90, 20))
    labels = random.integers(0, 10, 90)
    model = Neighbours(10, k, weights)
    model.remember(torch.from_numpy(train), torch.from_numpy(labels))
    flat = train.reshape(90, -1).astype(float)
    found = model(torch.from_numpy(pictures)).softmax(1).numpy()
    expected = votes(flat, labels, pictures.reshape(20, -1).astype(float), k, weights == "distance")
    np.testing.assert_allclose(found, expected, atol=2e-6)
    if k < 90:
        found = model.without_itself(torch.from_numpy(train[:20]), torch.from_numpy(labels[:20])).softmax(1).numpy()
        expected = votes(flat, labels, flat[:20], k, weights == "distance", range(20))
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_equal_pictures_alone_count_and_a_picture_leaves_itself_out_not_its_twin():
    model = Neighbours(3, 2)
    model.remember(torch.tensor([[0.0], [0.0], [1.0], [1.5]]).view(4, 1, 1, 1), torch.tensor([0, 1, 2, 2]))
    first = torch.zeros(1, 1, 1, 1)
    torch.testing.assert_close(model(first).softmax(1), torch.tensor([[0.5, 0.5, 0.0]]), atol=1e-6, rtol=0)
    alone = torch.tensor([[0.0, 1.0, 0.0]])
    torch.testing.assert_close(model.without_itself(first, torch.tensor([0])).softmax(1), alone, atol=1e-6, rtol=0)


def test_every_verb_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, text = said(*WORDS)
    assert status == 0, text
    assert "model: knn, 0 parameters" in text
    assert "training: none, the training images are remembered, seed 0" in text
    result = json.loads(Path("r/result.json").read_text())
    assert (result["status"], result["epochs"], result["model"]) == ("completed", 1, "knn")
    data = load(compose(WORDS[:-1]).data)
    flat, test = (part.images.flatten(1).double().numpy() / 255 for part in (data.train, data.test))
    shares = votes(flat, data.train.labels.numpy(), test, 4, True)
    assert result["test"]["accuracy"] == (shares.argmax(1) == data.test.labels.numpy()).mean()
    left = votes(flat, data.train.labels.numpy(), flat, 4, True, range(90))
    assert result["train"]["accuracy"] == pytest.approx((left.argmax(1) == data.train.labels.numpy()).mean())
    status, text, _ = heard("evaluate", "r", "--json", "--csv", "answers.csv")
    assert json.loads(text)["accuracy"] == result["test"]["accuracy"]
    assert json.loads(text)["loss"] == pytest.approx(result["test"]["loss"], rel=1e-5)
    with Path("answers.csv").open() as file:
        answers = [[float(row[f"p_{name}"]) for name in data.classes] for row in csv.DictReader(file)]
    np.testing.assert_allclose(answers, shares, atol=2e-6)
    for words in (["show", "r"], ["report", "r"], [*WORDS], ["resume", "r"], ["evaluate", "r", "--best"]):
        status, text = said(*words)
        assert status == 0, text
    assert "complete before" in said(*WORDS)[1]
    status, text = said("export", "r", "--format", "pt2")
    assert status == 2
    assert "model=knn can't be exported" in text


@pytest.mark.parametrize(
    ("words", "said_of_it"),
    [
        (["epochs=3"], "epochs=3: model=knn trains nothing; leave it out, or epochs=1"),
        (["augment=noise"], "augment: model=knn trains nothing; leave it out"),
        (["average=0.9"], "average=0.9: model=knn trains nothing"),
        (["loss=squared_error"], "loss=squared_error: model=knn trains nothing"),
        (["model.k=0"], r"model\.k=0: expected a whole number >= 1"),
        (["model.k=91"], r"model\.k=91: there are only 90 training images"),
        (["model.weights=near"], r"model\.weights=near: expected one of distance, uniform"),
    ],
)
def test_what_it_can_not_do_is_refused(words, said_of_it, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, text = said(*WORDS, *words)
    assert status == 2
    assert len(text.splitlines()) == 1
    assert re.search(said_of_it, text), text


def test_what_has_no_effect_is_said():
    (found,) = without_effect(compose([*WORDS[:-1], "optimizer=adam", "clip_norm=1"]))
    assert found == "optimizer=adam, optimizer.lr=0.001, clip_norm=1.0: model=knn trains nothing"
    assert not without_effect(compose(WORDS[:-1]))


@pytest.mark.real_data
@pytest.mark.long
def test_four_neighbours_on_mnist_are_what_kuzushiji_mnists_authors_print(tmp_path, monkeypatch):
    """97.14 % (README of rois-codh/kmnist; scikit-learn, 4 neighbours, weights by distance)."""
    monkeypatch.chdir(tmp_path)
    root = os.environ["DLRUN_DATA"]
    status, text = said(
        "model=knn", "data=mnist", "device=cpu", "tensorboard=off", "hydra.run.dir=r", f"data.root={root}"
    )
    assert status == 0, text
    assert json.loads(Path("r/result.json").read_text())["test"]["accuracy"] == pytest.approx(0.9714, abs=5e-5)


@pytest.mark.slow
def test_a_plan_measures_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, text = said("plan", "-m", *WORDS[:-1], "seed=0,1")
    assert status == 0, text
    assert "2 of 2 runs are missing" in text
