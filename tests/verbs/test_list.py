"""`dlrun list`, `last` for the newest run, and tags and names in reports: on run folders as training leaves them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from helpers import heard, said

from dlrun.store.folders import hold
from dlrun.verbs.completion import candidates


def listed(*words: str) -> list[str]:
    """The names of the folders that `dlrun list WORDS` prints, in their order."""
    status, out, err = heard("list", *words, "--json")
    assert status == 0, err
    return [Path(record["folder"]).name for record in json.loads(out)]


def test_runs_are_listed_and_chosen_by_what_they_are(runs: Callable[..., Path]) -> None:
    runs("day/a", "data=mnist", "model=fc_64", "name=first try", "tags=[thesis,slides]", hours=50)
    runs("day/b", "data=fashion_mnist", "model=fc_512", "tags=[thesis]", hours=1)
    runs("sweep one/c", "data=mnist", "model=cnn_1layer", "seed=3", status="failed", hours=2)
    with hold(runs("day/d", "data=kmnist", "model=fc_64", "optimizer=adam", "epochs=7", status=None, hours=0)):
        assert listed() == ["d", "b", "c", "a"]
        assert listed("running") == listed("status=running") == ["d"]
        text = said("list")[1]
    assert listed("interrupted") == ["d"]
    assert re.search(r"running 0/7", text)
    assert "'outputs/sweep one/c'\n" in text, "can be pasted"
    assert text.splitlines()[0].split() == [
        "date",
        "data",
        "model",
        "status",
        *["test", "accuracy", "time", "name", "tags", "run"],
    ]
    for words, names in {
        ("fashion",): ["b"],
        ("FIRST",): ["a"],
        ("thesis",): ["b", "a"],
        ("failed", "mnist"): ["c"],
        ("cnn",): ["c"],
        ("outputs/day",): ["d", "b", "a"],
        ("data=mnist",): ["c", "a"],
        ("model=fc_*",): ["d", "b", "a"],
        ("seed=3",): ["c"],
        ("lr=0.001", "optimizer=adam"): ["d"],
        ("name=first*",): ["a"],
        ("--name", "first*"): ["a"],
        ("tag=slides",): ["a"],
        ("--tag", "thesis", "--tag", "slides"): ["a"],
        ("--since", "2026-09-20"): ["d", "b", "c"],
        ("--below", "outputs/day", "failed"): [],
    }.items():
        assert listed(*words) == names, words
    for words, sentence in {
        ("seedd=3",): "dlrun: seedd: no such field; did you mean seed?\n",
        ("fc_65",): "none of 4 runs; no run has fc_65; did you mean fc_64?\n",
        ("--tag", "thesiss"): "none of 4 runs; no run has the tag thesiss; did you mean thesis?\n",
        ("failed", "fashion"): "none of 4 runs; no run has all of that\n",
        (
            "--since",
            "3x",
        ): "dlrun: --since 3x: expected a date as 2026-11-20 or today, or a time ago as 3d, 2h, 30min, 1w\n",
    }.items():
        assert said("list", *words)[1] == sentence


def test_the_newest_run_is_called_last(runs: Callable[..., Path], tmp_path: Path) -> None:
    assert said("show", "last") == (2, "dlrun: last: there is no run in outputs here\n")
    runs("old", "data=mnist", "model=fc_64", hours=2)
    runs("sweeps/s/new", "data=mnist", "model=fc_512", hours=1)
    said_of_it = "last is outputs/sweeps/s/new\n"
    status, out, err = heard("show", "last")
    assert (status, err) == (0, said_of_it)
    assert "outputs/sweeps/s/new" in out.splitlines()[0]
    for verb in ("resume", "evaluate", "export"):
        status, _, err = heard(verb, "last", "no_such_field=1")
        assert status == 2
        assert err.startswith(said_of_it), verb
    assert heard("predict", "last")[2].startswith(said_of_it)
    assert heard("report", "last", "--json")[2] == said_of_it
    assert candidates("dlrun show la") == ["last"]
    assert candidates("dlrun show out") == []
    (tmp_path / "last").mkdir()
    assert "last: not the folder of a run" in said("show", "last")[1], "a folder of that name is meant, if there is one"


def test_reports_know_tags_and_names(runs: Callable[..., Path]) -> None:
    for seed in (0, 1):
        runs(f"a{seed}", "data=mnist", "model=fc_64", f"seed={seed}", "tags=[thesis]", "name=small")
    runs("b", "data=mnist", "model=fc_512", "tags=[other]")
    title, line = said("report")[1].splitlines()[:2]
    assert title == "mnist; every row: best epoch 7, last epoch 10, parameters 55,050", (
        "the board, which they don't change"
    )
    heads = line.split()
    assert (heads[:2], heads[-1]) == (["model", "name"], "tags")
    page = Path("outputs/report.html").read_text()
    assert page.count("thesis") >= 3, "in the leaderboard and in every row of the runs, which the page's filter reads"
    for words in (("--tag", "thesis"), ("--name", "sm*")):
        (record,) = json.loads(heard("report", *words, "--json", "--columns", "model,name,tags,n")[1])
        assert record == {"model": "fc_64", "name": "small", "tags": ["thesis"], "n": 2}
    assert said("report", "--tag", "thesi") == (2, "dlrun: report: no run has the tag thesi; did you mean thesis?\n")
    assert "a table takes those of its rows" in said("report", "--table", "psc_mnist", "--tag", "thesis")[1]


def test_a_report_of_runs_without_either_is_as_before(runs: Callable[..., Path]) -> None:
    runs("a", "data=mnist", "model=fc_64")
    runs("b", "data=mnist", "model=fc_512")
    assert said("report")[1].splitlines()[1].split()[:3] == ["model", "test", "accuracy"]
