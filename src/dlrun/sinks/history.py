"""`history.csv`: a row an epoch, on the disk before the next epoch starts."""

import csv
import io
from pathlib import Path

from dlrun.files import write_atomically
from dlrun.training.events import EpochEnded, Event


def columns(split: str) -> list[str]:
    """The names of the columns where `split` (`test` or `val`) is evaluated after every epoch."""
    evaluated = [f"{split}_loss", f"{split}_accuracy"]
    return ["epoch", "train_loss", "train_accuracy", *evaluated, "lr", "seconds", "images_per_second"]


class History:
    """Appends a row for every epoch.

    Args:
        rows: Those of the epochs that are done; the list grows, and goes into the checkpoints.
    """

    def __init__(self, run_dir: Path, rows: list[list[float]], split: str) -> None:
        self.path = run_dir / "history.csv"
        self.columns = columns(split)
        self.rows = rows
        self._write()

    def __call__(self, event: Event) -> None:
        """Append the row of an epoch that has ended."""
        if not isinstance(event, EpochEnded):
            return
        seconds = event.train_seconds + event.evaluate_seconds
        self.rows.append(
            [
                event.epoch,
                event.train.loss,
                event.train.accuracy,
                event.evaluated.loss,
                event.evaluated.accuracy,
                event.lr,
                round(seconds, 4),
                round(event.images_per_second, 1),
            ]
        )
        self._write()

    def _write(self) -> None:
        text = io.StringIO()
        rows = [[int(epoch), *rest] for epoch, *rest in self.rows]
        csv.writer(text, lineterminator="\n").writerows([self.columns, *rows])
        write_atomically(self.path, text.getvalue())
