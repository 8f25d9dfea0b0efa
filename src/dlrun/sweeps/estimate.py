"""How long runs will take: a short real measurement of each distinct shape, extrapolated."""

import contextlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from statistics import fmean

from dlrun.config.groups import trains_nothing
from dlrun.config.schema import OWN, Config, Sweep, evaluated_on
from dlrun.config.settled import Settled, settle
from dlrun.data.heldout import how_many
from dlrun.errors import RunFailed
from dlrun.store.history import read_history
from dlrun.sweeps.fingerprints import Fingerprints
from dlrun.sweeps.jobs import Job, Outcome
from dlrun.sweeps.launch import launch
from dlrun.sweeps.processes import Borrowed, Processes, make_processes
from dlrun.sweeps.progress import shape
from dlrun.sweeps.slots import slots_for

FIRST_TRY = 2000
"""Images of the first measurement."""
LONG_ENOUGH = 1.0
"""Seconds of training that are measured where a first try was shorter and there are more images."""


@dataclass(frozen=True)
class Speed:
    """What was measured of a shape, in seconds."""

    start: float
    """From the start of the process to the first step, with what the first epoch takes longer."""
    between: float
    """Around each epoch: checkpoint, log."""
    train: float
    """Of an epoch, per image."""
    evaluate: float
    """Of an epoch, per image evaluated."""


def estimate(jobs: Sequence[Job], settings: Sweep) -> dict[str, float]:
    """Seconds that each job will take in its slot, by hash.

    Every distinct shape is trained for two short epochs, as many copies at once as there are slots, since
    the jobs of the sweep share memory and caches, too.

    Raises:
        DataError: The data can't be read.
        RunFailed: A shape could not be measured; the message says why.
        Interrupted: A signal stopped it.
    """
    count = len(slots_for([job.config for job in jobs], settings, len(jobs)))
    with contextlib.closing(make_processes()) as processes:
        data = Fingerprints(processes)
        speeds = {}
        for job in {shape(one.config): one for one in jobs}.values():
            images = _images(job.settled, data)
            speeds[shape(job.config)] = _measured(job.config, images, count, settings, processes)
        return {
            job.hash: _extrapolated(job.config, speeds[shape(job.config)], _images(job.settled, data)) for job in jobs
        }


def wall_time(seconds: Iterable[float], slots: int) -> float:
    """When the last job ends if each slot takes the next job as soon as it is free.

    >>> wall_time([3.0, 1.0, 1.0, 1.0], 2)
    3.0
    """
    ends = [0.0] * max(slots, 1)
    for one in seconds:
        earliest = ends.index(min(ends))
        ends[earliest] += one
    return max(ends)


def _images(settled: Settled, data: Fingerprints) -> tuple[int, int]:
    """Numbers of images trained on and evaluated in an epoch."""
    config, found = settled.config, data.describe(settled)
    numbers = (found.get(part, 0) for part in ("train", "test", "val"))
    train, test, val = (min(number, config.limit or number) for number in numbers)
    held_out = how_many(config, train)
    kept = min(train - held_out, config.train_limit or train)
    return kept, val if config.validation == OWN else held_out or test


def _measured(config: Config, images: tuple[int, int], count: int, settings: Sweep, processes: Processes) -> Speed:
    train, evaluated = images
    size = min(max(FIRST_TRY, 20 * config.batch_size), train)
    if trains_nothing(config.model):
        # Every picture is compared with all that are remembered.
        speed = _try(config, size, min(evaluated, size), count, settings, processes)
        return replace(speed, evaluate=speed.evaluate * train / size)
    speed = _try(config, size, min(evaluated, size), count, settings, processes)
    if size < train and size * speed.train < LONG_ENOUGH / 2:
        size = min(int(LONG_ENOUGH / max(speed.train, 1e-9)), train)
        speed = _try(config, size, min(evaluated, size), count, settings, processes)
    return speed


def _try(config: Config, train: int, evaluated: int, count: int, settings: Sweep, processes: Processes) -> Speed:
    own = config.validation == OWN or evaluated_on(config) == "test"
    short = replace(
        config,
        epochs=1 if trains_nothing(config.model) else 2,
        limit=train + (0 if own else evaluated),
        validation=config.validation if own else evaluated,
        folds=None,
        fold=None,
        early_stopping=None,
        sweep=Sweep(),
    )
    with tempfile.TemporaryDirectory() as folder:
        jobs = [Job((), Path(folder) / str(seed), settle(replace(short, seed=seed))) for seed in range(count)]
        trial = replace(settings, slots=count, on_failure="continue", timeout=None)
        outcomes = launch(jobs, trial, processes=Borrowed(processes))
        speeds = [_speed(outcome, train, evaluated) for outcome in outcomes]
    return Speed(*map(fmean, zip(*map(astuple, speeds), strict=True)))


def _speed(outcome: Outcome, train: int, evaluated: int) -> Speed:
    if not outcome.good or outcome.result is None:
        raise RunFailed(f"a measurement failed: {outcome.reason or outcome.status}")
    first, *_ = rows = read_history(outcome.job.run_dir)
    second = rows[-1]
    training = train / second["images_per_second"]
    evaluation = max(second["seconds"] - training, 0.0)
    slow_first = max(first["seconds"] - second["seconds"], 0.0)
    start = outcome.result.seconds["start"]
    rest = outcome.seconds - start - sum(row["seconds"] for row in rows)
    return Speed(start + slow_first, max(rest, 0.0) / len(rows), training / train, evaluation / max(evaluated, 1))


def _extrapolated(config: Config, speed: Speed, images: tuple[int, int]) -> float:
    train, evaluated = images
    epoch = train * speed.train + evaluated * speed.evaluate + speed.between
    return speed.start + config.epochs * epoch
