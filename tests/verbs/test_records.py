"""`dlrun records`: pack, merge and show as commands."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import record_of_a_run

from dlrun.cli import main
from dlrun.config.compose import compose
from dlrun.locks import locked
from dlrun.records.files import read
from dlrun.store.folders import write_config
from dlrun.store.history import history_checksum

TYPED = ["data=mnist", "model=fc_64", "precision=float32", "epochs=2"]


def write_run(folder, config, accuracies=(0.8, 0.9), status="completed"):
    """A run folder as dlrun leaves it, less the checkpoints."""
    record = record_of_a_run(config, accuracies)
    folder.mkdir(parents=True)
    write_config(folder, config, TYPED)
    names = record.rows[0]
    lines = [",".join(names), *(",".join(map(repr, row.values())) for row in record.rows)]
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    result = replace(record.result, name=folder.name, overrides=TYPED, status=status)
    replace(result, history=history_checksum(folder)).write(folder)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working directory with three complete runs, one that failed, one that goes on, and one damaged."""
    monkeypatch.chdir(tmp_path)
    config = compose(TYPED)
    for seed in range(3):
        write_run(Path(f"outputs/runs/seed{seed}"), replace(config, seed=seed), (0.8, 0.9 + seed / 100))
    write_run(Path("outputs/failed"), replace(config, seed=3), status="failed")
    going = Path("outputs/going")
    going.mkdir()
    write_config(going, config, TYPED)
    write_run(Path("outputs/damaged"), replace(config, seed=4))
    path = Path("outputs/damaged/history.csv")
    path.write_text(path.read_text().replace("0.9", "0.8"))
    return tmp_path


def said(capsys, *words, status=0):
    assert main(["records", *words]) == status
    return capsys.readouterr()


def test_pack_takes_the_complete_runs_and_names_the_rest(work, capsys):
    packed = said(capsys, "pack", "outputs", "-o", "mine.jsonl")
    assert packed.out == "mine.jsonl: 3 records, 3 of them new\n"
    damaged = "left out: outputs/damaged/history.csv: damaged (not as it was when result.json was written)"
    assert packed.err.splitlines() == [damaged, "left out: 2 runs without a complete result"]
    assert [line.record.result.seed for line in read([Path("mine.jsonl")])] == [0, 1, 2]


def test_packing_into_one_file_at_once_loses_no_line(work, capsys):
    with ThreadPoolExecutor(3) as pool:
        folders = [f"outputs/runs/seed{seed}" for seed in range(3)]
        assert list(pool.map(lambda one: main(["records", "pack", one, "-o", "all.jsonl"]), folders)) == [0, 0, 0]
    assert [line.record.result.seed for line in read([Path("all.jsonl")])] == [0, 1, 2]
    with ThreadPoolExecutor(1) as pool:
        with locked(Path(".all.jsonl.lock")):
            waiting = pool.submit(main, ["records", "pack", folders[0], "-o", "all.jsonl"])
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
        assert waiting.result(10) == 0


def test_packing_again_gives_the_same_bytes_and_drops_nothing(work, capsys):
    said(capsys, "pack", "outputs/runs", "-o", "mine.jsonl")
    before = Path("mine.jsonl").read_bytes()
    assert "3 records, 0 of them new" in said(capsys, "pack", "outputs/runs", "-o", "mine.jsonl").out
    assert Path("mine.jsonl").read_bytes() == before
    write_run(Path("outputs/other/x"), replace(compose(TYPED), seed=9))
    assert "4 records, 1 of them new" in said(capsys, "pack", "outputs/other", "-o", "mine.jsonl").out


def test_merge_says_what_disagrees_and_show_names_it(work, capsys):
    said(capsys, "pack", "outputs/runs", "-o", "mine.jsonl")
    config = compose(TYPED)
    theirs = [record_of_a_run(replace(config, seed=0), (0.8, 0.95), cpu_capability="AVX512", threads=2)]
    theirs += [record_of_a_run(replace(config, seed=seed)) for seed in (7, 8)]
    Path("theirs.jsonl").write_bytes(b"".join(record.line() + b"\n" for record in theirs))
    merged = said(capsys, "merge", "mine.jsonl", "theirs.jsonl", "-o", "all.jsonl").out.splitlines()
    assert merged[0] == "all.jsonl: 6 records, 6 of them new"
    assert merged[1] == "1 run with results that disagree, all kept; dlrun records show all.jsonl names them"
    shown = said(capsys, "show", "all.jsonl").out
    assert "Results disagree, fc_64 " in shown
    assert "seed 0: 0.9000 on cpu AVX2, 1 thread, torch 2.13.0; 0.9500 on cpu AVX512, 2 threads, torch 2.13.0." in shown
    row = json.loads(said(capsys, "show", "all.jsonl", "--json").out)[0]
    # Seed 0 has two results, which are averaged first: (0.925 + 0.91 + 0.92 + 0.9 + 0.9) / 5.
    assert row["test_accuracy"] == pytest.approx(0.911)
    assert (row["n"], row["seeds"]) == (5, [0, 1, 2, 7, 8])
    assert "0-2,7-8" in shown


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["show", "nope.jsonl"], "nope.jsonl: no such file of records"),
        (["show", "notes.txt"], "notes.txt: line 2: no record"),
        (["merge", "notes.txt", "-o", "all.jsonl"], "notes.txt: line 2: no record"),
        (["pack", "outputs/runs", "-o", "notes.txt"], "notes.txt: line 2: no record"),
        (["pack", "outputs/failed", "-o", "all.jsonl"], "no complete run below outputs/failed"),
        (["pack", "nope", "-o", "all.jsonl"], "nope: no such folder"),
        (["merge", "notes.txt"], "records merge: -o/--output is missing"),
        (["shwo", "notes.txt"], "records: shwo is unknown; did you mean show?"),
        ([], "records: pack|merge|show is missing"),
    ],
    ids=str,
)
def test_mistakes_are_one_line_and_change_nothing(work, capsys, words, text):
    Path("notes.txt").write_text("\nno record\n")
    err = said(capsys, *words, status=2).err
    assert text in err
    assert Path("notes.txt").read_text() == "\nno record\n"
    assert not Path("all.jsonl").exists()


def test_records_need_no_torch(work):
    code = "import sys; from dlrun.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    for words in (["pack", "outputs", "-o", "mine.jsonl"], ["show", "mine.jsonl"]):
        command = [sys.executable, "-c", code, "records", *words]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0
