import math
from itertools import product

import pytest
import torch

from dlrun.training.evaluation import judged
from dlrun.training.scores import areas, f1, scores


def test_f1_and_means_are_those_of_the_books() -> None:
    """The examples of scikit-learn's documentation for f1_score, precision_score, recall_score."""
    true, taken = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0, 2, 1, 0, 0, 1])
    found = scores(judged([torch.eye(3)[taken] * 9], true))
    assert found.f1.tolist() == pytest.approx([0.8, 0, 0])
    means = dict(found.means())
    assert means["f1"] == pytest.approx(0.8 / 3)
    assert means["precision"] == pytest.approx(2 / 9)
    assert means["recall"] == pytest.approx(1 / 3)


def test_balanced_accuracy_is_that_of_the_books() -> None:
    true, taken = torch.tensor([0, 1, 0, 0, 1, 0]), torch.tensor([0, 1, 0, 0, 0, 1])
    assert dict(scores(judged([torch.eye(2)[taken]], true)).means())["recall"] == 0.625


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    by_hand = areas(torch.tensor([[0.1], [0.4], [0.35], [0.8]]), torch.tensor([1, 1, 0, 0]))
    assert by_hand.tolist() == [0.75]
    assert areas(torch.tensor([[0.5], [0.5], [0.8], [0.2]]), torch.tensor([1, 0, 0, 1])).tolist() == [0.875]
    draw = torch.Generator().manual_seed(0)
    values = torch.randint(0, 6, (60, 4), generator=draw) / 8  # many of them equal
    labels = torch.randint(0, 4, (60,), generator=draw)
    for place, area in enumerate(areas(values, labels).tolist()):
        column = values[:, place]
        pairs = list(product(column[labels == place].tolist(), column[labels != place].tolist()))
        assert area == sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)


def test_a_class_without_pictures_has_no_scores_and_enters_into_no_mean() -> None:
    found = scores(judged([torch.eye(4)[torch.tensor([0, 1, 3, 1])]], torch.tensor([0, 1, 0, 2])))
    assert f1(torch.tensor([[3, 0], [0, 0]])).tolist()[0] == 1
    assert [math.isnan(value) for value in found.f1.tolist()] == [False, False, False, True]
    assert [math.isnan(value) for value in found.auc.tolist()] == [False, False, False, True]
    assert found.precision.tolist()[3] == 0, "what was taken for it is all wrong"
    means = dict(found.means())
    assert means["recall"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert means["precision"] == pytest.approx((1 + 0.5 + 0) / 3), "nothing was taken for class 2, which counts as 0"
    only_one = scores(judged([torch.eye(2)[torch.tensor([0, 0])]], torch.tensor([0, 0])))
    assert only_one.auc.isnan().all(), "nothing to tell it from"
