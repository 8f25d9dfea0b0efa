"""What a search has found: its best point or its front, what mattered, and how all that is told."""

import json
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dlrun.sweeps.points import Dimension, Interval, value_of
from dlrun.sweeps.space import Space, chosen

SUMMARY = "search.json"
BY_EPOCH = ("accuracy", "loss")
"""Objectives that are learnt, so that an epoch has a value of them."""
STARTUP = 5
"""Trials that end unpruned before others are compared with them, or what mattered is told."""
EDGE = 0.05
"""Share of an interval that is its edge; on a log scale of its logarithm."""
FEW = 3
"""Numbers of a list of which one is not at an edge."""
MOST = 20
"""Points of a front that are told."""


def summary(study: Any, space: Space, goals: Sequence[str]) -> dict[str, Any]:
    """What a study holds, as plain values.

    `objectives`; `best` {overrides, and the objective's value} of one objective, `front` of several: such points, best
    first by the first objective; `importance` by field (shares of 1), of several objectives such shares by each that
    is learnt; `edges` [{field, value, end, low, high}]; `trials` by state.
    """
    import optuna

    trials = study.get_trials(deepcopy=False)
    done = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    states = [trial.state.name.lower() for trial in trials]
    found: dict[str, Any] = {"objectives": list(goals), "best": None, "importance": {}}
    if done and len(goals) == 1:
        found["best"] = _point(study.best_trial, space, goals)
        found["importance"] = _importance(study, done, 0)
        found["edges"] = list(_edges(study.best_trial, space))
    elif done:
        points = [_point(trial, space, goals) for trial in study.best_trials]
        once = {" ".join(point["overrides"]): point for point in points}.values()
        sign = -1 if goals[0] == "accuracy" else 1
        found["front"] = sorted(once, key=lambda point: sign * point[goals[0]])
        learnt = [(number, goal) for number, goal in enumerate(goals) if goal in BY_EPOCH]
        found["importance"] = {goal: _importance(study, done, number) for number, goal in learnt}
    return {**found, "trials": {state: states.count(state) for state in dict.fromkeys(states)}}


def _point(trial: Any, space: Space, goals: Sequence[str]) -> dict[str, Any]:
    return {"overrides": list(chosen(space, trial)), **dict(zip(goals, trial.values, strict=True))}


def _importance(study: Any, done: Sequence[Any], goal: int) -> dict[str, float]:
    """Share of each field in what makes a trial good (PED-ANOVA, Watanabe et al. 2023).

    Args:
        goal: Which of the study's objectives, from 0.
    """
    import optuna

    if len(done) < STARTUP:
        return {}
    # The evaluator takes what is low for good.
    sign = 1 if study.directions[goal] == optuna.study.StudyDirection.MINIMIZE else -1
    several = len(study.directions) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna 4 calls the evaluator experimental
        try:
            found = optuna.importance.get_param_importances(
                study,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                target=(lambda trial: sign * trial.values[goal]) if several else None,
            )
        except (RuntimeError, ValueError):  # all trials are equally good, for example
            return {}
    return {name: float(share) for name, share in found.items()}


def _edges(best: Any, space: Space) -> Iterator[dict[str, Any]]:
    """Where the best value lies at an end of what was searched, so that better ones may lie beyond."""
    for name, one in space.items():
        numbers = _numbers(one)
        if numbers is None:
            continue
        value, low, high = value_of(chosen({name: one}, best)[0]), numbers[0], numbers[-1]
        assert isinstance(value, int | float)
        end = _end(one, value, low, high)
        if end:
            yield {"field": name, "value": value, "end": end, "low": low, "high": high}


def _numbers(dimension: Dimension) -> list[float] | None:
    """The ends of an interval, or the numbers of a list from the lowest on; None if one of two is at an edge anyway."""
    if isinstance(dimension, Interval):
        return [dimension.low, dimension.high]
    values = [value_of(overrides[0]) for overrides in dimension if len(overrides) == 1]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return sorted(numbers) if len(numbers) == len(dimension) and len(set(numbers)) >= FEW else None


def _end(dimension: Dimension, value: float, low: float, high: float) -> str:
    if isinstance(dimension, Interval):
        scale = math.log if dimension.log else float
        share = (scale(value) - scale(low)) / (scale(high) - scale(low))
        return "lower" if share <= EDGE else "upper" if share >= 1 - EDGE else ""
    return {low: "lower", high: "upper"}.get(value, "")


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary that a search left in its folder; empty if it is damaged."""
    try:
        values = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        list(sentences(values))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return dict(values)


def sentences(summary: dict[str, Any]) -> Iterator[str]:
    """What a search found, for people."""
    goals = summary.get("objectives", ["accuracy"])
    if best := summary.get("best"):
        yield f"best point: {' '.join(best['overrides'])} ({_values(best, goals)})"
    for edge in summary.get("edges", []):
        yield (
            f"{edge['field']}={edge['value']:g} lies at the {edge['end']} edge of what was searched, "
            f"{edge['low']:g} to {edge['high']:g}; better ones may lie beyond"
        )
    if front := summary.get("front"):
        yield f"Pareto front, the points that none beats in {' and '.join(goals)}:"
        yield from (f"  {_values(point, goals)}  {' '.join(point['overrides'])}" for point in front[:MOST])
        if len(front) > MOST:
            yield f"  … and {len(front) - MOST} more, in {SUMMARY}"
    importance = summary.get("importance", {})
    for goal, shares in importance.items() if len(goals) > 1 else [("", importance)]:
        if shares:
            listed = sorted(shares.items(), key=lambda item: -item[1])
            about = f" for {goal}" if goal else ""
            yield f"importance{about}: " + ", ".join(f"{name} {share:.0%}" for name, share in listed)
    if trials := summary.get("trials"):
        yield "trials: " + ", ".join(f"{count} {state}" for state, count in trials.items())


SHOWN = {"accuracy": "{:.4f}", "loss": "{:.4f}", "parameters": "{:,.0f}", "seconds": "{:.1f}"}


def _values(point: dict[str, Any], goals: Sequence[str]) -> str:
    return ", ".join(f"{goal} {SHOWN[goal].format(point[goal])}" for goal in goals)
