"""Ready sinks for trackers: MLflow, Weights & Biases, and trackio, which has the interface of the latter.

Where they log to, their own variables of the environment say (`MLFLOW_TRACKING_URI`, `WANDB_MODE`, `TRACKIO_DIR` …).
The run's `trackers.json` has what each calls the run, so that a run that is resumed goes on in the same one.
"""

import contextlib
import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlrun.files import cache_home, write_atomically
from dlrun.locks import locked
from dlrun.sinks.hyperparameters import fields_of_run
from dlrun.sinks.told import READY, About, Make
from dlrun.store.result import Result
from dlrun.store.status import Status
from dlrun.training.events import EpochEnded

log = logging.getLogger("dlrun")

PROJECT = "dlrun"
"""Project or experiment where the environment names none."""
IDS = "trackers.json"

_writing = threading.Lock()


class MLflow:
    """A run of MLflow: parameters once, metrics an epoch. It goes past `mlflow.start_run`, which is one a process."""

    def __init__(self, about: About) -> None:
        import mlflow

        # Of several runs that make a store at once each would break that of the others.
        store = mlflow.get_tracking_uri()
        with contextlib.nullcontext() if store.startswith(("http:", "https:")) else _alone("mlflow"):
            self.client = mlflow.MlflowClient()
            self._begin(about)

    def _begin(self, about: About) -> None:
        self.run = self._known(about) or self._new(about)
        self._log_parameters(about)

    def _known(self, about: About) -> Any:
        """The run that an earlier call began, running again; None if there is none."""
        from mlflow.exceptions import MlflowException

        known = _id(about.folder, "mlflow")
        if known is None:
            return None
        try:
            self.client.update_run(known, status="RUNNING")
            return self.client.get_run(known)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        log.warning("sink mlflow: there is no run %s any more, a new one begins", known)
        return None

    def _new(self, about: About) -> Any:
        tags = {"dlrun.hash": about.hash, "dlrun.folder": str(about.folder.resolve())}
        run = self.client.create_run(self._experiment(), tags=tags, run_name=about.name)
        _keep_id(about.folder, "mlflow", run.info.run_id)
        return run

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(name)
        return found.experiment_id if found else self.client.create_experiment(name)

    def _log_parameters(self, about: About) -> None:
        """Those that it has not yet: MLflow lets none change, so what a resumed run changes becomes a tag."""
        from mlflow.entities import Param, RunTag

        there = self.run.data.params
        given = {name: str(value)[:6000] for name, value in _facts(about).items()}
        params = [Param(name, value) for name, value in given.items() if name not in there]
        tags = [RunTag(name, value) for name, value in given.items() if there.get(name, value) != value]
        for begin in range(0, len(params), 100):  # as many as a request takes
            self.client.log_batch(self.run.info.run_id, params=params[begin : begin + 100])
        self.client.log_batch(self.run.info.run_id, tags=tags)

    def __call__(self, event: EpochEnded) -> None:
        """Log an epoch."""
        self._log(_metrics(event), event.epoch)

    def _log(self, metrics: dict[str, float], epoch: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        made = [Metric(name, value, now, epoch) for name, value in metrics.items()]
        self.client.log_batch(self.run.info.run_id, metrics=made)

    def close(self, result: Result | None) -> None:
        """Log how it ended."""
        if result is not None and result.test:
            self._log(_final(result), result.epochs)
        states = {Status.COMPLETED: "FINISHED", Status.INTERRUPTED: "KILLED"}
        self.client.set_terminated(self.run.info.run_id, states.get(result.status, "FAILED") if result else "FAILED")


class Wandb:
    """A run of Weights & Biases."""

    def __init__(self, about: About) -> None:
        self.run = self._begun(about)

    def _begun(self, about: About) -> Any:
        import wandb

        return wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=about.name,
            id=_kept_id(about.folder, "wandb"),
            resume="allow",
            config=_facts(about),
            tags=about.config["tags"] or None,
            reinit="create_new",  # a notebook may have a run of its own
            settings=wandb.Settings(console="off"),  # it would come between dlrun and the terminal
        )

    def __call__(self, event: EpochEnded) -> None:
        """Log an epoch."""
        self.run.log(_metrics(event), step=event.epoch)

    def close(self, result: Result | None) -> None:
        """Log how it ended."""
        if result is not None and result.test:
            self.run.log(_final(result), step=result.epochs)
        self._finish(0 if result is not None and result.status == Status.COMPLETED else 1)

    def _finish(self, status: int) -> None:
        self.run.finish(exit_code=status)


class Trackio(Wandb):
    """A run of trackio, which knows it by its name alone."""

    def _begun(self, about: About) -> Any:
        import trackio

        return trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=f"{about.name}-{_kept_id(about.folder, 'trackio')}",
            resume="allow",
            config=_facts(about),
            embed=False,
        )

    def _finish(self, status: int) -> None:
        self.run.finish()


def _facts(about: About) -> dict[str, Any]:
    """The config, flat, less what says how jobs are run."""
    known = {"hash": about.hash, "parameters": about.parameters, "folder": str(about.folder.resolve())}
    return {**fields_of_run(about.config), **known}


def _metrics(event: EpochEnded) -> dict[str, float]:
    return {
        "train/loss": event.train.loss,
        "train/accuracy": event.train.accuracy,
        f"{event.split}/loss": event.evaluated.loss,
        f"{event.split}/accuracy": event.evaluated.accuracy,
        "learning_rate": event.lr,
        "seconds": event.train_seconds + event.evaluate_seconds,
        "images_per_second": event.images_per_second,
    }


def _final(result: Result) -> dict[str, float]:
    return {f"final/test_{name}": value for name, value in (result.test or {}).items()}


@contextlib.contextmanager
def _alone(tracker: str) -> Iterator[None]:
    """While no other process of this user's is here."""
    folder = cache_home()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{tracker}.lock"):
        yield


# --- what a tracker calls a run ---------------------------------------------------------------------------


def _id(folder: Path, tracker: str) -> str | None:
    """What is kept; nothing that is no plain identifier, since the file may be a stranger's."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found = json.loads((folder / IDS).read_text(encoding="utf-8")).get(tracker)
        if isinstance(found, str) and re.fullmatch(r"[A-Za-z0-9]{1,64}", found):
            return found
    return None


def _keep_id(folder: Path, tracker: str, value: str) -> None:
    with _writing:
        known = {name: found for name in READY if (found := _id(folder, name))}
        write_atomically(folder / IDS, json.dumps({**known, tracker: value}, indent=2) + "\n")


def _kept_id(folder: Path, tracker: str) -> str:
    """What is kept, else a new one, kept from now on."""
    known = _id(folder, tracker)
    if known is None:
        known = secrets.token_hex(4)
        _keep_id(folder, tracker, known)
    return known


SINKS: dict[str, Make] = {"mlflow": MLflow, "wandb": Wandb, "trackio": Trackio}
