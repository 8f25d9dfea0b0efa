"""Parallel coordinates: every configuration of a sweep as a line across the fields that vary, to its accuracy."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlrun.output import counted, few, plain_text, without_middle
from dlrun.report.dots import LEFT, RIGHT, Axis, Dots, axis
from dlrun.report.leaderboard import Group, varying
from dlrun.report.swept import is_logarithmic, is_number, share, thinned
from dlrun.report.tiles import LabelledBoard

LEAST_FIELDS = 3
"""Of two, the board and accuracy against each value show how they act together."""
LEAST_LINES = 6
"""Fewer configurations are read off the board."""
MOST_FIELDS = 8
BUNDLE = 5.0
"""Percent of the drawing's height in which the lines through one value stand."""
MOST_LINES = 300
LONGEST = 18
"""Characters of a value beside its axis."""
FIRST, LAST = 2.0, 88.0
"""Where the first and the last axis stand, in percent of the drawing's width: labels stand at their right."""


@dataclass(frozen=True)
class Upright:
    """An upright axis; places are percent of the drawing, from the left and from the top."""

    title: str
    x: float
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False


@dataclass(frozen=True)
class Line:
    """A configuration: its corners as `x,y x,y`, how good it is from 0 (worst) to 100, what it is and its accuracy."""

    points: str
    share: float
    told: str


@dataclass(frozen=True)
class Parallel:
    """A chart: the last axis is that of the accuracy, the best lines come last and lie on top."""

    title: str
    uprights: Sequence[Upright]
    lines: Sequence[Line]
    about: str
    """The chart in words."""
    note: str
    """What is left out; empty where nothing is."""


@dataclass(frozen=True)
class _Column:
    """A field's axis, and where on it each configuration stands."""

    title: str
    ticks: Sequence[tuple[float, str]]
    heights: Sequence[float]
    logarithmic: bool = False


def parallel(one: LabelledBoard) -> Parallel | None:
    """The chart of a board; None where fields are few, or configurations with results."""
    split = one.board.split
    done = [
        (mean.mean, entry.label, group)
        for entry, group in zip(one.entries, one.groups, strict=True)
        if (mean := group.mean_of(split))
    ]
    names = _fields([group for _, _, group in done])
    if len(names) < LEAST_FIELDS or len(done) < LEAST_LINES:
        return None
    drawn = sorted(done, key=lambda found: found[0])[-MOST_LINES:]
    scale = axis([Dots(mean) for mean, _, _ in drawn])
    assert scale is not None
    columns = [_column(name, [group.fields.get(name) for _, _, group in drawn]) for name in names]
    places = [round(FIRST + (LAST - FIRST) * number / len(names), 2) for number in range(len(names) + 1)]
    uprights = [
        *(Upright(found.title, x, found.ticks, found.logarithmic) for x, found in zip(places, columns, strict=False)),
        Upright("accuracy", places[-1], [(_height(scale, tick), scale.label(tick)) for tick in scale.ticks]),
    ]
    lines = [
        _line(places, [*(found.heights[row] for found in columns), _height(scale, mean)], f"{label}: {mean:.4f}")
        for row, (mean, label, _) in enumerate(drawn)
    ]
    titles = [found.title for found in columns]
    title = f"{split} accuracy by {', '.join(titles[:-1])} and {titles[-1]}"
    about = f"{title}: a line for each of {counted(len(lines), 'configuration')}. Best: {lines[-1].told}."
    left = [f"The best {len(lines)} of {len(done)} configurations."] if len(done) > len(lines) else []
    rest = [name for name in varying([group for _, _, group in done]) if name not in names]
    left += [f"Without an axis: {few(rest, MOST_FIELDS)}."] if rest else []
    return Parallel(title, uprights, lines, about, " ".join(left))


def _fields(groups: Sequence[Group]) -> list[str]:
    """The fields that have an axis, in the order of the board's columns: of many those that take the most values."""
    names = varying(groups)
    counts = {name: len({plain_text(group.fields.get(name)) for group in groups}) for name in names}
    most = sorted(names, key=lambda name: -counts[name])[:MOST_FIELDS]
    return [name for name in names if name in most]


def _column(name: str, values: Sequence[Any]) -> _Column:
    """Numbers stand where they are, on a logarithmic axis if they are spaced so; anything else at equal distances."""
    title = name.rpartition(".")[2]
    if not all(map(is_number, values)):
        texts = [plain_text(value) or "none" for value in values]
        known = list(dict.fromkeys(texts))
        levels = {text: _at((number + 0.5) / len(known)) for number, text in enumerate(known)}
        labels = [(levels[text], without_middle(text, LONGEST)) for text in thinned(known)]
        return _Column(title, labels, _side_by_side([levels[text] for text in texts]))
    tried = sorted({float(value) for value in values})
    logarithmic = is_logarithmic(tried)
    ticks = [(_at(share(value, tried, logarithmic)), plain_text(value)) for value in thinned(tried)]
    heights = [_at(share(float(value), tried, logarithmic)) for value in values]
    return _Column(title, ticks, _side_by_side(heights), logarithmic)


def _side_by_side(heights: Sequence[float]) -> list[float]:
    """The heights, those of one value a little apart, the later ones higher: their lines would lie on one another."""
    counts, seen = Counter(heights), Counter[float]()
    tried = sorted(counts)
    room = min([BUNDLE, *(0.6 * (after - before) for before, after in itertools.pairwise(tried))])
    spread = []
    for height in heights:
        part = seen[height] / (counts[height] - 1) - 0.5 if counts[height] > 1 else 0.0
        seen[height] += 1
        spread.append(round(height - room * part, 2))
    return spread


def _at(part: float) -> float:
    """The place from the top of what stands at a part, 0 to 1, of an axis that rises."""
    return round(RIGHT - (RIGHT - LEFT) * part, 2)


def _height(scale: Axis, accuracy: float) -> float:
    return round(100 - scale.place(accuracy), 2)


def _line(places: Sequence[float], heights: Sequence[float], told: str) -> Line:
    points = " ".join(f"{x:g},{y:g}" for x, y in zip(places, heights, strict=True))
    return Line(points, round(100 * (RIGHT - heights[-1]) / (RIGHT - LEFT), 1), told)
