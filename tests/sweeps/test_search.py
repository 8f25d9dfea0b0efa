"""Searches: points through the launcher, pruning, going on where it stopped, what mattered."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("optuna")

Run = Callable[..., subprocess.CompletedProcess[str]]

SPACE = ("hydra/sweeper=search", "data=small", "optimizer.lr=tag(log,interval(1e-6,0.1))", "optimizer=sgd,adam")


def summary(folder: Path) -> dict:
    return json.loads((folder / "search.json").read_text())


@pytest.mark.slow
def test_a_search_learns_goes_on_and_tells_what_mattered(workplace: Path, sweep: Run) -> None:
    folder = workplace / "outputs/sweeps/s"
    first = sweep(*SPACE, "sweep.trials=4", "sweep.name=s")
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.count("completed  test accuracy") == 4
    assert "trials are compared on the test images" in first.stdout
    assert summary(folder)["trials"] == {"complete": 4}
    more = sweep(*SPACE, "sweep.trials=8", "sweep.name=s")
    assert more.stdout.count("completed  test accuracy") == 4, more.stdout + more.stderr
    found = summary(folder)
    assert found["trials"] == {"complete": 8}
    assert set(found["importance"]) == {"optimizer.lr", "optimizer"}
    assert sum(found["importance"].values()) == pytest.approx(1)
    accuracies = [json.loads(path.read_text())["test"]["accuracy"] for path in folder.glob("*/result.json")]
    assert found["best"]["accuracy"] == max(accuracies)
    assert re.search(r"best point: optimizer.lr=\S+ optimizer=(sgd|adam) \(accuracy", more.stdout)
    other = sweep("hydra/sweeper=search", "data=small", "batch_size=8,16", "sweep.name=s")
    assert other.returncode == 2
    assert "holds a search over other values" in other.stderr


def test_points_that_cannot_run_fail_alone_and_equal_ones_are_told_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dlrun.config.schema import Sweep
    from dlrun.sweeps.jobs import Outcome
    from dlrun.sweeps.search import open_search

    words = ["data=synthetic", "model=fc_64,cnn_dropout", "data.size=28,4", "device=cpu"]
    search = open_search(words, Sweep(trials=16, sampler="random"), tmp_path / "s")
    jobs = list(search.jobs())
    assert len(jobs) == len({job.run_dir for job in jobs}) == 3  # cnn_dropout takes no pictures of 4x4
    assert re.search(r"trial \d+: point 1 of 1 .*data\.size=4", capsys.readouterr().out)
    for job in jobs:
        search.ended(Outcome(job, "failed"))
    assert set(search.summary()["trials"]) == {"fail"}
    assert list(search.jobs()) == []


@pytest.mark.slow
def test_runs_that_fall_behind_are_pruned(workplace: Path, sweep: Run) -> None:
    (workplace / "repaired").unlink(missing_ok=True)
    done = sweep(
        *("hydra/sweeper=search", "data=small", "model.how=slow", "optimizer.lr=tag(log,interval(1e-9,0.1))"),
        *("epochs=120", "sweep.trials=16", "sweep.slots=2", "sweep.sampler=random", "sweep.name=s", "log_every=1"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  pruned" in done.stdout
    assert summary(workplace / "outputs/sweeps/s")["trials"].get("pruned", 0) > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.how=fine"], "nothing to search"),
        (["seed=0,1"], "a search tries each point once"),
        (["optimizer.lr=interval(-1,1)"], "optimizer.lr=-1.0: expected a number > 0"),
        (["optimizer.lr=interval(1,1)"], "an interval needs low < high"),
    ],
)
def test_mistakes_show_before_the_first_trial(words: list[str], message: str, workplace: Path) -> None:
    from dlrun.config.schema import Sweep
    from dlrun.errors import UsageError
    from dlrun.sweeps.search import open_search

    with pytest.raises(UsageError, match=message):
        open_search(["data=synthetic", "model=fc_64", "device=cpu", *words], Sweep(), workplace / "s")
    assert not (workplace / "s").exists()
