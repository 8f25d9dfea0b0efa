"""TensorBoard scalars: train and test share a chart, and a rerun of an epoch replaces what was logged of it."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from dlrun.events import EpochEnded, Event, StepsTaken


class TensorBoard:
    """Writes event files below `tensorboard/`: a sub-run each for train and test, so that charts are shared."""

    def __init__(self, run_dir: Path, step: int, split: str) -> None:
        folder = run_dir / "tensorboard"
        # purge_step hides what an interrupted run logged after its last checkpoint.
        self.train = SummaryWriter(str(folder / "train"), purge_step=step or None)
        self.evaluated = SummaryWriter(str(folder / split), purge_step=step or None)

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepsTaken):
            self.train.add_scalar("loss/step", event.train.loss, event.step)
            self.train.add_scalar("accuracy/step", event.train.accuracy, event.step)
            self.train.add_scalar("learning_rate", event.lr, event.step)
            self.train.add_scalar("images_per_second", event.images_per_second, event.step)
        elif isinstance(event, EpochEnded):
            for writer, metrics in ((self.train, event.train), (self.evaluated, event.evaluated)):
                writer.add_scalar("loss/epoch", metrics.loss, event.epoch)
                writer.add_scalar("accuracy/epoch", metrics.accuracy, event.epoch)
                writer.flush()

    def close(self) -> None:
        """Flush and close the event files."""
        self.train.close()
        self.evaluated.close()
