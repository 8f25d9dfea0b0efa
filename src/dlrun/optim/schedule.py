"""Learning-rate schedules: the factor on `optimizer.lr` as a function of the step, without PyTorch."""

import math

from dlrun.config.groups import Cosine, Exponential, InverseTime, Linear, OneCycle, Scheduler, Step, Steps, extensions


def factor(scheduler: Scheduler, step: int, steps_per_epoch: int, total_steps: int) -> float:
    """The factor on the learning rate of one step.

    Args:
        step: Number of steps before it, from 0.
        total_steps: Of the whole run.
    """
    if not scheduler.extend:
        return _of_one_run(scheduler, step, steps_per_epoch, total_steps)
    edges = [(way, after * steps_per_epoch) for way, after in extensions(scheduler.extend)]
    way, start = next(((way, edge) for way, edge in reversed(edges) if edge <= step), ("restart", 0))
    if way == "keep":
        return factor(scheduler, start - 1, steps_per_epoch, total_steps)
    end = next((edge for _, edge in edges if step < edge), total_steps)
    return _of_one_run(scheduler, step - start, steps_per_epoch, end - start)


def _of_one_run(scheduler: Scheduler, step: int, steps_per_epoch: int, total_steps: int) -> float:
    """The factor where the schedule begins at step 0 and ends with `total_steps`."""
    rise = _warmed(scheduler, step, steps_per_epoch)
    if isinstance(scheduler, Cosine | Linear):
        # What ends with the run begins where the warm-up ends, so that the full rate is reached.
        warm = scheduler.warmup * steps_per_epoch
        done = max(step + 1 - warm, 0) if warm else step
        return rise * _decline(scheduler, done / max(total_steps - warm, 1))
    return rise * _shape(scheduler, step, steps_per_epoch, total_steps)


def _warmed(scheduler: Scheduler, step: int, steps_per_epoch: int) -> float:
    """A linear rise that reaches 1 at the last step of the warm-up; the first step is not wasted on 0."""
    steps = scheduler.warmup * steps_per_epoch
    return min(1.0, (step + 1) / steps) if steps > 0 else 1.0


def _shape(scheduler: Scheduler, step: int, steps_per_epoch: int, total_steps: int) -> float:
    match scheduler:
        case Step():
            return scheduler.gamma ** (step // steps_per_epoch // scheduler.every)
        case Steps():
            return scheduler.gamma ** sum(step >= epoch * steps_per_epoch for epoch in scheduler.at)
        case Exponential():
            return scheduler.gamma ** (step / steps_per_epoch / scheduler.every)
        case InverseTime():
            return (1 + scheduler.decay * step) ** -scheduler.power
        case OneCycle():
            return _one_cycle(scheduler, step / total_steps)
    return 1.0


def _decline(scheduler: Cosine | Linear, done: float) -> float:
    if isinstance(scheduler, Cosine):
        return _anneal(1.0, scheduler.final, done)
    return 1.0 + (scheduler.final - 1.0) * min(done, 1.0)


def _one_cycle(scheduler: OneCycle, done: float) -> float:
    if done < scheduler.rise:
        return _anneal(scheduler.start, 1.0, done / scheduler.rise)
    return _anneal(1.0, scheduler.final, (done - scheduler.rise) / (1 - scheduler.rise))


def _anneal(first: float, last: float, done: float) -> float:
    """Half a cosine from `first` (done = 0) to `last` (done = 1)."""
    return last + (first - last) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
