from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dlrun.report.aggregate import aggregate


def scalars(folder: Path, tag: str) -> list[float]:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return [event.value for event in accumulator.Scalars(tag)]


def history(folder: Path, accuracies: list[float], split: str = "test") -> Path:
    folder.mkdir()
    lines = [f"epoch,train_loss,train_accuracy,{split}_loss,{split}_accuracy,lr,seconds,images_per_second"]
    lines += [f"{n},1.0,{value},2.0,{value},0.1,1,1" for n, value in enumerate(accuracies, start=1)]
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_mean_and_deviation_of_the_epochs_that_all_runs_have(tmp_path: Path) -> None:
    runs = [history(tmp_path / str(seed), values) for seed, values in enumerate(([0.2, 0.6, 0.9], [0.4, 0.8]))]
    (place,) = aggregate({"model=fc_64": runs}, tmp_path / "aggregated")
    assert place.name == "model=fc_64, 2 seeds"
    assert scalars(place / "mean", "accuracy/test") == pytest.approx([0.3, 0.7])
    assert scalars(place / "mean+std", "accuracy/train") == pytest.approx([0.3 + 0.02**0.5, 0.7 + 0.02**0.5])
    assert scalars(place / "mean-std", "loss/test") == pytest.approx([2, 2])
    assert len(list(place.rglob("events.*"))) == 3, "an entry of TensorBoard's list a curve"


def test_a_second_call_replaces_the_first(tmp_path: Path) -> None:
    runs = [history(tmp_path / str(seed), [0.5, 0.6], "val") for seed in range(3)]
    for _ in range(2):
        (place,) = aggregate({"a": runs}, tmp_path / "aggregated")
    assert len(list((place / "mean").iterdir())) == 1
    assert scalars(place / "mean", "accuracy/val") == pytest.approx([0.5, 0.6])


def test_single_runs_and_runs_without_epochs_have_no_mean(tmp_path: Path) -> None:
    one, empty = history(tmp_path / "1", [0.5]), history(tmp_path / "2", [])
    assert aggregate({"a": [one], "b": [one, empty], "c": []}, tmp_path / "aggregated") == []


def test_labels_become_names_of_folders(tmp_path: Path) -> None:
    runs = [history(tmp_path / str(seed), [0.5]) for seed in range(2)]
    places = aggregate({"../x": runs, "conv 3, pool 2": runs, "\x1b/..": runs, "x" * 500: runs}, tmp_path / "g")
    assert all(place.parent == tmp_path / "g" for place in places)
    assert len({place.name for place in places}) == 4


def test_labels_that_differ_only_where_a_folder_cannot_say_so_have_two_folders() -> None:
    from dlrun.report.aggregate import _safe

    labels = ["model=a/b", "model=a?b", "x" * 120, "x" * 121]
    assert len({_safe(label) for label in labels}) == 4
    assert _safe("model=fc_64, lr 0.1") == "model=fc_64, lr 0.1"
