import json
import unicodedata
from pathlib import Path

import pytest
import torch

from dlrun.cli import main
from dlrun.data.dataset import Split
from dlrun.store.result import Result
from dlrun.verbs import evaluate

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_test_set_again_gives_what_the_run_recorded(drawn_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(drawn_run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    recorded = Result.read(drawn_run)
    assert recorded.test is not None
    assert found["accuracy"] == recorded.test["accuracy"]
    assert found["loss"] == pytest.approx(recorded.test["loss"], rel=1e-5)
    assert found["pictures"] == 200
    assert sum(map(sum, found["confusion"])) == 200
    assert [entry["pictures"] for entry in found["classes"]] == [20] * 10
    assert 0.9 < found["top5"] <= 1


def test_people_get_tables(drawn_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(drawn_run), "split=train", "--best", "limit=100"]) == 0
    out = capsys.readouterr().out
    assert "best epoch" in out
    assert "mnist train: 100 pictures, accuracy" in out
    assert "precision" in out
    assert "confusion (rows: true class)" in out


def test_other_data_with_known_classes(drawn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    for name in ("3", "7"):
        for number in range(4):
            (tmp_path / "own" / name).mkdir(parents=True, exist_ok=True)
            Image.new("L", (50, 50), 60 * number).save(tmp_path / "own" / name / f"{number}.png")
    words = ["data=image_folder", f"data.root={tmp_path / 'own'}", "data.color=grey", "data.test_fraction=0.5"]
    assert main(["evaluate", str(drawn_run), *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["pictures"] for entry in found["classes"]] == [0, 0, 0, 2, 0, 0, 0, 2, 0, 0]
    assert found["classes"][0]["recall"] is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["split=all"], "split=all: expected test, train or val"),
        (["split=val"], "split=val: this run held no images out"),
        (
            ["data=image_folder", "data.root=x", "data.size=32"],
            "data.size=32: the network takes pictures of 1x28x28",
        ),
        (
            ["data=image_folder", "data.root=x", "data.color=rgb"],
            "data.color=rgb: the network takes pictures of 1x28x28",
        ),
        (["data.normalize=standard"], "the network was trained with unit, which stays"),
        (["data=nope"], "data=nope: no such option"),
        (["epochs=3"], "epochs=3: expected KEY=VALUE"),
        (["data.root=/nowhere"], "mnist: no data in /nowhere"),
        (["data=synthetic", "data.classes=11"], "the network does not know the classes 10"),
        (["data=synthetic", "data.shape=[1, 9, 9]"], "the pictures of synthetic are 1x9x9, the network takes 1x28x28"),
        (["data.size={"], "data.size={: can't be read as KEY=VALUE; missing at the end: }"),
        (["device=cuda:99"], "device=cuda:99"),
    ],
    ids=str,
)
def test_mistakes_end_in_one_line(
    words: list[str], sentence: str, drawn_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(drawn_run), *words]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") <= 2


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path / "no")]) == 2
    assert main(["evaluate", str(tmp_path)]) == 2
    (tmp_path / "file").touch()
    assert main(["evaluate", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 3


def test_classes_are_known_by_their_names_however_these_are_composed() -> None:
    split = Split(torch.zeros(3, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 1, 2]))
    forms = [tuple(unicodedata.normalize(form, name) for name in ("Käse", "cat", "Öl")) for form in ("NFD", "NFC")]
    for theirs, ours in (forms, forms[::-1]):
        assert evaluate._relabelled(split, theirs[::-1], ours).tolist() == [2, 1, 0]
