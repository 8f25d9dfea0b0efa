"""TensorBoard, figures and profile: what shows a run to people, and must never stop it."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from dlrun.config import Config
from dlrun.evaluation import examine
from dlrun.events import Event
from dlrun.randomness import undisturbed_random
from dlrun.result import read_history
from dlrun.sinks import Guarded, attempt
from dlrun.sinks.tensorboard import Subject, TensorBoard
from dlrun.training import Settings, State

RATES = 400
"""Points of the learning-rate curve."""


class Pictures:
    """Listens for TensorBoard while the run goes on, and draws figures when it is finished.

    Args:
        factor: The schedule, by the number of steps before a step.
    """

    def __init__(
        self,
        run_dir: Path,
        config: Config,
        state: State,
        settings: Settings,
        subject: Subject,
        factor: Callable[[int], float],
    ) -> None:
        self.run_dir, self.config, self.state, self.settings = run_dir, config, state, settings
        self.subject, self.factor = subject, factor
        self.profile = contextlib.ExitStack()
        if config.profile:
            attempt("the profile", self._start_profile)
        self.board: Guarded[TensorBoard] | None = None
        if config.tensorboard != "off":
            full = config.tensorboard == "full"
            board = TensorBoard(run_dir, state, settings.split, settings.epochs, subject, full)
            self.board = Guarded("TensorBoard", board)
            self.board.do(lambda board: board.begin())

    def __call__(self, event: Event) -> None:
        if self.board is not None:
            self.board.do(lambda board: board(event))

    def finish(self, stop: Callable[[], bool]) -> None:
        """Look at the test set once more and draw; gives up when `stop` says so."""
        if self.config.tensorboard != "off" and not stop():
            attempt("the final pictures", lambda: self._finish(stop))

    def close(self) -> None:
        """Close all files."""
        attempt("the profile", self.profile.close)
        if self.board is not None:
            self.board.do(lambda board: board.close())

    def _start_profile(self) -> None:
        from dlrun.sinks.profile import profiled

        self.profile.enter_context(profiled(self.state.optimizer, self.run_dir / "profile"))

    def _finish(self, stop: Callable[[], bool]) -> None:
        model, settings, test = self.state.evaluated_model(), self.settings, self.subject.test
        with undisturbed_random(self.state.device):
            outcome = examine(model, test, self.subject.prepare, settings.precision, settings.eval_batch_size, stop)
        if outcome is None:
            return
        if self.board is not None:
            self.board.do(lambda board: board.finish(outcome))
        from dlrun.sinks import figures  # Imports matplotlib, which takes longer than drawing.

        history, classes = read_history(self.run_dir), self.subject.classes
        figures.write(self.run_dir / "figures", history, self._rates(), outcome, test, classes, model)

    def _rates(self) -> list[tuple[float, float]]:
        """Time in epochs and learning rate."""
        steps = self.state.step
        per_epoch = -(-len(self.subject.train) // self.settings.batch_size)
        base = self.state.optimizer.param_groups[0]["initial_lr"]
        chosen = range(0, steps, max(1, steps // RATES))
        return [(step / per_epoch, float(base * self.factor(step))) for step in (*chosen, steps - 1)]
