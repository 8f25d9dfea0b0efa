"""`dlrun report` as a command: formats, options, exit status, no torch."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import result_of_a_run

from dlrun.config.compose import compose
from dlrun.config.schema import identity
from dlrun.config.settled import settle
from dlrun.errors import UsageError
from dlrun.report.aggregate import aggregate
from dlrun.store.folders import write_config
from dlrun.store.result import Result
from dlrun.store.shelf import Shelf
from dlrun.tables import planned as plan
from dlrun.tables import table
from dlrun.verbs import show
from dlrun.verbs.report import main

KEPT = Path(__file__).parents[1] / "v0_1_0"
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
    title, heading = out.splitlines()[:2]
    assert title == "mnist; every row: parameters 55,050"
    assert heading.split() == [
        *["batch_size", "test", "accuracy", "n", "best", "epoch's", "best", "epoch", "last", "epoch", "time", "status"],
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
    assert rows == [["batch_size", "test_accuracy", "test_accuracy_std"], ["32", "0.9", ""]]
    main([str(folder), "--md"])
    assert capsys.readouterr().out.startswith("**mnist; every row: parameters 55,050**\n\n| batch\\_size |")
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


def test_without_a_folder_outputs_is_meant(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there is no folder outputs here"):
        main(["--csv"])
    folder.rename(tmp_path / "outputs")
    assert main(["--csv"]) == 0
    without = capsys.readouterr().out
    assert main(["outputs", "--csv"]) == 0
    assert without == capsys.readouterr().out


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
    before = set(folder.rglob("*"))
    assert main([str(folder)]) == 0
    assert set(folder.rglob("*")) - before == {folder / "report.html"}, "nobody asked for curves"
    assert "TensorBoard" not in capsys.readouterr().err
    assert main([str(folder), "--csv", "--curves", str(folder / "curves")]) == 0
    assert f"1 mean over seeds for TensorBoard: {folder / 'curves'}" in capsys.readouterr().err
    assert len(list(folder.glob("curves/*, 2 seeds/mean/events.*"))) == 1
    assert main([str(folder), "--csv"]) == 0, "the folders of curves are no runs"
    assert main([str(first), "--csv", "--curves", str(folder / "others")]) == 0
    assert "no curves over seeds: no configuration has two complete runs" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"--curves .*result\.json"):
        main([str(folder), "--csv", "--curves", str(first / "result.json")])
    with pytest.raises(UsageError, match="--curves goes with folders of runs"):
        main(["--table", "psc_mnist", "--curves", str(folder / "curves")])


def test_runs_that_do_not_count_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = folder / "b32"
    for name in ("copy", "other copy"):
        shutil.copytree(first, folder / name)
    again = shutil.copytree(first, folder / "again")
    dataclasses.replace(Result.read(first), test={"loss": 0.5, "accuracy": 0.8}).write(again)
    killed = shutil.copytree(first, folder / "killed")
    (killed / "result.json").unlink()
    for number, name in enumerate(["again", "copy", "b32", "other copy"]):
        os.utime(folder / name / "result.json", (number, number))
    last = folder / "other copy"
    copies = f"Copies, which count once: {folder / 'copy'} (of {last}), {first} (of {last})"
    repeats = f"which counts: {again} 0.8000 (of {last} 0.9000), {killed} interrupted (of {last} 0.9000)"
    for form in ([], ["--json"]):
        assert main([str(folder), *form]) == 0
        done = capsys.readouterr()
        lines = (done.err if form else done.out).splitlines()
        assert copies in lines
        assert any(line.endswith(repeats) for line in lines)
    assert copies in (folder / "report.html").read_text()


@contextlib.contextmanager
def someone_else() -> Iterator[None]:
    """Without the rights of root, which modes don't stop."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_runs_that_may_not_be_read_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        root.chmod(0o755)
        for name in ("complete", "extended", "shut/whole"):
            shutil.copytree(KEPT / Path(name).name, root / name)
        (root / "extended" / "result.json").chmod(0)
        (root / "interrupted").mkdir()
        for name in ("interrupted", "shut"):
            (root / name).chmod(0)
        with someone_else():
            assert main([place, "--json"]) == 0
            done = capsys.readouterr()
            assert [one["n"] for one in json.loads(done.out)] == [1]
            assert sorted(done.err.splitlines()) == [
                f"left out: {root}/extended/result.json: can't be read (Permission denied)",
                f"left out: {root}/interrupted/config.yaml: can't be read (Permission denied)",
                f"left out: {root}/shut/config.yaml: can't be read (Permission denied)",
            ]
            assert main([str(root / "shut")]) == 1
            assert "Permission denied" in capsys.readouterr().err
            assert show.main([str(root / "shut")]) == 1
            assert "Permission denied" in capsys.readouterr().out
            for verb in (main, show.main):
                with pytest.raises(UsageError, match=r"shut/whole: Permission denied"):
                    verb([str(root / "shut" / "whole")])
        for name in ("interrupted", "shut"):
            (root / name).chmod(0o755)


def test_a_seed_as_large_as_a_date_makes_no_config_of_every_smaller_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(KEPT, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    published = table.load("mine")
    words = [*published.rows[1].overrides, "seed=20240101"]
    settled = settle(compose(words))
    folder = plan.folder(settled, Shelf(plan.RUNS))
    folder.mkdir()
    write_config(folder, settled.config, words)
    content = {"name": "synthetic", "fingerprint": "a2f9ba940ba8771a", "verified": True}
    result_of_a_run(hash=settled.hash, seed=20240101, data=content, epochs=2).write(folder)
    started = time.process_time()
    assert main(["--table", "mine", "--json"]) == 0
    assert time.process_time() - started < 10
    assert [len(one["measured"]) for one in json.loads(capsys.readouterr().out)["lines"]] == [2, 3]


def test_curves_of_an_earlier_number_of_seeds_go(tmp_path: Path) -> None:
    """And nothing else that lies there."""
    runs = [tmp_path / str(seed) for seed in range(3)]
    for run in runs:
        run.mkdir()
        text = "epoch,train_loss,train_accuracy,test_loss,test_accuracy\n1,0.5,0.8,0.4,0.9\n"
        (run / "history.csv").write_text(text)
    place = tmp_path / "aggregated"
    aggregate({"a": runs[:2], "b": runs[:2]}, place)
    (place / "a, 2 seeds" / "mean" / "mine.txt").write_text("")
    (place / "my own, two seeds").mkdir()
    aggregate({"a": runs, "b": runs}, place)
    there = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    assert [name for name in there if "2 seeds" in name] == ["a, 2 seeds/mean/mine.txt"]
    assert (place / "my own, two seeds").is_dir()
    assert not (place / "b, 2 seeds").exists()
    assert (place / "b, 3 seeds").is_dir()
    aggregate({}, place)
    assert not (place / "b, 3 seeds").exists()
