"""A row's course, epoch by epoch."""

import pytest

from dlrun.tables.curves import curve

SEEDS = {0: [0.70, 0.80, 0.90], 1: [0.72, 0.82, 0.91], 2: [0.71, 0.81, 0.92]}


def test_a_printed_curve_is_compared_epoch_by_epoch():
    found = curve(SEEDS, [0.71, 0.61, 0.91], 0.91, digits=2)
    assert found.measured == pytest.approx((0.71, 0.81, 0.91))
    assert found.mean_distance == pytest.approx(0.2 / 3)
    assert (found.largest, found.largest_epoch) == (pytest.approx(0.2), 2)
    # s = 0.01: t = 0.2 / sqrt(4/3 * 1e-4 + 1e-4/12) = 16.8 on 2, p = 0.0035, times 3 by Holm
    assert found.apart == (2,)


def test_two_seeds_show_the_difference_and_no_more():
    found = curve({0: SEEDS[0], 1: SEEDS[1]}, [0.7, 0.5], None, digits=2)
    assert (found.apart, found.largest_epoch) == (None, 2)


def test_the_epoch_that_reaches_a_number_whose_epochs_are_not_printed():
    found = curve(SEEDS, (), 0.915, digits=4, epochs_printed=False)
    assert found.passes == {0: None, 1: None, 2: 3}
    assert curve(SEEDS, (), 0.82, digits=4, epochs_printed=False).passes == {0: 3, 1: 2, 2: 3}
    assert (found.mean_distance, found.largest, found.apart) == (None, None, None)


def test_what_asks_for_no_curve_has_none():
    assert curve(SEEDS, (), 0.9, digits=4) is None
    assert curve({}, [0.9], 0.9, digits=4) is None
    assert curve(SEEDS, (), None, digits=4, epochs_printed=False) is None


def test_seeds_of_other_lengths_have_their_common_epochs():
    assert len(curve({0: [0.1, 0.2, 0.3], 1: [0.1, 0.2]}, [0.1] * 9, 0.1, digits=1).measured) == 2
