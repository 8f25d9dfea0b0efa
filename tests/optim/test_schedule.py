import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlrun.config.groups import Cosine, Exponential, InverseTime, Linear, OneCycle, Scheduler, Step, Steps
from dlrun.optim.schedule import factor


def test_constant_is_one() -> None:
    assert [factor(Scheduler("constant"), step, 10, 30) for step in (0, 9, 29)] == [1, 1, 1]


def test_step_cuts_every_so_many_epochs() -> None:
    found = [factor(Step("step", every=2, gamma=0.5), step, 10, 60) for step in (0, 19, 20, 39, 40)]
    assert found == [1, 1, 0.5, 0.5, 0.25]


def test_cosine_falls_from_one_to_its_final_share() -> None:
    cosine = Cosine("cosine", final=0.2)
    assert factor(cosine, 0, 10, 100) == 1
    assert factor(cosine, 50, 10, 100) == pytest.approx(0.6)
    assert factor(cosine, 25, 10, 100) == pytest.approx(0.2 + 0.4 * (1 + math.sqrt(0.5)))
    assert factor(cosine, 100, 10, 100) == pytest.approx(0.2)


def test_one_cycle_rises_then_anneals() -> None:
    cycle = OneCycle("one_cycle", rise=0.25, start=0.1, final=0.01)
    assert factor(cycle, 0, 10, 80) == pytest.approx(0.1)
    assert factor(cycle, 10, 10, 80) == pytest.approx(0.55)
    assert factor(cycle, 20, 10, 80) == pytest.approx(1)
    assert factor(cycle, 50, 10, 80) == pytest.approx(0.505)
    assert factor(cycle, 80, 10, 80) == pytest.approx(0.01)


def test_steps_cut_after_given_epochs_in_any_order() -> None:
    steps = Steps("steps", at=[4, 2], gamma=0.1)
    assert [factor(steps, step, 10, 60) for step in (0, 19, 20, 39, 40, 59)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_exponential_and_inverse_time_fall_at_every_step() -> None:
    exponential = Exponential("exponential", every=2, gamma=0.25)
    assert [factor(exponential, step, 10, 60) for step in (0, 10, 20)] == pytest.approx([1, 0.5, 0.25])
    inverse = InverseTime("inverse_time", decay=0.1)
    assert [factor(inverse, step, 10, 60) for step in (0, 10, 30)] == pytest.approx([1, 1 / 2, 1 / 4])
    assert factor(InverseTime("inverse_time", decay=0.1, power=2), 10, 10, 60) == pytest.approx(1 / 4)


def test_linear_falls_to_its_final_share() -> None:
    assert [factor(Linear("linear", final=0.2), step, 10, 100) for step in (0, 50, 100)] == pytest.approx([1, 0.6, 0.2])


def test_warm_up_rises_linearly_and_multiplies_the_schedule() -> None:
    assert [factor(Scheduler("constant", warmup=0.5), step, 8, 80) for step in (0, 1, 3, 4)] == [0.25, 0.5, 1, 1]
    warmed = factor(Step("step", warmup=2, gamma=0.5), 9, 8, 80)
    assert warmed == pytest.approx(10 / 16 * 0.5)


@pytest.mark.parametrize("decline", [Cosine, Linear])
def test_what_ends_with_the_run_begins_where_the_warm_up_ends(decline: type[Cosine | Linear]) -> None:
    warmed, plain = decline(decline.__name__.lower(), warmup=3), decline(decline.__name__.lower())
    factors = [factor(warmed, step, 10, 100) for step in range(100)]
    assert factors[:30] == pytest.approx([(step + 1) / 30 for step in range(30)])
    assert max(factors) == factors[29] == 1
    assert factors[30:] == pytest.approx([factor(plain, step + 1, 10, 70) for step in range(70)])


SCHEDULES = [
    *(Scheduler("constant", 1.5), Step("step"), Cosine("cosine", 1), OneCycle("one_cycle"), Linear("linear", 1)),
    *(Steps("steps", at=[1, 3]), Exponential("exponential"), InverseTime("inverse_time")),
]


@given(
    st.sampled_from(SCHEDULES),
    st.integers(1, 50),
    st.integers(1, 20),
    st.data(),
)
def test_factors_stay_within_zero_and_one(
    scheduler: Scheduler, steps_per_epoch: int, epochs: int, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, steps_per_epoch * epochs - 1))
    assert 0 <= factor(scheduler, step, steps_per_epoch, steps_per_epoch * epochs) <= 1


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.floats(0, 3))
def test_a_schedule_that_is_extended_keeps_its_last_rate_or_begins_anew(
    first: int, second: int, third: int, warmup: float
) -> None:
    def rates(epochs: int, *extend: str) -> list[float]:
        cosine = Cosine("cosine", warmup=warmup, final=0.1, extend=list(extend))
        return [factor(cosine, step, 7, 7 * epochs) for step in range(7 * epochs)]

    short, end = rates(first), first + second
    assert rates(end, f"keep {first}") == short + [short[-1]] * (7 * second)
    assert rates(end, f"restart {first}") == short + rates(second)
    both = rates(end + third, f"restart {first}", f"keep {end}")
    assert both == short + rates(second) + [rates(second)[-1]] * (7 * third)
    assert rates(end + third, f"keep {first}", f"restart {end}") == rates(end, f"keep {first}") + rates(third)
