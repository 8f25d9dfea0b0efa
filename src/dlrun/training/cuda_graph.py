"""The training step recorded as a CUDA graph and replayed, so that a step costs one launch and no Python.

Recording warms up with real steps. Whatever they change is put back: weights, running statistics, optimizer,
scaler, averages, sums and random numbers. A replay draws new random numbers each time, as a step does. Before a
graph is used, it must have computed once what the plain step computes; else plain steps go on.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from dlrun.data.prepare import Prepare
from dlrun.models.neighbours import Neighbours
from dlrun.optim import keras
from dlrun.randomness import random_state, set_random_state
from dlrun.training.distributed import ALONE, Ranks
from dlrun.training.neighbours import LeaveOneOut
from dlrun.training.state import State
from dlrun.training.step import LoopSettings, TrainingStep

log = logging.getLogger("dlrun")

WARM_UP = 3
"""Steps before the recording, as PyTorch's notes on CUDA graphs advise: libraries set themselves up in them."""
TOLERANCE = 0.05
"""By how much, of its own length, a recorded step may differ from a plain one: rounding, not other random numbers."""


def step_for(state: State, settings: LoopSettings, prepare: Prepare, ranks: Ranks = ALONE) -> TrainingStep:
    """The step to train with: replayed where that is possible. The log says what was chosen on a GPU, and why."""
    if isinstance(state.model, Neighbours):
        return LeaveOneOut(state, settings, prepare, ranks)
    reason = why_not_replayed(state, settings, ranks)
    if reason:
        if state.device.type == "cuda":
            log.info("every step is launched anew, not replayed as a CUDA graph: %s", reason)
        return TrainingStep(state, settings, prepare, ranks)
    return ReplayedStep(state, settings, prepare, ranks)


def why_not_replayed(state: State, settings: LoopSettings, ranks: Ranks) -> str:
    """Why no CUDA graph can hold the step; empty where one can: on one GPU, where nothing in it waits.

    A profile counts the calls of the optimizer's step (`sinks/profile.py`), so then every step is taken.
    """
    kinds = (*keras.OPTIMIZERS, torch.optim.Adadelta)
    scaled = state.scaler.is_enabled() and not hasattr(state.optimizer, "_step_supports_amp_scaling")
    reasons = {
        f"the device is {state.device.type}": state.device.type != "cuda",
        settings.no_graph: bool(settings.no_graph),
        f"{ranks.count} ranks train together": ranks.count > 1,
        f"{type(state.optimizer).__name__} may wait for the GPU": not isinstance(state.optimizer, kinds) or scaled,
        "the profile counts steps": "step" in vars(state.optimizer),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


class ReplayedStep(TrainingStep):
    """A step that is recorded on the first full batch; smaller batches are trained on as ever."""

    graph: torch.cuda.CUDAGraph | None = None
    failed = False

    def __call__(self, images: Tensor, labels: Tensor, all_images: int) -> None:
        """One step; arguments as of `Step`. A last, smaller batch is a plain step."""
        full = len(labels) == self.settings.images_per_step
        if full and self.graph is None and not self.failed:
            with torch.cuda.device(self.state.device):
                self._record(images, labels)
        if not full or self.graph is None:
            super().__call__(images, labels, all_images)
            return
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.graph.replay()
        self.state.totals.images += len(labels)

    def _record(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images.clone(), labels.clone()
        groups = self.state.optimizer.param_groups
        rates = [group["lr"] for group in groups]
        for group in groups:
            # A number would be recorded as it is now.
            group["lr"] = torch.tensor(group["lr"], device=self.state.device)
        before = Snapshot(self.state)
        try:
            self._warm_up()
            before.restore()
            moved = self._moved_by(self._whole)
            before.restore()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._whole()
            before.restore()
            difference, length = float((self._moved_by(graph.replay) - moved).norm()), float(moved.norm())
            before.restore()
            # Both are 0 where gradients overflow, or where the rate is as good as 0.
            if not difference <= TOLERANCE * length:
                raise RuntimeError(
                    f"it moves the weights by {difference:.2g} of {length:.2g} otherwise than a plain one"
                )
        except RuntimeError as error:
            log.warning("the step can't be replayed as a CUDA graph, so every step is launched anew: %s", error)
            self.failed = True
            before.restore()
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
            return
        self.graph = graph
        log.info("the step is replayed as a CUDA graph")

    def _warm_up(self) -> None:
        stream = torch.cuda.Stream(self.state.device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._whole()
        torch.cuda.current_stream().wait_stream(stream)

    def _whole(self) -> None:
        """The step with all that it counts, on the recorded tensors."""
        logits, labels = self.learn(self.images, self.labels, len(self.labels), len(self.labels))
        self.state.totals.correct.add_((logits.argmax(1) == labels).sum())

    def _moved_by(self, step: Callable[[], None]) -> Tensor:
        before = self._weights()
        step()
        return self._weights() - before

    def _weights(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.parameters])


class Snapshot:
    """Copies of all that a step changes, to be put back into the tensors that are there."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.copies = [(tensor, tensor.detach().clone()) for tensor in _changed_by_a_step(state)]
        self.optimizer = [(tensor, tensor.clone()) for tensor in _state_of(state.optimizer)]
        self.scaler = state.scaler.state_dict()
        self.random = random_state(state.device)

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back; what the optimizer has added since is 0, as it begins."""
        for tensor in _state_of(self.state.optimizer):
            tensor.zero_()
        for tensor, copy in [*self.copies, *self.optimizer]:
            tensor.copy_(copy)
        self.state.scaler.load_state_dict(self.scaler)
        set_random_state(self.random, self.state.device)


def _changed_by_a_step(state: State) -> list[Tensor]:
    models = [state.model, *([state.average.model] if state.average else [])]
    tensors = [tensor for model in models for tensor in (*model.parameters(), *model.buffers())]
    return [*tensors, state.totals.loss, state.totals.correct]


def _state_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    values = [value for state in optimizer.state.values() for value in state.values()]
    return [value for value in values if isinstance(value, Tensor)]
