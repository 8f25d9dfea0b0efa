"""What one sees of a sweep: a line for every job that ended, and on a terminal a live table below."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dlrun.config.schema import evaluated_on
from dlrun.output import duration
from dlrun.store.history import history_of
from dlrun.store.status import Status
from dlrun.sweeps.endings import Running
from dlrun.sweeps.jobs import Job, Outcome
from dlrun.sweeps.progress import TimeLeft, left
from dlrun.text import visible

COLORS = {
    Status.FAILED: "red",
    Status.KEPT: "red",
    Status.INTERRUPTED: "yellow",
    Status.WAITING: "dim",
    Status.PRUNED: "dim",
}


class Display:
    """Listens to `launch`; a context manager, since the live table must leave the screen in order.

    Args:
        total: Number of jobs, where it is known from the start.
    """

    def __init__(
        self,
        console: Console,
        jobs: Sequence[Job],
        total: int | None = None,
        planned: Mapping[str, float] | None = None,
    ) -> None:
        self.console = console
        self.total = total or len(jobs)
        self.waiting = {job.run_dir: job for job in jobs}
        self.time_left = TimeLeft(planned)
        self.counts: Counter[Status] = Counter()
        self.table: RenderableType = Text("starting …")
        self.live = Live(console=console, get_renderable=lambda: self.table) if console.is_terminal else None

    def __enter__(self) -> "Display":
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.table = Text("")
            self.live.stop()
        if self.counts[Status.SKIPPED]:
            self.console.print(f"{self.counts[Status.SKIPPED]} of {self.total} were complete already", markup=False)

    def started(self, running: Running) -> None:
        """Take the job off the list of those that wait."""
        self.waiting.pop(running.job.run_dir, None)

    def advanced(self, running: Running) -> bool:
        """Never stops a job."""
        return False

    def ended(self, outcome: Outcome) -> None:
        """Print a line, except for a job that was complete before."""
        self.waiting.pop(outcome.job.run_dir, None)
        self.counts[outcome.status] += 1
        self.time_left.learn(outcome)
        if outcome.status not in (Status.SKIPPED, Status.WAITING):
            self.console.print(Text(self._line(outcome), style=COLORS.get(outcome.status, "")), soft_wrap=True)

    def looked(self, running: Sequence[Running], slots: int) -> None:
        """Draw the live table anew."""
        if self.live is None:
            return
        overall = self.time_left.overall(running, list(self.waiting.values()), slots)
        self.table = Group(_running_table(running), Text(self._summary(len(running), overall), style="bold"))
        self.live.refresh()

    def _line(self, outcome: Outcome) -> str:
        done = sum(self.counts.values())
        width = len(str(self.total))
        accuracy = outcome.result.test["accuracy"] if outcome.result and outcome.result.test else None
        words = [f"[{done:>{width}}/{self.total}]", outcome.job.name, outcome.status]
        if outcome.good and accuracy is not None:
            rows = history_of(outcome.job.run_dir) if evaluated_on(outcome.job.config) == "val" else ()
            words += [f"val accuracy {rows[-1]['val_accuracy']:.4f}"] if rows else []
            words.append(f"test accuracy {accuracy:.4f}")
        if outcome.reason:
            words[-1] += f": {outcome.reason}"
        if outcome.seconds:
            words.append(duration(outcome.seconds))
        return visible("  ".join(words))

    def _summary(self, running: int, overall: float | None) -> str:
        good = sum(self.counts[status] for status in (Status.COMPLETED, Status.SKIPPED, Status.ELSEWHERE))
        bad = self.counts[Status.FAILED] + self.counts[Status.KEPT]
        waiting = max(self.total - sum(self.counts.values()) - running, 0)
        end = "" if overall is None else f", {duration(overall)} left"
        return f"{good} done, {bad} failed, {running} running, {waiting} waiting{end}"


def _running_table(running: Sequence[Running]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("running", "epoch", "accuracy", "left"):
        table.add_column(title, justify="left" if title == "running" else "right", style="cyan")
    now = time.monotonic()
    for one in running:
        row = one.rows[-1] if one.rows else {}
        accuracy = row.get("test_accuracy", row.get("val_accuracy"))
        table.add_row(
            Text(visible(one.job.name)),
            f"{len(one.rows)}/{one.job.config.epochs}",
            "" if accuracy is None else f"{accuracy:.4f}",
            duration(left(one, now)) + (" (stopping)" if one.asked_to_stop else ""),
        )
    return table
