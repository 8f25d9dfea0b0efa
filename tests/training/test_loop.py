"""The loop on tensors alone: averages as printed, every image once, stops where it is told to."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dlrun.data.dataset import Split
from dlrun.data.prepare import Prepare
from dlrun.errors import RunFailed
from dlrun.training.evaluation import evaluate
from dlrun.training.events import EpochEnded, Event, Metrics, StepsTaken, Stopped
from dlrun.training.loop import order_of, shuffled, train, waited
from dlrun.training.precision import Precision
from dlrun.training.state import State, Totals
from dlrun.training.step import LoopSettings

CPU = torch.device("cpu")


def split(count: int = 50) -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(0, 3, (count,), generator=generator))


prepare = Prepare()


def state(lr: float = 0.1) -> State:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for group in optimizer.param_groups:
        group["initial_lr"] = lr
    return State(model, optimizer, Precision("float32", "cpu").scaler(), None, Totals.zero(CPU))


def settings(**changes: Any) -> LoopSettings:
    values = {"epochs": 2, "batch_size": 16, "eval_batch_size": 20, "seed": 0, "precision": Precision("float32", "cpu")}
    return LoopSettings(**{**values, **changes})  # type: ignore[arg-type]


def events(
    state: State,
    factor: Callable[[int], float] = lambda step: 1.0,
    stop: Callable[[], bool] = lambda: False,
    **changes: Any,
) -> list[Event]:
    return list(train(state, split(), split(20), prepare, prepare, factor, settings(**changes), stop))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    torch.manual_seed(5)
    first = shuffled(100, seed=1, epoch=2)
    torch.manual_seed(6)
    assert torch.equal(first, shuffled(100, seed=1, epoch=2))
    assert not torch.equal(first, shuffled(100, seed=1, epoch=3))
    assert not torch.equal(first, shuffled(100, seed=2, epoch=2))
    assert first.sort().values.tolist() == list(range(100))


def test_without_shuffling_the_images_come_as_they_lie() -> None:
    assert order_of(20, settings(shuffle=False), epoch=7).tolist() == list(range(20))


def test_a_last_batch_that_is_not_full_can_be_left_out() -> None:
    assert order_of(50, settings(drop_last=True), epoch=1).tolist() == shuffled(50, 0, 1)[:48].tolist()
    assert order_of(48, settings(drop_last=True), epoch=1).tolist() == shuffled(48, 0, 1).tolist()
    whole, cut = (
        [one for one in events(state(), **kind) if isinstance(one, StepsTaken)] for kind in ({}, {"drop_last": True})
    )
    assert [one.steps_done for one in whole] == [4, 4]
    assert [one.steps_done for one in cut] == [3, 3]


def test_a_last_batch_that_is_not_full_can_take_a_step_of_its_share() -> None:
    """As by MXNet's trainer.step(batch_size), which divides any sum of gradients by batch_size."""
    made, again, data = state(), state(), split()
    list(events(made, scale_last=True, epochs=1))
    for indices in shuffled(50, 0, 1).split(16):
        again.optimizer.zero_grad()
        logits = again.model(prepare(data.images[indices]))
        (F.cross_entropy(logits, data.labels[indices], reduction="sum") / 16).backward()
        again.optimizer.step()
    for one, other in zip(made.model.parameters(), again.model.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_training_metrics_are_running_averages_over_every_image() -> None:
    """As Keras prints them: each batch as it was seen, weighted by its size, the partial last batch included."""
    made = state()
    ended = next(event for event in events(made, epochs=1) if isinstance(event, EpochEnded))
    again, data, loss, correct = state(), split(), 0.0, 0
    for indices in shuffled(50, 0, 1).split(16):
        logits = again.model(prepare(data.images[indices]))
        batch_loss = F.cross_entropy(logits, data.labels[indices])
        loss += batch_loss.item() * len(indices)
        correct += int((logits.argmax(1) == data.labels[indices]).sum())
        again.optimizer.zero_grad()
        batch_loss.backward()
        again.optimizer.step()
    assert ended.train.loss == pytest.approx(loss / 50, rel=1e-6)
    assert ended.train.accuracy == correct / 50
    assert ended.step == 4


def test_evaluation_counts_every_image_once_whatever_the_batch() -> None:
    model, data = state().model, split(50)
    whole = evaluate(model, data, prepare, settings(eval_batch_size=50))
    parts = evaluate(model, data, prepare, settings(eval_batch_size=7))
    assert isinstance(whole, Metrics)
    assert isinstance(parts, Metrics)
    assert parts.accuracy == whole.accuracy
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)


def test_events_come_every_log_every_steps_and_at_the_end_of_an_epoch() -> None:
    kinds = [
        (type(event).__name__, event.step) for event in events(state(), log_every=3) if not isinstance(event, Stopped)
    ]
    assert kinds[:3] == [("StepsTaken", 3), ("StepsTaken", 4), ("EpochEnded", 4)]


def test_the_schedule_multiplies_the_rate_of_each_step() -> None:
    taken = [
        event.lr for event in events(state(), lambda step: 1 / (1 + step), log_every=1) if isinstance(event, StepsTaken)
    ]
    assert taken == pytest.approx([0.1 / (1 + step) for step in range(8)])


def test_a_stop_takes_effect_at_the_next_step() -> None:
    asked = iter([False, False, True, True, True])
    made = state()
    assert events(made, stop=lambda: next(asked))[-1] == Stopped("signal")
    assert (made.epoch, made.steps_done, made.step) == (1, 3, 3)


def test_early_stopping_counts_epochs_without_a_better_accuracy() -> None:
    told = events(state(lr=1e-12), epochs=50, early_stopping=3)
    assert told[-1] == Stopped("early_stopping")
    assert sum(isinstance(event, EpochEnded) for event in told) == 4, "the first epoch is the best, then three"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 3))
def test_epochs_waited_for_a_better_one_are_counted_as_keras_counts_them(scores: list[int], delta: int) -> None:
    best, wait = -math.inf, 0
    for score in scores:  # EarlyStopping.on_epoch_end
        wait += 1
        if score - delta > best:
            best, wait = score, 0
    assert waited(scores, settings(early_stopping=1, min_delta=delta)) == wait


def test_a_loss_that_is_not_finite_is_a_failure_that_says_what_to_try() -> None:
    with pytest.raises(RunFailed, match=r"epoch 1.*lower optimizer\.lr"):
        events(state(lr=float("inf")))


def test_a_state_is_put_back_as_it_was() -> None:
    made = state()
    asked = iter([False] * 5 + [True] * 9)
    events(made, stop=lambda: next(asked))
    saved = made.tensors()
    other = state(lr=0.1)
    other.load(saved)
    assert str(other.tensors()) == str(saved)


def test_an_epoch_interrupted_after_its_last_step_is_evaluated_and_ends() -> None:
    made = state()
    asked = iter(range(100))
    stopped = events(made, stop=lambda: next(asked) >= 3, epochs=1)
    assert isinstance(stopped[-1], Stopped)
    assert (made.steps_done, made.epoch) == (4, 1)
    assert [type(event) for event in events(made, epochs=1)] == [EpochEnded]
