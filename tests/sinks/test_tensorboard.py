import csv
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from dlrun.config.compose import compose
from dlrun.config.settled import settle
from dlrun.errors import RunFailed
from dlrun.runs.run import run
from dlrun.sinks.checkpoints import Checkpoints
from dlrun.sinks.histograms import BYTES_EACH, MOST_BYTES, epochs_to_log, in_buckets
from dlrun.sinks.hyperparameters import hyperparameters

SMALL = (
    "data=synthetic",
    "data.train_images=120",
    "data.test_images=40",
    "model.layers=[conv 4, pool 2, dropout 0.2, flatten]",
    "augment=shift_flip",
    "threads=1",
    "device=cpu",
    "batch_size=20",
    "log_every=2",
    "epochs=3",
)


def read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance=dict.fromkeys(("scalars", "histograms", "images"), 0))
    accumulator.Reload()
    return accumulator


def columns(run_dir: Path) -> list[tuple[str, ...]]:
    """What must be the same bits however a run is watched."""
    with (run_dir / "history.csv").open() as file:
        return [tuple(list(row.values())[:6]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def board(drawn_run: Path) -> Path:
    return drawn_run / "tensorboard"


def test_train_and_test_share_charts_by_epoch_and_steps_have_their_own(board: Path, drawn_run: Path) -> None:
    history = columns(drawn_run)
    for folder, place in (("train", 1), ("test", 3)):
        scalars = read(board / folder).Scalars("loss/epoch")
        assert [event.step for event in scalars] == [1, 2, 3, 4, 5, 6]
        assert [event.value for event in scalars] == pytest.approx([float(row[place]) for row in history], rel=1e-6)
    steps = read(board)
    assert {"loss/step", "accuracy/step", "learning_rate", "images_per_second"} <= set(steps.Tags()["scalars"])
    assert [event.step for event in steps.Scalars("loss/step")][:4] == [10, 20, 24, 34]


def test_weights_biases_and_gradients_are_there_for_every_epoch(board: Path) -> None:
    train = read(board / "train")
    layers = {"conv1", "dense1", "dense2"}
    tags = {f"{kind}/{layer}" for kind in ("weights", "biases") for layer in layers}
    tags |= {f"gradients/{layer}.{kind}" for kind in ("weight", "bias") for layer in layers}
    assert set(train.Tags()["histograms"]) == tags
    last = train.Histograms("weights/conv1")[-1]
    assert last.step == 6
    assert last.histogram_value.num == 8 * 9
    saved = torch.load(board.parent / "checkpoints" / "last.pt", weights_only=True)["state"]["model"]
    assert last.histogram_value.max == pytest.approx(saved["conv1.weight"].max().item())
    assert sum(last.histogram_value.bucket) == 72


def test_pictures_can_be_decoded_and_show_samples_mistakes_and_the_matrix(board: Path, tmp_path: Path) -> None:
    shown = {folder: read(board / folder) for folder in ("train", "test")}
    assert set(shown["train"].Tags()["images"]) == {"samples", "augmented_samples"}
    assert {"confusion_matrix"} <= set(shown["test"].Tags()["images"]) <= {"confusion_matrix", "mistakes"}
    for folder, tag in (("train", "samples"), ("train", "augmented_samples"), ("test", "confusion_matrix")):
        (event,) = shown[folder].Images(tag)
        (tmp_path / "x.png").write_bytes(event.encoded_image_string)
        with Image.open(tmp_path / "x.png") as picture:
            picture.load()
            assert picture.size == (event.width, event.height)


def test_the_graph_names_layers_and_shapes(board: Path) -> None:
    graph = read(board).Graph()
    nodes = {node.name: node for node in graph.node}
    assert nodes["conv1"].op == "Conv2d"
    assert list(nodes["conv1"].input) == ["input_1"]
    shape = nodes["dense2"].attr["_output_shapes"].list.shape[0]
    assert [length.size for length in shape.dim] == [1, 10]
    assert nodes["conv1"].attr["parameters"].i == 80


def test_the_text_page_holds_config_and_classes(board: Path) -> None:
    (event,) = read(board).Tensors("run/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    assert "mnist, 600 train + 200 test" in text
    assert "    batch_size: 25" in text
    (classes,) = read(board / "test").Tensors("classes/text_summary")
    assert "| 7 | 20 |" in classes.tensor_proto.string_val[0].decode()


def test_a_run_is_one_row_of_the_hparams_table(board: Path) -> None:
    whole = read(board)
    content = whole.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
    values = metadata.parse_session_start_info_plugin_data(content).hparams
    assert values["lr"].number_value == 0.005
    assert values["optimizer"].string_value == "adam"
    experiment = metadata.parse_experiment_plugin_data(
        whole.summary_metadata[metadata.EXPERIMENT_TAG].plugin_data.content
    )
    assert [info.name for info in experiment.hparam_infos] == [*hyperparameters(compose([]), 1)]
    names = {(info.name.group, info.name.tag) for info in experiment.metric_infos}
    assert ("test", "accuracy/epoch") in names
    assert metadata.SESSION_END_INFO_TAG in whole.summary_metadata
    for folder in ("train", "test"):
        assert not any(tag.startswith("_hparams_") for tag in read(board / folder).summary_metadata)


@pytest.mark.parametrize(
    "words",
    [
        ["model=resnet9", "data=cifar10"],
        ["optimizer._target_=torch.optim.LBFGS"],
        ["optimizer=rmsprop", "scheduler=one_cycle", "clip_norm=1", "augment=noise", "limit=5", "average=0.9"],
        ["model=torchvision", "data.normalize=standard"],
    ],
    ids=str,
)
def test_every_run_has_the_same_keys_of_the_same_types(words: list[str]) -> None:
    usual, other = (hyperparameters(compose(row), 5) for row in ([], words))
    assert {key: type(value) for key, value in usual.items()} == {key: type(value) for key, value in other.items()}


def test_watching_changes_no_bit(tmp_path: Path) -> None:
    for amount in ("full", "scalars", "off"):
        run(
            settle(compose([*SMALL, f"tensorboard={amount}", f"profile={str(amount == 'full').lower()}"])),
            tmp_path / amount,
        )
    assert columns(tmp_path / "full") == columns(tmp_path / "scalars") == columns(tmp_path / "off")
    states = [
        torch.load(tmp_path / name / "checkpoints/last.pt", weights_only=True)["state"] for name in ("full", "off")
    ]
    assert torch.equal(states[0]["random"]["cpu"], states[1]["random"]["cpu"])
    assert all(torch.equal(states[0]["model"][name], value) for name, value in states[1]["model"].items())
    assert not (tmp_path / "off" / "tensorboard").exists()
    assert not (tmp_path / "off" / "figures").exists()
    assert not read(tmp_path / "scalars" / "tensorboard" / "train").Tags()["histograms"]
    profile = tmp_path / "full" / "profile"
    assert {path.name for path in profile.iterdir()} == {"operators.txt", "trace.json.gz"}
    assert "aten::" in (profile / "operators.txt").read_text()
    assert "aten::" in (tmp_path / "full" / "run.log").read_text()


def test_held_out_pictures_have_a_folder_of_their_own_beside_the_test(tmp_path: Path) -> None:
    run(settle(compose([*SMALL, "epochs=2", "validation=20"])), tmp_path / "r")
    board = tmp_path / "r" / "tensorboard"
    assert [event.step for event in read(board / "val").Scalars("accuracy/epoch")] == [1, 2]
    assert [event.step for event in read(board / "test").Scalars("accuracy/epoch")] == [2]


def test_what_is_trained_again_is_logged_once(tmp_path: Path) -> None:
    """As after a crash between the log and the checkpoint: the second epoch is trained twice."""
    config, folder = compose([*SMALL, "epochs=2"]), tmp_path / "r"
    saves = Checkpoints._save_last
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "_save_last", lambda self: saves(self) if self.state.epoch < 3 else _die())
        with pytest.raises(RunFailed):
            run(settle(config), folder)
    assert run(settle(config), folder).status == "completed"
    assert [event.step for event in read(folder / "tensorboard" / "train").Scalars("loss/epoch")] == [1, 2]
    assert [event.step for event in read(folder / "tensorboard").Scalars("loss/step")] == [2, 4, 6, 8, 10, 12]


def _die() -> None:
    raise ValueError("as by a crash")


def test_a_full_disk_costs_the_pictures_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dlrun.sinks.event_file.RecordWriter.write", fail)
    monkeypatch.setattr("dlrun.sinks.figures.write_atomically", fail)
    result = run(settle(compose([*SMALL])), tmp_path / "r")
    assert result.status == "completed"
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2
    assert re.match("TensorBoard failed, the run goes on without: OSError", warnings[0])
    assert re.match("the final pictures failed", warnings[1])


def test_a_network_that_cannot_be_drawn_has_no_graph_and_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise TypeError("symbolically traced variables cannot be used as inputs to control flow")

    monkeypatch.setattr("dlrun.sinks.tensorboard.graph_of", fail)
    run(settle(compose([*SMALL, "epochs=1"])), tmp_path / "r")
    assert "samples" in read(tmp_path / "r" / "tensorboard" / "train").Tags()["images"]
    assert not read(tmp_path / "r" / "tensorboard").Tags()["graph"]


@pytest.mark.parametrize(("epochs", "tensors"), [(1, 4), (2, 4), (10, 16), (300, 16), (1000, 934), (3, 10**6)])
def test_histograms_are_bounded_in_number_and_bytes(epochs: int, tensors: int) -> None:
    chosen = epochs_to_log(epochs, tensors)
    assert {1, epochs} <= chosen <= set(range(1, epochs + 1))
    assert len(chosen) <= 30
    assert len(chosen) <= 2 or len(chosen) * tensors * BYTES_EACH <= MOST_BYTES
    assert epochs > 30 or tensors > 16 or len(chosen) == epochs


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([1.0, 2.0, 3.0], 3),
        ([5.0], 1),
        ([2.0, 2.0], 2),
        ([1.0, float("nan"), float("inf")], 1),
        ([0.0] * 200_000, 28_572),
    ],
    ids=lambda value: str(value)[:20],
)
def test_every_finite_value_is_counted_or_one_in_so_many(values: list[float], count: int) -> None:
    histogram = in_buckets(torch.tensor(values))
    assert histogram is not None
    assert sum(histogram.counts) == count
    assert len(histogram.limits) == len(histogram.counts)
    for nothing in ([], [float("nan")], [float("inf"), float("-inf")]):
        assert in_buckets(torch.tensor(nothing)) is None
