"""Every part of a run is called by what it is, wherever it is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from dlrun import cli
from dlrun.config.compose import compose
from dlrun.config.groups import Target
from dlrun.config.naming import called

DATA = ["data=synthetic", "data.shape=[1,8,8]", "data.classes=3", "data.train_images=96", "data.test_images=60"]
OWN = {
    "model/mine": "layers: [flatten, 'dense ${..width}']\nwidth: 4\n",
    "model/more": "defaults: [mine]\nkernel: 5\n",
    "optimizer/slow": "name: sgd\nlr: 0.001\n",
    "experiment/layers": "# @package _global_\ndefaults: [override /model: fc_64]\nmodel: {layers: [flatten, dense 4]}",
    "experiment/plain": "# @package _global_\noptimizer:\n  nesterov: false\n",
}


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in OWN.items():
        path = tmp_path / "configs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("typed", "group", "name"),
    [
        ([], "model", "cnn_dropout"),
        (["model=cnn_dropout", "model.conv_dropout=0.1"], "model", "cnn_dropout"),
        (["model=fc_64", "model.kernel=5", "model.activation=tanh"], "model", "fc_64"),
        (["model=fc_64", "model.layers=[flatten, dense 64]"], "model", "flatten, dense 64"),
        (["model=fc_512", "model.layers=[flatten, dense 64, dense 64]"], "model", "flatten, dense 64, dense 64"),
        (["model=mine"], "model", "mine"),
        (["model=mine", "model.width=8"], "model", "mine"),
        (["model=more"], "model", "more"),
        (["experiment=layers"], "model", "flatten, dense 4"),
        (["experiment=layers", "model.layers=[flatten, dense 64, dense 64]"], "model", "fc_64"),
        (["model=resnet9"], "model", "resnet9"),
        (["model=torchvision", "model.name=alexnet"], "model", "torchvision"),
        (["optimizer=slow"], "optimizer", "slow"),
        (["optimizer=slow", "optimizer.lr=0.5"], "optimizer", "slow"),
        (["optimizer=slow", "optimizer.name=adam"], "optimizer", "adam"),
        (["optimizer=nesterov"], "optimizer", "nesterov"),
        (["optimizer=nesterov", "experiment=plain"], "optimizer", "sgd"),
        (["scheduler=constant", "scheduler.name=cosine"], "scheduler", "cosine"),
        (["data=mnist", "data.name=kmnist"], "data", "kmnist"),
    ],
    ids=str,
)
def test_names(typed: list[str], group: str, name: str) -> None:
    assert called(compose(typed), group) == name


def test_another_class_has_its_own_name() -> None:
    config = compose(["model=fc_64"])
    config.model = Target("torch.nn.Flatten", {})
    config.optimizer = Target("torch.optim.SGD", {"lr": 0.1})
    assert (called(config, "model"), called(config, "optimizer")) == ("Flatten", "SGD")


def test_an_option_that_is_not_at_hand_is_believed() -> None:
    config = compose(["model=mine"])
    config.choices["model"] = "theirs"
    assert called(config, "model") == "theirs"
    assert called(config, "model", recorded="flatten, dense 4") == "flatten, dense 4"


def test_header_result_leaderboard_and_tensorboard_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*DATA, "threads=1", "device=cpu", "epochs=1", "tensorboard=scalars"]
    for number, chosen in enumerate(("experiment=layers", "model=fc_64")):
        cli.main([*words, chosen, f"hydra.run.dir=r{number}"])
    header = capsys.readouterr().out
    assert "model: flatten, dense 4, 275 parameters" in header
    assert "model: fc_64, 8,515 parameters" in header
    results = [json.loads(Path(f"r{number}/result.json").read_text())["model"] for number in range(2)]
    assert results == ["flatten, dense 4", "fc_64"]
    cli.main(["report", "r0", "r1", "--json"])
    records: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {record["model"] for record in records} == {"flatten, dense 4", "fc_64"}
    cli.main(["show", "r0"])
    assert "model     flatten, dense 4, 275 parameters" in capsys.readouterr().out
    events = b"".join(path.read_bytes() for path in Path("r0/tensorboard").glob("events*"))
    assert b"fc_64" not in events.partition(b"choices")[0]


def test_runs_of_0_1_0_get_their_true_name(capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(__file__).parents[1] / "v0_1_0" / "experiment"
    assert json.loads((run / "result.json").read_text())["model"] == "fc_64"
    cli.main(["show", str(run)])
    assert "model     flatten, dense 4, 275 parameters" in capsys.readouterr().out
