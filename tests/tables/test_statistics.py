"""The definitions of a comparison on numbers worked by hand."""

import math

import pytest

from dlrun.tables.statistics import Interval, interval, kendall_tau, lesson, t_quantile, verdict


@pytest.mark.parametrize(
    ("degrees", "value"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (4, 2.7764),
        (5, 2.5706),
        (9, 2.2622),
        (10, 2.2281),
        (29, 2.0452),
        (999, 1.9623),
    ],
)
def test_t_quantile_is_that_of_printed_tables(degrees, value):
    assert t_quantile(degrees) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.995])
def test_t_quantile_agrees_with_the_closed_forms_for_one_and_two_degrees(p):
    assert t_quantile(1, p) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-9)
    assert t_quantile(2, p) == pytest.approx((2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p))), rel=1e-9)


def test_spread_by_hand():
    # mean 0.98, deviations -0.001, 0, 0.001: s = 0.001; 4.30265 * 0.001 * sqrt(4/3) + 0.00005
    found = interval([0.979, 0.980, 0.981], digits=4)
    assert found is not None
    assert (found.n, found.mean) == (3, pytest.approx(0.98))
    assert found.std == pytest.approx(0.001)
    assert found.half_width == pytest.approx(0.0049683 + 0.00005, abs=1e-6)


def test_one_value_has_no_spread_and_none_is_none():
    assert interval([0.5], 4) == Interval(1, 0.5, None, None)
    assert interval([], 4) is None


@pytest.mark.parametrize(
    ("published", "measured", "expected"),
    [
        (0.9800, Interval(3, 0.9830, 0.001, 0.0050), "reproduced"),
        (0.9800, Interval(3, 0.9850, 0.001, 0.0050), "reproduced"),
        (0.9800, Interval(3, 0.9830, 0.001, 0.0020), "close"),
        (0.9755, Interval(2, 0.9705, 0.001, 0.0990), "close"),
        (0.9755, Interval(1, 0.9704, None, None), "differs"),
        (0.9800, Interval(3, 0.9860, 0.001, 0.0050), "differs"),
        (0.9800, Interval(2, 0.9860, 0.001, 0.0990), "differs"),
        (0.9800, Interval(3, 0.9899, 0.001, 0.0100), "reproduced"),
        (0.9800, Interval(3, 0.9899, 0.001, 0.0101), "undecided"),
        (0.9800, Interval(3, 0.9830, 0.001, 0.0101), "close"),
    ],
)
def test_verdict(published, measured, expected):
    assert verdict(published, measured) == expected


@pytest.mark.parametrize(
    ("differences", "direction", "outcome"),
    [
        # mean 0.002, s = 0.001, standard error 0.000577: 0.002 > 0.00115
        ([0.001, 0.002, 0.003], "higher", "holds"),
        ([0.001, 0.002, 0.003], "lower", "contradicted"),
        ([-0.001, -0.002, -0.003], "lower", "holds"),
        ([-0.001, -0.002, -0.003], "higher", "contradicted"),
        ([0.001, 0.003], "higher", "open"),
        ([-0.001, 0.001, 0.002], "higher", "open"),
        ([0.0, 0.0, 0.0], "higher", "open"),
        ([0.001], "higher", "open"),
        ([], "higher", "open"),
    ],
)
def test_lesson(differences, direction, outcome):
    assert lesson(differences, direction).outcome == outcome


def test_lesson_states_difference_and_standard_error():
    found = lesson([0.001, 0.002, 0.003], "higher")
    assert (found.n, found.difference, found.error) == (
        3,
        pytest.approx(0.002),
        pytest.approx(0.001 / math.sqrt(3)),
    )


def test_kendall_tau_by_hand():
    assert kendall_tau([1, 2, 3, 4], [1, 2, 3, 4]) == 1
    assert kendall_tau([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    # of six pairs five agree and one does not
    assert kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    # a tie in the first leaves five of six pairs there: (4 - 1) / sqrt(5 * 6)
    assert kendall_tau([1, 2, 2, 3], [1, 2, 4, 3]) == pytest.approx(3 / math.sqrt(30))
    assert kendall_tau([1, 1], [1, 2]) is None
    assert kendall_tau([1], [1]) is None
