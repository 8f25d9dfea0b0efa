"""Which pictures `dlrun evaluate` tests, and that it says so."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlrun.cli import main
from dlrun.store import checkpoint

RUN = ("model.layers=[flatten]", "epochs=1", "threads=1", "device=cpu", "tensorboard=off")


def draw(folder: Path, count: int, light: int = 0, seed: int = 0) -> None:
    """Pictures of noise, dark, with a border that is darker; the first `light` of them the other way round."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.pad(random.integers(60, 160, (6, 6), dtype=np.uint8), 1)
        Image.fromarray(255 - pixels if number < light else pixels).convert("RGB").save(folder / f"{number}.png")


def train(*words: str, folder: str = "run") -> None:
    assert main([*RUN, *words, f"hydra.run.dir={folder}"]) == 0


def evaluated(*words: str, capsys: pytest.CaptureFixture[str], run: str = "run") -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", run, *words, "--json"]) == 0, capsys.readouterr().err
    return dict(json.loads(capsys.readouterr().out))


def predicted(folder: str, capsys: pytest.CaptureFixture[str], run: str = "run") -> tuple[float, int]:
    """Accuracy of `predict` where the folder of a picture is its class, and how many were inverted."""
    capsys.readouterr()
    assert main(["predict", run, folder, "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    right = [entry["top"][0]["class"] == Path(entry["file"]).parent.name for entry in answers]
    return sum(right) / len(right), sum(entry["inverted"] for entry in answers)


def test_of_a_folder_that_is_not_its_own_all_pictures_are_tested(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("a", "b")):
        draw(here / "own" / name, 10, seed=number)
        draw(here / "field" / name, 7, light=3, seed=10 + number)
        draw(here / "divided" / "train" / name, 5, seed=20 + number)
        draw(here / "divided" / "test" / name, 3, seed=30 + number)
        draw(here / "single" / name, 1, seed=40 + number)
    shutil.copytree(here / "divided" / "train", here / "half" / "train")
    shutil.copytree(here / "divided" / "test", here / "only" / "test")
    shutil.copytree(here / "field" / "a", here / "one" / "a")
    shutil.copytree(here / "own", here / "moved")
    train("data=image_folder", "data.root=own", "data.color=grey", "data.size=8")
    own = evaluated(capsys=capsys)
    assert (own["pictures"], own["split"], own["notes"]) == (4, "test", [])
    moved = json.loads(json.dumps(evaluated("data.root=moved", capsys=capsys)).replace('"moved/', '"own/'))
    assert moved == own, "the same pictures in another folder"
    assert evaluated("data.root=moved", "split=train", capsys=capsys)["pictures"] == 16
    assert evaluated("data=image_folder", "data.root=moved", capsys=capsys)["pictures"] == 4
    counts = {"field": 14, "half": 10, "single": 2, "one": 7}
    for name, count in counts.items():
        found = evaluated(f"data.root={name}", capsys=capsys)
        assert (found["pictures"], found["split"]) == (count, "all"), name
        assert found["notes"][0].startswith(f"all of {name} is tested")
        accuracy, inverted = predicted(name, capsys)
        assert found["accuracy"] == pytest.approx(accuracy)
        assert inverted == {"field": 6, "one": 3}.get(name, 0)
        assert [f"{inverted} picture" in note for note in found["notes"][1:]] == [True] * (inverted > 0)
    for name in ("only", "divided"):
        found = evaluated(f"data.root={name}", capsys=capsys)
        assert (found["pictures"], found["split"], found["notes"]) == (6, "test", []), name
    assert evaluated("data.root=divided", "split=train", capsys=capsys)["pictures"] == 10
    assert evaluated("data.root=field", "data.test_fraction=0.5", capsys=capsys)["pictures"] in (6, 8)
    assert evaluated("data.root=field", "limit=5", capsys=capsys)["pictures"] == 5
    assert main(["evaluate", "run", "data.root=field"]) == 0
    assert "image_folder all: 14 pictures, accuracy" in capsys.readouterr().out
    for words, sentence in (
        (["data.root=field", "split=train"], "split=train: field has no train/"),
        (["data.root=only", "split=train"], "split=train: only has no train/"),
        (["data.root=field", "split=val"], "split=val: this run held no images out"),
        (["data.root=field", "data.size=9"], "data.size=9: the network takes pictures of 1x8x8"),
        (["data.mean=[0.5]"], "data.mean=[0.5]: the network was trained with null, which stays"),
        (["data.root=field", "data.std=[0.5]"], "data.std=[0.5]: the network was trained with null, which stays"),
        (["data.normalize=standard"], "data.normalize=standard: the network was trained with unit, which stays"),
    ):
        assert main(["evaluate", "run", *words]) == 2
        assert sentence in capsys.readouterr().err
    draw(here / "own" / "c", 1)
    (here / "own" / "c").rename(here / "own" / "a" / "more")
    changed = evaluated(capsys=capsys)
    assert changed["notes"][0].startswith("the data have changed since the training (fingerprint ")


def test_held_out_pictures_are_a_part_of_their_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("data=synthetic", "data.train_images=60", "data.shape=[1,6,6]", "validation=10", "limit=40")
    counts = {part: evaluated(f"split={part}", capsys=capsys)["pictures"] for part in ("train", "val", "test")}
    assert counts == {"train": 30, "val": 10, "test": 40}
    best = json.loads((here / "run" / "result.json").read_text())["best"]
    held = evaluated("split=val", "--best", capsys=capsys)
    assert best["selected_on"] == "val"
    assert held["accuracy"] == pytest.approx(best["accuracy"])
    assert evaluated("limit=null", capsys=capsys)["pictures"] == 500
    assert main(["evaluate", "run", "split=val", "data.train_images=59"]) == 2
    assert "split=val: only the data that the run was trained on" in capsys.readouterr().err
    assert main(["evaluate", "run", "limit=0"]) == 2
    assert "limit" in capsys.readouterr().err


def test_options_of_ones_own_work_in_every_verb(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("a", "b")):
        draw(here / "pictures" / name, 5, seed=number)
        draw(here / "others" / name, 3, seed=10 + number)
    (here / "configs" / "data").mkdir(parents=True)
    (here / "configs" / "data" / "mine.yaml").write_text("name: image_folder\nroot: pictures\nsize: 8\ncolor: grey\n")
    (here / "configs" / "data" / "theirs.yaml").write_text("name: image_folder\nroot: others\nsize: 99\n")
    (here / "configs" / "data" / "shapes.yaml").write_text("name: synthetic\nshape: [1, 8, 8]\nclasses: 2\n")
    (here / "configs" / "data" / "made.yaml").write_text("_target_: tested_own.data\ncount: 6\n")
    (here / "tested_own.py").write_text(
        "import torch\nfrom dlrun.data.dataset import Dataset, Split\n"
        "def data(count):\n"
        "    split = Split(torch.zeros(count, 1, 8, 8, dtype=torch.uint8), torch.arange(count) % 2)\n"
        "    return Dataset('made', split, split, ('a', 'b'), (0.5,), (0.5,), 'f', True)\n"
    )
    train("data=mine")
    assert evaluated("data=mine", capsys=capsys)["pictures"] == 2
    theirs = evaluated("data=theirs", capsys=capsys)
    assert (theirs["pictures"], theirs["data"], theirs["split"]) == (6, "theirs", "all")
    assert evaluated("data=theirs", "data.root=pictures", capsys=capsys)["pictures"] == 2
    assert evaluated("data=made", capsys=capsys)["pictures"] == 6
    assert evaluated("data=made", "data.count=4", capsys=capsys)["pictures"] == 4
    assert main(["evaluate", "run", "data=shapes"]) == 2
    assert "the network does not know the classes 0, 1" in capsys.readouterr().err
    assert main(["data", "show", "mine", "--output", "sheet.png"]) == 0
    assert main(["data", "verify", "mine", "theirs"]) == 0
    out = capsys.readouterr().out
    assert "mine: sound, 8 + 2 pictures, 2 classes, in pictures" in out
    assert "theirs: sound, 4 + 2 pictures, 2 classes, in others" in out
    assert main(["data", "list"]) == 0
    assert {"mine", "theirs", "made"} <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    for words, sentence in (
        (["data", "fetch", "mine"], "mine (image_folder) has no files to fetch"),
        (["data", "verify", "min"], "data set 'min' is unknown; did you mean mine?"),
        (["data", "verify", "shapes"], "shapes (synthetic) has no files to verify"),
    ):
        assert main(words) == 2
        assert sentence in capsys.readouterr().err


def test_no_picture_of_the_data_set_is_turned_round(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(here / "n" / "train" / "night", 30)
    draw(here / "n" / "train" / "day", 6, light=6, seed=1)
    draw(here / "n" / "test" / "night", 6, seed=2)
    draw(here / "n" / "test" / "day", 6, light=6, seed=3)
    shutil.copytree(here / "n", here / "late")
    shutil.rmtree(here / "late" / "train" / "day")
    draw(here / "late" / "train" / "day", 6, seed=4)  # light pictures are in the test set alone
    for name in ("n", "late"):
        train("data=image_folder", f"data.root={name}", "data.color=grey", "data.size=8", folder=f"run_{name}")
        accuracy, inverted = predicted(f"{name}/test", capsys, f"run_{name}")
        assert inverted == 0
        assert evaluated(capsys=capsys, run=f"run_{name}")["accuracy"] == pytest.approx(accuracy)


def as_of_0_1_0(run: Path) -> None:
    """Its checkpoint says of borders what those of 0.1.0 say: their mean alone."""
    path = run / "checkpoints" / "last.pt"
    content = checkpoint.load(path)
    del content["data"]["rim"]
    checkpoint.save(path, content)


def test_a_network_of_0_1_0_turns_pictures_round_only_where_its_data_set_is_known(
    here: Path, drawn_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("a", "b")):
        draw(here / "own" / name, 5, seed=number)
        draw(here / "light" / name, 2, light=2, seed=10 + number)
    train("data=image_folder", "data.root=own", "data.color=grey", "data.size=8")
    shutil.copytree(drawn_run, here / "mnist")
    for run in ("run", "mnist"):
        assert predicted("light", capsys, run)[1] == 4
        as_of_0_1_0(here / run)
    assert predicted("light", capsys, "run")[1] == 0
    assert predicted("light", capsys, "mnist")[1] == 4
    assert evaluated("data.root=light", capsys=capsys)["pictures"] == 4
