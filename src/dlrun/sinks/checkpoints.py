"""Saves the state: after every epoch, every so many steps or minutes; and the weights that are to be kept."""

import time
from pathlib import Path
from typing import Any

from dlrun.config.schema import Config
from dlrun.files import sync_folder
from dlrun.store import checkpoint, kept
from dlrun.training.events import EpochEnded, Event, StepsTaken, Stopped
from dlrun.training.state import State


class Checkpoints:
    """Keeps `last.pt`, the one before it and `best.pt`; while it writes, a third state or a second best.

    `checkpoint.keep_best` and `checkpoint.keep_every` keep the weights of further epochs; which, the history says.
    What falls out is deleted only when `last.pt` knows of the epoch that took its place.

    Args:
        about: Identity of the run, stored so that a checkpoint is never continued by another run.
    """

    def __init__(self, run_dir: Path, about: dict[str, Any], state: State, config: Config) -> None:
        self.run_dir, self.folder = run_dir, run_dir / "checkpoints"
        self.folder.mkdir(exist_ok=True)
        sync_folder(run_dir)
        self.about, self.state, self.when, self.best_by = about, state, config.checkpoint, config.best_by
        self.saved_at, self.saved_step = time.monotonic(), -1
        self.keeps_more = bool(self.when.keep_best or self.when.keep_every)
        self._drop()

    def __call__(self, event: Event) -> None:
        """Save at the end of every epoch, and wherever the config or a signal asks for it."""
        if isinstance(event, EpochEnded):
            if event.best:
                self._save_weights(self.folder / "best.pt", event)
            if self.keeps_more and event.epoch in self._to_keep():
                self._save_weights(kept.path_of(self.run_dir, event.epoch), event)
            self._save_last()
            self._drop()
        elif self._is_due(event):
            self._save_last()

    def _is_due(self, event: Event) -> bool:
        if not isinstance(event, StepsTaken):
            return isinstance(event, Stopped) and event.reason == "signal"
        steps, minutes = self.when.every_steps, self.when.every_minutes
        by_steps = steps is not None and event.step - max(self.saved_step, 0) >= steps
        return by_steps or (minutes is not None and time.monotonic() - self.saved_at >= 60 * minutes)

    def _save_last(self) -> None:
        checkpoint.save_last(self.folder, {**self.about, **self.state.saved()})
        self.saved_at, self.saved_step = time.monotonic(), self.state.step

    def _save_weights(self, path: Path, event: EpochEnded) -> None:
        weights = self.state.evaluated_model().state_dict()
        chosen = {"epoch": event.epoch, "accuracy": event.evaluated.accuracy, "selected_on": event.split}
        by = {"by": self.best_by} if self.best_by == "loss" else {}
        checkpoint.save(path, {**self.about, **chosen, **by, "model": weights})

    def _to_keep(self) -> set[int]:
        return kept.to_keep(self.state.scores(self.best_by), self.when)

    def _drop(self) -> None:
        """Delete what is not to be kept any more; all stays where nothing says what is to be kept."""
        if self.keeps_more:
            epochs = self._to_keep()
            for epoch, path in kept.kept(self.run_dir).items():
                if epoch not in epochs:
                    path.unlink(missing_ok=True)
