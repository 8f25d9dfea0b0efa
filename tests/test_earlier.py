"""What 0.1.0 left behind is shown, reported, compared, evaluated, resumed; see v0_1_0/README.md."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dlrun import cli
from dlrun.store.folders import read_config, write_config
from dlrun.store.history import read_history
from dlrun.store.result import Result

KEPT = Path(__file__).parent / "v0_1_0"
Said = Callable[..., str]


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as working directory."""
    folder = shutil.copytree(KEPT, tmp_path / "left")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def said(left: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs `dlrun WORDS` in the copy; returns what it says."""

    def run(*words: str, status: int = 0) -> str:
        assert cli.main(list(words)) == status
        done = capsys.readouterr()
        return done.out + done.err

    return run


STATES = {
    "complete": "completed, 2 of 2 epochs",
    "interrupted": "interrupted, 2 of 5 epochs",
    "killed": "interrupted, 2 of 5 epochs",
    "failed": "failed, 0 of 2 epochs",
    "extended": "completed, 4 of 4 epochs",
    "killed_extension": "interrupted, 4 of 6 epochs",
    "whole": "completed, 6 of 6 epochs",
    "heldout": "completed, 2 of 2 epochs",
    "cosine": "completed, 2 of 2 epochs",
    "own": "completed, 2 of 2 epochs",
    "rooted": "completed, 2 of 2 epochs",
}


def test_runs_are_shown(said: Said) -> None:
    for name, state in STATES.items():
        assert f"status    {state}\n" in said("show", name), name


def test_runs_are_reported_each_with_its_own_number(said: Said) -> None:
    text = said("report", ".", "--json", "--columns", "folders,n,test_accuracy,last_epoch,status")
    records, end = json.JSONDecoder().raw_decode(text)
    assert "killed_extension interrupted (of whole 0.3833)" in text[end:]
    whole = next(one for one in records if "whole" in one["folders"])
    assert (whole["n"], whole["test_accuracy"], whole["last_epoch"]) == (
        1,
        Result.read(Path("whole")).test["accuracy"],
        6,
    )
    assert whole["status"] == "1 completed", "the killed extension to the same config hides nothing"
    numbers = {record["test_accuracy"] for record in records if record["n"] == 1}
    assert Result.read(Path("killed_extension")).test["accuracy"] not in numbers - {whole["test_accuracy"]}


def test_the_sweep_is_complete(said: Said) -> None:
    shared = ["data=synthetic", "data.shape=[1,8,8]", "data.classes=3", "data.train_images=96", "data.test_images=60"]
    own = ["threads=1", "device=cpu", "tensorboard=off", "model.layers=[flatten, dense 4]", "epochs=2"]
    text = said("-m", *shared, *own, "seed=0,1", "optimizer.lr=0.1,0.01")
    assert "4 of 4 were complete already" in text
    assert "0.5083 ± 0.0825" in text


def test_the_table_is_compared(said: Said) -> None:
    text = said("report", "--table", "mine")
    assert re.search(r"narrow +0\.50 +0\.15 +2 ", text)
    assert re.search(r"wide +0\.60 +0\.30 +2 ", text)


def test_runs_are_evaluated(said: Said) -> None:
    for name in ("complete", "extended"):
        accuracy = Result.read(Path(name)).test["accuracy"]
        text = said("evaluate", name)
        assert f"{name}, last epoch\n" in text
        assert f"accuracy {accuracy:.4f}" in text
    assert "interrupted, in epoch 3 of 5, not finished\n" in said("evaluate", "interrupted")
    assert "killed_extension, epoch 4 of 6, not finished\n" in said("evaluate", "killed_extension")


def test_runs_are_resumed(said: Said, left: Path) -> None:
    for name in ("interrupted", "killed"):
        said("resume", name)
        assert Result.read(left / name).status == "completed"
        assert [row["epoch"] for row in read_history(left / name)] == [1, 2, 3, 4, 5]
    said("resume", "killed_extension")
    there, whole = Result.read(left / "killed_extension"), Result.read(left / "whole")
    assert (there.hash, there.epochs, there.origin["epochs"]) == (whole.hash, 6, 2)
    assert there.test["accuracy"] == pytest.approx(whole.test["accuracy"], abs=0.05)


def test_curves_of_tensorboard_go_on_in_one_folder(said: Said, left: Path, tmp_path: Path) -> None:
    """0.1.0 had five, each of which was an entry of TensorBoard's list."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    longer = tmp_path / "longer"
    shutil.copytree(left / "complete", longer)
    assert (longer / "tensorboard" / "train").is_dir()
    said("resume", str(longer), "epochs=4")
    (file,) = (path for path in longer.joinpath("tensorboard").rglob("*") if path.is_file())
    assert list(longer.joinpath("tensorboard").iterdir()) == [file]
    board = EventAccumulator(str(file.parent))
    board.Reload()
    for tag in ("loss/train", "accuracy/train", "loss/test", "accuracy/test", "seconds/epoch"):
        assert [event.step for event in board.Scalars(tag)] == [1, 2, 3, 4], tag
    assert [event.step for event in board.Scalars("loss/step")] == [3, 6, 9, 12]


def test_what_is_computed_otherwise_since_is_said(said: Said) -> None:
    """A cosine behind a warm-up begins at the full rate now: the old number stays, apart from new ones."""
    accuracy = Result.read(Path("cosine")).test["accuracy"]
    assert "note      before another cosine: a new run of these settings gives other numbers" in said("show", "cosine")
    text = said("report", "complete", "cosine", "--json", "--columns", "revision,test_accuracy")
    records, _ = json.JSONDecoder().raw_decode(text)
    assert {"before another cosine": accuracy}.items() <= {
        one["revision"]: one["test_accuracy"] for one in records
    }.items()
    assert f"accuracy {accuracy:.4f}" in said("evaluate", "cosine")
    assert "begun before dlrun changed its cosine, and can't go on the same" in said("resume", "cosine", status=2)


def test_runs_on_data_of_ones_own_are_shown_and_say_why_they_cannot_go_on(said: Said, left: Path) -> None:
    """0.1.0 took the fingerprint that the data said of themselves, and counted `root` into the hash."""
    for name in ("own", "rooted"):
        accuracy = Result.read(left / name).test["accuracy"]
        text = said("evaluate", name, "trust=true")
        assert f"accuracy {accuracy:.4f}" in text
        assert "made before dlrun took fingerprints itself of one's own data (they said 'corners-v1')" in text
    assert "note      its hash counts in where the data lie" in said("show", "rooted")
    assert "left out" not in said("report", "own", "rooted", "--json")
    before = {path: path.read_bytes() for name in ("own", "rooted") for path in (left / name).glob("*.[cj]s*")}
    typed = ["threads=1", "device=cpu", "tensorboard=off", "model.layers=[flatten, dense 4]", "epochs=2"]
    for words in (
        ("resume", "own", "trust=true"),
        ("resume", "own", "epochs=3", "trust=true"),
        ("resume", "rooted", "trust=true"),
        ("resume", "rooted", "epochs=3", "trust=true"),
        ("data=corners", "hydra.run.dir=own", *typed),
        ("data=rooted", "hydra.run.dir=rooted", *typed),
    ):
        text = said(*words, status=2).strip().splitlines()[-1]
        assert "made before dlrun took fingerprints itself" in text, words
        assert "new run in another folder" in text or "choose another hydra.run.dir" in text, words
    (left / "rooted/checkpoints/last.pt").unlink()
    text = said("data=rooted", "hydra.run.dir=rooted", *typed, status=2)
    assert "holds the result of an earlier dlrun (b2780c94, now this run is 9ae19248)" in text
    assert {path: path.read_bytes() for path in before} == before, "what is there stays"


def test_a_run_on_data_with_a_root_goes_on_where_its_fingerprint_can_be_compared(said: Said, left: Path) -> None:
    """Data that said of themselves what dlrun says of them now: the hash alone was made in another way."""
    from dlrun.data.load import load
    from dlrun.store import checkpoint

    folder = left / "rooted/checkpoints"
    saved = checkpoint.load(folder / "last.pt")
    fingerprint = load(read_config(left / "rooted").data).fingerprint
    checkpoint.save_last(folder, {**saved, "fingerprint": fingerprint})
    said("resume", "rooted", "epochs=3", "trust=true")
    result = Result.read(left / "rooted")
    assert (result.status, result.epochs, result.origin["epochs"]) == ("completed", 3, 2)
    assert "completed, 3 of 3 epochs" in said("show", "rooted")


def test_what_a_strangers_folder_refers_to_is_not_looked_up(
    said: Said, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the environment nor through a link."""
    monkeypatch.setenv("DLRUN_SECRET", "hunter2")
    folder = left / "interrupted"
    config = dataclasses.replace(read_config(folder), name="${oc.env:DLRUN_SECRET}")
    write_config(folder, config, [])
    assert "hunter2" not in said("resume", "interrupted")
    assert Result.read(folder).name == "${oc.env:DLRUN_SECRET}"
    assert not [path for path in folder.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    said("resume", "interrupted", "name='${oc.env:DLRUN_SECRET}'", "epochs=6")
    assert Result.read(folder).name == "hunter2", "what is typed is looked up"
    outside = left / "profile"
    outside.write_text("mine")
    (left / "killed/run.log").unlink(missing_ok=True)
    (left / "killed/run.log").symlink_to(outside)
    assert "run.log: a symbolic link; nothing is written through it" in said("resume", "killed", status=2)
    sweep = [
        "-m",
        "model=fc_64",
        "data=synthetic",
        "epochs=1",
        "seed=0,1",
        "device=cpu",
        "threads=1",
        "tensorboard=off",
    ]
    said(*sweep, "sweep.name=s")
    (run_dir,) = (left / "outputs" / "sweeps" / "s").glob("seed0-*")
    (run_dir / "result.json").unlink()
    for name in ("run.log", ".lock", ".claim"):
        (run_dir / name).rename(left / "aside")
        (run_dir / name).symlink_to(outside)
        assert f"{name}: a symbolic link; nothing is written through it" in said(*sweep, "sweep.name=s", status=2)
        (left / "aside").replace(run_dir / name)
    assert outside.read_text() == "mine"
    for change in ("choices.model=3", "choices.model=fc_512"):
        assert f"{change}: choices only say what was chosen" in said("resume", "complete", change, status=2)
        assert f"{change}: choices only say what was chosen" in said("model=fc_64", change, status=2)
