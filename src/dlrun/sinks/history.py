"""`history.csv`: a row an epoch, on the disk before the next epoch starts."""

import csv
import io
from pathlib import Path

from dlrun.events import EpochEnded, Event
from dlrun.files import write_atomically
from dlrun.result import read_history


class History:
    """Appends a row for every epoch; rows of epochs that are trained again after a resume are dropped.

    Args:
        epochs_done: Epochs that the checkpoint has behind it; later rows are of lost work.
    """

    def __init__(self, run_dir: Path, epochs_done: int, split: str) -> None:
        self.path = run_dir / "history.csv"
        self.columns = ["epoch", "train_loss", "train_accuracy", f"{split}_loss", f"{split}_accuracy"]
        self.columns += ["lr", "seconds", "images_per_second"]
        kept = [row for row in read_history(run_dir) if row["epoch"] <= epochs_done] if epochs_done else []
        self.rows = [[int(row.pop("epoch")), *row.values()] for row in kept]
        self._write()

    def __call__(self, event: Event) -> None:
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
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        write_atomically(self.path, text.getvalue())
