"""Saves the state: after every epoch, every so many steps or minutes, and the best weights."""

import time
from pathlib import Path
from typing import Any

from dlrun.config.schema import Checkpoint
from dlrun.files import sync_folder
from dlrun.store import checkpoint
from dlrun.training.events import EpochEnded, Event, StepsTaken, Stopped
from dlrun.training.state import State


class Checkpoints:
    """Keeps `last.pt`, the one before it and `best.pt`; while it writes, a third state or a second best.

    Args:
        about: Identity of the run, stored so that a checkpoint is never continued by another run.
    """

    def __init__(self, run_dir: Path, about: dict[str, Any], state: State, when: Checkpoint) -> None:
        self.folder = run_dir / "checkpoints"
        self.folder.mkdir(exist_ok=True)
        sync_folder(run_dir)
        self.about, self.state, self.when = about, state, when
        self.saved_at, self.saved_step = time.monotonic(), -1

    def __call__(self, event: Event) -> None:
        """Save at the end of every epoch, and wherever the config or a signal asks for it."""
        if isinstance(event, EpochEnded):
            if event.best:
                self._save_best(event)
            self._save_last()
        elif self._is_due(event):
            self._save_last()

    def _is_due(self, event: Event) -> bool:
        if not isinstance(event, StepsTaken):
            return isinstance(event, Stopped) and event.reason == "signal"
        steps, minutes = self.when.every_steps, self.when.every_minutes
        by_steps = steps is not None and event.step - max(self.saved_step, 0) >= steps
        return by_steps or (minutes is not None and time.monotonic() - self.saved_at >= 60 * minutes)

    def _save_last(self) -> None:
        checkpoint.save_last(self.folder, {**self.about, "state": self.state.tensors()})
        self.saved_at, self.saved_step = time.monotonic(), self.state.step

    def _save_best(self, event: EpochEnded) -> None:
        weights = self.state.evaluated_model().state_dict()
        chosen = {"epoch": event.epoch, "accuracy": event.evaluated.accuracy, "selected_on": event.split}
        checkpoint.save(self.folder / "best.pt", {**self.about, **chosen, "model": weights})
