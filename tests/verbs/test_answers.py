"""What is written and shown of each picture by `dlrun evaluate` and `dlrun predict`."""

import csv
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from helpers import heard, said
from PIL import Image

RUN = ("model.layers=[flatten]", "epochs=1", "threads=1", "device=cpu", "tensorboard=off")
ODD = ("Käse, Öl", "=1+1", 'quo"te', "esc\x1b[31m")
"""Names of classes."""


def draw(folder: Path, counts: Sequence[int], names: Sequence[str] = ODD) -> None:
    """Pictures of noise, in one folder a class."""
    random = np.random.default_rng(0)
    for name, count in zip(names, counts, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(random.integers(0, 256, (6, 6), dtype=np.uint8)).save(folder / name / f"{number}.png")


def train(*words: str) -> None:
    assert said(*RUN, "data=image_folder", "data.color=grey", "data.size=6", *words, "hydra.run.dir=run")[0] == 0


def rows(path: str | Path) -> list[dict[str, str]]:
    text = Path(path).read_text("utf-8")
    assert "\x1b" not in text
    return list(csv.DictReader(text.splitlines()))


def answers(*words: str) -> list[dict[str, str]]:
    status, _, error = heard("evaluate", "run", *words, "--csv", "answers.csv")
    assert status == 0, error
    return rows("answers.csv")


def area(found: Sequence[dict[str, str]], name: str) -> float:
    pairs = product(
        *([float(row[f"p_{name}"]) for row in found if (row["truth"] == name) is own] for own in (True, False))
    )
    wins = [(one > other) + (one == other) / 2 for one, other in pairs]
    return sum(wins) / len(wins)


def test_every_picture_has_a_row_by_its_file(here: Path) -> None:
    draw(here / "own" / "train", (6, 6, 6, 6))
    draw(here / "own" / "test", (4, 3, 5, 2))
    train("data.root=own", "validation=4")
    found = answers("--sheet", "wrong.png")
    expected = {str(path.relative_to(here)) for path in (here / "own" / "test").glob("*/*.png")}
    # What would move a terminal's cursor is spelt out, what a spreadsheet would compute is text.
    assert {row["file"].replace("\\x1b", "\x1b") for row in found} == expected
    assert {row["truth"] for row in found} == {"Käse, Öl", "'=1+1", 'quo"te', "esc\\x1b[31m"}
    assert [row["truth"].lstrip("'") for row in found] == [Path(row["file"]).parent.name for row in found]
    told = json.loads(heard("evaluate", "run", "--json")[1])
    right = sum(row["truth"] == row["prediction"] for row in found)
    assert right / len(found) == told["accuracy"]
    names = ["Käse, Öl", "=1+1", 'quo"te', "esc\\x1b[31m"]
    plain = [{**row, "truth": row["truth"].lstrip("'")} for row in found]
    assert told["macro"]["auc"] == pytest.approx(sum(area(plain, name) for name in names) / 4, rel=1e-12)
    assert told["balanced_accuracy"] == told["macro"]["recall"]
    assert len(told["wrong"]) == len(found) - right
    assert [one["probability"] for one in told["wrong"]] == sorted(
        (w["probability"] for w in told["wrong"]), reverse=True
    )
    with Image.open("wrong.png") as page:
        assert page.width >= 96
    # The same pictures one by one, in the folders of their classes.
    status, out, error = heard("predict", "run", "own/test", "--csv")
    assert (status, error) == (0, f"accuracy {told['accuracy']:.4f}: {right} of 14 pictures\n")
    single = {row["file"]: row for row in csv.DictReader(out.splitlines())}
    for row in found:
        assert {name: single[row["file"]][name] for name in row} == pytest.approx(row), row["file"]
    # By its own split the same file is nowhere twice.
    parts = [{row["file"] for row in answers(f"split={part}")} for part in ("train", "val")]
    assert (len(parts[0]), len(parts[1]), parts[0] & parts[1]) == (20, 4, set())
    assert parts[0] | parts[1] == {
        str(path.relative_to(here)).replace("\x1b", "\\x1b") for path in (here / "own" / "train").glob("*/*.png")
    }


def test_files_stay_those_of_their_pictures_where_some_are_left_out_or_they_lie_elsewhere(here: Path) -> None:
    draw(here / "own", (12, 12), ("a", "b"))
    for name in ("a/3.png", "b/7.png"):
        (here / "own" / name).write_text("no picture")
    train("data.root=own", "data.damaged=skip", "data.test_fraction=0.4")
    found = answers()
    assert len(found) == 8
    status, out, _ = heard("predict", "run", *(row["file"] for row in found), "--csv")
    assert status == 0
    assert [row["p_a"] for row in csv.DictReader(out.splitlines())] == [row["p_a"] for row in found]
    assert "truth" not in out.partition("\n")[0], "files by themselves have no class"
    (here / "own").rename(here / "moved")
    moved = answers("data=image_folder", "data.root=moved", "data.damaged=skip")
    assert [{**row, "file": row["file"].replace("moved/", "own/")} for row in moved] == found
    # Another folder, all of which is tested; its first pictures only.
    draw(here / "field", (3, 3), ("b", "a"))
    field = answers("data.root=field", "limit=4")
    assert [row["file"] for row in field] == ["field/a/0.png", "field/b/0.png", "field/a/1.png", "field/b/1.png"]


def test_files_of_a_table_and_of_pictures_that_a_data_set_holds_out_itself(here: Path) -> None:
    splits = {"train": 6, "test": 3, "valid": 2}
    for split, count in splits.items():
        draw(here / "own" / split, (count, count), ("a", "b"))
    pictures = sorted((here / "own").glob("*/*/*.png"))
    lines = [f"{path.relative_to(here / 'own')},{path.parent.name},{path.parent.parent.name}" for path in pictures]
    (here / "own" / "labels.csv").write_text("\n".join(["file,label,split", *lines]) + "\n")
    for data in (["data=image_folder", "data.root=own"], ["data=image_table", "data.table=own/labels.csv"]):
        words = [*RUN, *data, "data.color=grey", "data.size=6", "validation=own", "hydra.run.dir=run"]
        assert said(*words)[0] == 0
        for split, part in zip(splits, ("train", "test", "val"), strict=True):
            found = answers(f"split={part}")
            assert [row["truth"] for row in found] == [Path(row["file"]).parent.name for row in found]
            expected = {str(path.relative_to(here)) for path in pictures if path.parent.parent.name == split}
            assert {row["file"] for row in found} == expected
        (here / "run").rename(here / f"run-{data[0]}")


def test_pictures_without_files_have_their_place(drawn_run: Path, here: Path) -> None:
    status, out, error = heard("evaluate", str(drawn_run), "--csv", "answers.csv", "limit=30", "--md")
    assert status == 0
    assert error.endswith("answers.csv: 30 pictures\n")
    assert "| class | pictures | precision | recall | F1 | AUC |" in out
    assert "| macro mean |" in out
    found = rows("answers.csv")
    assert [row["index"] for row in found] == [str(place) for place in range(30)]
    assert all(sum(float(row[f"p_{name}"]) for name in range(10)) == pytest.approx(1, abs=1e-5) for row in found)
    # What was held out has the places that it had in the training set.
    assert (
        said(
            *RUN,
            "data=synthetic",
            "data.train_images=20",
            "data.test_images=10",
            "validation=5",
            "validation_by=last",
            "hydra.run.dir=run",
        )[0]
        == 0
    )
    assert [row["index"] for row in answers("split=val")] == ["15", "16", "17", "18", "19"]


def test_predict_knows_classes_by_their_folders(here: Path) -> None:
    names = ("Käse", "Öl")
    draw(here / "own", (9, 9), names)
    train("data.root=own")
    draw(here / "field" / "Test", (2, 3), names)
    draw(here / "field", (4,), ("elsewhere",))
    status, out, _ = heard("predict", "run", "field")
    assert status == 0
    told = out.splitlines()[-1]
    right = sum(f"(is {name})" in line for line in out.splitlines() for name in names)
    assert told == (
        f"accuracy {right / 5:.4f}: {right} of 5 pictures whose folder is their class; "
        "4 pictures in folders that are no class of the network"
    )
    entries = json.loads(heard("predict", "run", "field", "--json")[1])
    assert [entry["truth"] for entry in entries] == ["Käse"] * 2 + ["Öl"] * 3 + [None] * 4
    assert "accuracy" not in said("predict", "run", "field/elsewhere")[1]


def test_where_a_file_can_not_go_is_said_before_anything_is_read(here: Path) -> None:
    (here / "own.png").mkdir()
    draw(here / "p", (1,), ("a",))
    for words in (["evaluate", "no-run"], ["predict", "no-run", "p/a"]):
        for option in ("--sheet", *(["--csv"] if words[0] == "evaluate" else [])):
            assert said(*words, option, "no/x.png") == (2, "dlrun: no/x.png: no such folder: no\n")
            assert said(*words, option, "own.png") == (2, "dlrun: own.png: a folder; name a file in it\n")
