"""Which epochs are the best and whose weights are kept, through the command; a kill at any moment changes nothing."""

import json
import shutil
from pathlib import Path

import pytest
from helpers import heard, said
from PIL import Image

from dlrun.sinks.checkpoints import Checkpoints
from dlrun.store.history import read_history
from dlrun.store.kept import kept
from dlrun.store.result import Result

SMALL = [
    *("data=synthetic", "data.train_images=256", "data.test_images=64", "data.shape=[1,8,8]", "model=fc_64"),
    *("threads=1", "device=cpu", "tensorboard=off", "validation=64", "batch_size=16"),
]
KEPT = [*SMALL, "epochs=7", "optimizer.lr=0.3", "best_by=loss", "checkpoint.keep_best=2", "checkpoint.keep_every=3"]


def losses(run: Path) -> list[float]:
    return [row["val_loss"] for row in read_history(run)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "r"
    status, printed = said(*KEPT, f"hydra.run.dir={folder}")
    assert status == 0, printed
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "r")
    return Path("r")


def test_the_best_by_loss_and_every_so_many_epochs_are_kept_and_used(run: Path) -> None:
    found = losses(run)
    best = sorted(range(1, 8), key=lambda epoch: found[epoch - 1])
    assert list(kept(run)) == sorted({*best[:2], 3, 6})
    assert {path.name for path in (run / "checkpoints").iterdir()} == {
        *("last.pt", "previous.pt", "best.pt"),
        *(path.name for path in kept(run).values()),
    }
    result = Result.read(run)
    assert result.best is not None
    assert (result.best["epoch"], result.best["loss"], result.best["by"]) == (best[0], found[best[0] - 1], "loss")

    for words, epoch in ((["--epoch", "3"], 3), (["--best"], best[0])):
        evaluated = json.loads(heard("evaluate", str(run), *words, "split=val", "--json")[1])
        row = read_history(run)[epoch - 1]
        assert evaluated["accuracy"] == row["val_accuracy"]
        assert evaluated["loss"] == pytest.approx(row["val_loss"], rel=1e-6)
    assert "r, epoch 3\n" in heard("evaluate", str(run), "--epoch", "3")[1]
    assert f"best epoch ({best[0]}, selected on val loss)" in heard("evaluate", str(run), "--best")[1]
    Image.new("L", (8, 8), 100).save("a.png")
    predicted = {heard("predict", str(run), "a.png", *words, "--json")[1] for words in (["--epoch", "3"], [])}
    assert len(predicted) == 2

    status, printed = said("evaluate", str(run), "--epoch", "77")
    there = ", ".join(map(str, kept(run)))
    assert (status, f"r: keeps no weights of epoch 77, but of epoch {there};" in printed) == (2, True), printed
    assert said("evaluate", str(run), "--epoch", "3", "--best")[0] == 2
    shown = said("show", str(run))[1]
    assert f"kept      weights of epoch {there} (--epoch N)" in shown
    assert f"loss {found[best[0] - 1]:.4f} (selected on val loss)" in shown

    assert said("resume", str(run), "epochs=8", "checkpoint.keep_best=1", "checkpoint.keep_every=null")[0] == 0
    assert list(kept(run)) == [losses(run).index(min(losses(run))) + 1]
    assert said("resume", str(run), "epochs=9", "checkpoint.keep_best=null")[0] == 0
    assert len(kept(run)) == 1, "nothing is deleted where nothing says what is to be kept"


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_set_right(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, moment in enumerate(("_save_weights", "_save_last", "_drop")):
        again, statuses = Path(f"again{place}"), []
        for epoch in (3, 6, 7):
            with monkeypatch.context() as patch:
                _stop_before(moment, epoch, patch)
                statuses.append(said(*KEPT, f"hydra.run.dir={again}")[0])
        assert statuses[:2] == [130, 130]
        assert said("resume", str(again))[0] == 0
        assert list(kept(again)) == list(kept(run))
        assert same_weights(again, run)


def same_weights(one: Path, other: Path) -> bool:
    from dlrun.runs.loading import load_run

    def weights(run: Path, epoch: int) -> list[float]:
        return [
            value for tensor in load_run(run, epoch=epoch).model.state_dict().values() for value in tensor.flatten()
        ]

    return losses(one) == losses(other) and all(weights(one, epoch) == weights(other, epoch) for epoch in kept(other))


def _stop_before(moment: str, epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run end as if it were killed, before the first call of a method when so many epochs are done."""
    done = getattr(Checkpoints, moment)

    def stop(self: Checkpoints, *arguments: object) -> None:
        if self.state.epoch > epoch:
            raise KeyboardInterrupt
        done(self, *arguments)

    monkeypatch.setattr(Checkpoints, moment, stop)


def test_early_stopping_goes_by_the_images_held_out_and_by_what_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "epochs=9", "optimizer.lr=0.001", "early_stopping=2"]
    status, printed = said(*words, "best_by=loss", "hydra.run.dir=loss")
    assert (status, "early stopping by val loss" in printed, "stopped early" in printed) == (0, True, False)
    status, printed = said(*words, "best_by=loss", "min_delta=0.5", "hydra.run.dir=delta")
    assert (status, len(losses(Path("delta")))) == (0, 3)
    assert "stopped early: no better val loss by more than 0.5 for 2 epochs (early_stopping)" in printed
    status, printed = said(*words, "validation=0", "min_delta=1", "hydra.run.dir=test")
    assert (status, "early stopping by test accuracy" in printed) == (0, True)
    assert "stopped early: no better test accuracy by more than 1 for 2 epochs" in printed
    assert said("resume", "delta", "early_stopping=null")[0] == 0
    assert losses(Path("delta")) == losses(Path("loss"))
