"""TensorBoard: curves, histograms, graph, samples, mistakes, confusion matrix, HParams, a page of text.

`tensorboard/` holds what is of the run as a whole and goes by steps; its folders `train/` and `test/` (or
`val/`) go by epochs, so that both share a chart. The folder itself is the run's row of the HParams table.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image
from torch import Tensor

from dlrun import drawing
from dlrun.config.groups import Augment
from dlrun.data.dataset import Split
from dlrun.data.samples import augmented, how_many_on_sheet, through_classes
from dlrun.randomness import undisturbed_random
from dlrun.sinks.event_file import EventFile
from dlrun.sinks.histograms import epochs_to_log, in_buckets, tagged
from dlrun.sinks.hyperparameters import FIRST, HPARAM_METRICS
from dlrun.sinks.mistakes import mistakes_sheet
from dlrun.sinks.network_graph import graph_of
from dlrun.training.evaluation import Predictions, precision_and_recall
from dlrun.training.events import EpochEnded, Event, StepsTaken
from dlrun.training.state import State

log = logging.getLogger("dlrun")

SAMPLES = 25
SAMPLE_PIXELS = 300_000
"""Pixels of a sheet of samples; of large pictures there are fewer."""


@dataclass(frozen=True)
class Subject:
    """What the pages of a run show besides its events."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    prepare: Callable[[Tensor], Tensor]
    """uint8 pictures (N, C, H, W) to what the network takes, not augmented."""
    augment: Augment
    hyperparameters: Mapping[str, str | float | bool]
    about: str
    """Markdown: the config and where it runs."""


class TensorBoard:
    """Writes event files below `tensorboard/`; observes only: no random number, mode or weight is changed.

    Args:
        split: What is evaluated every epoch, `test` or `val`.
        epochs: Of the whole run.
        full: Pictures, histograms and the graph, too.
    """

    def __init__(self, run_dir: Path, state: State, split: str, epochs: int, subject: Subject, full: bool) -> None:
        self.folder = run_dir / "tensorboard"
        self.state, self.split, self.subject, self.full = state, split, subject, full
        tensors = 2 * len(list(state.model.parameters()))
        self.snapshots = epochs_to_log(epochs, tensors) if full else frozenset()
        self.files: list[EventFile] = []

    def begin(self) -> None:
        """Open the files and write what is known before training."""
        resumed = self.state.step > 0
        # What an interrupted run logged after its last checkpoint is logged again.
        self.run = self._opened(self.folder, self.state.step + 1 if resumed else None)
        self.train = self._opened(self.folder / "train", self.state.epoch if resumed else None)
        self.evaluated = self._opened(self.folder / self.split, self.state.epoch if resumed else None)
        self.test = self.evaluated if self.split == "test" else self._opened(self.folder / "test", None)
        self.run.hyperparameters(self.folder.parent.name, self.subject.hyperparameters, HPARAM_METRICS, FIRST)
        self.run.text("run", self.subject.about, 0)
        if self.full and not resumed:
            self._samples()
            self._graph()
        self._flush()

    def _opened(self, folder: Path, purge_from: int | None) -> EventFile:
        self.files.append(EventFile(folder, purge_from))
        return self.files[-1]

    def __call__(self, event: Event) -> None:
        """Log steps and epochs; other events show nothing."""
        if isinstance(event, StepsTaken):
            self._steps(event)
        elif isinstance(event, EpochEnded):
            self._epoch(event)

    def _steps(self, event: StepsTaken) -> None:
        self.run.scalar("loss/step", event.train.loss, event.step)
        self.run.scalar("accuracy/step", event.train.accuracy, event.step)
        self.run.scalar("learning_rate", event.lr, event.step)
        self.run.scalar("images_per_second", event.images_per_second, event.step)
        # A checkpoint may come next, and whoever goes on from it counts on these points.
        self.run.flush()

    def _epoch(self, event: EpochEnded) -> None:
        for file, metrics in ((self.train, event.train), (self.evaluated, event.evaluated)):
            file.scalar("loss/epoch", metrics.loss, event.epoch)
            file.scalar("accuracy/epoch", metrics.accuracy, event.epoch)
        self.train.scalar("seconds/epoch", event.train_seconds + event.evaluate_seconds, event.epoch)
        if event.epoch in self.snapshots:
            self._histograms(event.epoch)
        self._flush()

    def _histograms(self, epoch: int) -> None:
        for tag, values in tagged(self.state.model):
            histogram = in_buckets(values)
            if histogram is not None:
                self.train.histogram(tag, histogram, epoch)

    def _samples(self) -> None:
        train, classes = self.subject.train, self.subject.classes
        chosen = through_classes(train.labels, how_many_on_sheet(train, SAMPLES, SAMPLE_PIXELS))
        images, names = train.images[chosen], [classes[label] for label in train.labels[chosen].tolist()]
        self._picture(self.train, "samples", drawing.sheet(images.cpu().numpy(), names), 0)
        if self.subject.augment != Augment():
            changed = augmented(images, self.subject.augment)
            self._picture(self.train, "augmented_samples", drawing.sheet(changed.cpu().numpy(), names), 0)

    def _graph(self) -> None:
        image = self.subject.prepare(self.subject.train.images[:1])
        try:
            with undisturbed_random(self.state.device):
                self.run.graph(graph_of(self.state.model, image))
        # Networks whose path depends on their values can't be drawn; the rest of the page can.
        except Exception as error:
            log.info("no graph for TensorBoard: %s: %s", type(error).__name__, error)

    def finish(self, outcome: Predictions) -> None:
        """What is known at the end: mistakes, the confusion matrix, the final test metrics.

        Args:
            outcome: On the test set.
        """
        epoch = self.state.epoch - 1
        if self.test is not self.evaluated:
            self.test.scalar("loss/epoch", outcome.loss, epoch)
            self.test.scalar("accuracy/epoch", outcome.accuracy, epoch)
        if self.full:
            confusion = outcome.confusion()
            self._picture(self.test, "confusion_matrix", drawing.matrix(confusion.numpy(), self.subject.classes), epoch)
            test = self.subject.test
            most = how_many_on_sheet(test, SAMPLES, SAMPLE_PIXELS)
            wrong = mistakes_sheet(outcome, test, self.subject.classes, most)
            if wrong is not None:
                self._picture(self.test, "mistakes", wrong, epoch)
            self.test.text("classes", _table(confusion, self.subject.classes), epoch)
        self.run.end_hyperparameters()

    def close(self) -> None:
        """Flush and close the event files."""
        for file in self.files:
            file.close()

    def _flush(self) -> None:
        for file in self.files:
            file.flush()

    def _picture(self, file: EventFile, tag: str, page: Image, step: int) -> None:
        file.image(tag, drawing.png(page), page.size, step)


def _table(confusion: Tensor, classes: tuple[str, ...]) -> str:
    precision, recall = precision_and_recall(confusion)
    rows = zip(classes, confusion.sum(1).tolist(), precision.tolist(), recall.tolist(), strict=True)
    lines = [
        f"| {name.replace('|', '/')} | {count} | {right:.4f} | {found:.4f} |" for name, count, right, found in rows
    ]
    return "\n".join(["| class | pictures | precision | recall |", "|---|---:|---:|---:|", *lines])
