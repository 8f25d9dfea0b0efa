"""Settings without the effect typed are said before training, or refused."""

from pathlib import Path

import pytest

from dlrun.cli import main
from dlrun.config.compose import compose
from dlrun.runs.no_effect import without_effect
from dlrun.store.history import read_history

SMALL = ["data=synthetic", "limit=64", "model=fc_64", "device=cpu", "threads=1", "tensorboard=off"]


def curves(folder: Path) -> list[tuple[float, float]]:
    return [(row["train_loss"], row["test_loss"]) for row in read_history(folder)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scheduler=one_cycle", "scheduler.warmup=1"], "scheduler.warmup=1: one_cycle rises by itself"),
        (["scheduler.warmup=5", "epochs=1"], "the run of 1 epoch, in which the rate reaches 0.2 of optimizer.lr"),
        (["scheduler=cosine", "scheduler.warmup=10", "epochs=2"], "longer than the run of 2 epochs"),
        (
            ["scheduler=step", "scheduler.every=100", "epochs=2"],
            "scheduler.every=100: the rate is never cut in 2 epochs",
        ),
        (["scheduler=steps", "scheduler.at=[1,80,120]", "epochs=90"], "no cut after 120 in a run of 90 epochs"),
        (["early_stopping=50", "epochs=2"], "early_stopping=50: can't stop a run of 2 epochs"),
        (["min_delta=0.01", "epochs=2"], "min_delta=0.01: says when early_stopping counts an epoch as better"),
        (["checkpoint.keep_every=5", "epochs=2"], "checkpoint.keep_every=5: keeps no weights in a run of 2 epochs"),
        (["scale_last=true", "limit=64", "batch_size=32"], "scale_last=true: 64 images make whole updates of 32"),
        (["scale_last=true", "limit=65", "drop_last=true"], "drop_last=true leaves out the batch that it is about"),
        (["average=0.999", "epochs=2", "batch_size=32"], "over some 1,000 steps, and the run has 4"),
        (["data=fashion_mnist", "limit=null", "average=0.9999", "epochs=1"], "run has 1,875"),
        (["data.mean=[0.1]", "data.std=[0.3]"], "data.mean, data.std: of data.normalize=standard, which is unit"),
        (["model.kernel=5"], "model.kernel=5: of convolutions, which this network has none of"),
        (["model.padding=same"], "model.padding=same: of convolutions, which this network has none of"),
        (["model.init_std=0.3"], "model.init_std=0.3: of model.init=normal, which is keras"),
        (["validation_by=first"], "validation_by=first: nothing is held out, as validation is 0"),
    ],
)
def test_what_has_no_effect_is_a_sentence(words: list[str], said: str) -> None:
    (sentence,) = without_effect(compose([*SMALL, *words]))
    assert said in sentence


@pytest.mark.parametrize(
    "words",
    [
        ["scheduler.warmup=1"],
        ["scheduler=one_cycle"],
        ["scheduler=step", "epochs=2"],
        ["early_stopping=2", "epochs=3", "min_delta=0.1", "checkpoint.keep_every=3"],
        ["average=0.9", "epochs=40"],
        ["scale_last=true", "limit=65", "batch_size=32"],
        ["scale_last=true", "limit=64", "batch_size=32", "validation=10"],
        ["data.normalize=standard", "data.mean=[0.1]", "data.std=[0.3]"],
        ["model=cnn_1layer", "model.kernel=5", "model.padding=same", "model.bias_init=normal", "model.init_std=0.3"],
        ["validation=10", "validation_by=first"],
    ],
)
def test_what_has_its_effect_is_not_mentioned(words: list[str]) -> None:
    assert without_effect(compose([*SMALL, *words])) == []


def test_a_run_and_a_sweep_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "epochs=1", "early_stopping=3", "scheduler=cosine", "hydra.run.dir=r"]) == 0
    shown = capsys.readouterr()
    assert "WARNING: early_stopping=3: can't stop a run of 1 epoch" in shown.err
    assert "1 epoch, seed 0, cosine, early stopping by test accuracy\n" in shown.out
    assert main(["plan", "-m", *SMALL, "epochs=1", "early_stopping=3,4", "seed=0,1"]) == 0
    said = capsys.readouterr().err
    assert said.count("can't stop a run of 1 epoch") == 2
    assert main(["-m", *SMALL, "epochs=1", "early_stopping=3", "seed=0,1", "sweep.slots=1"]) == 0
    assert capsys.readouterr().err.count("can't stop a run of 1 epoch") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["limit=65"],
            "65 images in batches of 32 leave one over, which batch normalization can't take; drop_last=true, or",
        ),
        (["limit=66", "validation=1"], "65 images in batches of 32"),
        (["limit=64", "batch_size=1"], "can't take; batch_size=2"),
    ],
)
def test_one_picture_over_is_refused_before_the_first_step(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    network = ["model.layers=[flatten, dense 8, bn]", "model.init=torch"]
    assert main([*SMALL, *network, "epochs=1", "hydra.run.dir=r", *words]) == 2
    assert said in capsys.readouterr().err


def test_one_picture_over_is_no_matter_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network = ["model.layers=[flatten, dense 8, bn]"]
    assert main([*SMALL, *network, "limit=65", "epochs=1", "hydra.run.dir=keras"]) == 0
    torch = [*network, "model.init=torch", "epochs=1"]
    assert main([*SMALL, *torch, "limit=65", "drop_last=true", "hydra.run.dir=dropped"]) == 0


def test_a_run_that_stopped_early_says_how_to_go_on_and_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "optimizer.lr=1e-12", "epochs=5"]
    assert main([*words, "early_stopping=1", "hydra.run.dir=r"]) == 0
    assert "stopped early: no better test accuracy in the last epoch (early_stopping)" in capsys.readouterr().out
    assert main(["resume", "r"]) == 0
    assert (
        "it stopped early after epoch 2 of 5. To go on: early_stopping=null, or more than 1" in capsys.readouterr().out
    )
    assert main(["resume", "r", "epochs=9"]) == 2
    assert "so that more epochs change nothing; to go on: early_stopping=null" in capsys.readouterr().err
    assert main(["resume", "r", "early_stopping=null"]) == 0
    assert main([*words, "hydra.run.dir=whole"]) == 0
    assert curves(tmp_path / "r") == curves(tmp_path / "whole")


def test_a_jump_of_the_rate_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "scheduler=cosine", "epochs=1", "batch_size=4", "hydra.run.dir=r"]) == 0
    capsys.readouterr()
    assert main(["resume", "r", "epochs=2"]) == 0
    assert "the rate goes from 9.6e-05 to 0.005." in capsys.readouterr().out


def test_what_is_typed_of_a_group_is_not_called_by_an_option(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "epochs=1", "augment.noise=0.1", "scale_lr=true", "hydra.run.dir=r"]) == 0
    shown = capsys.readouterr()
    assert "augment as typed" in shown.out
    assert "scale_lr=true: one process trains, so that nothing is scaled" in shown.err
    assert main([*SMALL, "epochs=1", "augment=noise", "hydra.run.dir=s"]) == 0
    assert "augment noise" in capsys.readouterr().out
