"""Runs that begin with the weights of others, and layers that stay as they are."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dlrun.config.compose import compose
from dlrun.config.settled import Settled, settle
from dlrun.config.start import weights_file
from dlrun.errors import UsageError
from dlrun.models.start import fitting
from dlrun.runs.no_effect import without_effect
from dlrun.runs.parts import Parts, begin, build
from dlrun.store.checkpoint import load_weights
from dlrun.store.folders import read_config
from dlrun.store.result import Result
from tests.helpers import heard, same_bits

SMALL = ["data=synthetic", "data.shape=[1,6,6]", "data.train_images=64", "data.test_images=30", "device=cpu"]
WORDS = [*SMALL, "threads=1", "tensorboard=off", "epochs=1", "model.layers=[conv 4, bn, flatten, dense 5]"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three classes."""
    folder = tmp_path_factory.mktemp("source") / "source"
    assert heard(*WORDS, "data.classes=3", "optimizer=adam", "average=0.5", f"hydra.run.dir={folder}")[0] == 0
    return folder


@pytest.fixture
def source(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same in the working directory, as `source`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "source")
    return Path("source")


def settled(*words: str) -> Settled:
    return settle(compose([*WORDS, *words]))


def begun(*words: str) -> Parts:
    parts = build(settled(*words))
    begin(parts)
    return parts


def average_of(folder: Path) -> dict[str, torch.Tensor]:
    """The weights that count."""
    average: dict[str, torch.Tensor] = torch.load(folder / "checkpoints/last.pt", weights_only=True)["state"]["average"]
    return average


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = torch.load(folder / "checkpoints/last.pt", weights_only=True)["state"]["model"]
    return model


def test_a_run_begins_with_the_weights_of_another(source: Path) -> None:
    torch.save(average_of(source), "plain.pt")
    torch.save({"state_dict": average_of(source)}, "nested.pt")
    for name in ("source", "source/checkpoints/last.pt", "plain.pt", "nested.pt"):
        found = begun("data.classes=3", f"model.init_from={name}", "average=0.9").state
        assert found.average is not None
        for state in (found.model.state_dict(), found.average.model.state_dict()):
            assert all(torch.equal(state[key], value) for key, value in average_of(source).items()), name


def test_other_classes_get_a_new_last_layer_and_that_is_said(source: Path) -> None:
    status, _, errors = heard(*WORDS, "data.classes=4", "model.init_from=source", "hydra.run.dir=tuned")
    assert status == 0
    assert "model.init_from=source: the last layer (dense2) is new, for 4 classes in place of 3" in errors
    made, fresh = (
        begun("data.classes=4", *words).state.model.state_dict() for words in (["model.init_from=source"], [])
    )
    assert all(torch.equal(made[key], fresh[key]) for key in made if key.startswith("dense2"))
    others = [key for key in made if not key.startswith("dense2")]
    assert all(torch.equal(made[key], average_of(source)[key]) for key in others)


def test_the_content_of_the_weights_is_hashed_and_not_their_path(source: Path) -> None:
    shutil.copytree(source, "copy")
    plain = compose([*WORDS, "data.classes=3"])

    def hash_of(**changes: Any) -> str:
        return settle(replace(plain, model=replace(plain.model, **changes))).hash

    names = ("source", "copy", "copy/checkpoints/last.pt")
    from_source, from_copy, from_file = (hash_of(init_from=name) for name in names)
    assert from_source == from_copy == from_file != hash_of()
    torch.save(average_of(source), "plain.pt")
    assert hash_of(init_from="plain.pt") not in (hash_of(), from_copy)
    assert hash_of(freeze=["conv1"]) != hash_of(freeze=[]) == hash_of()


def test_a_run_goes_on_and_is_used_when_its_source_is_gone(source: Path) -> None:
    words = [*WORDS, "data.classes=3", "model.init_from=source", "model.freeze=[conv1,bn1]", "optimizer.momentum=0.9"]
    assert heard(*words, "epochs=2", "hydra.run.dir=whole")[0] == 0
    assert heard(*words, "hydra.run.dir=parts")[0] == 0
    source.rename("moved")
    status, _, errors = heard("resume", "parts", "epochs=2")
    assert status == 0, errors
    assert same_bits(Path("parts"), Path("whole"))
    assert Result.read(Path("parts")).hash == Result.read(Path("whole")).hash
    assert heard("evaluate", "parts")[0] == 0
    assert heard("report", ".")[0] == 0
    assert heard(*words, "epochs=2", "hydra.run.dir=whole")[0] == 2, "typed anew it needs its source"
    shutil.rmtree("whole/checkpoints")
    Path("whole/result.json").unlink()
    status, _, errors = heard("resume", "whole")
    assert status == 2
    assert "model.init_from=source: not found; expected the folder of a run or a file of weights" in errors
    torch.save(weights_of(Path("parts")), "source")
    status, _, errors = heard("resume", "whole")
    assert status == 2
    assert "source: not the weights of this run (checksum " in errors


@pytest.mark.parametrize(
    ("patterns", "frozen"),
    [
        ("[conv1,bn1]", ["conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias"]),
        ("[conv*,b?1]", ["conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias"]),
        ("dense1.weight", ["dense1.weight"]),
        ("all_but_head", ["conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias", "dense1.weight", "dense1.bias"]),
    ],
)
def test_what_is_frozen_stays_as_it_was(patterns: str, frozen: list[str], source: Path) -> None:
    words = ["data.classes=3", "optimizer=adam", "optimizer.weight_decay=0.1", f"model.freeze={patterns}"]
    status, shown, errors = heard(*WORDS, *words, "model.init_from=source", "hydra.run.dir=tuned")
    assert status == 0, errors
    before, after = average_of(source), weights_of(Path("tuned"))
    statistics = ["bn1.running_mean", "bn1.running_var"] if "bn1.weight" in frozen else []
    assert [key for key in after if torch.equal(before[key], after[key])] == [
        key for key in after if key in (*frozen, *statistics)
    ]
    result = Result.read(Path("tuned"))
    trainable = sum(after[key].numel() for key in after if key not in frozen and "running" not in key)
    assert result.parameters["trainable"] == trainable
    assert f"weights of source, {trainable:,} trained" in shown
    assert read_config(Path("tuned")).model.freeze == patterns.strip("[]").split(",")


def test_a_frozen_batch_norm_does_not_mind_a_batch_of_one(source: Path) -> None:
    words = [*WORDS, "data.classes=3", "batch_size=63", "model.init_from=source", "model.layers=[flatten, bn, dense 5]"]
    words = [word for word in words if "init_from" not in word]
    assert heard(*words, "model.init=torch", "hydra.run.dir=one")[0] == 2
    assert heard(*words, "model.init=torch", "model.freeze=bn1", "hydra.run.dir=two")[0] == 0


class Runs:
    """Unpickled, it would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("owned", "w"))


def made_up(path: Path, source: Path) -> dict[str, str]:
    """Files that are no weights of this network, with what is said of each."""
    whole = (source / "checkpoints/last.pt").read_bytes()
    weights = average_of(source)
    files: dict[str, tuple[Any, str]] = {
        "empty": (b"", "no file of weights"),
        "text": (b"not weights", "no file of weights"),
        "torn": (whole[: len(whole) // 2], "no file of weights"),
        "bent": (whole[:5000] + b"x" + whole[5001:], "damaged (its checksum does not match"),
        "code": (pickle.dumps({"conv1.weight": Runs()}), "no file of weights"),
        "list": ([1, 2], "no file of weights"),
        "nothing": ({}, "no file of weights (it is empty)"),
        "numbers": ({"conv1.weight": 3.0}, "no file of weights (conv1.weight)"),
        "sparse": ({"conv1.weight": torch.eye(3).to_sparse()}, "no file of weights (conv1.weight)"),
        "fewer": (
            {"conv1.weight": weights["conv1.weight"]},
            "9 differences: conv1.bias is missing",
        ),
        "more": ({**weights, "conv2.weight": torch.ones(1)}, "1 difference: conv2.weight is not known"),
        "other": (
            {**weights, "conv1.weight": torch.ones(4, 3, 3, 3)},
            "1 difference: conv1.weight is 4x3x3x3, here 4x1x3x3",
        ),
        "whole": ({**weights, "bn1.bias": torch.ones(4, dtype=torch.int64)}, "1 difference: bn1.bias is 4, here 4"),
    }
    for name, (content, _) in files.items():
        if isinstance(content, bytes):
            (path / name).write_bytes(content)
        else:
            torch.save(content, path / name)
    return {name: said for name, (_, said) in files.items()} | {"folder": "no run with weights", "none": "not found"}


def test_what_is_no_weights_of_this_network_is_a_line(source: Path) -> None:
    Path("folder").mkdir()
    network = build(settled("data.classes=3")).state.model
    for name, said in made_up(Path(), source).items():
        with pytest.raises(UsageError) as caught:
            fitting(network, load_weights(weights_file(name))[0], name)
        assert said in str(caught.value), name
        if name in ("text", "code", "other", "folder"):
            status, _, errors = heard(*WORDS, "data.classes=3", f"model.init_from={name}", f"hydra.run.dir=runs/{name}")
            assert status == 2, name
            assert errors == f"dlrun: {caught.value}\n"
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.freeze=dence1"], "it has conv1, bn1, dense1, dense2; did you mean dense1?"),
        (
            ["model.init_from=last"],
            "not found; expected the folder of a run or a file of weights; dlrun list tells which",
        ),
        (["model.freeze=*"], "the model has no trainable parameters"),
        (["model.init_checksum=0123456789abcdef"], "model.init_checksum: of no weights"),
        (["model.init_checksum=x"], "model.init_checksum=x: expected 16 hex digits or null"),
    ],
)
def test_mistakes_are_refused(words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, errors = heard(*WORDS, *words)
    assert status == 2
    assert said in errors


def test_freezing_what_was_drawn_is_said() -> None:
    (said,) = without_effect(compose([*WORDS, "model.freeze=conv1"]))
    assert said == "model.freeze=[conv1]: frozen as it was drawn, as there is no model.init_from"


@pytest.mark.slow
def test_pretrained_networks_of_torchvision_are_tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as torchvision's: a thousand classes, and no counters of batches as in the oldest ones."""
    from dlrun.models import torchvision_ops

    torchvision_ops.prepare()
    from torchvision import models

    monkeypatch.chdir(tmp_path)
    pretrained = models.shufflenet_v2_x0_5(weights=None).state_dict()
    torch.save({key: value for key, value in pretrained.items() if "num_batches" not in key}, "shufflenet.pth")
    network = ["model=torchvision", "model.name=shufflenet_v2_x0_5", "model.init_from=shufflenet.pth"]
    words = [*SMALL, "threads=1", "tensorboard=off", "epochs=1", "data.classes=3", "data.shape=[3,32,32]", "limit=32"]
    status, shown, errors = heard(*words, *network, "model.freeze=all_but_head", "hydra.run.dir=tuned")
    assert status == 0, errors
    assert "the last layer (fc) is new, for 3 classes in place of 1000" in errors
    assert "weights of shufflenet.pth, 3,075 trained" in shown
    after = weights_of(Path("tuned"))
    kept = [key for key in pretrained if not key.startswith("fc") and "num_batches" not in key]
    assert all(torch.equal(after[key], pretrained[key]) for key in kept)
    Path("shufflenet.pth").unlink()
    assert heard("evaluate", "tuned")[0] == 0
