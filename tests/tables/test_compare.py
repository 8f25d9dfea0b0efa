"""Published beside measured, from results as runs write them."""

import csv
import dataclasses
import io
import json
import os
from pathlib import Path

import pytest
from helpers import result_of_a_run

from dlrun.config.settled import settle
from dlrun.statistics import satterthwaite, t_above, t_quantile
from dlrun.store.result import Result
from dlrun.tables import table as tables
from dlrun.tables.compare import compare
from dlrun.tables.lines import UNCONFIRMED
from dlrun.tables.planned import find, plan
from dlrun.tables.render import one_experiment, render

TABLE = r"""
title: "Mine | <b>"
source: {document: A paper, heading: Table 1}
digits: 4
common: {data: synthetic, data.test_images: 10000, model: fc_64, precision: float32, epochs: 2}
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


def write(planned, test=0.9, status="completed", fingerprint="abcd", best=None, loss=None, jumps=False):
    """A run folder as a run leaves it; `jumps` writes the history of a run whose jitter is known."""
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
        test={"loss": loss or 0.2 + 0.001 * planned.seed, "accuracy": test} if done else None,
        best={"epoch": 1, "accuracy": best or test, "selected_on": "test"} if done else None,
        seconds={"total": 10.0, "train": 8.0, "evaluate": 2.0, "start": 1.0},
        error=None if done else {"type": "RunFailed", "message": "out of memory"},
    ).write(planned.folder)
    if jumps:
        epochs = [f"{epoch},{test + 0.0001 * (-1) ** epoch}" for epoch in range(1, config.epochs + 1)]
        (planned.folder / "history.csv").write_text("\n".join(["epoch,test_accuracy", *epochs]) + "\n")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Row 1 reproduced (n = 3), row 2 with one short run, a failed seed and an interrupted one, row 3 missing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        return _partial(_own_table())


def _partial(table):
    planned = plan(table, table.rows, 3)
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
        ("=wide_\x1b[31m%", "test_accuracy", 1, "reproduced"),
        ("=wide_\x1b[31m%", "best_accuracy", 1, "undecided"),
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
    # v0 = 0.1 / 20000, from the published error rate; v = (8 v0 + 2 s²) / 10 on 10; u² = 4/3 v + 1e-8/12
    v = (8 * 0.1 / 20000 + 2 * 0.0015275**2) / 10
    assert line.half_width == pytest.approx(2.228139 * (v * 4 / 3 + 1e-8 / 12) ** 0.5, abs=1e-6)
    assert line.normalized_error == pytest.approx(line.difference / line.half_width)
    assert (line.margin, line.seeds_that_decide, line.remarks) == (0.01, None, ())
    assert line.difference == pytest.approx(0.000333, abs=1e-6)
    assert (line.epochs, line.seconds, line.published_train, line.measured_train) == (2, 10, 0.91, 0.92)
    assert line.measured == {0: 0.899, 1: 0.9, 2: 0.902}


def test_a_printed_maximum_is_compared_with_the_best_epoch_and_labelled(comparison):
    line = comparison.lines[2]
    assert (line.mean, line.published, line.selected_on) == (0.98, 0.97, "test")
    assert "(best epoch, selected on test)" in render(comparison, "text")


def test_a_lesson_on_one_short_run_stays_open(comparison):
    lesson = comparison.lessons[0]
    assert (lesson.n, lesson.outcome, lesson.difference) == ((1, 3), "open", pytest.approx(0.951 - 0.900333, abs=1e-6))
    assert lesson.p < 0.001
    assert lesson.chance > 0.99


def test_lesson_over_seeds(table):
    for planned in plan(table, table.rows[:2], 3):
        write(planned, 0.9 + 0.001 * planned.seed + (0.01 if planned.row.number == 2 else 0))
    comparison = compare(table, table.rows, find(plan(table, table.rows, 3)))
    assert [(one.n, one.outcome) for one in comparison.lessons] == [((3, 3), "holds")]
    assert comparison.rank is None, "two rows have an order by chance half of the time"
    assert "Kendall" not in render(comparison, "text")


RICH = """
title: Rich
source: {document: A paper, heading: Table 2}
digits: 4
margin: {value: 0.02, reason: two points are nothing here}
common: {data: synthetic, data.test_images: 10000, model: fc_64, precision: float32, epochs: 10}
rows:
  - label: base
    overrides: {batch_size: 16}
    published: [{test_accuracy: 0.9, train_accuracy: 0.92, test_loss: 0.21}, {test_accuracy: 0.904}]
  - {label: again, same_as: base, published: {test_accuracy: 0.902}}
  - {label: elsewhere, same_as: {table: mine, row: unprinted}, published: {test_accuracy: 0.91, n: 30, std: 0.003}}
  - {label: read anew, overrides: {batch_size: 48}, reading_of: base}
  - {label: exact, overrides: {batch_size: 96}, published: {test_accuracy: 0.9}, deterministic: true}
  - {label: not measured, overrides: {batch_size: 112}, published: {val_accuracy: 0.9}}
lessons:
  - {claim: more helps, rows: [base, {table: mine, row: narrow}], direction: higher}
  - {claim: nothing changes, rows: [again, base], direction: not better, margin: 0.001}
  - {claim: reading anew is no better, rows: [read anew, base], direction: not better, margin: 0.02}
"""


@pytest.fixture
def rich(table):
    """A table that uses what a source may print, beside `mine`; three seeds of most rows."""
    Path("configs/table/rich.yaml").write_text(RICH)
    found = tables.load("rich")
    for one in plan(found, found.rows, 3):
        if one.row.label == "exact" and one.seed:
            continue
        if one.row.label != "not measured":
            write(one, {"read anew": 0.85, "exact": 0.9001}.get(one.row.label, 0.9) + 0.001 * one.seed, jumps=True)
    for one in plan(table, table.rows[:1], 3):
        write(one, 0.89 + 0.001 * one.seed)
    return found


def compared(table, seeds=3):
    return compare(table, table.rows, find(plan(table, [*table.rows, *table.others], seeds)))


def test_several_printed_numbers_of_one_experiment_have_a_verdict_each_and_count_once(rich):
    comparison = compared(rich)
    lines = [line for line in comparison.lines if line.label in ("base", "again")]
    assert [(line.published, line.mean) for line in lines] == [
        (0.9, pytest.approx(0.901)),
        (0.904, pytest.approx(0.901)),
        (0.902, pytest.approx(0.901)),
    ]
    assert {line.verdict for line in lines} == {"reproduced"}
    # base with again, and elsewhere (outside); a reading of base is no other row, and in the exact one is no chance
    assert (comparison.foot.rows, comparison.foot.outside) == (2, 1)
    assert [line.reading_of for line in comparison.lines][-3] == "base"


def test_an_experiment_that_is_printed_several_times_is_said(rich):
    comparison = compared(rich)
    assert one_experiment(comparison) == [
        "Rows 1 (base), 2 (again) are one experiment, printed 3 times: 0.9000, 0.9040, 0.9020. "
        "In print 0.9000 to 0.9040, standard deviation 0.00200; 3 seeds: 0.9000 to 0.9020, standard deviation 0.00100.",
    ]
    alone = compare(rich, rich.rows[1:2], find(plan(rich, rich.rows[1:2], 1)))
    assert one_experiment(alone) == [
        "Row 2 (again) is one experiment, printed 3 times: 0.9020; in row base 0.9000, 0.9040. "
        "In print 0.9000 to 0.9040, standard deviation 0.00200; 1 seed: 0.9000."
    ]
    assert one_experiment(comparison)[0] in render(comparison, "text").replace("\n", " ")
    lines = json.loads(render(comparison, "json"))["lines"]
    assert [(line["same_as"], line["elsewhere"]) for line in lines if line["row"] in (2, 3)] == [
        (["rich", "base"], [0.9, 0.904]),
        (["mine", "unprinted"], []),
    ]


def test_an_experiment_that_another_table_prints_is_said():
    assert one_experiment(compared(tables.load("kmnist_benchmark"), 1)) == [
        "Row 3 (Keras simple CNN, MNIST) is one experiment, printed 2 times: 0.9906; in row mnist_cnn.py, Adadelta at "
        "1.0 of keras_examples 0.9925. In print 0.9906 to 0.9925; not measured."
    ]


def test_what_is_printed_of_held_out_images_is_told_from_the_test_set():
    comparison = compared(tables.load("theano_tutorials"), 1)
    assert [said.partition(":")[0] for said in one_experiment(comparison)] == [
        "Row 3 (LeNet (20, 50)) is one experiment, printed 3 times",
        "Row 3 (LeNet (20, 50)) is one experiment, printed 3 times, on held-out images",
    ]
    page = render(comparison, "md")
    assert "| 2 | MLP (500 tanh) | 0.9835 |" in page
    assert "| 2 | MLP (500 tanh) (on held-out images) | 0.9831 |" in page
    assert "held-out images)" not in render(compared(tables.load("geron_optimizers"), 1), "md")


def test_a_published_spread_counts_on_its_own_side(rich):
    line = next(line for line in compared(rich).lines if line.label == "elsewhere")
    assert (line.published_n, line.published_std) == (30, 0.003)
    v0 = (1 - 0.901) / 20000
    v, w = (8 * v0 + 2e-6) / 10, (8 * v0 + 29 * 9e-6) / 37
    u = (v / 3 + w / 30 + 1e-8 / 12) ** 0.5
    degrees = satterthwaite(((v / 3, 10), (w / 30, 37)))
    assert line.half_width == pytest.approx(t_quantile(degrees) * u)
    assert "0.9100 ± 0.0030 (n = 30)" in render(compared(rich), "text")


def test_a_reading_that_fails_differs_and_an_exact_row_needs_its_last_digit(rich):
    lines = {line.label: line for line in compared(rich).lines}
    assert lines["read anew"].verdict == "differs"
    assert (lines["exact"].verdict, lines["exact"].p, lines["exact"].remarks) == ("close", None, ("no chance enters",))
    assert (lines["exact"].margin, lines["exact"].margin_reason) == (0.02, "two points are nothing here")
    assert lines["not measured"].verdict is None


def test_what_is_not_measured_counts_among_the_printed_rows(rich):
    # six numbers that chance enters: base twice, again, elsewhere, read anew, not measured
    line = next(line for line in compared(rich).lines if line.label == "read anew")
    alone = compare(rich, [rich.rows[3]], find(plan(rich, [rich.rows[3]], 3))).lines[0]
    assert line.p == alone.p
    assert line.p < 0.05


def test_losses_and_training_accuracies_are_compared_beside_the_verdict(rich):
    beside = compared(rich).lines[0].beside
    assert list(beside) == ["train_accuracy", "test_loss"]
    assert beside["test_loss"].measured == pytest.approx(0.201)
    assert beside["test_loss"].difference == pytest.approx(-0.009)
    # of the loss two decimals are typed, of the accuracies four
    assert [beside[name].digits for name in beside] == [4, 2]
    t = 0.009 / (1e-6 * 4 / 3 + 1e-4 / 12) ** 0.5
    assert beside["test_loss"].p == pytest.approx(2 * t_above(t, 2))
    header = render(compared(rich), "md").splitlines()
    assert any("| test loss, published | test loss, measured |" in line for line in header)


def test_lessons_reach_into_other_tables_and_know_equal_runs(rich):
    lessons = compared(rich).lessons
    assert [(one.rows[1], one.outcome) for one in lessons] == [
        ("narrow (mine)", "holds"),
        ("base", "the same runs"),
        ("base", "holds"),
    ]
    assert lessons[1].p is None
    assert "read anew < base + 2.00 points" in render(compared(rich), "text")


def test_seeds_without_effect_and_unstable_ones_are_said(rich):
    for one in plan(rich, rich.rows[:1], 3):
        write(one, 0.9, loss=0.2)
    for one in plan(rich, rich.rows[3:4], 3):
        write(one, 0.85 + 0.03 * one.seed)
    lines = {line.label: line for line in compared(rich).lines}
    assert lines["base"].remarks == ("the seed has no effect",)
    assert (lines["base"].n, lines["base"].std) == (3, None)
    assert lines["read anew"].remarks[0].startswith("unstable")
    assert (lines["read anew"].verdict, lines["read anew"].seeds_that_decide) == ("undecided", None)
    assert "undecided; no number of seeds decides" in render(compared(rich), "text")


def test_one_seed_says_where_nothing_confirms_its_spread(rich):
    def remarks(seeds):
        return {line.label: line.remarks for line in compared(rich, seeds).lines}

    assert remarks(1)["base"] == (UNCONFIRMED,)
    assert remarks(3)["base"] == ()


def test_results_of_one_seed_from_several_machines_are_averaged(rich):
    found = find(plan(rich, rich.rows[:1], 3))
    twice = [
        *found,
        dataclasses.replace(
            found[0], result=dataclasses.replace(found[0].result, test={"loss": 0.2, "accuracy": 0.91})
        ),
    ]
    line = compare(rich, rich.rows[:1], twice).lines[0]
    assert (line.n, line.measured[0]) == (3, pytest.approx(0.905))


def test_a_part_of_the_test_set_is_another_sample(table):
    planned = plan(table, table.rows[:1], 1, ["limit=1000"])
    changed = find(planned)
    whole = settle(dataclasses.replace(planned[0].config, limit=None))
    for one in planned:
        write(one, 0.9)
    plain, limited = (
        compare(table, table.rows[:1], [dataclasses.replace(find(planned)[0], planned=replaced)]).lines[0].half_width
        for replaced in (
            dataclasses.replace(planned[0], changed=False, settled=whole),
            dataclasses.replace(planned[0], changed=False),
        )
    )
    assert changed[0].status == "missing"
    assert limited**2 > plain**2 + (2.306**2) * 0.1 * 0.9 * (1 / 1000 + 1 / 10_000)


def test_what_it_rests_on_is_said(comparison):
    assert comparison.made == {
        "device": ["cpu"],
        "precision": ["float32"],
        "threads": ["1"],
        "versions": ["dlrun 0.1.0", "torch 2.13.0"],
        "data": ["synthetic (verified, abcd)"],
    }


def test_runs_of_another_hash_are_not_mixed_in(table):
    for planned in plan(table, table.rows[:1], 3, ["epochs=3"]):
        write(planned)
    first = plan(table, table.rows[:1], 1)[0]
    other = plan(table, table.rows[:1], 1, ["epochs=3"])[0]
    other.folder.rename(first.folder)
    assert [one.status for one in find(plan(table, table.rows[:1], 3))] == ["missing"] * 3


def test_runs_on_data_that_changed_since_are_not_mixed_in(table):
    planned = plan(table, table.rows[:1], 3)
    for one, content in zip(planned, ("bbbb", "aaaa", "bbbb"), strict=True):
        write(one, fingerprint=content)
    os.utime(planned[1].folder / "result.json", (0, 0))
    found = find(planned)
    assert [one.status for one in found] == ["completed", "other data", "completed"]
    comparison = compare(table, table.rows[:1], found)
    assert comparison.lines[0].n == 2
    assert "1 on other data" in render(comparison, "text")


BEST = r"""
title: Best
source: {document: A paper, heading: Table 1}
metric: best_accuracy
digits: 4
common: {data: synthetic, data.test_images: 10000, model: fc_64, precision: float32, epochs: 3}
rows:
  - label: one
    overrides: {batch_size: 16}
    published: {best_accuracy: 0.9, train_accuracy: 0.8, train_loss: 0.5, test_loss: 0.4}
"""


def test_what_is_printed_beside_a_best_epoch_is_compared_with_that_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("configs/table").mkdir(parents=True)
    Path("configs/table/best.yaml").write_text(BEST)
    best = tables.load("best")
    (planned,) = plan(best, best.rows, 1)
    write(planned, 0.85, best=0.9)  # in epoch 1; the last one's training accuracy is 0.92
    rows = ["1,0.5,0.81,0.41,0.9", "2,0.3,0.9,0.5,0.86", "3,0.1,0.92,0.6,0.85"]
    names = "epoch,train_loss,train_accuracy,test_loss,test_accuracy"
    (planned.folder / "history.csv").write_text("\n".join([names, *rows]) + "\n")
    (line,) = compare(best, best.rows, find([planned])).lines
    assert line.measured_train == 0.81
    assert {name: line.beside[name].measured for name in ("train_accuracy", "train_loss", "test_loss")} == {
        "train_accuracy": 0.81,
        "train_loss": 0.5,
        "test_loss": 0.41,
    }


def test_a_copied_folder_can_be_compared(table, tmp_path):
    planned = plan(table, table.rows[:1], 1)
    write(planned[0])
    (tmp_path / "outputs" / "runs").rename(tmp_path / "copied")
    assert find(planned)[0].status == "missing"
    copied = plan(table, table.rows[:1], 1, runs=tmp_path / "copied")
    assert find(copied)[0].status == "completed"


def measured_with(table, *own):
    """The comparison of one seed a row, run with the user's overrides."""
    planned = plan(table, table.rows, 1, own)
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
    assert verdicts == ["reproduced", "not comparable", "not comparable", None]
    assert comparison.changes == ("batch_size=16",)
    assert comparison.lessons == ()


@pytest.mark.parametrize("own", ["device=cpu", "threads=2", "precision=bfloat16", "sweep.slots=2", "epochs=2"])
def test_how_a_run_is_computed_changes_no_experiment(table, own):
    comparison = measured_with(table, own)
    # One run of two epochs tells nothing of another one, so that 5 points are no difference yet.
    assert [line.verdict for line in comparison.lines] == ["reproduced", "undecided", "undecided", None]
    assert comparison.changes == ()
    assert len(comparison.lessons) == 1


# --- curves and readings ----------------------------------------------------------------------------------

COURSES = """
title: Courses
source: {document: A paper, heading: Table 3}
digits: 4
common: {data: synthetic, data.test_images: 10000, model: fc_64, precision: float32, epochs: 10}
rows:
  - label: printed
    overrides: {batch_size: 16}
    published: {curve: [0.5, 0.9], best_epoch: 8, best_accuracy: 0.9}
    source: {document: Another paper, heading: Figure 2}
  - label: open
    overrides: {batch_size: 32}
    published: {test_accuracy: 0.9, train_accuracy: 0.92}
    reading: thirty-two
    epochs_printed: false
  - {label: open as well, overrides: {batch_size: 64}, reading_of: open, reading: sixty-four}
lessons: []
"""


@pytest.fixture
def courses(table):
    Path("configs/table/courses.yaml").write_text(COURSES)
    found = tables.load("courses")
    for one in plan(found, found.rows, 3):
        write(one, {"open as well": 0.7}.get(one.row.label, 0.9) + 0.001 * one.seed, jumps=True)
    return found


def test_a_printed_curve_and_a_best_epoch_are_compared(courses):
    line = compared(courses).lines[0]
    assert (line.metric, line.published) == ("test_accuracy", 0.9)
    assert line.curve.published == (0.5, 0.9)
    # write() gives every epoch an accuracy near the last one's
    assert (line.curve.largest, line.curve.largest_epoch) == (pytest.approx(0.401, abs=2e-4), 1)
    assert line.curve.apart == (1,)
    assert (line.beside["best_epoch"].published, line.beside["best_epoch"].measured) == (8, 1)
    text = render(compared(courses), "md")
    assert "| best epoch, published | best epoch, measured |" in text
    assert "| +40.09 in epoch 1 | 1 |" in text
    assert "Row 1 is printed in Another paper, Figure 2." in text


def test_a_row_without_printed_epochs_shows_its_curve_and_where_it_reaches_the_number(courses):
    comparison = compared(courses)
    assert comparison.lines[2].curve.passes == {0: 2, 1: 1, 2: 1}
    assert comparison.lines[3].curve.passes == {0: None, 1: None, 2: None}
    assert "| 2, 1, 1 | 1: 0.9009, 2: 0.9011, 5: 0.9009, 10: 0.9011 |" in render(comparison, "md")
    assert "The source prints no epochs of rows 2, 3." in render(comparison, "text")


def test_readings_are_judged_by_all_that_is_printed(courses):
    found = compared(courses).readings
    assert [(one.table, one.names, one.main, one.likeliest) for one in found] == [
        ("courses", ("thirty-two", "sixty-four"), "thirty-two", ("thirty-two",))
    ]
    held = found[0].rows[0].readings
    assert {name: (one.reaches, list(one.log_likelihood)) for name, one in held.items()} == {
        "thirty-two": (True, ["test_accuracy"]),  # all its training accuracies are equal
        "sixty-four": (False, ["test_accuracy"]),
    }
    assert found[0].sums["thirty-two"] - found[0].sums["sixty-four"] > 10
    assert "thirty-two is the likeliest reading" in render(compared(courses), "text")
    assert json.loads(render(compared(courses), "json"))["readings"][0]["likeliest"] == ["thirty-two"]


def test_what_counts_from_three_runs_on_is_named(courses):
    assert "Also printed, and counted from three runs on: train accuracy." in render(compared(courses, 2), "text")
    assert "counted from three runs on" not in render(compared(courses, 3), "text")


def test_readings_without_runs_are_named(courses):
    alone = compare(courses, courses.rows, find(plan(courses, courses.rows[:2], 3)))
    assert "without a completed run are sixty-four (1 row)" in render(alone, "text")
    assert alone.readings[0].likeliest == ()


def test_rows_that_no_quicker_one_beats_stand_by_time(courses):
    ends = {16: (0.9, 60), 32: (0.8, 90), 64: (0.95, 120)}
    for one in plan(courses, courses.rows, 3):
        accuracy, seconds = ends[one.config.batch_size]
        write(one, accuracy + 0.001 * one.seed)
        result = Result.read(one.folder)
        dataclasses.replace(result, seconds={"total": float(seconds + one.seed)}).write(one.folder)
    # a reading of another row's number is no recipe of its own
    assert compared(courses).recipes == ()
    table = dataclasses.replace(
        courses, rows=(*courses.rows[:2], dataclasses.replace(courses.rows[2], reading_of=None))
    )
    found = compare(table, table.rows, find(plan(table, table.rows, 3))).recipes
    assert [(one.label, one.seconds, one.n) for one in found] == [("printed", 61, 3), ("open as well", 121, 3)]
    assert found[0].chance is None
    assert found[1].chance > 0.99
    text = render(compare(table, table.rows, find(plan(table, table.rows, 3))), "md")
    assert "| 2.0 | open as well | 10 | 0.9510 | 3 | 1.00 |" in text


ODD = """
title: Odd
source: {document: A paper, heading: Table 4}
digits: 4
common: {data: synthetic, data.test_images: 10000, model: fc_64, precision: float32, epochs: 10}
rows:
  - {label: last, overrides: {batch_size: 16}, published: {test_accuracy: 0.9}}
  - {label: best, overrides: {batch_size: 16, optimizer: sgd}, published: {best_accuracy: 0.98}}
  - {label: cut, overrides: {batch_size: 32}, published: {test_error: 0.0973, cut: true, train_loss: 0.020}}
  - {label: longer, overrides: {batch_size: 64}, published: {test_accuracy: 0.91}}
  - {label: longest, overrides: {batch_size: 96}, published: {test_accuracy: 0.92}}
  - {label: again, overrides: {batch_size: 96, optimizer.lr: 0.01}, published: {test_accuracy: 0.93}}
lessons:
  - {claim: the two are one, rows: [longest, again], direction: higher}
"""


@pytest.fixture
def odd(table):
    """Rows 1 and 2, and 5 and 6, are equal runs in other words; in print the order is that of the batches."""
    Path("configs/table/odd.yaml").write_text(ODD)
    found = tables.load("odd")
    for one in plan(found, found.rows, 3):
        write(one, 0.9 + 0.0001 * one.config.batch_size + 0.001 * one.seed, best=0.985, jumps=True)
    return found


def test_last_and_best_epochs_of_equal_runs_are_not_averaged(odd):
    comparison = compared(odd)
    # last and best by themselves, longest and again together; printed 0.925 above the mean of their runs
    assert (comparison.foot.rows, comparison.foot.above, comparison.foot.below) == (5, 3, 2)


def test_the_rank_counts_an_experiment_once(odd):
    assert compared(odd).rank.rows == 5


def test_equal_runs_in_other_words_are_the_same_runs(odd):
    comparison = compared(odd)
    assert [one.outcome for one in comparison.lessons] == ["the same runs"]
    assert comparison.lessons[0].p is None


def test_an_error_that_was_cut_has_its_middle_above_it(odd):
    line = compared(odd).lines[2]
    assert line.published == pytest.approx(0.9027)
    assert line.difference == pytest.approx(line.mean - 0.90265)


def test_a_loss_has_the_decimals_that_are_typed(odd):
    assert compared(odd).lines[2].beside["train_loss"].digits == 3
    assert "| 0.020 | 0.100 |" in render(compared(odd), "md")


def test_seeds_without_effect_are_known_beside_a_second_machine(odd):
    for one in plan(odd, odd.rows[:1], 3):
        write(one, 0.9, loss=0.2)
    found = find(plan(odd, odd.rows[:1], 3))
    rounded = dataclasses.replace(found[0].result, cpu="another", test={"accuracy": 0.9, "loss": 0.2 + 1e-9})
    there = [*found, dataclasses.replace(found[0], result=rounded)]
    line = compare(odd, odd.rows[:1], there).lines[0]
    assert (line.same, line.remarks) == (True, ("the seed has no effect",))
    other = dataclasses.replace(rounded, test={"accuracy": 0.9, "loss": 0.3})
    second = dataclasses.replace(found[1], result=dataclasses.replace(other, test={"accuracy": 0.9, "loss": 0.4}))
    assert not compare(odd, odd.rows[:1], [*found, dataclasses.replace(found[0], result=other), second]).lines[0].same


UNKNOWN = """
title: Own pictures
source: {document: A paper, heading: Table 5}
digits: 3
common: {data: image_folder, data.root: ., model: fc_64, precision: float32, epochs: 5}
rows:
  - {label: small, overrides: {batch_size: 16}, published: {test_accuracy: 0.9}, reading: small}
  - {label: large, overrides: {batch_size: 32}, reading_of: small, reading: large}
  - {label: other, overrides: {batch_size: 48}, published: {test_accuracy: 0.8}}
lessons:
  - {claim: it helps, rows: [small, other], direction: higher}
"""


def test_one_short_run_on_pictures_of_ones_own_is_compared_with_nothing(table):
    Path("configs/table/own.yaml").write_text(UNKNOWN)
    own = tables.load("own")
    for one in plan(own, own.rows, 1):
        write(one, 0.87)
    comparison = compared(own, 1)
    assert [(line.half_width, line.normalized_error, line.verdict) for line in comparison.lines] == [
        (None, None, "undecided")
    ] * 3
    assert comparison.foot is None
    assert (comparison.lessons[0].chance, comparison.lessons[0].by_chance) == (None, None)
    assert comparison.readings[0].likeliest == ()
    assert json.loads(render(comparison, "json"))["readings"][0]["sums"] == {}
    said = " ".join(render(comparison, "text").split())
    assert "undecided; a second seed tells how far runs lie apart" in said
    assert "nothing tells how far a second seed of small (1 row), large (1 row) would lie" in said
    for one in plan(own, own.rows, 3):
        write(one, 0.87 + 0.001 * one.seed)
    assert compared(own).readings[0].likeliest


def test_a_row_outside_its_interval_is_decided_by_the_correction_for_all_rows(odd):
    for one in plan(odd, odd.rows[3:4], 3):
        write(one, 0.9145 + 0.002 * one.seed, jumps=True)
    line = compared(odd).lines[3]
    assert line.verdict == "undecided"
    assert abs(line.normalized_error) > 1
    assert line.p > 0.05
    alone = dataclasses.replace(odd, rows=odd.rows[3:4], lessons=())
    assert compared(alone).lines[0].verdict == "differs"
    assert line.seeds_that_decide > 4


def test_a_lesson_shows_the_printed_difference(rich):
    assert [one.published for one in compared(rich).lessons] == pytest.approx([0.0, 0.002, 0.0])


CHANCE = """
title: Chance
source: {document: A paper, heading: Table 6}
digits: 4
common: {data: synthetic, data.test_images: 10000, model: fc_64, precision: float32, epochs: 10}
rows:
  - {label: small, overrides: {batch_size: 16}, published: {test_accuracy: 0.9}}
  - {label: middle, overrides: {batch_size: 32}, published: {test_accuracy: 0.905}}
  - {label: large, overrides: {batch_size: 64}, published: {test_accuracy: 0.92}}
  - {label: unprinted, overrides: {batch_size: 96}, published: null}
  - {label: not run, overrides: {batch_size: 112}, published: {test_accuracy: 0.92}}
lessons:
  - {claim: middle helps, rows: [middle, small], direction: higher}
  - {claim: small hurts, rows: [small, large], direction: lower}
  - {claim: middle does not help, rows: [small, middle], direction: not better, margin: 0.002}
  - {claim: nothing is printed, rows: [unprinted, small], direction: higher}
  - {claim: nothing was run, rows: [not run, small], direction: higher}
"""


def test_a_claim_that_rests_on_a_printed_difference_within_chance_is_named(table):
    Path("configs/table/chance.yaml").write_text(CHANCE)
    found = tables.load("chance")
    for one in plan(found, found.rows[:4], 1):
        write(one, 0.93, jumps=True)
    lessons = compared(found, 1).lessons
    # v0 = 0.1 / 20000 and 0.095 / 20000, of the printed error rates, which are the larger ones, each on 8
    parts = (5e-6, 8), (4.75e-6, 8)
    by_chance = t_quantile(satterthwaite(parts)) * (9.75e-6 + 1e-8 / 6) ** 0.5
    assert lessons[0].by_chance == lessons[2].by_chance == pytest.approx(by_chance)
    assert [one.by_chance is None for one in lessons] == [False, False, False, True, True]
    assert [one.within_chance for one in lessons] == [True, False, False, False, False]
    text = render(compared(found, 1), "md")
    assert f"| +0.50 | ±{100 * by_chance:.2f} |" in text
    assert "no larger in print than what chance makes of two equally good rows (95 %): 1 of 2. middle helps." in text


# --- formats ----------------------------------------------------------------------------------------------


def test_text_escapes_what_a_terminal_would_obey(comparison):
    text = render(comparison, "text")
    assert "\x1b" not in text
    assert r"=wide_\x1b[31m%" in text
    assert "reproduced; 1 failed; 1 interrupted" in text
    assert "3 missing" in text
    assert "seed 1 failed: out of memory" in text


def test_markdown_has_rows_lessons_and_readings(comparison):
    text = render(comparison, "md")
    assert r"Mine \| \<b\>" in text
    assert "| 1 | narrow | 0.9000 | 0.9003 ± 0.0015 | 3 | +0.03 | 0.54 | reproduced | 2 | 10.0 |" in text
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
