"""One reading is judged over all rows of a block."""

import math

import pytest

from dlrun.statistics import Printed, Runs, judge, plain, t_above
from dlrun.tables.readings import Held, block, sentences


def held(log_likelihood=None, reaches=True, main=False):
    if log_likelihood is None:
        return Held("row", 0, None, None, {}, None, main)
    return Held("row", 1, 0.9, 0.0, {"test_accuracy": log_likelihood}, reaches, main)


def of(**readings):
    return 0.9, 4, readings


def test_log_likelihood_by_hand():
    # n = 1, error 2 % of 10,000: v0 = 1e-6 on 8; u² = 2e-6 + 1e-8/12
    judged = judge(Runs((0.98,), 10_000, 0.0), Printed(0.979, 4))
    v0 = (1 - 0.979) / 20_000
    u = math.sqrt(2 * v0 + 1e-8 / 12)
    t = 0.001 / u
    density = math.gamma(4.5) / (math.gamma(4) * math.sqrt(8 * math.pi)) * (1 + t * t / 8) ** -4.5
    assert judged.log_likelihood == pytest.approx(math.log(density / u))


def test_density_is_the_derivative_of_the_tail():
    judged = judge(Runs((0.98, 0.981, 0.979), 10_000, 0.0), Printed(0.978, 4))
    t, h = judged.difference / judged.error, 1e-5
    slope = (t_above(t - h, judged.degrees) - t_above(t + h, judged.degrees)) / (2 * h)
    assert judged.log_likelihood == pytest.approx(math.log(slope / judged.error), abs=1e-6)


def test_losses_have_a_likelihood_from_three_runs_on():
    assert plain([0.1, 0.2], Printed(0.1, 4)).log_likelihood is None
    found = plain([0.1, 0.2, 0.3], Printed(0.2, 4))
    # D = 0; t on 2 has density 1 / (2 sqrt 2) at 0; u² = 0.01 (1/3 + 1) + 1e-8/12
    assert found.log_likelihood == pytest.approx(-math.log(2 * math.sqrt(2) * math.sqrt(0.04 / 3)), abs=1e-6)


def test_the_likeliest_reading_of_all_rows_is_not_the_best_row_by_row():
    found = block("t", {"a": of(script=held(5), log=held(1)), "b": of(script=held(-9), log=held(2))})
    assert (found.sums, found.likeliest) == ({"script": -4, "log": 3}, ("log",))
    assert sentences(found) == ["Over all 2 rows log is the likeliest reading (less by ln L: script 7.0)."]


def test_another_main_reading_is_said():
    found = block("t", {"a": of(script=held(1, main=True), log=held(3))})
    assert sentences(found)[1] == "The main reading in t is still script."


def test_readings_that_lie_next_to_each_other_are_not_ranked():
    found = block("t", {"a": of(log=held(3.1, main=True), script=held(4), over=held(1))})
    assert found.likeliest == ("script", "log")
    assert sentences(found) == ["script and log are about equally likely (less by ln L: log 0.9; over 3.0)."]
    unfinished = block("t", {"a": of(script=held(5), log=held(4.5)), "b": of(script=held(1), log=held())})
    assert sentences(unfinished)[-1] == "So far, over 1 of 2 rows, script and log are about equally likely."


def test_nothing_is_decided_while_a_row_is_missing():
    found = block("t", {"a": of(script=held(5), log=held(1)), "b": of(script=held(-9), log=held())})
    assert (found.likeliest, found.counted, found.sums) == ((), ("a",), {"script": 5, "log": 1})
    assert found.rows[1].outcome == "reached by script; not measured: log"
    assert sentences(found) == [
        "Not decided yet: without a completed run are log (1 row).",
        "So far, over 1 of 2 rows, script is the likeliest.",
    ]


def test_a_reading_that_a_row_cannot_have_is_not_that_of_the_block():
    found = block("t", {"a": of(script=held(1), over=held(2), log=held(9)), "b": of(script=held(4), over=held(1))})
    assert (found.sums, found.likeliest) == ({"script": 5, "over": 3}, ("script",))
    assert (found.common, found.common_rows) == ({"script": 1, "over": 2, "log": 9}, 1)
    assert sentences(found)[0] == "log can't be the reading of b, so it is none of the whole block."


def test_a_row_that_none_reaches_says_so():
    found = block("t", {"a": of(script=held(1, reaches=False, main=True), log=held(2, reaches=False))})
    assert found.rows[0].outcome == "reached by none: the source's words do not determine it"
    assert sentences(found)[-1] == "No reading reaches a: the source's words do not determine it."


def test_nothing_is_undetermined_while_the_main_reading_is_not_among_them():
    found = block("t", {"a": of(log=held(2, reaches=False))})
    assert found.rows[0].outcome == "reached by none of these"
    assert sentences(found) == []
    main_missing = block("t", {"a": of(script=held(main=True), log=held(2, reaches=False))})
    assert main_missing.rows[0].outcome == "not measured: script"


def test_a_single_row_is_no_block_of_rows():
    found = block("t", {"a": of(script=held(1), log=held(2))})
    assert sentences(found) == ["log is the likeliest reading (less by ln L: script 1.0)."]


def test_only_what_is_known_of_all_readings_counts():
    more = Held("row", 3, 0.9, 0.0, {"test_accuracy": 2.0, "train_loss": 50.0}, True)
    assert block("t", {"a": of(script=more, log=held(3))}).sums == {"script": 2, "log": 3}
    both = Held("row", 3, 0.9, 0.0, {"test_accuracy": 1.0, "train_loss": 9.0}, True)
    assert block("t", {"a": of(script=more, log=both)}).sums == {"script": 52, "log": 10}
