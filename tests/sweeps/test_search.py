"""Searches: points through the launcher, pruning, going on where it stopped, what mattered."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import said

from dlrun.config.compose import composing
from dlrun.errors import UsageError

pytest.importorskip("optuna")

Run = Callable[..., subprocess.CompletedProcess[str]]

SPACE = ("hydra/sweeper=search", "data=small", "optimizer.lr=tag(log,interval(1e-6,0.1))", "optimizer=sgd,adam")


@pytest.fixture(autouse=True, scope="module")
def composed() -> Iterator[None]:
    """What is composed is kept over the tests, since composing takes longer than most of them."""
    with composing():
        yield


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
        (["sweep.objective=f1"], "one of accuracy, loss, parameters, seconds, or a list of several"),
        (["sweep.objective=[]"], "one of accuracy, loss, parameters, seconds, or a list of several"),
        (["sweep.objective=[loss,time]"], "one of accuracy, loss, parameters, seconds, or a list of several"),
        (["sweep.pruner=meridian"], "one of median, percentile, successive_halving, hyperband, none"),
        (["sweep.pruner=hyperband", "sweep.prune=false"], "sweep.prune=false lets it stop nothing"),
        (["sweep.pruner=hyperband", "sweep.objective=[accuracy,loss]"], "the objective is accuracy and loss"),
        (["sweep.pruner=percentile", "sweep.objective=seconds"], "the objective is seconds"),
        (["sweep.first=['epochs=3']"], "epochs=3: is not searched over; what is: optimizer.lr, batch_size"),
        (["sweep.first=['optimizer.lr=2']"], "optimizer.lr=2: expected a number from 0.001 to 1"),
        (["sweep.first=['optimizer.lr=fast']"], "optimizer.lr=fast: expected a number from 0.001 to 1"),
        (["sweep.first=['optimizer.lr=0.1,0.2']"], "a point has one value of each field"),
        (["sweep.first=['batch_size=9']"], r"is none of the values searched: batch_size=8 \| batch_size=16"),
        (["sweep.first=['batch_size=8','batch_size=16']", "sweep.trials=1"], "has 2 points, more than sweep.trials=1"),
        (["sweep.random=3"], "sweep.random: has no effect in a search"),
        (["sweep.exclude=['batch_size=8']"], "sweep.exclude: has no effect in a search"),
    ],
)
def test_mistakes_show_before_the_first_trial(words: list[str], message: str, workplace: Path) -> None:
    from dlrun.sweeps.points import settings_of
    from dlrun.sweeps.search import open_search

    space = ["optimizer.lr=interval(0.001,1)", "batch_size=8,16"] if words[0].startswith("sweep.") else []
    typed = ["data=synthetic", "model=fc_64", "device=cpu", *space, *words]
    with pytest.raises(UsageError, match=message):
        open_search(typed, settings_of(typed), workplace / "s")
    assert not (workplace / "s").exists()


@pytest.mark.parametrize(
    "word", ["objective=loss", "first=['seed=1']", "pruner=none", "trials=3", "sampler=random", "prune=false"]
)
def test_fields_of_a_search_are_refused_without_one(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, output = said("plan", "-m", "seed=0,1", f"sweep.{word}")
    assert (status, output) == (2, f"dlrun: sweep.{word}: has no effect without hydra/sweeper=search\n")


TINY = ("data=synthetic", "data.size=8", "data.train_images=60", "data.test_images=40", "epochs=2", "tensorboard=off")


def searched(folder: Path, *words: str) -> dict:
    """What a search has found whose trials ran one after the other in this process."""
    import torch

    from dlrun.runs.run import run
    from dlrun.store.status import Status
    from dlrun.sweeps.jobs import Outcome
    from dlrun.sweeps.points import settings_of
    from dlrun.sweeps.search import open_search

    threads = torch.get_num_threads()
    typed = [*TINY, "device=cpu", "threads=1", *words]
    search = open_search(typed, settings_of(typed), folder)
    for job in search.jobs():
        search.ended(Outcome(job, Status.COMPLETED, run(job.settled, job.run_dir)))
    torch.set_num_threads(threads)
    return search.write_summary()


def test_the_least_loss_is_found_from_first_points_on_and_an_edge_is_said(tmp_path: Path) -> None:
    from dlrun.sweeps.found import read_summary, sentences

    words = ["model=fc_64", "optimizer.lr=interval(1e-7,0.01)", "batch_size=10,20,30", "sweep.objective=loss"]
    first = "sweep.first=['optimizer.lr=0.00123456 batch_size=20','batch_size=30']"
    found = searched(tmp_path, *words, first, "sweep.trials=3")
    losses = {path.parent: float(path.read_text().split()[-1].split(",")[3]) for path in tmp_path.glob("*/history.csv")}
    assert len(losses) == 3
    assert found["best"]["loss"] == pytest.approx(min(losses.values()))
    names = [path.name for path in sorted(losses, key=lambda path: path.stat().st_ctime)]
    assert any(name.startswith("lr0.00123456-batch_size20-") for name in names)  # to the last digit
    assert any("-batch_size30-" in name for name in names)
    # Again, with a point more at the end of both: nothing is drawn twice, and the edges are said.
    more = first.replace("']", "','optimizer.lr=0.01 batch_size=10']")
    found = searched(tmp_path, *words, more, "sweep.trials=4")
    assert found["trials"] == {"complete": 4}
    assert found["best"]["overrides"] == ["optimizer.lr=0.01", "batch_size=10"]
    told = list(sentences(read_summary(tmp_path)))
    assert told[0].startswith("best point: optimizer.lr=0.01 batch_size=10 (loss ")
    assert told[1] == (
        "optimizer.lr=0.01 lies at the upper edge of what was searched, 1e-07 to 0.01; better ones may lie beyond"
    )
    assert told[2].startswith("batch_size=10 lies at the lower edge of what was searched, 10 to 30")


def test_several_objectives_give_the_points_that_none_beats(tmp_path: Path) -> None:
    from dlrun.sweeps.found import read_summary, sentences

    words = ["model=fc_64,fc_512", "optimizer.lr=interval(1e-6,0.5)", "validation=0.2"]
    found = searched(tmp_path, *words, "sweep.objective=[accuracy,parameters]", "sweep.trials=6")
    results = [json.loads(path.read_text()) for path in tmp_path.glob("*/result.json")]
    rows = [path.read_text().splitlines()[-1].split(",") for path in tmp_path.glob("*/history.csv")]
    made = {(float(row[4]), result["parameters"]["total"]) for row, result in zip(rows, results, strict=True)}
    best = {one for one in made if not any(two != one and two[0] >= one[0] and two[1] <= one[1] for two in made)}
    assert {(one["accuracy"], one["parameters"]) for one in found["front"]} == best
    told = list(sentences(read_summary(tmp_path)))
    assert told[0] == "Pareto front, the points that none beats in accuracy and parameters:"
    assert told[1].startswith(f"  accuracy {max(best)[0]:.4f}, parameters {max(best)[1]:,}  model=fc_")
    with pytest.raises(UsageError, match="holds a search for accuracy and parameters; choose another"):
        searched(tmp_path, *words, "sweep.objective=loss")


def test_a_study_of_an_earlier_dlrun_is_one_for_accuracy(tmp_path: Path) -> None:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    journal = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))
    optuna.create_study(storage=journal, study_name="search", direction="maximize")
    with pytest.raises(UsageError, match="holds a search for accuracy; choose another"):
        searched(tmp_path, "batch_size=10,20", "sweep.objective=loss", "sweep.trials=1", "model=fc_64")
    assert searched(tmp_path, "batch_size=10,20", "sweep.trials=1", "model=fc_64")["trials"] == {"complete": 1}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("median", "MedianPruner"),
        ("percentile", "PercentilePruner"),
        ("successive_halving", "SuccessiveHalvingPruner"),
        ("hyperband", "HyperbandPruner"),
        ("none", "NopPruner"),
    ],
)
def test_a_pruner_is_optunas_own_and_judges_what_it_is_told(name: str, kind: str, tmp_path: Path) -> None:
    from dlrun.config.schema import Sweep
    from dlrun.sweeps.search import open_search

    typed = [*TINY, "epochs=30", "model=fc_64", "device=cpu", "optimizer.lr=interval(0.1,1)"]
    study = open_search(typed, Sweep(pruner=name), tmp_path).study
    assert type(study.pruner).__name__ == kind
    stopped = 0
    for number in range(30):
        trial = study.ask()
        for epoch in range(1, 31):
            trial.report(1 / (number + 1), epoch)  # each worse than all before
            if trial.should_prune():
                stopped += 1
                break
        study.tell(trial, 0.0)
    assert (stopped > 5) == (name != "none")
