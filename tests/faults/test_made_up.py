"""Checkpoints with a right seal that dlrun did not write: each is refused before anything of it is used."""

import copy
import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import said

from dlrun.config.compose import compose
from dlrun.config.groups import Target
from dlrun.config.settled import settle
from dlrun.runs import run as runs
from dlrun.store import checkpoint

TINY = [
    *("data=synthetic", "data.train_images=48", "data.test_images=16", "model.layers=[flatten, dense 4]", "epochs=2"),
    *("batch_size=16", "threads=1", "device=cpu", "precision=float32", "tensorboard=off"),
]
OPTIMIZERS = {
    "sgd": ["optimizer=sgd", "optimizer.momentum=0.9"],
    "nesterov": ["optimizer=sgd", "optimizer.momentum=0.9", "optimizer.nesterov=true"],
    "adam": ["optimizer=adam"],
    "adamw": ["optimizer=adamw", "average=0.9"],
    "rmsprop": ["optimizer=rmsprop", "optimizer.momentum=0.9"],
    "adadelta": ["optimizer=adadelta"],
    "nadam": ["optimizer=nadam"],
    "adamax": ["optimizer=adamax"],
    "adagrad": ["optimizer=adagrad", "optimizer.definition=torch"],
}
TARGETS = {"AdamW": {"fused": True}, "SGD": {"lr": 0.1, "momentum": 0.9, "fused": True}}
EVERY = [*OPTIMIZERS, *TARGETS]
BUFFER = {
    "sgd": "momentum_buffer",
    "SGD": "momentum_buffer",
    "nesterov": "momentum_buffer",
    "rmsprop": "momentum_buffer",
    "adadelta": "acc_delta",
    "adagrad": "sum",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A run by optimizer, made once; tests only read it."""
    folder = tmp_path_factory.mktemp("made_up")

    def run(optimizer: str) -> Path:
        if not (folder / optimizer).exists():
            config = compose([*TINY, *OPTIMIZERS.get(optimizer, ())])
            if optimizer in TARGETS:
                config = dataclasses.replace(config, optimizer=Target(f"torch.optim.{optimizer}", TARGETS[optimizer]))
            assert runs.run(settle(config), folder / optimizer).status == "completed"
        return folder / optimizer

    return run


Forged = Callable[..., Path]


@pytest.fixture
def forged(trained: Callable[[str], Path], tmp_path: Path) -> Forged:
    """A copy of a run that is not complete, with another thing at one place of its last checkpoint."""

    def forge(optimizer: str, place: tuple[Any, ...], value: Any) -> Path:
        run = tmp_path / "r"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(trained(optimizer), run)
        (run / "result.json").unlink()
        (run / "checkpoints" / "previous.pt").unlink()
        content = copy.deepcopy(checkpoint.load(run / "checkpoints" / "last.pt"))
        *outer, last = place
        inside = content
        for key in outer:
            inside = inside[key]
        inside[last] = value(inside[last]) if callable(value) else value
        if inside[last] is MISSING:
            del inside[last]
        checkpoint.save(run / "checkpoints" / "last.pt", content)
        return run

    return forge


MISSING = object()
SHAPES: list[Callable[[torch.Tensor], Any]] = [
    lambda tensor: tensor[..., :1].clone(),
    lambda tensor: tensor.flatten()[:0],
    lambda tensor: torch.zeros((*tensor.shape, 4)),
    lambda tensor: tensor.T.clone() if tensor.ndim > 1 else tensor[None],
    lambda tensor: torch.zeros(1).expand(tensor.numel() + 1),
    lambda tensor: tensor.double(),
    lambda tensor: tensor.to(torch.complex64),
    lambda tensor: tensor.to_sparse(),
    lambda tensor: torch.empty_like(tensor, device="meta"),
    lambda tensor: tensor.tolist(),
]


def refused(run: Path, *words: str) -> str:
    status, text = said("resume", str(run), *words)
    assert status == 2, text
    assert "does not fit the network and optimizer of config.yaml, or is no dlrun checkpoint" in text
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize("optimizer", EVERY)
def test_a_state_of_an_optimizer_that_is_none(
    optimizer: str, forged: Forged, few_or: Callable[[int, int], int]
) -> None:
    name = BUFFER.get(optimizer, "exp_avg")
    for change in SHAPES[: few_or(5, len(SHAPES))]:
        place = ("state", "optimizer", "state", 0, name)
        assert "optimizer" in refused(forged(optimizer, place, change))


@pytest.mark.parametrize("optimizer", EVERY)
def test_a_state_as_it_was_saved_goes_on(optimizer: str, forged: Forged, trained: Callable[[str], Path]) -> None:
    """Also where its tensors lie otherwise in memory, which fused kernels would not notice."""
    before = checkpoint.load(trained(optimizer) / "checkpoints" / "last.pt")["state"]
    name = BUFFER.get(optimizer, "exp_avg")
    strided = forged(optimizer, ("state", "optimizer", "state", 0, name), lambda one: one.T.contiguous().T)
    status, text = said("resume", str(strided))
    assert status == 0, text
    after = checkpoint.load(strided / "checkpoints" / "last.pt")["state"]
    assert after["optimizer"]["param_groups"] == before["optimizer"]["param_groups"]
    for key, state in before["optimizer"]["state"].items():
        for one, value in state.items():
            assert torch.equal(after["optimizer"]["state"][key][one], value)


def test_a_history_of_lists_as_earlier_versions_saved_it_goes_on(forged: Forged) -> None:
    run = forged("adamw", ("history",), lambda rows: rows.tolist())
    status, text = said("resume", str(run), "epochs=3")
    assert status == 0, text
    assert checkpoint.load(run / "checkpoints" / "last.pt")["history"][:, 0].tolist() == [1, 2, 3]


ANY = (None, "x", 7.5, [], {}, float("nan"), 10**400, -1, torch.zeros(2))
NUMBERS = (None, "x", [], {}, float("nan"), float("inf"), 10**400, -2, torch.zeros(2), True, MISSING)
PLACES: dict[tuple[Any, ...], tuple[Any, ...]] = {
    ("state",): (*ANY, MISSING),
    ("state", "model"): (*ANY, MISSING),
    ("state", "model", "dense1.weight"): (*ANY, MISSING),
    ("state", "model", "more"): (torch.zeros(2),),
    ("state", "average"): (*ANY, MISSING),
    ("state", "average", "dense1.bias"): (*ANY, MISSING),
    ("state", "optimizer"): (*ANY, MISSING),
    ("state", "optimizer", "state"): (None, "x", [], {"a": {}}, {99: {}}, {0: 7}, {0: {"exp_avg": 1.0}}, MISSING),
    ("state", "optimizer", "state", 0, "step"): (*ANY, torch.tensor(float("nan")), torch.tensor(1j)),
    ("state", "optimizer", "state", 0, "exp_avg_sq"): (*ANY, MISSING),
    ("state", "optimizer", "state", 0, "more"): (torch.zeros(2),),
    ("state", "optimizer", "param_groups"): (*ANY, MISSING),
    ("state", "optimizer", "param_groups", 0, "lr"): NUMBERS[:-2],
    ("state", "optimizer", "param_groups", 0, "betas"): (*ANY, (0.9,), (0.9, "x"), (0.9, float("nan"))),
    ("state", "optimizer", "param_groups", 0, "decoupled"): (None, "x", 7, []),
    ("state", "optimizer", "param_groups", 0, "params"): (None, [1, 0], [0], [0, 0], MISSING),
    ("state", "optimizer", "param_groups", 0, "more"): ([], torch.zeros(2), float("nan")),
    ("state", "scaler"): (None, "x", 7, []),
    ("state", "counters"): (*ANY, MISSING),
    ("state", "counters", "model"): (7,),
    ("state", "counters", "load"): (7,),
    ("state", "counters", "epoch"): (*NUMBERS, 2.0, 0, 99),
    ("state", "counters", "step"): (*NUMBERS, 5, 7),
    ("state", "counters", "steps_done"): (*NUMBERS, 99),
    ("state", "counters", "lr"): NUMBERS,
    ("state", "counters", "seconds"): NUMBERS,
    ("state", "counters", "train_seconds"): NUMBERS,
    ("state", "best"): (*ANY, MISSING),
    ("state", "best", "accuracy"): (*NUMBERS, 1.5),
    ("state", "best", "epoch"): (*NUMBERS, 99),
    ("state", "best", "more"): (1,),
    ("state", "totals", "loss"): (*ANY, torch.tensor(float("nan")), torch.tensor(1), MISSING),
    ("state", "totals", "correct"): (*ANY, torch.tensor(1.0), MISSING),
    ("state", "totals", "images"): NUMBERS,
    ("state", "random"): (*ANY, MISSING),
    ("state", "random", "cpu"): (*ANY, torch.zeros(3, dtype=torch.uint8), torch.zeros(5056), MISSING),
    ("state", "others"): (None, "x", 7, {}, [7], [{}]),
    ("history",): (
        *(None, "x", 7, {}, [], [[1] * 8], [[1] * 8, [3] * 8], [[1] * 8, [2] * 7], [[1] * 8, 7]),
        *([[1] * 8, [2, value, *[2] * 6]] for value in (None, "x", float("nan"), float("inf"), 10**400, True)),
        *(lambda rows: rows[:1], lambda rows: rows.T, lambda rows: rows[..., None], lambda rows: rows + 1j),
        *(lambda rows: rows.to("meta"), lambda rows: rows.to_sparse(), lambda rows: torch.tensor(1.0)),
    ),
    ("history", 1, 3): (float("nan"), float("inf")),
    ("numerics",): (None, "x", 7, [], {7: "x"}),
    ("numerics", "torch"): ([], {}, torch.zeros(2), float("nan")),
    ("hash",): (None, 7, []),
    ("origin",): (7, "x", [], {}, {"hash": 7, "epochs": 1}, {"hash": "x", "epochs": "y"}),
    ("fingerprint",): (None, 7),
}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_anything_else_in_its_place_is_refused(
    place: tuple[Any, ...], forged: Forged, few_or: Callable[[int, int], int]
) -> None:
    values = PLACES[place]
    some = random.Random(str(place)).sample(values, min(few_or(2, len(values)), len(values)))
    for value in some:
        refused(forged("adamw", place, value))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("state", "average", "dense1.weight"), torch.zeros(3)),
        (("state", "average", "dense1.weight"), torch.zeros(10, 4, dtype=torch.float64)),
        (("state", "average", "dense1.bias"), torch.zeros(4).to_sparse()),
        (("state", "average"), 7),
        (("data", "mean"), [10**400]),
        (("data", "std"), [{}]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_verbs_that_use_a_run_refuse_it_too(
    place: tuple[Any, ...], value: Any, forged: Forged, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = forged("adamw", place, value)
    monkeypatch.chdir(run.parent)
    for words in (["evaluate", "r"], ["predict", "r", "."], ["export", "r"]):
        status, text = said(*words)
        assert status == 2
        assert "don't fit the network" in text or "not a checkpoint of dlrun" in text or "no pictures" in text


@pytest.mark.parametrize(("name", "value"), [("epoch", 10**400), ("epoch", "x"), ("selected_on", torch.zeros(3))])
def test_a_best_checkpoint_is_checked_as_well(name: str, value: Any, forged: Forged) -> None:
    run = forged("sgd", ("hash",), "x")
    best = run / "checkpoints" / "best.pt"
    checkpoint.save(best, checkpoint.load(best) | {name: value})
    status, text = said("evaluate", str(run), "--best")
    assert status == 2
    assert f"not a checkpoint of dlrun ({name})" in text
