"""Class weights, balanced sampling, accumulated gradients, and what decays."""

from pathlib import Path

import pytest
import torch

from dlrun.config.compose import compose
from dlrun.config.groups import OPTIMIZERS
from dlrun.config.settled import settle
from dlrun.data.balance import class_weights, evenly_drawn
from dlrun.errors import ConfigError
from dlrun.runs.check import check
from dlrun.runs.no_effect import without_effect
from dlrun.runs.parts import Parts, build
from dlrun.store.history import read_history
from dlrun.training.step import TrainingStep
from tests.helpers import heard, same_bits

SMALL = ["data=synthetic", "data.shape=[1,6,6]", "data.classes=3", "data.test_images=30", "device=cpu", "threads=1"]
WORDS = [*SMALL, "data.train_images=75", "model=fc_64", "batch_size=8", "tensorboard=off", "epochs=2"]


def parts(*words: str) -> Parts:
    return build(settle(compose([*WORDS, *words])))


def trained(folder: str, *words: str) -> str:
    status, shown, errors = heard(*WORDS, *words, f"hydra.run.dir={folder}")
    assert status == 0, errors
    return shown + errors


def curve(folder: Path) -> list[list[float]]:
    names = ("train_loss", "train_accuracy", "test_loss", "lr")
    return [[row[name] for name in names] for row in read_history(folder)]


@pytest.mark.parametrize(
    ("words", "weights"),
    [(["data.class_weights=[1,2,4]"], [1.0, 2.0, 4.0]), (["data.class_weights=balanced"], None)],
)
def test_the_weighted_loss_is_that_of_pytorch(words: list[str], weights: list[float] | None) -> None:
    one, other = parts(*words, "label_smoothing=0.1"), parts("label_smoothing=0.1")
    sizes = one.train.labels.bincount()
    expected = torch.tensor(weights) if weights else 75 / (3 * sizes)
    images, labels = one.train.images[:20], one.train.labels[:20]
    TrainingStep(one.state, one.settings, one.prepare)(one.prepare(images), labels, 20)
    criterion = torch.nn.CrossEntropyLoss(expected, label_smoothing=0.1)
    loss = criterion(other.state.model(other.prepare(images)), labels)
    loss.backward()
    other.state.optimizer.step()
    assert one.state.totals.loss.item() / 20 == pytest.approx(loss.item(), rel=1e-6)
    for mine, its in zip(one.state.model.parameters(), other.state.model.parameters(), strict=True):
        assert torch.allclose(mine, its, rtol=1e-6, atol=1e-7)


def test_balanced_weights_leave_out_classes_without_images() -> None:
    config = compose([*WORDS, "data.class_weights=balanced"]).data
    weights = class_weights(config, torch.tensor([0, 0, 0, 2]), ("a", "b", "c"))
    assert weights is not None
    assert weights.tolist() == pytest.approx([4 / 9, 0, 4 / 3])


def test_balanced_sampling_draws_every_class_alike() -> None:
    labels = torch.tensor([0] * 9000 + [2] * 900 + [3] * 100)[torch.randperm(10_000)]

    def drawn(seed: int) -> torch.Tensor:
        return evenly_drawn(labels, torch.Generator().manual_seed(seed))

    places = drawn(0)
    counts = labels[places].bincount(minlength=4)
    assert len(places) == 10_000
    assert counts[1] == 0
    assert all(3200 < count < 3470 for count in counts[[0, 2, 3]].tolist())
    assert len(places.unique()) > 2500
    assert torch.equal(places, drawn(0))
    assert not torch.equal(places, drawn(1))


def test_a_balanced_run_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data.sampling=balanced", "data.class_weights=[1,2,1]", "accumulate=2", "optimizer.momentum=0.9"]
    shown = trained("whole", *words)
    assert "batch 8 x 2, 2 epochs, seed 0, class weights, balanced sampling" in shown
    trained("parts", *words, "epochs=1")
    assert heard("resume", "parts", "epochs=2")[0] == 0
    assert same_bits(Path("whole"), Path("parts"))
    trained("plain")
    assert curve(Path("plain")) != curve(Path("whole"))


@pytest.mark.parametrize(
    "words",
    [
        ["scheduler=cosine", "average=0.5", "optimizer=adam", "clip_norm=1"],
        ["data.class_weights=[1,2,4]", "label_smoothing=0.1", "drop_last=true", "data.train_images=72"],
        ["scale_last=true", "model.l2=0.01"],
        ["scale_last=true", "data.class_weights=[1,2,4]"],
    ],
)
def test_four_batches_of_8_are_one_of_32(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """75 images are two whole steps and one of 11, in which a batch of 3 follows one of 8."""
    monkeypatch.chdir(tmp_path)
    whole = [*words, "drop_last=false"]
    trained("one", *whole, "batch_size=32")
    trained("four", *words, "accumulate=4")
    for one, four in zip(curve(Path("one")), curve(Path("four")), strict=True):
        assert four == pytest.approx(one, rel=1e-4)
    steps = [torch.load(f"{name}/checkpoints/last.pt", weights_only=True)["state"] for name in ("one", "four")]
    assert [state["counters"]["step"] for state in steps] == [6, 6]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.class_weights=[1,2]"], "data.class_weights: 2 weights for 3 classes"),
        (["data.sampling=balanced", "shuffle=false"], "shuffle=false: data.sampling=balanced draws"),
    ],
)
def test_what_contradicts_itself_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(compose([*WORDS, *words]))
    assert said in str(caught.value)


@pytest.mark.parametrize("weights", ["[1,0,1]", "[1]", "even", "[1,-2,1]", "[a,b,c]", "2"])
def test_weights_are_numbers_above_0(weights: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*WORDS, f"data.class_weights={weights}"])
    assert "expected balanced, a list with a number above 0 for each class, or null" in str(caught.value)


def test_data_of_ones_own_are_balanced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target = ["data._target_=dlrun.data.synthetic.own", "data.classes=5"]
    plain, own = (
        settle(compose(["data=synthetic", *target, *words]))
        for words in ([], ["data.sampling=balanced", "data.class_weights=balanced"])
    )
    assert plain.hash != own.hash
    assert own.config.data.sampling == "balanced"
    assert "sampling" not in own.config.data.arguments  # type: ignore[union-attr]


SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in [*OPTIMIZERS, "nesterov"] if name not in ("sgd", "adamw")
]


@pytest.mark.parametrize("name", ["sgd", "adamw", *SLOW])
def test_biases_and_norms_need_not_decay(name: str) -> None:
    words = ["model.layers=[conv 4, bn, flatten, dense 5]", f"optimizer={name}", "optimizer.weight_decay=0.1"]
    made = parts(*words, "optimizer.decay_on=weights")
    every = parts(*words)
    names = [name for name, _ in made.state.model.named_parameters()]
    before = [p.detach().clone() + 1 for p in made.state.model.parameters()]
    for one in (made, every):
        for parameter in one.state.model.parameters():
            parameter.data.add_(1)
            parameter.grad = torch.zeros_like(parameter)
        one.state.optimizer.step()
    moved = [not torch.equal(p, old) for p, old in zip(made.state.model.parameters(), before, strict=True)]
    decayed = [name for name, by in zip(names, moved, strict=True) if by]
    assert decayed == ["conv1.weight", "dense1.weight", "dense2.weight"]
    assert not any(torch.equal(p, old) for p, old in zip(every.state.model.parameters(), before, strict=True))
    again = parts(*words, "optimizer.decay_on=weights")
    again.state.load(made.state.tensors())
    assert str(again.state.optimizer.state_dict()) == str(made.state.optimizer.state_dict())


def test_decay_without_a_rate_and_balance_twice_are_said() -> None:
    assert without_effect(compose([*WORDS, "optimizer.decay_on=weights"])) == [
        "optimizer.decay_on=weights: nothing decays, as optimizer.weight_decay is 0"
    ]
    (said,) = without_effect(compose([*WORDS, "accumulate=11"]))
    assert said == "accumulate=11: more batches than an epoch has (10), so that it is one update"
    (said,) = without_effect(compose([*WORDS, "data.class_weights=balanced", "data.sampling=balanced"]))
    assert "rare classes count twice" in said
