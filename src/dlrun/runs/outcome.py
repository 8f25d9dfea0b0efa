"""Makes `result.json` out of what a run was and how far it came."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlrun
from dlrun.config.naming import called
from dlrun.config.schema import Config
from dlrun.environment import cpu, versions
from dlrun.errors import DlrunError, UsageError, is_out_of_memory
from dlrun.runs.parts import Parts
from dlrun.store.history import history_checksum, read_history
from dlrun.store.result import Result
from dlrun.store.status import Status
from dlrun.training.events import Event, Metrics, StepsTaken

if TYPE_CHECKING:
    import torch

log = logging.getLogger("dlrun")


class Report:
    """Follows a run and writes its result."""

    def __init__(
        self,
        parts: Parts,
        run_dir: Path,
        overrides: list[str],
        git: dict[str, Any] | None,
        started: float,
        spent_before: float,
    ) -> None:
        self.parts, self.run_dir, self.overrides, self.git = parts, run_dir, overrides, git
        self.started, self.spent_before = started, spent_before
        self.start_seconds = time.perf_counter() - dlrun.STARTED

    def listen(self, event: Event) -> None:
        """Log what happened."""
        if not isinstance(event, StepsTaken):
            log.info("%s", event)

    def write(self, status: Status, test: Metrics | None = None, error: BaseException | None = None) -> Result:
        """Write and return the result; of an unfinished run it holds what the history has so far."""
        result = self._result(status, test, error)
        result.write(self.run_dir)
        return result

    def write_failure(self, status: Status, error: BaseException) -> None:
        """Write the result of a run that failed; the reason may be that nothing can be written."""
        try:
            self.write(status, error=error)
        except (OSError, UsageError) as another:
            if self.run_dir.exists():  # else the error is that it is not
                log.warning("the result can't be written: %s", another)

    def _result(self, status: Status, test: Metrics | None, error: BaseException | None) -> Result:
        parts, state, config = self.parts, self.parts.state, self.parts.config
        rows = read_history(self.run_dir)
        last = rows[-1] if rows else {}
        split, by = parts.settings.split, config.best_by
        best: dict[str, Any] = {"epoch": state.best.epoch, "accuracy": state.best.accuracy, "selected_on": split}
        if by == "loss" and state.best.epoch:
            best |= {"loss": -state.scores(by)[state.best.epoch - 1], "by": by}
        if test is None and "test_loss" in last:
            test = Metrics(last["test_loss"], last["test_accuracy"])
        return Result(
            status=status,
            hash=parts.hash,
            name=config.name or self.run_dir.name,
            seed=config.seed,
            overrides=self.overrides,
            data={
                "name": parts.dataset.name,
                "fingerprint": parts.dataset.fingerprint,
                "verified": parts.dataset.verified,
                **({"damaged": len(parts.dataset.damaged)} if parts.dataset.damaged else {}),
            },
            model=called(config, "model"),
            parameters=parts.parameters,
            epochs=len(rows),
            train={"loss": last["train_loss"], "accuracy": last["train_accuracy"]} if last else None,
            test={"loss": test.loss, "accuracy": test.accuracy} if test else None,
            best=best if state.best.epoch else None,
            seconds=self._seconds(),
            images_per_second=last.get("images_per_second"),
            device=device_name(state.device),
            precision=config.precision,
            threads=parts.threads,
            ranks=parts.ranks.count,
            cpu_capability=_cpu_capability(),
            cpu=cpu(),
            versions=versions(),
            git=self.git,
            origin=parts.origin,
            history=history_checksum(self.run_dir),
            error={"type": type(error).__name__, "message": explain(error, parts.config, parts, self.run_dir)}
            if error
            else None,
        )

    def _seconds(self) -> dict[str, float]:
        state = self.parts.state
        seconds = {
            "total": time.perf_counter() - self.started + self.spent_before,
            "train": state.train_seconds + state.seconds,
            "evaluate": state.evaluate_seconds,
            "start": self.start_seconds,
        }
        return {name: round(value, 3) for name, value in seconds.items()}


def device_name(device: "torch.device") -> str:
    """The device as a reader of the result knows it: `cpu`, or the GPU's name."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _cpu_capability() -> str:
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def explain(error: BaseException, config: Config, parts: Parts | None = None, run_dir: Path | None = None) -> str:
    """One line for a failure; running out of memory or disk says what to do.

    Args:
        parts, run_dir: What the run is made of and its folder, where it came so far.
    """
    gone = _gone(run_dir) if run_dir is not None and _misses_a_file(error) else None
    if gone is not None:
        return f"{gone}: the folder is gone, deleted or moved during the run, and what was saved there with it"
    if isinstance(error, DlrunError):
        return str(error)
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if is_out_of_memory(error):
        size = f" and {parts.parameters['total']:,} parameters" if parts else ""
        place = parts.state.device if parts else config.device
        return (
            f"out of memory on {place} with batch_size={config.batch_size}, "
            f"eval_batch_size={config.eval_batch_size}{size}; lower these or the model's width"
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}; what was saved before is whole"
    return f"{type(error).__name__}: {text}"


def _misses_a_file(error: BaseException | None) -> bool:
    """Whether a file that is not there is what an error comes from, at first or at last."""
    return error is not None and (isinstance(error, FileNotFoundError) or _misses_a_file(error.__context__))


def _gone(run_dir: Path) -> Path | None:
    """Which folder of a run is not there any more: the run's own, or that of its checkpoints."""
    return next((folder for folder in (run_dir, run_dir / "checkpoints") if not folder.is_dir()), None)
