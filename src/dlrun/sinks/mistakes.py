"""The most confident mistakes of a network as a contact sheet."""

from collections.abc import Sequence

from PIL.Image import Image

from dlrun.data.dataset import Split
from dlrun.drawing.sheets import sheet
from dlrun.training.evaluation import Predictions


def mistakes_sheet(
    outcome: Predictions,
    test: Split,
    classes: Sequence[str],
    most: int,
    columns: int | None = None,
    tile: int | None = None,
) -> Image | None:
    """At most so many mistakes with predicted class, its probability and true class; None of none.

    Args:
        columns, tile: As of `sheet`.
    """
    chosen = outcome.mistakes(most)
    if not len(chosen):
        return None
    images = test.images[chosen.to(test.images.device)].cpu().numpy()
    return sheet(images, outcome.captions(chosen, classes), columns, tile)
