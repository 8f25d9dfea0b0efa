"""`dlrun report` as a command: formats, options, exit status, no torch."""

import csv
import dataclasses
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import result_of_a_run

from dlrun.compose import compose
from dlrun.config import identity
from dlrun.errors import UsageError
from dlrun.folders import write_config
from dlrun.result import Result
from dlrun.verbs.report import main

TYPED = ["data=mnist", "model=fc_64", "precision=float32"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs, one of them failed."""
    for size, status in ((32, "completed"), (64, "failed")):
        run = tmp_path / "runs" / f"b{size}"
        run.mkdir(parents=True)
        config = compose([*TYPED, f"batch_size={size}"])
        write_config(run, config, TYPED)
        result_of_a_run(
            status=status,
            hash=identity(config),
            name=run.name,
            overrides=TYPED,
            best={"epoch": 7, "accuracy": 0.91, "selected_on": "val"},
            seconds={"total": 12.0},
            error={"type": "Killed", "message": "killed by SIGKILL\x1b[2J"} if status == "failed" else None,
        ).write(run)
    return tmp_path / "runs"


def test_text_has_leaderboard_and_failures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == [
        *["batch_size", "test", "accuracy", "n", "best", "epoch's", "best", "epoch", "last", "epoch"],
        *["parameters", "time", "status"],
    ]
    assert "Failed runs" in out
    assert r"killed by SIGKILL\x1b[2J" in out


@pytest.mark.parametrize("words", [["--columns", "model,lrr"], ["--sort", "lrr"], ["--sort=-lrr"]], ids=str)
def test_a_misspelt_column_is_answered_with_the_nearest_field(folder: Path, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        main([str(folder), *words])
    assert str(caught.value) == "column lrr: no such field; did you mean optimizer.lr?"


def test_other_formats_are_only_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(folder), "--json"])
    records = json.loads(capsys.readouterr().out)
    assert [record["test_accuracy"] for record in records] == [0.9, None]
    main([str(folder), "--csv", "--columns", "batch_size,test_accuracy", "--hide-failed"])
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [["batch_size", "test_accuracy", "test_accuracy_std", "tied_with_best"], ["32", "0.9", "", "false"]]
    main([str(folder), "--md"])
    assert capsys.readouterr().out.startswith("| batch\\_size |")
    main([str(folder), "--latex"])
    assert capsys.readouterr().out.startswith(r"\begin{tabular}")


def test_damaged_runs_are_named_on_standard_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b32" / "result.json").write_text("{")
    assert main([str(folder), "--csv"]) == 0
    assert "left out:" in capsys.readouterr().err


def test_exit_status_and_messages(
    folder: Path, tmp_path: Path, dlrun: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "empty").mkdir()
    for words in (["empty"], ["nowhere"], ["runs", "--sort", "nonsense"], ["runs/b32/config.yaml"], []):
        done = dlrun("report", *words)
        assert done.returncode == 2, words
        assert "Traceback" not in done.stderr
        assert done.stderr


def test_a_search_tells_what_it_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = {"best": {"overrides": ["a=1"], "accuracy": 0.5}, "importance": {"a": 0.75}, "trials": {"complete": 3}}
    (folder / "search.json").write_text(json.dumps(summary))
    main([str(folder)])
    out = capsys.readouterr().out
    assert "best point: a=1 (accuracy 0.5000)\nimportance: a 75%\ntrials: 3 complete\n" in out
    (folder / "search.json").write_text('{"best": 3}')
    assert main([str(folder)]) == 0


def test_no_torch(folder: Path) -> None:
    code = "import sys; from dlrun.verbs.report import main; main([sys.argv[1], '--md']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, folder], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_runs_that_differ_in_their_seed_get_a_mean_curve(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = compose([*TYPED, "batch_size=32", "seed=1"])
    first, second = folder / "b32", folder / "b32s1"
    result = Result.read(first)
    second.mkdir()
    write_config(second, config, TYPED)
    dataclasses.replace(result, seed=1, hash=identity(config)).write(second)
    for run in (first, second):
        (run / "history.csv").write_text("epoch,train_loss,train_accuracy,test_loss,test_accuracy\n1,0.5,0.8,0.4,0.9\n")
    assert main([str(folder)]) == 0
    assert "curves over seeds" in capsys.readouterr().err
    assert list(folder.glob("aggregated/*, 2 seeds/mean/test/events.*"))
    assert main([str(folder), "--csv"]) == 0, "the folders of curves are no runs"
