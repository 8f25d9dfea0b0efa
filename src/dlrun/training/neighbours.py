"""What stands in place of a training step where nothing is trained."""

from torch import Tensor

from dlrun.models.neighbours import Neighbours
from dlrun.training.loss import loss_of
from dlrun.training.step import TrainingStep

MOST = 1000
"""Training pictures that are asked for: all of them would take many times as long as the test."""


class LeaveOneOut(TrainingStep):
    """Counts how the first pictures of an epoch are classified by all other training pictures."""

    def __call__(self, images: Tensor, labels: Tensor, all_images: int) -> None:
        """Arguments as of `TrainingStep`."""
        totals, model = self.state.totals, self.state.model
        assert isinstance(model, Neighbours)
        images, labels = images[: MOST - totals.images], labels[: MOST - totals.images]
        if len(images):
            logits = model.without_itself(images, labels)
            totals.loss.add_(loss_of(self.settings.loss, logits, labels, reduction="sum"))
            totals.correct.add_((logits.argmax(1) == labels).sum())
            totals.images += len(images)
