"""TensorBoard: curves, histograms, graph, samples, mistakes, confusion matrix, HParams, a page of text.

A run is one entry of TensorBoard's list, so all of it lies in one folder, `tensorboard/`. Curves are called by what
they measure and where: `accuracy/train` and `accuracy/test` (or `accuracy/val`) go by epochs, `accuracy/step` by steps.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image
from tensorboard.compat.proto.event_pb2 import Event as Logged
from tensorboard.plugins.hparams import metadata
from torch import Tensor

from dlrun.config.groups import Augment
from dlrun.data.dataset import Split
from dlrun.data.samples import augmented, how_many_on_sheet, through_classes
from dlrun.drawing.sheets import png, sheet
from dlrun.randomness import undisturbed_random
from dlrun.sinks.event_file import EventFile, own_files, read_events
from dlrun.sinks.figures import Figure
from dlrun.sinks.histograms import epochs_to_log, in_buckets, tagged
from dlrun.sinks.network_graph import graph_of
from dlrun.training.evaluation import Predictions, precision_and_recall
from dlrun.training.events import EpochEnded, Event, StepsTaken
from dlrun.training.state import State

log = logging.getLogger("dlrun")

SAMPLES = 25
SAMPLE_PIXELS = 300_000
"""Pixels of a sheet of samples; of large pictures there are fewer."""
BY_STEP = ("loss/step", "accuracy/step", "learning_rate", "images_per_second")
"""What goes by steps; all else goes by epochs."""
AT_BEGIN = ("run/text_summary", metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG, metadata.EXPERIMENT_TAG)
AT_END = ("confusion_matrix", "mistakes", "classes/text_summary")
FOLDERS_OF_0_1_0 = ("train", "val", "test")
"""0.1.0 had a folder below `tensorboard/` for each; in each of them `accuracy/epoch` was the accuracy there."""


@dataclass(frozen=True)
class Subject:
    """What the pages of a run show besides its events."""

    title: str
    """What the run is, in one line."""
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
    """Writes an event file in `tensorboard/`; observes only: no random number, mode or weight is changed.

    Args:
        split: What is evaluated every epoch, `test` or `val`.
        epochs: Of the whole run.
        full: Pictures, histograms and the graph, too.
    """

    def __init__(self, run_dir: Path, state: State, split: str, epochs: int, subject: Subject, full: bool) -> None:
        self.folder = run_dir / "tensorboard"
        self.state, self.split, self.epochs, self.subject, self.full = state, split, epochs, subject, full
        tensors = 2 * len(list(state.model.parameters()))
        self.snapshots = epochs_to_log(epochs, tensors) if full else frozenset()

    def begin(self) -> None:
        """Open the file and write what is known before training."""
        resumed = self.state.step > 0
        self.run = EventFile(self.folder, self._kept() if resumed else ())
        self._remove_folders()
        self.run.hyperparameters(self.subject.hyperparameters)
        self.run.text("run", self.subject.about, 0)
        if self.full and not resumed:
            self._samples()
            self._graph()
        self.run.flush()

    def _kept(self) -> Iterator[Logged]:
        """What was logged before, less what is logged again: after the last checkpoint, and at every begin or end."""
        finished = self.state.epoch > self.epochs
        for event, tag in self._logged():
            after = self.state.step if tag in BY_STEP else self.state.epoch - 1
            at_end = tag in AT_END or (tag in ("loss/test", "accuracy/test") and self.split != "test")
            again = event.step > after or (finished and at_end and event.step == after)
            if not (again or tag in AT_BEGIN):
                yield event

    def _logged(self) -> Iterator[tuple[Logged, str]]:
        """What lies there with its tag (none: the graph), as it is called today."""
        for folder in (self.folder, *(self.folder / name for name in FOLDERS_OF_0_1_0)):
            for event in read_events(folder):
                for value in event.summary.value:
                    if folder != self.folder and value.tag in ("loss/epoch", "accuracy/epoch"):
                        value.tag = value.tag.replace("epoch", folder.name)
                yield event, event.summary.value[0].tag if event.summary.value else ""

    def _remove_folders(self) -> None:
        for folder in (self.folder / name for name in FOLDERS_OF_0_1_0):
            for file in own_files(folder):
                file.unlink()
            with contextlib.suppress(OSError):
                folder.rmdir()

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
        for split, metrics in (("train", event.train), (self.split, event.evaluated)):
            self.run.scalar(f"loss/{split}", metrics.loss, event.epoch)
            self.run.scalar(f"accuracy/{split}", metrics.accuracy, event.epoch)
        self.run.scalar("seconds/epoch", event.train_seconds + event.evaluate_seconds, event.epoch)
        if event.epoch in self.snapshots:
            self._histograms(event.epoch)
        self.run.flush()

    def _histograms(self, epoch: int) -> None:
        for tag, values in tagged(self.state.model):
            histogram = in_buckets(values)
            if histogram is not None:
                self.run.histogram(tag, histogram, epoch)

    def _samples(self) -> None:
        train, classes = self.subject.train, self.subject.classes
        chosen = through_classes(train.labels, how_many_on_sheet(train, SAMPLES, SAMPLE_PIXELS))
        images, names = train.images[chosen], [classes[label] for label in train.labels[chosen].tolist()]
        self._picture("samples", sheet(images.cpu().numpy(), names), 0)
        if self.subject.augment != Augment():
            changed = augmented(images, self.subject.augment)
            self._picture("augmented_samples", sheet(changed.cpu().numpy(), names), 0)

    def _graph(self) -> None:
        image = self.subject.prepare(self.subject.train.images[:1])
        try:
            with undisturbed_random(self.state.device):
                self.run.graph(graph_of(self.state.model, image))
        # Networks whose path depends on their values can't be drawn; the rest of the page can.
        except Exception as error:
            log.info("no graph for TensorBoard: %s: %s", type(error).__name__, error)

    def finish(self, outcome: Predictions, drawn: Mapping[str, Figure]) -> None:
        """What is known at the end: mistakes, the confusion matrix, the final test metrics.

        Args:
            outcome: On the test set.
            drawn: Its figures.
        """
        epoch = self.state.epoch - 1
        if self.split != "test":
            self.run.scalar("loss/test", outcome.loss, epoch)
            self.run.scalar("accuracy/test", outcome.accuracy, epoch)
        if self.full:
            for name in ("confusion_matrix", "mistakes"):
                if name in drawn:
                    self.run.image(name, drawn[name].png, drawn[name].size, epoch)
            self.run.text("classes", _table(outcome.confusion(), self.subject.classes), epoch)
        self.run.end_hyperparameters()

    def close(self) -> None:
        """Flush and close the event file."""
        self.run.close()

    def _picture(self, tag: str, page: Image, step: int) -> None:
        self.run.image(tag, png(page), page.size, step)


def _table(confusion: Tensor, classes: tuple[str, ...]) -> str:
    precision, recall = precision_and_recall(confusion)
    rows = zip(classes, confusion.sum(1).tolist(), precision.tolist(), recall.tolist(), strict=True)
    lines = [
        f"| {name.replace('|', '/')} | {count} | {right:.4f} | {found:.4f} |" for name, count, right, found in rows
    ]
    return "\n".join(["| class | pictures | precision | recall |", "|---|---:|---:|---:|", *lines])
