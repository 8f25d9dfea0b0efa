"""`history.csv`: a row an epoch, on the disk before the next epoch starts."""

from pathlib import Path

from dlrun.files import write_atomically
from dlrun.store.history import NAME, as_text, columns
from dlrun.training.events import EpochEnded, Event
from dlrun.training.state import State


class History:
    """Writes the history of `state` at once, and again after every epoch."""

    def __init__(self, run_dir: Path, state: State, split: str) -> None:
        self.path, self.state = run_dir / NAME, state
        self.text, self.epochs = as_text([columns(split)]), 0
        self._write()

    def __call__(self, event: Event) -> None:
        """Write the row of an epoch that has ended, too."""
        if isinstance(event, EpochEnded):
            self._write()

    def _write(self) -> None:
        # Made once an epoch: all of them again would cost the 10,000th epoch more than its training.
        self.text += as_text(self.state.history[self.epochs :])
        self.epochs = len(self.state.history)
        write_atomically(self.path, self.text)
