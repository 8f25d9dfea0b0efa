"""Search for the best point with Optuna: asks for points, stops runs that fall behind, learns from results.

The study lies in the sweep's folder (`study.log`), so a search goes on where it stopped, and two searches in
one folder learn from each other. A trial's value is the accuracy after its last epoch: on the images held out
where `validation` is set, else on the test set.
"""

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlrun.config.overrides import pair
from dlrun.config.schema import Sweep
from dlrun.errors import ConfigError, UsageError
from dlrun.extras import command
from dlrun.files import write_atomically
from dlrun.store.content import Contents, unread
from dlrun.store.history import history_of
from dlrun.store.status import Status
from dlrun.sweeps.endings import Running
from dlrun.sweeps.folder import jobs_of
from dlrun.sweeps.jobs import Job, Outcome
from dlrun.sweeps.points import Dimension, Interval, Overrides, Point, dimensions_of

STUDY = "study.log"
SUMMARY = "search.json"
STARTUP = 5
"""Trials that end unpruned before others are compared with them."""


@dataclass
class Search:
    """One search; a watcher of `launch` and the source of its jobs."""

    study: Any
    fixed: Overrides
    dimensions: dict[str, Dimension]
    folder: Path
    settings: Sweep
    contents: Contents
    open: dict[Path, list[Any]] = field(default_factory=dict)
    """Optuna's trials by run folder: the one that runs, and those that ask for the same point meanwhile."""
    reported: dict[Path, int] = field(default_factory=dict)
    """Epochs that Optuna knows of, by run folder."""

    def jobs(self) -> Iterator[Job]:
        """Trials that an earlier call left unfinished, then new ones, up to `sweep.trials`."""
        import optuna

        running = (optuna.trial.TrialState.RUNNING,)
        for frozen in self.study.get_trials(deepcopy=False, states=running):
            yield from self._job(optuna.trial.Trial(self.study, frozen._trial_id))
        distributions = {name: _distribution(one) for name, one in self.dimensions.items()}
        while len(self.study.get_trials(deepcopy=False)) < self.settings.trials:
            yield from self._job(self.study.ask(distributions))

    def _job(self, trial: Any) -> Iterator[Job]:
        """The job of a trial; none for a point that can't be run, which fails alone, or that is running already."""
        import optuna

        varied = tuple(text for name, one in self.dimensions.items() for text in _chosen(one, trial.params[name]))
        try:
            (job,) = jobs_of([Point(self.fixed + varied, varied)], self.folder, self.contents)
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
        run_dir = running.job.run_dir
        trial = self.open[run_dir][0]
        for row in running.rows:
            epoch = int(row["epoch"])
            if epoch > self.reported[run_dir]:
                trial.report(_accuracy(row), epoch)
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
        value = _value(outcome.job.run_dir) if outcome.good else None
        state = states.get(outcome.status, optuna.trial.TrialState.FAIL) if value is None else None
        for trial in trials:
            self.study.tell(trial.number, value, state=state, skip_if_finished=True)

    def summary(self) -> dict[str, Any]:
        """`best` {overrides, accuracy}, `importance` by field (shares of 1), `trials` by state."""
        import optuna

        trials = self.study.get_trials(deepcopy=False)
        done = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
        states = [trial.state.name.lower() for trial in trials]
        counts = {state: states.count(state) for state in dict.fromkeys(states)}
        if not done:
            return {"best": None, "importance": {}, "trials": counts}
        best = max(done, key=lambda trial: trial.value)
        texts = [text for name, one in self.dimensions.items() for text in _chosen(one, best.params[name])]
        return {
            "best": {"overrides": texts, "accuracy": best.value},
            "importance": _importance(self.study, len(done)),
            "trials": counts,
        }

    def write_summary(self) -> dict[str, Any]:
        """Write the summary as `search.json` for the report, and return it."""
        summary = self.summary()
        write_atomically(self.folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
        return summary


def open_search(arguments: Sequence[str], settings: Sweep, folder: Path, contents: Contents = unread) -> Search:
    """The search in `folder`, new or gone on with.

    Raises:
        UsageError: Optuna is not installed, nothing is to be searched, a point can't be run, or the folder
            holds a search over something else.
    """
    fixed, listed = dimensions_of(arguments)
    dimensions = {_name(one): one for one in listed}
    if not dimensions:
        raise ConfigError("nothing to search: give a field several values, or interval(low, high)")
    if "seed" in dimensions:
        raise ConfigError("seed: a search tries each point once; run the best again with seed=0,1,2 afterwards")
    # A bad bound shows before anything starts.
    corners = jobs_of(
        [_corner(fixed, dimensions, name, end) for name in dimensions for end in (0, -1)], folder, say=lambda _: None
    )
    if not any(job.config.validation for job in corners):
        print("trials are compared on the test images, which flatters the best; validation=0.1 holds out others")
    folder.mkdir(parents=True, exist_ok=True)
    study = _open_study(folder / STUDY, settings)
    _refuse_other_space(study, dimensions, folder)
    return Search(study, fixed, dimensions, folder, settings, contents)


def _corner(fixed: Overrides, dimensions: dict[str, Dimension], name: str, end: int) -> Point:
    """The first value of every dimension, but the first or last one of `name`."""
    values = [_ends(one)[end if key == name else 0] for key, one in dimensions.items()]
    varied = tuple(text for overrides in values for text in overrides)
    return Point(fixed + varied, varied)


def _ends(dimension: Dimension) -> list[Overrides]:
    if isinstance(dimension, Interval):
        return [(f"{dimension.key}={dimension.low}",), (f"{dimension.key}={dimension.high}",)]
    return dimension


def _open_study(path: Path, settings: Sweep) -> Any:
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise UsageError(f"a search needs Optuna 4 or newer; install it with:\n{command('search')}") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))),
        study_name="search",
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=1),
    )
    # Not the same seed again: a search that goes on would draw its first points again.
    seed = len(study.get_trials(deepcopy=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna 4 calls constant_liar experimental
        study.sampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if settings.sampler == "random"
            else optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        )
    return study


def _refuse_other_space(study: Any, dimensions: dict[str, Dimension], folder: Path) -> None:
    for trial in study.get_trials(deepcopy=False)[:1]:
        if trial.distributions != {name: _distribution(one) for name, one in dimensions.items()}:
            raise UsageError(f"{folder}: holds a search over other values; choose another sweep.name")


def _name(dimension: Dimension) -> str:
    """The field of a dimension; of lists that go in step, all of them."""
    if isinstance(dimension, Interval):
        return dimension.key
    return " ".join(dict.fromkeys(pair(text)[0] for overrides in dimension for text in overrides))


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(dimension, Interval):
        return CategoricalDistribution([" ".join(overrides) for overrides in dimension])
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _chosen(dimension: Dimension, value: Any) -> Overrides:
    if isinstance(dimension, Interval):
        return (f"{dimension.key}={value if dimension.whole else float(f'{value:.4g}')}",)
    return next(overrides for overrides in dimension if " ".join(overrides) == value)


def _accuracy(row: Any) -> float:
    return float(row["val_accuracy"] if "val_accuracy" in row else row["test_accuracy"])


def _value(run_dir: Path) -> float | None:
    rows = history_of(run_dir)
    return _accuracy(rows[-1]) if rows else None


def _importance(study: Any, done: int) -> dict[str, float]:
    """Share of each field in what makes a trial good (PED-ANOVA, Watanabe et al. 2023)."""
    import optuna

    if done < STARTUP:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna 4 calls the evaluator experimental
        try:
            found = optuna.importance.get_param_importances(
                study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
        except (RuntimeError, ValueError):  # all trials are equally good, for example
            return {}
    return {name: float(share) for name, share in found.items()}


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary that a search left in its folder; empty if it is damaged."""
    try:
        values = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        list(sentences(values))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return dict(values)


def sentences(summary: dict[str, Any]) -> Iterable[str]:
    """What a search found, for people."""
    if best := summary.get("best"):
        yield f"best point: {' '.join(best['overrides'])} (accuracy {best['accuracy']:.4f})"
    shares = sorted(summary.get("importance", {}).items(), key=lambda item: -item[1])
    if shares:
        yield "importance: " + ", ".join(f"{name} {share:.0%}" for name, share in shares)
    if trials := summary.get("trials"):
        yield "trials: " + ", ".join(f"{count} {state}" for state, count in trials.items())
