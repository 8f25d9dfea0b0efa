"""`history.csv`: a row an epoch, on the disk before the next epoch starts."""

from pathlib import Path

from dlrun.store.history import write_history
from dlrun.training.events import EpochEnded, Event
from dlrun.training.state import State


class History:
    """Writes the history of `state` at once, and again after every epoch."""

    def __init__(self, run_dir: Path, state: State, split: str) -> None:
        self.run_dir, self.state, self.split = run_dir, state, split
        self._write()

    def __call__(self, event: Event) -> None:
        """Write the row of an epoch that has ended, too."""
        if isinstance(event, EpochEnded):
            self._write()

    def _write(self) -> None:
        write_history(self.run_dir, self.state.history, self.split)
