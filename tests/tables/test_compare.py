"""Published beside measured, from results as runs write them."""

import csv
import io
import json
import os
from pathlib import Path

import pytest
from helpers import result_of_a_run

from dlrun.tables import table as tables
from dlrun.tables.compare import compare
from dlrun.tables.plan import find, plan
from dlrun.tables.render import render

TABLE = r"""
title: "Mine | <b>"
source: {document: A paper, heading: Table 1}
digits: 4
common: {data: synthetic, model: fc_64, precision: float32, epochs: 2}
rows:
  - label: narrow
    overrides: {batch_size: 16}
    published: {test_accuracy: 0.9, train_accuracy: 0.91}
  - label: "=wide_\e[31m%"
    overrides: {batch_size: 32}
    published: {test_accuracy: 0.95, best_accuracy: 0.97}
    note: A reading.
  - label: unprinted
    overrides: {batch_size: 64}
    published: null
lessons:
  - {claim: wider helps, rows: ["=wide_\e[31m%", narrow], direction: higher}
"""


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return _own_table()


def _own_table():
    folder = Path("configs/table")
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(TABLE)
    return tables.load("mine")


def write(planned, test=0.9, status="completed", fingerprint="abcd", best=None):
    """A run folder as a run leaves it."""
    config = planned.config
    planned.folder.mkdir(parents=True, exist_ok=True)
    done = status == "completed"
    result_of_a_run(
        status=status,
        hash=planned.hash,
        name=planned.folder.name,
        seed=planned.seed,
        overrides=list(planned.overrides),
        data={"name": "synthetic", "fingerprint": fingerprint, "verified": True},
        epochs=config.epochs,
        train={"loss": 0.1, "accuracy": 0.92} if done else None,
        test={"loss": 0.2, "accuracy": test} if done else None,
        best={"epoch": 1, "accuracy": best or test, "selected_on": "test"} if done else None,
        seconds={"total": 10.0, "train": 8.0, "evaluate": 2.0, "start": 1.0},
        error=None if done else {"type": "RunFailed", "message": "out of memory"},
    ).write(planned.folder)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Row 1 reproduced (n = 3), row 2 close, with one failed seed and one interrupted one, row 3 missing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        return _partial(_own_table())


def _partial(table):
    planned = plan(table, table.rows, range(3))
    first = planned[:6]
    for one, test in zip(first[:3], (0.899, 0.9, 0.902), strict=True):
        write(one, test)
    write(first[3], 0.951, best=0.98)
    write(first[4], status="failed")
    first[5].folder.mkdir(parents=True)
    (first[5].folder / "config.yaml").touch()
    return compare(table, table.rows, find(planned))


def test_rows_are_all_there_with_n_and_verdict(comparison):
    assert [(line.label, line.metric, line.n, line.verdict) for line in comparison.lines] == [
        ("narrow", "test_accuracy", 3, "reproduced"),
        ("=wide_\x1b[31m%", "test_accuracy", 1, "close"),
        ("=wide_\x1b[31m%", "best_accuracy", 1, "differs"),
        ("unprinted", "test_accuracy", 0, None),
    ]
    assert [line.statuses for line in comparison.lines] == [
        {"completed": 3},
        {"completed": 1, "failed": 1, "interrupted": 1},
        {"completed": 1, "failed": 1, "interrupted": 1},
        {"missing": 3},
    ]


def test_numbers_of_a_row(comparison):
    line = comparison.lines[0]
    # mean of 0.899, 0.900, 0.902; s = sqrt(14/3) * 1e-3 / sqrt(2)
    assert line.mean == pytest.approx(0.900333, abs=1e-6)
    assert line.std == pytest.approx(0.0015275, abs=1e-7)
    assert line.half_width == pytest.approx(4.302653 * 0.0015275 * (4 / 3) ** 0.5 + 0.00005, abs=1e-6)
    assert line.difference == pytest.approx(0.000333, abs=1e-6)
    assert (line.epochs, line.seconds, line.published_train, line.measured_train) == (2, 10, 0.91, 0.92)
    assert line.measured == {0: 0.899, 1: 0.9, 2: 0.902}


def test_a_printed_maximum_is_compared_with_the_best_epoch_and_labelled(comparison):
    line = comparison.lines[2]
    assert (line.mean, line.published, line.selected_on) == (0.98, 0.97, "test")
    assert "(best epoch, selected on test)" in render(comparison, "text")


def test_lessons_need_three_pairs(comparison):
    lesson = comparison.lessons[0]
    assert (lesson.n, lesson.outcome, lesson.difference) == (1, "open", pytest.approx(0.052))


def test_lesson_over_pairs(table):
    for planned in plan(table, table.rows[:2], range(3)):
        write(planned, 0.9 + 0.001 * planned.seed + (0.01 if planned.row.number == 2 else 0))
    comparison = compare(table, table.rows, find(plan(table, table.rows, range(3))))
    assert [(one.n, one.outcome) for one in comparison.lessons] == [(3, "holds")]
    assert (comparison.tau, comparison.tau_rows) == (1, 2)


def test_what_it_rests_on_is_said(comparison):
    assert comparison.made == {
        "device": ["cpu"],
        "precision": ["float32"],
        "threads": ["1"],
        "versions": ["dlrun 0.1.0", "torch 2.13.0"],
        "data": ["synthetic (verified, abcd)"],
    }


def test_runs_of_another_hash_are_not_mixed_in(table):
    for planned in plan(table, table.rows[:1], range(3), ["epochs=3"]):
        write(planned)
    first = plan(table, table.rows[:1], range(1))[0]
    other = plan(table, table.rows[:1], range(1), ["epochs=3"])[0]
    other.folder.rename(first.folder)
    assert [one.status for one in find(plan(table, table.rows[:1], range(3)))] == ["missing"] * 3


def test_runs_on_data_that_changed_since_are_not_mixed_in(table):
    planned = plan(table, table.rows[:1], range(3))
    for one, content in zip(planned, ("bbbb", "aaaa", "bbbb"), strict=True):
        write(one, fingerprint=content)
    os.utime(planned[1].folder / "result.json", (0, 0))
    found = find(planned)
    assert [one.status for one in found] == ["completed", "other data", "completed"]
    comparison = compare(table, table.rows[:1], found)
    assert comparison.lines[0].n == 2
    assert "1 on other data" in render(comparison, "text")


def test_a_copied_folder_can_be_compared(table, tmp_path):
    planned = plan(table, table.rows[:1], range(1))
    write(planned[0])
    (tmp_path / "outputs" / "runs").rename(tmp_path / "copied")
    assert find(planned)[0].status == "missing"
    assert find(planned, runs=tmp_path / "copied")[0].status == "completed"


def measured_with(table, *own):
    """The comparison of one seed a row, run with the user's overrides."""
    planned = plan(table, table.rows, range(1), own)
    for one in planned:
        write(one)
    return compare(table, table.rows, find(planned), own)


def test_other_experiments_than_the_published_ones_get_no_verdict_and_no_lessons(table):
    comparison = measured_with(table, "epochs=1")
    assert {line.verdict for line in comparison.lines if line.published} == {"not comparable"}
    assert comparison.lessons == ()
    assert "Not the published settings: run with epochs=1." in render(comparison, "text")


def test_a_change_counts_for_the_rows_that_it_changes(table):
    comparison = measured_with(table, "batch_size=16")
    verdicts = [line.verdict for line in comparison.lines]
    assert verdicts == ["close", "not comparable", "not comparable", None]
    assert comparison.changes == ("batch_size=16",)
    assert comparison.lessons == ()


@pytest.mark.parametrize("own", ["device=cpu", "threads=2", "precision=bfloat16", "sweep.slots=2", "epochs=2"])
def test_how_a_run_is_computed_changes_no_experiment(table, own):
    comparison = measured_with(table, own)
    assert [line.verdict for line in comparison.lines] == ["close", "differs", "differs", None]
    assert comparison.changes == ()
    assert len(comparison.lessons) == 1


# --- formats ----------------------------------------------------------------------------------------------


def test_text_escapes_what_a_terminal_would_obey(comparison):
    text = render(comparison, "text")
    assert "\x1b" not in text
    assert r"=wide_\x1b[31m%" in text
    assert "close; 1 failed; 1 interrupted" in text
    assert "3 missing" in text
    assert "seed 1 failed: out of memory" in text


def test_markdown_has_rows_lessons_and_readings(comparison):
    text = render(comparison, "md")
    assert r"Mine \| \<b\>" in text
    assert "| 1 | narrow | 0.9000 | 0.9003 ± 0.0015 | 3 | +0.03 | 0.76 | reproduced | 2 | 10.0 |" in text
    assert "Row 2, " in text
    assert "A reading." in text
    assert "| wider helps |" in text


def test_csv_is_plain_numbers_and_no_formulas(comparison):
    rows = list(csv.DictReader(io.StringIO(render(comparison, "csv"))))
    assert [row["label"] for row in rows] == ["narrow", *[r"'=wide_\x1b[31m%"] * 2, "unprinted"]
    assert (rows[0]["published"], rows[0]["mean"], rows[0]["published_train"]) == (
        "0.9",
        rows[0]["mean"],
        "0.91",
    )
    assert float(rows[0]["mean"]) == pytest.approx(0.900333, abs=1e-6)
    assert (rows[1]["failed"], rows[3]["missing"], rows[3]["mean"]) == ("1", "3", "")


def test_latex_is_escaped(comparison):
    text = render(comparison, "latex")
    assert r"=wide\_" in text
    assert r"\%" in text
    assert "\x1b" not in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2


def test_json_holds_everything(comparison):
    values = json.loads(render(comparison, "json"))
    assert values["table"] == "mine"
    assert values["lines"][0]["measured"] == {"0": 0.899, "1": 0.9, "2": 0.902}
    assert values["lessons"][0]["outcome"] == "open"
    assert values["failures"] == ["Row 2 (=wide_\x1b[31m%), seed 1 failed: out of memory"]
