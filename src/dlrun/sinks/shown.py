"""TensorBoard, figures and profile: what shows a run to people, and must never stop it."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from dlrun.config.schema import Config
from dlrun.randomness import undisturbed_random
from dlrun.sinks import Guarded, attempt, figures
from dlrun.sinks.tensorboard import Subject, TensorBoard
from dlrun.store.history import read_history
from dlrun.training.evaluation import Predictions, examine, judged
from dlrun.training.events import Event, StepsTaken
from dlrun.training.state import State
from dlrun.training.step import LoopSettings

RATES = 400
"""Points of the learning-rate curve."""


class PictureSink:
    """Listens for TensorBoard while the run goes on, and draws figures when it is finished.

    Args:
        factor: The schedule, by the number of steps before a step.
    """

    def __init__(
        self,
        run_dir: Path,
        config: Config,
        state: State,
        settings: LoopSettings,
        subject: Subject,
        factor: Callable[[int], float],
    ) -> None:
        self.run_dir, self.config, self.state, self.settings = run_dir, config, state, settings
        self.subject, self.factor = subject, factor
        self.profile = contextlib.ExitStack()
        self.overheard: list[Tensor] = []
        """Logits of the last evaluation, so that the test set need not be gone through again."""
        self.listening: RemovableHandle | None = None
        if config.profile:
            attempt("the profile", self._start_profile)
        self.board: Guarded[TensorBoard] | None = None
        if config.tensorboard != "off":
            full = config.tensorboard == "full"
            board = TensorBoard(run_dir, state, settings.split, settings.epochs, subject, full)
            self.board = Guarded("TensorBoard", board)
            self.board.do(lambda board: board.begin())

    def __call__(self, event: Event) -> None:
        """Log it for TensorBoard."""
        if self.board is not None:
            self.board.do(lambda board: board(event))
            self._listen(event)

    def _listen(self, event: Event) -> None:
        """Listen to the network during the last evaluation."""
        if isinstance(event, StepsTaken) and event.steps_done == event.steps_per_epoch:
            last = event.epoch == self.settings.epochs and self.settings.split == "test"
            # A hook would make a compiled network be compiled anew.
            if last and not self.config.compile:
                model = self.state.evaluated_model()
                self.listening = model.register_forward_hook(lambda *call: self.overheard.append(call[-1]))
        elif self.listening is not None:
            self.listening.remove()

    def finish(self, stop: Callable[[], bool]) -> None:
        """Judge the network on the test set and draw; gives up when `stop` says so."""
        if self.config.tensorboard != "off" and not stop():
            attempt("the final pictures", lambda: self._finish(stop))

    def close(self) -> None:
        """Close all files."""
        if self.listening is not None:
            self.listening.remove()
        attempt("the profile", self.profile.close)
        if self.board is not None:
            self.board.do(lambda board: board.close())

    def _start_profile(self) -> None:
        from dlrun.sinks.profile import profiled

        self.profile.enter_context(profiled(self.state.optimizer, self.run_dir / "profile"))

    def _finish(self, stop: Callable[[], bool]) -> None:
        outcome = self._outcome(stop)
        if outcome is None:
            return
        of, history, model = self.subject, read_history(self.run_dir), self.state.evaluated_model()
        drawn = figures.draw(of.title, history, self._rates(), outcome, of.test, of.classes, model)
        if self.board is not None:
            self.board.do(lambda board: board.finish(outcome, drawn))
        figures.write(self.run_dir / "figures", drawn)

    def _outcome(self, stop: Callable[[], bool]) -> Predictions | None:
        test, settings = self.subject.test, self.settings
        if sum(map(len, self.overheard)) == len(test):
            return judged(self.overheard, test.labels, settings.loss)
        model, size = self.state.evaluated_model(), settings.eval_batch_size
        with undisturbed_random(self.state.device):
            return examine(model, test, self.subject.prepare, settings.precision, size, stop, settings.loss)

    def _rates(self) -> list[tuple[float, float]]:
        """Time in epochs and learning rate."""
        steps = self.state.step
        per_epoch = self.settings.steps_per_epoch(len(self.subject.train))
        base = self.state.optimizer.param_groups[0]["initial_lr"]
        chosen = range(0, steps, max(1, steps // RATES))
        return [(step / per_epoch, float(base * self.factor(step))) for step in (*chosen, steps - 1)]
