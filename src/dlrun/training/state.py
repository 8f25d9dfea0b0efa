"""All that changes during training: weights, optimizer, sums, counters and random numbers."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.optim.average import Average
from dlrun.optim.restore import restorable
from dlrun.randomness import random_state, set_random_state
from dlrun.store import check
from dlrun.store.check import Wrong
from dlrun.training.distributed import ALONE, Ranks
from dlrun.training.events import Metrics


@dataclass
class Totals:
    """Sums over the images seen so far in an epoch, on the device."""

    loss: Tensor
    correct: Tensor
    images: int = 0

    @classmethod
    def zero(cls, device: torch.device) -> "Totals":
        """Empty sums; float64, since float32 would round a sum over 60,000 images (MPS has no float64)."""
        kind = torch.float32 if device.type == "mps" else torch.float64
        return cls(torch.zeros((), dtype=kind, device=device), torch.zeros((), dtype=torch.int64, device=device))

    def metrics(self) -> Metrics:
        """The means; waits for the device."""
        count = max(self.images, 1)
        return Metrics(self.loss.item() / count, self.correct.item() / count)

    def clear(self) -> None:
        """Begin anew, in place."""
        self.loss.zero_()
        self.correct.zero_()
        self.images = 0

    def over(self, ranks: Ranks) -> "Totals":
        """The sums over all ranks of a run on several devices."""
        if ranks.count == 1:
            return self
        images = torch.tensor(self.images, device=self.loss.device)
        summed = Totals(self.loss.clone(), self.correct.clone())
        ranks.add(summed.loss, summed.correct, images)
        summed.images = int(images.item())
        return summed


@dataclass
class Best:
    """The best epoch so far, by accuracy or by loss, and its accuracy."""

    epoch: int = 0
    accuracy: float = -1.0


COUNTERS = ("epoch", "steps_done", "step", "lr", "seconds", "train_seconds", "evaluate_seconds")


@dataclass
class State:
    """All that changes during training, and so all that a checkpoint must hold."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: Average | None
    totals: Totals
    epoch: int = 1
    """The epoch that is under way, from 1."""
    steps_done: int = 0
    """Steps of this epoch that are done."""
    step: int = 0
    """Steps since the start of the run."""
    best: Best = field(default_factory=Best)
    lr: float = 0.0
    seconds: float = 0.0
    """Seconds of training this epoch has had so far, before an interruption included."""
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    """Seconds of all epochs that are behind."""
    history: list[list[float]] = field(default_factory=list)
    """Of every epoch that is done, what `EpochEnded.row` gives."""
    still: list[nn.Module] = field(default_factory=list)
    """Layers of the network that stay in evaluation mode while it is trained: frozen batch norm."""
    others: list[dict[str, Any]] = field(default_factory=list)
    """What the other ranks of a run on several devices have of their own (see `own`), by rank."""

    @property
    def device(self) -> torch.device:
        """Where the network is trained."""
        return self.totals.loss.device

    def evaluated_model(self) -> nn.Module:
        """The network whose accuracy counts: the averaged one if there is one."""
        return self.average.model if self.average else self.model

    def last_evaluated(self) -> Metrics:
        """Loss and accuracy after the last epoch that is done."""
        return _evaluated(self.history[-1])

    def scores(self, best_by: str) -> list[float]:
        """How good each epoch was that is done: the larger the better."""
        return [_evaluated(row).score(best_by) for row in self.history]

    def is_best(self, metrics: Metrics, best_by: str) -> bool:
        """Whether an epoch that ends with these is better than all before it."""
        return not self.best.epoch or metrics.score(best_by) > _evaluated(self.history[self.best.epoch - 1]).score(
            best_by
        )

    def saved(self) -> dict[str, Any]:
        """What a checkpoint holds of it: `tensors`, and the history as one of float64, (epochs, columns)."""
        # As lists, torch.save would ask Python about every number of every epoch, at every epoch.
        return {"history": torch.tensor(self.history, dtype=torch.float64), "state": self.tensors()}

    def tensors(self) -> dict[str, Any]:
        """Tensors and plain values only, for a checkpoint that is loaded without unpickling code."""
        return {
            "model": self.model.state_dict(),
            "optimizer": _with_plain_rates(self.optimizer.state_dict()),
            "scaler": self.scaler.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "best": {"epoch": self.best.epoch, "accuracy": self.best.accuracy},
            **self.own(),
            "others": self.others,
        }

    def own(self) -> dict[str, Any]:
        """What differs between the ranks of a run on several devices."""
        totals = {"loss": self.totals.loss, "correct": self.totals.correct, "images": self.totals.images}
        return {"totals": totals, "random": random_state(self.device)}

    def gather(self, ranks: Ranks) -> None:
        """Fetch what the other ranks have of their own, so that the first can save it."""
        if ranks.count > 1:
            self.others = ranks.gather(self.own())[1:]

    def load(self, saved: Any, ranks: Ranks = ALONE) -> None:
        """Put everything back as `tensors` saw it; weights are copied into the tensors that are there.

        With another number of ranks than before, sums go to the first rank and further ranks keep the random
        state they have.

        Raises:
            Wrong: Something in it is not what `tensors` gives of such a network and optimizer. All of it is
                checked before any of it is used.
        """
        check.group(saved, "state")
        check.fits(saved.get("model"), self.model.state_dict(), "model")
        if self.average:
            check.fits(saved.get("average"), self.average.state_dict(), "average")
        optimizer = restorable(self.optimizer, saved.get("optimizer"))
        scaler = _scaler(saved.get("scaler"), self.scaler)
        counters = _counters(saved.get("counters"))
        best = _best(saved.get("best"), counters["epoch"])
        others = saved.get("others", [])
        if not isinstance(others, list):
            raise Wrong("others")
        by_rank = [self._of_rank(one) for one in (saved, *others)]

        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(optimizer)
        self.scaler.load_state_dict(scaler)
        if self.average:
            self.average.load_state_dict(saved["average"])
        for name, value in counters.items():
            setattr(self, name, value)
        self.best = best
        self.totals.clear()
        self.others = others
        mine = by_rank[ranks.rank :][:1] if len(by_rank) == ranks.count else by_rank if ranks.first else []
        for number, (totals, random) in enumerate(mine):
            self.totals.loss.add_(totals.loss.to(self.device))
            self.totals.correct.add_(totals.correct.to(self.device))
            self.totals.images += totals.images
            if number == 0:
                set_random_state(random, self.device)

    def _of_rank(self, saved: Any) -> tuple[Totals, dict[str, Tensor]]:
        """The sums and the random state of one rank, checked."""
        sums, random = (check.group(check.group(saved, "rank").get(name), name) for name in ("totals", "random"))
        totals = Totals(
            check.scalar(sums.get("loss"), "totals.loss"),
            check.scalar(sums.get("correct"), "totals.correct"),
            check.whole(sums.get("images"), "totals.images"),
        )
        if totals.correct.dtype != torch.int64 or not totals.loss.is_floating_point():
            raise Wrong("totals")
        own = random_state(self.device)
        if "cpu" not in random:
            raise Wrong("random.cpu")
        return totals, {kind: check.like(random[kind], own[kind], f"random.{kind}") for kind in own if kind in random}


def _evaluated(row: list[float]) -> Metrics:
    _, _, _, loss, accuracy, *_ = row
    return Metrics(loss, accuracy)


def _scaler(saved: Any, scaler: torch.amp.GradScaler) -> dict[str, float]:
    check.group(saved, "scaler")
    own = scaler.state_dict()
    if not own:
        return {}
    if saved.keys() != own.keys():
        raise Wrong("scaler")
    numbers = {name: check.real(value, f"scaler.{name}", low=0) for name, value in saved.items()}
    return {name: int(numbers[name]) if isinstance(value, int) else numbers[name] for name, value in own.items()}


def _counters(saved: Any) -> dict[str, Any]:
    check.group(saved, "counters")
    if saved.keys() != set(COUNTERS):
        raise Wrong("counters")
    kinds = {name: check.whole if name in ("epoch", "steps_done", "step") else check.real for name in COUNTERS}
    low = {"epoch": 1}
    return {name: kinds[name](saved[name], f"counters.{name}", low=low.get(name, 0)) for name in COUNTERS}


def _best(saved: Any, epoch: int) -> Best:
    check.group(saved, "best")
    if saved.keys() != {"epoch", "accuracy"}:
        raise Wrong("best")
    found = Best(check.whole(saved["epoch"], "best.epoch"), check.real(saved["accuracy"], "best.accuracy", -1, 1))
    if found.epoch >= epoch or (found.accuracy < 0) != (found.epoch == 0):
        raise Wrong("best")
    return found


def _with_plain_rates(saved: dict[str, Any]) -> dict[str, Any]:
    """The learning rates as numbers: a CUDA graph keeps them in tensors, which no other run could use."""
    groups = [{**group, "lr": float(group["lr"])} for group in saved["param_groups"]]
    return {**saved, "param_groups": groups}
