"""Search for the best point with Optuna: asks for points, stops runs that fall behind, learns from results.

The study lies in the sweep's folder (`study.log`, Optuna's journal), so a search goes on where it stopped, and two
searches in one folder learn from each other. A trial's accuracy and loss are those after its last epoch: on the images
held out where `validation` is set, else on the test set.
"""

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlrun.config.schema import Sweep, evaluated_on, objectives
from dlrun.errors import ConfigError, UsageError
from dlrun.extras import command
from dlrun.files import write_atomically
from dlrun.store.content import Contents, unread
from dlrun.store.history import history_of
from dlrun.store.status import Status
from dlrun.sweeps.endings import Running
from dlrun.sweeps.folder import jobs_of
from dlrun.sweeps.following import note_followed
from dlrun.sweeps.found import BY_EPOCH, STARTUP, SUMMARY, summary
from dlrun.sweeps.jobs import Job, Outcome
from dlrun.sweeps.points import Overrides, Point, dimensions_of
from dlrun.sweeps.space import GIVEN, Space, chosen, distributions, ends, first_points, point, space_of

STUDY = "study.log"
BEST_PERCENT = 25.0
"""Of the others, after as many epochs: what `sweep.pruner=percentile` lets live."""


@dataclass
class Search:
    """One search; a watcher of `launch` and the source of its jobs."""

    study: Any
    fixed: Overrides
    space: Space
    goals: list[str]
    folder: Path
    settings: Sweep
    contents: Contents
    open: dict[Path, list[Any]] = field(default_factory=dict)
    """Optuna's trials by run folder: the one that runs, and those that ask for the same point meanwhile."""
    reported: dict[Path, int] = field(default_factory=dict)
    """Epochs that Optuna knows of, by run folder."""

    def jobs(self) -> Iterator[Job]:
        """Trials that an earlier call left unfinished, then first points and new ones, up to `sweep.trials`."""
        import optuna

        running = (optuna.trial.TrialState.RUNNING,)
        for frozen in self.study.get_trials(deepcopy=False, states=running):
            yield from self._job(optuna.trial.Trial(self.study, frozen._trial_id))
        while self._begun() < self.settings.trials:
            yield from self._job(self.study.ask(distributions(self.space)))

    def _begun(self) -> int:
        """Trials but for first points that nobody has asked for yet."""
        import optuna

        trials = self.study.get_trials(deepcopy=False)
        return sum(trial.state != optuna.trial.TrialState.WAITING for trial in trials)

    def _job(self, trial: Any) -> Iterator[Job]:
        """The job of a trial; none for a point that can't be run, which fails alone, or that is running already."""
        import optuna

        varied = chosen(self.space, trial)
        try:
            point = Point(self.fixed + varied, varied)
            (job,) = jobs_of([point], self.folder, self.contents, follow=not self.settings.fresh)
            note_followed(self.folder, [job.run_dir])
        except UsageError as error:
            print(f"trial {trial.number}: {str(error).splitlines()[0]}", flush=True)
            self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            return
        self.open.setdefault(job.run_dir, []).append(trial)
        if len(self.open[job.run_dir]) > 1:
            return
        self.reported[job.run_dir] = max(trial.storage.get_trial(trial._trial_id).intermediate_values, default=0)
        yield job

    def started(self, running: Running) -> None:
        """Nothing to learn yet."""

    def looked(self, running: Sequence[Running], slots: int) -> None:
        """Nothing to learn."""

    def advanced(self, running: Running) -> bool:
        """Tell Optuna of new epochs; True if the run falls behind the others."""
        run_dir, goal = running.job.run_dir, self.goals[0]
        if not _compares_epochs(self.goals):
            return False
        trial = self.open[run_dir][0]
        for row in running.rows:
            epoch = int(row["epoch"])
            if epoch > self.reported[run_dir]:
                trial.report(_figure(row, goal), epoch)
                self.reported[run_dir] = epoch
        # Stopped after its last epoch it would only lose its result.
        going = bool(running.rows) and self.reported[run_dir] < running.job.config.epochs
        return self.settings.prune and going and bool(trial.should_prune())

    def ended(self, outcome: Outcome) -> None:
        """Tell Optuna; what was interrupted stays open and is gone on with by the next call."""
        import optuna

        trials = self.open.pop(outcome.job.run_dir, [])
        if outcome.status in (Status.INTERRUPTED, Status.WAITING):
            return
        states = {Status.PRUNED: optuna.trial.TrialState.PRUNED}
        values = _values(outcome, self.goals)
        state = states.get(outcome.status, optuna.trial.TrialState.FAIL) if values is None else None
        for trial in trials:
            self.study.tell(trial.number, values, state=state, skip_if_finished=True)

    def folders(self) -> list[Path]:
        """Those of its runs."""
        return sorted(path.parent for path in self.folder.glob("*/config.yaml"))

    def summary(self) -> dict[str, Any]:
        """What was found so far; see `dlrun.sweeps.found.summary`."""
        return summary(self.study, self.space, self.goals)

    def write_summary(self) -> dict[str, Any]:
        """Write the summary as `search.json` for the report, and return it."""
        found = self.summary()
        write_atomically(self.folder / SUMMARY, json.dumps(found, indent=2) + "\n")
        return found


def open_search(arguments: Sequence[str], settings: Sweep, folder: Path, contents: Contents = unread) -> Search:
    """The search in `folder`, new or gone on with.

    Raises:
        UsageError: Optuna is not installed, nothing is to be searched, a point can't be run, or the folder
            holds a search over or for something else.
    """
    fixed, listed = dimensions_of(arguments)
    space = space_of(listed)
    if not space:
        raise ConfigError("nothing to search: give a field several values, or interval(low, high)")
    if "seed" in space:
        raise ConfigError("seed: a search tries each point once; run the best again with seed=0,1,2 afterwards")
    if "fold" in space:
        raise ConfigError("fold: a search tries each point once; run the best again with fold=0,1,2 afterwards")
    _refuse_without_effect(settings)
    first = first_points(space, settings.first)
    # A bad bound shows before anything starts.
    corners = jobs_of(
        [
            *(_corner(fixed, space, name, end) for name in space for end in (0, -1)),
            *(_first(fixed, space, *values) for values in first if values[0].keys() == space.keys()),
        ],
        folder,
        say=lambda _: None,
    )
    goals = objectives(settings.objective)
    if {*BY_EPOCH} & {*goals} and "val" not in {evaluated_on(job.config) for job in corners}:
        print("trials are compared on the test images, which flatters the best; validation=0.1 holds out others")
    folder.mkdir(parents=True, exist_ok=True)
    epochs = max(job.config.epochs for job in corners)
    study = _open_study(folder / STUDY, settings, epochs)
    _refuse_other(study, space, goals, folder)
    for values, typed in first:
        study.enqueue_trial(values, user_attrs={GIVEN: typed}, skip_if_exists=True)
    return Search(study, fixed, space, goals, folder, settings, contents)


def _refuse_without_effect(settings: Sweep) -> None:
    if settings.random is not None or settings.exclude:
        field = "exclude" if settings.exclude else "random"
        raise ConfigError(f"sweep.{field}: has no effect in a search, which draws its points itself")
    if len(settings.first) > settings.trials:
        raise ConfigError(f"sweep.first: has {len(settings.first)} points, more than sweep.trials={settings.trials}")
    if not settings.prune and settings.pruner != Sweep.pruner:
        raise ConfigError(f"sweep.pruner={settings.pruner}: sweep.prune=false lets it stop nothing")
    goals = objectives(settings.objective)
    if not _compares_epochs(goals) and settings.pruner not in (Sweep.pruner, "none"):
        raise ConfigError(
            f"sweep.pruner={settings.pruner}: runs are stopped by their accuracy or loss so far, and the objective is "
            f"{' and '.join(goals)}"
        )


def _compares_epochs(goals: Sequence[str]) -> bool:
    """Whether a run can be judged before its end: by one value (Optuna compares no several), one of each epoch."""
    return len(goals) == 1 and goals[0] in BY_EPOCH


def _corner(fixed: Overrides, space: Space, name: str, end: int) -> Point:
    """The first value of every dimension, but the first or last one of `name`."""
    values = [ends(one)[end if key == name else 0] for key, one in space.items()]
    varied = tuple(text for overrides in values for text in overrides)
    return Point(fixed + varied, varied)


def _first(fixed: Overrides, space: Space, values: Mapping[str, Any], typed: Mapping[str, str]) -> Point:
    """A point of `sweep.first` that leaves nothing to be drawn."""
    varied = point(space, values, typed)
    return Point(fixed + varied, varied)


def _open_study(path: Path, settings: Sweep, epochs: int) -> Any:
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise UsageError(f"a search needs Optuna 4 or newer; install it with:\n{command('search')}") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    goals = objectives(settings.objective)
    directions: list[Any] = ["maximize" if goal == "accuracy" else "minimize" for goal in goals]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna 4 calls constant_liar, names of metrics and hyperband experimental
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name="search",
            directions=directions,
            load_if_exists=True,
            pruner=_pruner(settings.pruner, epochs),
        )
        trials = study.get_trials(deepcopy=False)
        if not trials and study.metric_names is None and [one.name.lower() for one in study.directions] == directions:
            study.set_metric_names(goals)
        # Not the same seed again: a search that goes on would draw its first points again.
        study.sampler = (
            optuna.samplers.RandomSampler(seed=len(trials))
            if settings.sampler == "random"
            else optuna.samplers.TPESampler(seed=len(trials), constant_liar=True)
        )
    return study


def _pruner(name: str, epochs: int) -> Any:
    """Optuna's own; none judges a run before its second epoch, nor before five others have ended where it compares."""
    from optuna import pruners

    made: dict[str, Callable[[], Any]] = {
        "median": lambda: pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=1),
        "percentile": lambda: pruners.PercentilePruner(BEST_PERCENT, n_startup_trials=STARTUP, n_warmup_steps=1),
        "successive_halving": pruners.SuccessiveHalvingPruner,
        "hyperband": lambda: pruners.HyperbandPruner(max_resource=epochs),
        "none": pruners.NopPruner,
    }
    return made[name]()


def _refuse_other(study: Any, space: Space, goals: Sequence[str], folder: Path) -> None:
    """Refuse to go on with a study over other values, or for other objectives."""
    import optuna

    trials = study.get_trials(deepcopy=False)
    begun = [trial for trial in trials if trial.state != optuna.trial.TrialState.WAITING]
    if any(trial.distributions != distributions(space) for trial in begun[:1]):
        raise UsageError(f"{folder}: holds a search over other values; choose another sweep.name")
    there = list(study.metric_names or ["accuracy"])  # 0.1.0 noted none
    if there != goals:
        raise UsageError(f"{folder}: holds a search for {' and '.join(there)}; choose another sweep.name")


def _figure(row: Mapping[str, Any], name: str) -> float:
    """Accuracy or loss of an epoch: on the images held out if there are any."""
    return float(row[f"val_{name}" if f"val_{name}" in row else f"test_{name}"])


def _values(outcome: Outcome, goals: Sequence[str]) -> list[float] | None:
    """What a complete run comes to in each objective; None where a figure is missing or no number."""
    rows, result = history_of(outcome.job.run_dir), outcome.result
    if not outcome.good or not rows or result is None:
        return None
    measured = {"parameters": result.parameters.get("total"), "seconds": result.seconds.get("train")}
    values = [_figure(rows[-1], goal) if goal in BY_EPOCH else measured[goal] for goal in goals]
    found = [float(value) for value in values if value is not None]
    return found if len(found) == len(goals) and all(map(math.isfinite, found)) else None
