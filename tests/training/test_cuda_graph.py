"""The step as a CUDA graph: what can be seen without a GPU, and what waits for one."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dlrun.config.compose import compose
from dlrun.config.groups import Target
from dlrun.config.settled import settle
from dlrun.optim.average import Average
from dlrun.runs.parts import Parts, build, no_graph
from dlrun.sinks.profile import profiled
from dlrun.training.cuda_graph import ReplayedStep, Snapshot, step_for, why_not_replayed
from dlrun.training.distributed import ALONE, Ranks
from dlrun.training.events import EpochEnded
from dlrun.training.loop import shuffled, train
from dlrun.training.state import State
from dlrun.training.step import TrainingStep, batches

NETWORK = "model.layers=[conv 8, bn, pool 2, dropout 0.25, flatten, dense 32, dropout 0.5]"
CASES = {
    "sgd": ["optimizer=sgd"],
    "nesterov, schedule": ["optimizer=nesterov", "scheduler=cosine"],
    "adam, clipped, averaged": ["optimizer=adam", "clip_norm=1", "average=0.9"],
    "adamw": ["optimizer=adamw"],
    "rmsprop": ["optimizer=rmsprop"],
    "adadelta": ["optimizer=adadelta"],
    "nadam": ["optimizer=nadam"],
    "adamax": ["optimizer=adamax"],
    "adagrad": ["optimizer=adagrad"],
    "augmented": ["optimizer=sgd", "augment=affine", "augment.noise=0.05"],
    "mixed, erased, weighed": [
        *("augment=mixup", "augment.cutmix=1", "augment.erase=0.5", "augment.randaugment=1"),
        "data.class_weights=[1,2,3,4,5,6,7,8,9,10]",
    ],
    "bfloat16": ["optimizer=sgd", "precision=bfloat16"],
    "float16": ["optimizer=adam", "precision=float16", "clip_norm=1"],
}


def parts(*overrides: str, device: str = "cpu", epochs: int = 2) -> Parts:
    """A small run of a network with everything that has a state; the last batch of an epoch is not full."""
    common = [
        "data=synthetic",
        "limit=500",
        "batch_size=64",
        f"epochs={epochs}",
        "threads=1",
        f"device={device}",
        "precision=float32",
    ]
    return build(settle(compose([NETWORK, *common, *overrides])))


def tensors(made: Parts) -> list[Tensor]:
    """All that a step changes."""
    optimizer = [v for state in made.state.optimizer.state.values() for v in state.values()]
    models = [made.state.model, *([made.state.average.model] if made.state.average else [])]
    weights = [value for model in models for value in model.state_dict().values()]
    return [t.detach().clone() for t in (*weights, *optimizer, made.state.totals.loss, made.state.totals.correct)]


def steps(made: Parts, step: TrainingStep, count: int) -> None:
    order = shuffled(len(made.train), 0, 1).to(made.state.device)
    for _, batch in zip(range(count), batches(made.train, order, 64, made.prepare), strict=False):
        step(*batch)
    step.count()


@pytest.mark.parametrize("case", CASES)
def test_a_snapshot_puts_back_all_that_steps_change(case: str) -> None:
    made = parts(*CASES[case])
    step = TrainingStep(made.state, made.settings, made.prepare)
    steps(made, step, 2)
    before, snapshot = tensors(made), Snapshot(made.state)
    steps(made, step, 3)
    first = tensors(made)
    assert not all(torch.equal(*pair) for pair in zip(before, first, strict=True))
    snapshot.restore()
    assert all(torch.equal(*pair) for pair in zip(before, tensors(made), strict=True))
    steps(made, step, 3)
    # The random numbers of dropout and augmentation are the same again, too.
    assert all(torch.equal(*pair) for pair in zip(first, tensors(made), strict=True))


def test_a_snapshot_from_before_the_first_step_leaves_the_optimizer_as_it_begins() -> None:
    made = parts("optimizer=adam")
    snapshot = Snapshot(made.state)
    for _ in range(2):
        snapshot.restore()
        steps(made, TrainingStep(made.state, made.settings, made.prepare), 3)
    untouched = parts("optimizer=adam")
    steps(untouched, TrainingStep(untouched.state, untouched.settings, untouched.prepare), 3)
    assert all(torch.equal(*pair) for pair in zip(tensors(made), tensors(untouched), strict=True))


def test_without_a_gpu_the_step_is_a_plain_one() -> None:
    made = parts()
    assert type(step_for(made.state, made.settings, made.prepare)) is TrainingStep


def trained(made: Parts, stop: Callable[[], bool] = lambda: False) -> list[EpochEnded]:
    state, settings = made.state, made.settings
    events = train(state, made.train, made.evaluated, made.prepare, made.prepare_evaluated, made.factor, settings, stop)
    return [event for event in events if isinstance(event, EpochEnded)]


@pytest.mark.cuda
@pytest.mark.parametrize("case", CASES)
def test_replayed_steps_train_as_plain_ones(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = parts(*CASES[case], device="cuda")
    found = trained(replayed)
    plain = parts(*CASES[case], device="cuda")
    monkeypatch.setattr("dlrun.training.cuda_graph.why_not_replayed", lambda *_: "it is compared")
    expected = trained(plain)
    for mine, its in zip(found, expected, strict=True):
        assert mine.train.loss == pytest.approx(its.train.loss, rel=2e-2)
        assert mine.evaluated.loss == pytest.approx(its.evaluated.loss, rel=5e-2)
        assert mine.lr == its.lr


@pytest.mark.cuda
@pytest.mark.parametrize("case", CASES)
def test_the_step_is_recorded_and_its_random_numbers_differ(case: str, caplog: pytest.LogCaptureFixture) -> None:
    made = parts(*CASES[case], "optimizer.lr=1e-30", device="cuda")
    step = step_for(made.state, made.settings, made.prepare)
    assert isinstance(step, ReplayedStep)
    images, labels, count = next(batches(made.train, torch.arange(64, device="cuda"), 64, made.prepare))
    losses = []
    for _ in range(3):
        made.state.totals.clear()
        step(images, labels, count)
        losses.append(made.state.totals.loss.item())
    assert step.graph is not None, caplog.text
    assert len(set(losses)) == 3


@pytest.mark.cuda
def test_a_profiled_run_takes_every_step(tmp_path: Path) -> None:
    made = parts(device="cuda")
    with profiled(made.state.optimizer, tmp_path / "profile"):
        assert type(step_for(made.state, made.settings, made.prepare)) is TrainingStep
    assert isinstance(step_for(made.state, made.settings, made.prepare), ReplayedStep)


@pytest.mark.cuda
def test_recording_leaves_no_trace() -> None:
    made = parts("optimizer=adam", device="cuda")
    step = ReplayedStep(made.state, made.settings, made.prepare)
    before, random = tensors(made), torch.cuda.get_rng_state()
    images, labels, _ = next(batches(made.train, torch.arange(64, device="cuda"), 64, made.prepare))
    step._record(images, labels)
    assert step.graph is not None
    after = tensors(made)[: len(before)]
    assert all(torch.equal(*pair) for pair in zip(before[:-2], after[: len(before) - 2], strict=True))
    assert torch.equal(random, torch.cuda.get_rng_state())


@pytest.mark.cuda
def test_a_model_that_waits_for_the_gpu_trains_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Waiting(torch.nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            float(x.sum())
            return super().forward(x)

    made = parts("optimizer=sgd", device="cuda")
    made.state.model = Waiting(made.state.model)
    with caplog.at_level(logging.WARNING, logger="dlrun"):
        assert len(trained(made)) == 2
    assert "can't be replayed as a CUDA graph" in caplog.text


@pytest.mark.cuda
def test_resuming_on_the_gpu_gives_the_same_bits(tmp_path: Path) -> None:
    words = [*CASES["adam, clipped, averaged"], "deterministic=true"]
    whole = parts(*words, device="cuda")
    trained(whole)
    first = parts(*words, device="cuda")
    asked = iter(range(10**6))
    trained(first, stop=lambda: next(asked) >= 11)
    torch.save(first.state.tensors(), tmp_path / "saved.pt")
    second = parts(*words, device="cuda")
    second.state.load(torch.load(tmp_path / "saved.pt", weights_only=True))
    trained(second)
    weights = zip(whole.state.model.state_dict().values(), second.state.model.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in weights)


def test_averages_are_part_of_the_snapshot() -> None:
    made = parts("average=0.9")
    assert isinstance(made.state.average, Average)
    held = {id(tensor) for tensor, _ in Snapshot(made.state).copies}
    assert {id(p) for p in made.state.average.model.parameters()} <= held


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ([], ""),
        (["model=resnet9"], ""),
        (["model=torchvision", "model.name=squeezenet1_1"], ""),
        (["cuda_graphs=false"], "cuda_graphs=false"),
        (["compile=true"], "compile=true"),
        (["+model._target_=mine.Net"], "mine.Net may keep a state in Python"),
        (["+model._target_=torch.nn.Flatten"], "torch.nn.Flatten may keep a state in Python"),
        (["+model._target_=torchvision_of_mine.Net"], "torchvision_of_mine.Net may keep a state in Python"),
    ],
    ids=str,
)
def test_only_networks_without_state_in_python_are_replayed(typed: list[str], reason: str) -> None:
    targets = [word.partition("=")[2] for word in typed if "_target_" in word]
    config = compose([word for word in typed if "_target_" not in word])
    if targets:
        config.model = Target(targets[0], {})
    assert no_graph(config) == reason


def test_the_log_says_which_way_was_taken_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    made = parts("optimizer=sgd")
    assert why_not_replayed(made.state, made.settings, ALONE) == "the device is cpu"
    monkeypatch.setattr(State, "device", torch.device("cuda"))
    assert isinstance(step_for(made.state, made.settings, made.prepare), ReplayedStep)
    assert why_not_replayed(made.state, made.settings, Ranks(0, 2)) == "2 ranks train together"
    off = dataclasses.replace(made.settings, no_graph="cuda_graphs=false")
    told: list[str] = []
    monkeypatch.setattr("dlrun.training.cuda_graph.log.info", lambda text, *words: told.append(text % words))
    assert type(step_for(made.state, off, made.prepare)) is TrainingStep
    assert told == ["every step is launched anew, not replayed as a CUDA graph: cuda_graphs=false"]
    made.state.optimizer = torch.optim.Rprop(made.state.model.parameters())
    assert why_not_replayed(made.state, made.settings, ALONE) == "Rprop may wait for the GPU"
