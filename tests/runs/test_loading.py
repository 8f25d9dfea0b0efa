from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dlrun.config.schema import parse
from dlrun.config.settled import settle
from dlrun.errors import ConfigError, UsageError
from dlrun.runs.loading import load_run
from dlrun.store import checkpoint


def copied(run: Path, folder: Path, config: dict[str, Any] | None = None, **content: Any) -> Path:
    """The run with another config, or with other things in its checkpoint."""
    (folder / "checkpoints").mkdir(parents=True)
    values = yaml.safe_load((run / "config.yaml").read_text()) | (config or {})
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    saved = checkpoint.load(run / "checkpoints" / "last.pt") | {"hash": settle(parse(values)).hash} | content
    checkpoint.save(folder / "checkpoints" / "last.pt", saved)
    return folder


def test_a_run_is_loaded_in_evaluation_mode_with_what_it_was_trained_on(drawn_run: Path) -> None:
    run = load_run(drawn_run)
    assert run.inputs.classes == tuple("0123456789")
    assert run.inputs.shape == (1, 28, 28)
    assert max(run.inputs.border) < 0.05
    assert not run.model.training
    shares = run.probabilities(torch.zeros(3, 1, 28, 28, dtype=torch.uint8))
    assert shares.shape == (3, 10)
    assert torch.allclose(shares.sum(1), torch.ones(3))


def test_the_best_weights_are_others_than_the_last(drawn_run: Path) -> None:
    best = load_run(drawn_run, best=True)
    assert best.weights.startswith("best epoch (")
    assert load_run(drawn_run).weights == "last epoch"


def test_the_averaged_weights_are_used_where_there_are_some(drawn_run: Path, tmp_path: Path) -> None:
    state = checkpoint.load(drawn_run / "checkpoints" / "last.pt")["state"]
    average = {name: torch.zeros_like(value) for name, value in state["model"].items()}
    run = load_run(copied(drawn_run, tmp_path / "r", state={**state, "average": average}))
    assert all(not value.any() for value in run.model.state_dict().values())


def test_what_the_config_itself_says_of_trust_counts_for_nothing(drawn_run: Path, tmp_path: Path) -> None:
    model = {"_target_": "pathlib.Path", "x": 1}
    hostile = copied(drawn_run, tmp_path / "r", {"model": model, "trust": True})
    with pytest.raises(ConfigError, match=r"pathlib\.Path: not on dlrun's list"):
        load_run(hostile)


def test_weights_are_never_downloaded(drawn_run: Path, tmp_path: Path) -> None:
    model = {"_target_": "torchvision.models.squeezenet1_1", "weights": "IMAGENET1K_V1"}
    with pytest.raises(UsageError, match="don't fit the network"):
        load_run(copied(drawn_run, tmp_path / "r", {"model": model, "data": {"name": "mnist", "size": 64}}))


@pytest.mark.parametrize(
    "data",
    [
        None,
        7,
        {},
        {"classes": ["a"], "shape": [1, 2, 3], "mean": [0.0], "std": [1.0], "border": [0.0]},
        {"classes": ["a", "b"], "shape": [1, 2], "mean": [0.0], "std": [1.0], "border": [0.0]},
        {"classes": ["a", 3], "shape": [1, 2, 3], "mean": [0.0], "std": [1.0], "border": [0.0]},
        {"classes": ["a", "b"], "shape": [1, 10**9, 10**9], "mean": [0.0], "std": [1.0], "border": [0.0]},
        {"classes": ["a", "b"], "shape": [1, 2, 3], "mean": ["x"], "std": [1.0], "border": [0.0]},
        {"classes": ["a", "b"], "shape": [1, 2, 3], "mean": [0.0], "std": [1.0, 2.0], "border": [0.0]},
        {"classes": ["a", "b"], "shape": [1, 2, 3], "mean": [0.0], "std": [float("nan")], "border": [0.0]},
    ],
    ids=str,
)
def test_a_description_of_the_data_that_is_none_is_refused(data: Any, drawn_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a checkpoint of dlrun"):
        load_run(copied(drawn_run, tmp_path / "r", data=data))


@pytest.mark.parametrize("state", [None, {}, {"model": 3}, {"model": {"conv1.weight": torch.zeros(1)}}], ids=str)
def test_weights_that_do_not_fit_are_refused(state: Any, drawn_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="don't fit the network"):
        load_run(copied(drawn_run, tmp_path / "r", state=state))


def test_a_folder_without_weights_says_so(drawn_run: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes((drawn_run / "config.yaml").read_bytes())
    with pytest.raises(UsageError, match="no weights yet"):
        load_run(tmp_path)
    with pytest.raises(UsageError, match=r"best\.pt: can't be read"):
        load_run(tmp_path, best=True)
