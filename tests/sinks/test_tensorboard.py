import contextlib
import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.hparams import metadata

from dlrun.config.compose import compose
from dlrun.config.schema import of_length
from dlrun.config.settled import settle
from dlrun.errors import RunFailed
from dlrun.runs.run import run
from dlrun.sinks.checkpoints import Checkpoints
from dlrun.sinks.crc32c import masked
from dlrun.sinks.event_file import own_files, read_events
from dlrun.sinks.histograms import BYTES_EACH, MOST_BYTES, epochs_to_log, in_buckets
from dlrun.sinks.hyperparameters import hyperparameters
from dlrun.training.events import StepsTaken

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


def test_a_run_is_one_entry_with_curves_by_epoch_and_by_step(board: Path, drawn_run: Path) -> None:
    """TensorBoard's list has an entry for every folder with events; of more than 40 none is ticked."""
    assert [path.parent for path in board.rglob("*tfevents*")] == [board]
    steps, history = read(board), columns(drawn_run)
    for split, place in (("train", 1), ("test", 3)):
        scalars = steps.Scalars(f"loss/{split}")
        assert [event.step for event in scalars] == [1, 2, 3, 4, 5, 6]
        assert [event.value for event in scalars] == pytest.approx([float(row[place]) for row in history], rel=1e-6)
    curves = {f"{metric}/{split}" for metric in ("loss", "accuracy") for split in ("train", "test", "step")}
    assert set(steps.Tags()["scalars"]) == {*curves, "learning_rate", "images_per_second", "seconds/epoch"}
    assert [event.step for event in steps.Scalars("loss/step")][:4] == [10, 20, 24, 34]


def test_weights_biases_and_gradients_are_there_for_every_epoch(board: Path) -> None:
    train = read(board)
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
    shown = read(board)
    always = ("samples", "augmented_samples", "confusion_matrix")
    assert {*always} <= set(shown.Tags()["images"]) <= {*always, "mistakes"}
    for tag in always:
        (event,) = shown.Images(tag)
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
    (classes,) = read(board).Tensors("classes/text_summary")
    assert "| 7 | 20 |" in classes.tensor_proto.string_val[0].decode()


def test_a_run_is_one_row_of_the_hparams_table(board: Path) -> None:
    whole = read(board)
    content = whole.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
    values = metadata.parse_session_start_info_plugin_data(content).hparams
    assert values["optimizer.lr"].number_value == 0.005
    assert values["optimizer.name"].string_value == "adam"
    assert values["parameters"].number_value == 43_706
    assert metadata.SESSION_END_INFO_TAG in whole.summary_metadata
    # TensorBoard takes the first experiment it meets for that of all runs, whatever else these have.
    assert metadata.EXPERIMENT_TAG not in whole.summary_metadata


NADAM, OWN = "optimizer._target_=torch.optim.NAdam", "data=image_folder"


@pytest.mark.parametrize(
    ("words", "others", "differing"),
    [
        (["optimizer=adam"], ["optimizer=adam", "optimizer.beta1=0.8"], {"optimizer.beta1"}),
        ([], ["model.activation=tanh", "eval_batch_size=7"], {"model.activation", "eval_batch_size"}),
        ([], ["clip_norm=1", "early_stopping=2"], {"clip_norm", "early_stopping"}),
        (["scheduler=step"], ["scheduler=step", "scheduler.gamma=0.3"], {"scheduler.gamma"}),
        ([], ["deterministic=true", "compile=true", "model.kernel=5"], {"deterministic", "compile", "model.kernel"}),
        ([], ["name=other", "tags=[a, b]", "sweep.slots=2"], {"name", "tags"}),
        ([NADAM], [NADAM, "optimizer.momentum_decay=1"], {"optimizer.momentum_decay"}),
        ([OWN, "data.root=x"], [OWN, "data.root=y", "data.size=9"], {"data.root", "data.size"}),
    ],
    ids=lambda value: "-".join(sorted(value)),
)
def test_every_field_that_differs_is_a_column(words: list[str], others: list[str], differing: set[str]) -> None:
    one, other = (hyperparameters(compose(row), 5) for row in (words, others))
    assert {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)} == differing
    assert all(isinstance(value, str | float | bool) for value in one.values())


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
    assert not read(tmp_path / "scalars" / "tensorboard").Tags()["histograms"]
    profile = tmp_path / "full" / "profile"
    assert {path.name for path in profile.iterdir()} == {"operators.txt", "trace.json.gz"}
    assert "aten::" in (profile / "operators.txt").read_text()
    assert "aten::" in (tmp_path / "full" / "run.log").read_text()


def test_held_out_pictures_have_a_curve_of_their_own_beside_the_test(tmp_path: Path) -> None:
    run(settle(compose([*SMALL, "epochs=2", "validation=20"])), tmp_path / "r")
    board = read(tmp_path / "r" / "tensorboard")
    assert [event.step for event in board.Scalars("accuracy/val")] == [1, 2]
    assert [event.step for event in board.Scalars("accuracy/test")] == [2]


def test_what_is_trained_again_is_logged_once(tmp_path: Path) -> None:
    """As after a crash between the log and the checkpoint: the second epoch is trained twice. Then it is extended."""
    config, folder = compose([*SMALL, "epochs=2"]), tmp_path / "r"
    saves = Checkpoints._save_last
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "_save_last", lambda self: saves(self) if self.state.epoch < 3 else _die())
        with pytest.raises(RunFailed):
            run(settle(config), folder)
    board = folder / "tensorboard"
    with own_files(board)[0].open("ab") as file:
        file.write(b"\x18\0\0\0\0\0\0\0half a record, as kill -9 leaves it")
    (board / "events.out.tfevents.1.theirs").write_bytes(b"")
    live = read(board)
    assert run(settle(config), folder).status == "completed"
    extended = of_length(replace(config, epochs=4), 4)
    about = {"hash": settle(config).hash, "epochs": 2}
    assert run(settle(extended), folder, extended=about).status == "completed"
    live.Reload()
    assert len(own_files(board)) == 1
    assert {path.name for path in board.iterdir()} == {own_files(board)[0].name, "events.out.tfevents.1.theirs"}
    now = read(board)
    for watched in (now, live):
        for tag in ("loss/train", "accuracy/test", "seconds/epoch"):
            assert [event.step for event in watched.Scalars(tag)] == [1, 2, 3, 4], tag
        assert [event.step for event in watched.Scalars("loss/step")] == [*range(2, 25, 2)]
        assert [event.step for event in watched.Histograms("weights/conv1")] == [1, 2, 3, 4]
        assert [event.step for event in watched.Images("samples")] == [0]
        assert [event.step for event in watched.Images("confusion_matrix")] == [2, 4]
    assert [event.step for event in now.Tensors("run/text_summary")] == [0]
    assert now.Graph().node
    content = now.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
    assert metadata.parse_session_start_info_plugin_data(content).hparams["epochs"].number_value == 4


def test_a_run_that_begins_anew_in_its_folder_shows_once(tmp_path: Path) -> None:
    """The first one failed before its first checkpoint."""
    config, folder = compose([*SMALL, "epochs=1"]), tmp_path / "r"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "_save_last", lambda _: _die())
        with pytest.raises(RunFailed):
            run(settle(config), folder)
    assert run(settle(config), folder).status == "completed"
    board = read(folder / "tensorboard")
    assert [event.step for event in board.Scalars("loss/train")] == [1]
    assert [event.step for event in board.Images("samples")] == [0]


def test_points_are_on_the_disk_when_they_are_logged(tmp_path: Path) -> None:
    """Nothing waits until a buffer is full: whoever watches sees the last step within TensorBoard's seconds."""
    seen: list[int] = []

    @contextlib.contextmanager
    def watch(_: Any) -> Iterator[list[Any]]:
        yield [lambda event: seen.append(len(_steps(tmp_path / "r"))) if isinstance(event, StepsTaken) else None]

    run(settle(compose([*SMALL, "epochs=1", "tensorboard=scalars"])), tmp_path / "r", watch=watch)
    assert seen == [1, 2, 3]


def _steps(folder: Path) -> list[Event]:
    events = read_events(folder / "tensorboard")
    return [event for event in events if event.summary.value and event.summary.value[0].tag == "loss/step"]


def _die() -> None:
    raise ValueError("as by a crash")


@given(st.binary(max_size=300), st.integers(0, 60_000))
@settings(max_examples=30)
def test_the_checksum_is_tensorboards_own(some: bytes, more: int) -> None:
    content = some + bytes(range(256)) * (more // 256)
    assert masked(content) == masked_crc32c(content)


def test_a_full_disk_costs_the_pictures_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dlrun.sinks.event_file._record", fail)
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
    board = read(tmp_path / "r" / "tensorboard")
    assert "samples" in board.Tags()["images"]
    assert not board.Tags()["graph"]


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
