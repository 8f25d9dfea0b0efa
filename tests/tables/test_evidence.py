"""Rows filled by records: pooled seeds, longer runs, other precisions, other data."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import record_of_a_run

from dlrun.cli import main
from dlrun.config.settled import settle
from dlrun.errors import UsageError
from dlrun.tables import table as tables
from dlrun.tables.compare import compare
from dlrun.tables.evidence import gather, pool
from dlrun.tables.planned import plan, seeds_typed
from dlrun.tables.render import render
from dlrun.verbs.reproduce import request, to_run

TABLE = """
title: Mine
source: {document: A paper, heading: Table 1}
digits: 4
common: {data: synthetic, model: fc_64, precision: float32, epochs: 2}
rows:
  - {label: narrow, overrides: {batch_size: 16}, published: {test_accuracy: 0.9}}
  - {label: wide, overrides: {batch_size: 32}, published: {test_accuracy: 0.95}}
lessons:
  - {claim: wider helps, rows: [wide, narrow], direction: higher}
"""


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return own_table()


def own_table(more=""):
    Path("configs/table").mkdir(parents=True, exist_ok=True)
    Path("configs/table/mine.yaml").write_text(TABLE + more)
    return tables.load("mine")


def config_of(table, row=1, seed=0, **changes):
    planned = plan(table, table.rows[row - 1 : row], [seed])[0]
    return replace(planned.config, **changes)


def write(path, records):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(b"".join(record.line() + b"\n" for record in records))
    return Path(path)


def lines_of(table, files, seeds=(0, 1, 2), more=True):
    planned = plan(table, table.rows, seeds)
    found = gather(planned, pool(files, [(planned, table.precisions)]), table.precisions, more=more)
    return compare(table, table.rows, found)


def test_files_with_overlapping_seeds_give_the_same_table_in_either_order(table):
    here = [record_of_a_run(config_of(table, 1, seed), [0.5, 0.89 + seed / 100]) for seed in range(3)]
    there = [record_of_a_run(config_of(table, 1, seed), [0.5, 0.9], cpu_capability="AVX512") for seed in (2, 30, 31)]
    first, second = write("a.jsonl", [*here, there[0]]), write("b.jsonl", [*there, here[1]])
    comparison = lines_of(table, [first, second])
    line = comparison.lines[0]
    assert line.measured == {0: 0.89, 1: 0.90, 2: pytest.approx(0.905), 30: 0.9, 31: 0.9}
    assert (line.n, line.statuses, line.repeats) == (5, {"completed": 5}, {2: (0.9, 0.91)})
    assert render(comparison, "csv") == render(lines_of(table, [second, first]), "csv")
    text = render(comparison, "text")
    assert "From records, not trained here: a.jsonl (4 runs of row 1)." in text
    assert "From records, not trained here: b.jsonl (2 runs of row 1)." in text
    assert "averaged first: row 1 seed 2: 0.9000, 0.9100." in text


@pytest.mark.slow
def test_thirty_files_of_a_class_make_one_table(table):
    sample = {row: record_of_a_run(config_of(table, row), [0.5, 0.8 + row / 20]) for row in (1, 2)}
    files = []
    for student in range(30):
        records = []
        for number in range(100):
            row, seed = 1 + number % 2, student * 50 + number // 2
            result = replace(sample[row].result, seed=seed, hash=settle(replace(sample[row].config, seed=seed)).hash)
            records.append(replace(sample[row], result=result))
        files.append(write(f"class/{student}.jsonl", records))
    comparison = lines_of(table, files)
    assert [line.n for line in comparison.lines] == [1500, 1500]
    assert [sum(line.records.values()) for line in comparison.lines] == [1500, 1500]


def test_without_more_only_the_planned_seeds_count(table):
    records = [record_of_a_run(config_of(table, 1, seed), [0.5, 0.9]) for seed in (0, 30)]
    line = lines_of(table, [write("a.jsonl", records)], more=False).lines[0]
    assert (line.measured, line.statuses) == ({0: 0.9}, {"completed": 1, "missing": 2})


def test_a_longer_run_fills_a_shorter_row_and_the_row_says_so(table):
    long = record_of_a_run(config_of(table, 1, epochs=4), [0.5, 0.7, 0.8, 0.9])
    comparison = lines_of(table, [write("a.jsonl", [long])], seeds=[0])
    line = comparison.lines[0]
    assert (line.measured, line.longer, line.epochs) == ({0: 0.7}, (4,), 2)
    assert "narrow (the first 2 of 4 epochs)" in render(comparison, "text")
    exact = record_of_a_run(config_of(table, 1), [0.5, 0.75])
    line = lines_of(table, [write("a.jsonl", [long, exact])], seeds=[0]).lines[0]
    assert (line.measured, line.longer) == ({0: 0.75}, ())


@pytest.mark.parametrize(
    "changes", [{"average": 0.9}, {"early_stopping": 3}, {"clip_norm": 1.0}, {"label_smoothing": 0.1}], ids=str
)
def test_runs_that_know_their_end_or_are_other_experiments_fill_no_shorter_row(table, changes):
    long = record_of_a_run(config_of(table, 1, epochs=4, **changes), [0.5, 0.7, 0.8, 0.9])
    assert lines_of(table, [write("a.jsonl", [long])], seeds=[0]).lines[0].n == 0


def test_a_row_takes_its_own_precision_alone_unless_the_table_says_otherwise(table):
    records = [
        record_of_a_run(config_of(table, 1, seed, precision="bfloat16"), [0.5, 0.9], precision="bfloat16")
        for seed in range(3)
    ]
    file = write("a.jsonl", records)
    assert lines_of(table, [file]).lines[0].n == 0
    either = own_table("precisions: [float32, bfloat16]\n")
    comparison = lines_of(either, [file])
    assert [(line.n, line.precision) for line in comparison.lines] == [(3, "bfloat16"), (0, None)]
    assert "narrow (in bfloat16)" in render(comparison, "text")
    own = record_of_a_run(config_of(table, 1, 7), [0.5, 0.8])
    line = lines_of(either, [write("a.jsonl", [*records, own])]).lines[0]
    assert (line.measured, line.precision) == ({7: 0.8}, None)


def test_the_first_precision_that_has_results_fills_a_row_whatever_auto_is_here(table):
    """On a GPU `auto` is bfloat16, and a row took that before float32."""
    records = [
        record_of_a_run(config_of(table, 1, 0, precision=name), [0.5, accuracy], precision=name)
        for name, accuracy in (("bfloat16", 0.7), ("float32", 0.9))
    ]
    Path("configs/table/mine.yaml").write_text(
        TABLE.replace("precision: float32", "precision: bfloat16") + "precisions: [float32, bfloat16]\n"
    )
    on_a_gpu = tables.load("mine")
    line = lines_of(on_a_gpu, [write("a.jsonl", records)]).lines[0]
    assert (line.measured, line.precision) == ({0: 0.9}, None)
    line = lines_of(on_a_gpu, [write("a.jsonl", records[:1])]).lines[0]
    assert (line.measured, line.precision) == ({0: 0.7}, "bfloat16")
    assert sum(line.statuses.values()) == 3


def test_results_on_other_data_are_not_mixed_in(table):
    usual = [record_of_a_run(config_of(table, 1, seed), [0.5, 0.9]) for seed in (0, 1)]
    other = {"name": "synthetic", "fingerprint": "ff", "verified": True}
    strange = [record_of_a_run(config_of(table, 1, seed), [0.5, 0.1], data=other) for seed in (1, 2)]
    unverified = {"name": "synthetic", "fingerprint": "00", "verified": False}
    more = [record_of_a_run(config_of(table, 1, seed), [0.5, 0.2], data=unverified) for seed in range(9)]
    line = lines_of(table, [write("a.jsonl", [*strange, usual[0], *more, usual[1]])]).lines[0]
    # Two contents with two seeds each, both official: that which sorts first.
    assert line.measured == {0: 0.9, 1: 0.9}
    assert line.statuses == {"completed": 2, "other data": 1}


def test_a_record_of_a_run_that_is_here_too_counts_once(table, tmp_path, monkeypatch):
    from dlrun.store.folders import write_config
    from dlrun.store.history import history_checksum

    planned = plan(table, table.rows[:1], [0])[0]
    record = record_of_a_run(planned.config, [0.5, 0.9])
    planned.folder.mkdir(parents=True)
    write_config(planned.folder, planned.config, planned.overrides)
    lines = [",".join(record.rows[0]), *(",".join(map(repr, row.values())) for row in record.rows)]
    (planned.folder / "history.csv").write_text("\n".join(lines) + "\n")
    replace(record.result, history=history_checksum(planned.folder)).write(planned.folder)
    elsewhere = record_of_a_run(planned.config, [0.5, 0.8], threads=8)
    line = lines_of(table, [write("a.jsonl", [record, elsewhere])]).lines[0]
    assert line.repeats == {0: (0.8, 0.9)}
    assert line.records == {"a.jsonl": 1}


# --- commands ---------------------------------------------------------------------------------------------


def test_what_is_in_records_is_not_trained_again(table, capsys):
    records = [record_of_a_run(config_of(table, row, seed), [0.5, 0.9]) for row in (1, 2) for seed in range(3)]
    write("class/a.jsonl", records[:5])
    asked = request(["mine", "--records", "class"])
    assert [job.name for job in to_run(asked)] == ["wide seed 2"]
    assert main(["plan", "mine", "--rows", "1", "--records", "class/a.jsonl"]) == 0
    assert capsys.readouterr().out == "0 of 3 runs are missing in outputs/runs\n"
    write("records/mine.jsonl", records[5:])
    assert main(["reproduce", "mine", "--records", "class/a.jsonl"]) == 0
    out = capsys.readouterr().out
    assert "From records, not trained here: class/a.jsonl (5 runs of rows 1-2)." in out
    assert "From records, not trained here: records/mine.jsonl (1 run of row 2)." in out
    assert not Path("outputs").exists()


def test_overrides_may_stand_behind_the_files(table):
    write("a.jsonl", [record_of_a_run(config_of(table, 1, epochs=3), [0.5, 0.6, 0.7])])
    asked = request(["mine", "--rows", "1", "--records", "a.jsonl", "epochs=3", "--seeds", "1"])
    assert to_run(asked) == []


def test_seeds_of_ones_own_are_run_and_alone_counted(table, capsys):
    records = [record_of_a_run(config_of(table, row, seed), [0.5, 0.9]) for row in (1, 2) for seed in (0, 30, 31)]
    write("a.jsonl", records)
    asked = request(["mine", "--records", "a.jsonl", "--seeds", "30-32"])
    assert [job.name for job in to_run(asked)] == ["narrow seed 32", "wide seed 32"]
    assert main(["reproduce", "mine", "--records", "a.jsonl", "--seeds", "30,31"]) == 0
    assert main(["report", "--table", "mine", "--records", "a.jsonl", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("\n{") :])["lines"][0]["measured"] == {"0": 0.9, "30": 0.9, "31": 0.9}


def test_a_table_and_its_page_are_made_from_records_alone(table, capsys):
    records = [record_of_a_run(config_of(table, row, seed), [0.5, 0.9]) for row in (1, 2) for seed in range(3)]
    write("a.jsonl", records)
    assert main(["report", "--table", "mine", "--records", "a.jsonl", "--html", "page.html"]) == 0
    page = Path("page.html").read_text()
    assert "From records, not trained here: a.jsonl (6 runs of rows 1-2)." in page
    assert 'href="a.jsonl"' in page
    assert "outputs/runs" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reproduce", "mine", "--records", "nope.jsonl"], "nope.jsonl: no such file of records"),
        (["reproduce", "mine", "--records"], "reproduce: --records: expected at least one argument"),
        (["report", "--table", "mine", "--records", "bad.jsonl"], "bad.jsonl: line 1: no record"),
        (["plan", "mine", "--records", "bad.jsonl"], "bad.jsonl: line 1: no record"),
        (["report", "--records", "bad.jsonl"], "report: --records goes with --table"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(table, capsys, words, said):
    Path("bad.jsonl").write_text("no record\n")
    assert main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", " ", "x", "1001", "3-1", "-1", "1-", "0-1000", "1,,2", "1.5", "9" * 30])
def test_seeds_that_mean_nothing_are_refused(text):
    with pytest.raises(ValueError, match=re.escape(text[:5])):
        seeds_typed(text)


def test_a_single_seed_is_a_list_of_one():
    assert seeds_typed("7,") == seeds_typed("7-7") == (7,)
    assert seeds_typed("20240101-20240103") == (20240101, 20240102, 20240103)


def test_precisions_that_are_none_are_refused(table):
    with pytest.raises(UsageError, match=r"precisions=.*expected one of float32, bfloat16, float16"):
        own_table("precisions: [float64]\n")
