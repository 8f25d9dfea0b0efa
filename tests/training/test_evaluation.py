import math

import pytest
import torch
from torch import nn

from dlrun.data.dataset import Split
from dlrun.randomness import undisturbed_random
from dlrun.training.evaluation import Predictions, evaluating, examine, precision_and_recall
from dlrun.training.precision import Precision

FLOAT32 = Precision("float32", "cpu")


class Fixed(nn.Module):
    """Logits that are the pixels themselves."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def outcome_of(pixels: list[list[int]], labels: list[int], batch_size: int = 2) -> Predictions:
    images = torch.tensor(pixels, dtype=torch.uint8)[:, None, None]
    split = Split(images, torch.tensor(labels))
    found = examine(Fixed(), split, lambda some: some.float(), FLOAT32, batch_size)
    assert found is not None
    return found


def test_accuracy_loss_confusion_and_mistakes_by_hand() -> None:
    outcome = outcome_of([[2, 0, 0], [0, 3, 0], [0, 1, 0], [9, 0, 0]], [0, 1, 2, 1])
    assert outcome.accuracy == 0.5
    assert outcome.confusion().tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert outcome.mistakes(5).tolist() == [3, 2]
    assert outcome.mistakes(1).tolist() == [3]
    e = math.e
    by_hand = [math.log(1 + 2 / e**2), math.log(1 + 2 / e**3), math.log(2 + e), math.log(e**9 + 2)]
    assert outcome.loss == pytest.approx(sum(by_hand) / 4, rel=1e-6)
    assert outcome.confidence[2].item() == pytest.approx(e / (e + 2))


def test_top_5_needs_more_than_five_classes() -> None:
    assert outcome_of([[1, 2, 3, 4, 5]], [0]).top5 is None
    assert outcome_of([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]], [0, 1]).top5 == 0.5


def test_precision_and_recall_say_nothing_where_there_is_nothing() -> None:
    precision, recall = precision_and_recall(torch.tensor([[3, 1, 0], [0, 0, 0], [2, 0, 2]]))
    assert precision[[0, 2]].tolist() == [0.6, 1.0]
    assert recall[[0, 2]].tolist() == [0.75, 0.5]
    assert precision[1] == 0
    assert recall[1].isnan()


def test_the_size_of_the_batches_changes_nothing() -> None:
    pixels = torch.randint(0, 9, (10, 7), generator=torch.Generator().manual_seed(0)).tolist()
    one, other = (outcome_of(pixels, [*range(7), 0, 1, 2], size) for size in (3, 100))
    assert torch.equal(one.predicted, other.predicted)
    assert one.loss == pytest.approx(other.loss, rel=1e-6)


def test_it_gives_up_when_told_to() -> None:
    split = Split(torch.zeros(9, 1, 1, 2, dtype=torch.uint8), torch.zeros(9, dtype=torch.int64))
    assert examine(Fixed(), split, lambda some: some.float(), FLOAT32, 2, lambda: True) is None


def test_every_module_gets_its_own_mode_back() -> None:
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    model[1].eval()
    with evaluating(model):
        assert not model[0].training
    assert [model.training, model[0].training, model[1].training] == [True, True, False]


def test_random_numbers_leave_no_trace() -> None:
    before = torch.get_rng_state()
    with undisturbed_random(torch.device("cpu")):
        torch.manual_seed(1)
        torch.rand(5)
    assert torch.equal(torch.get_rng_state(), before)
