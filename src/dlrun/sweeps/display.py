"""What one sees of a sweep: a line for every job that ended, and on a terminal a live table below."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dlrun.config.schema import evaluated_on
from dlrun.output import duration, folded, without_middle
from dlrun.sinks.console import room, tell
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
LEAST_NAME = 20
"""Characters of a run's name that are shown wherever there is no room for all of it."""
BELOW = 8
"""Lines of the screen that are not for running jobs."""


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
        self.waiting = {job.run_dir: job for job in jobs}
        self.total = total or len(self.waiting)
        self.time_left = TimeLeft(planned)
        self.counts: Counter[Status] = Counter()
        self.running: list[Running] = []
        self.slots = 1
        self.best = _Best()
        live = Live(console=console, get_renderable=self._drawn, transient=True)
        self.live = live if console.is_terminal else None

    def __enter__(self) -> "Display":
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()
        if self.counts[Status.SKIPPED]:
            tell(self.console, f"{self.counts[Status.SKIPPED]} of {self.total} were complete already")

    def started(self, running: Running) -> None:
        """Take the job off the list of those that wait."""
        self.waiting.pop(running.job.run_dir, None)
        self.running = [one for one in self.running if one.job.run_dir != running.job.run_dir] + [running]

    def advanced(self, running: Running) -> bool:
        """Never stops a job."""
        return False

    def ended(self, outcome: Outcome) -> None:
        """Print a line, except for a job that was complete before."""
        self.waiting.pop(outcome.job.run_dir, None)
        self.running = [one for one in self.running if one.job.run_dir != outcome.job.run_dir]
        self.counts[outcome.status] += 1
        self.time_left.learn(outcome)
        self.best.learn(outcome)
        if outcome.status not in (Status.SKIPPED, Status.WAITING):
            if self.live is not None:
                self.live.refresh()  # A line is printed above the table as it was drawn last.
            for line in self._lines(outcome):
                tell(self.console, line, COLORS.get(outcome.status, ""))

    def looked(self, running: Sequence[Running], slots: int) -> None:
        """Draw the live table anew."""
        self.running, self.slots = list(running), slots
        if self.live is not None:
            self.live.refresh()

    def _drawn(self) -> RenderableType:
        if not self.counts and not self.running:
            return Text("starting …")
        words = filter(None, [self._summary(), self.best.said(self.console.width)])
        lines = [Text(folded(line, self.console.width), style="bold") for line in words]
        return Group(_running_table(self.running, self.console), *lines)

    def _lines(self, outcome: Outcome) -> list[str]:
        """What became of a job: on a terminal in one line, a reason below it where there is no room beside."""
        width = room(self.console)
        done = f"[{sum(self.counts.values()):>{len(str(self.total))}}/{self.total}]"
        name = visible(outcome.job.name)
        numbers = [f"{split} accuracy {value:.4f}" for split, value in _accuracies(outcome).items()]
        took = [duration(outcome.seconds)] if outcome.seconds else []
        why = f"{outcome.status}: {visible(outcome.reason)}" if outcome.reason else str(outcome.status)
        line = "  ".join([done, name, why, *numbers, *took])
        if width is None or cell_len(line) <= width:
            return [line]
        rest = "  ".join([why, *(text.replace(" accuracy", "") for text in numbers), *took])
        beside = "" if outcome.reason else f"  {rest}"
        name = without_middle(name, max(width - cell_len(f"{done}  {beside}"), LEAST_NAME))
        return [f"{done}  {name}{beside}", *([f"  {rest}"] if outcome.reason else [])]

    def _summary(self) -> str:
        """All jobs, by how they stand: the numbers add up to the total."""
        good = sum(self.counts[status] for status in (Status.COMPLETED, Status.SKIPPED, Status.ELSEWHERE))
        numbers = {
            "failed": self.counts[Status.FAILED] + self.counts[Status.KEPT],
            "pruned": self.counts[Status.PRUNED],
            "interrupted": self.counts[Status.INTERRUPTED],
            "running": len(self.running),
        }
        rest = self.total - sum(self.counts.values()) - len(self.running)
        numbers["waiting"] = self.counts[Status.WAITING] + max(rest, 0)
        overall = self.time_left.overall(self.running, list(self.waiting.values()), self.slots)
        end = f", {duration(overall)} left" if overall else ""
        counted = [f"{number:,} {word}" for word, number in numbers.items() if number]
        return ", ".join([f"{good:,} of {self.total:,} complete", *counted]) + end


class _Best:
    """The best run so far: by the images held out where every complete run has some, else by the test images."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Mapping[str, float]]] = []
        """Names and accuracies of the complete runs."""

    def learn(self, outcome: Outcome) -> None:
        """Take an ended job into account."""
        if outcome.good and (accuracies := _accuracies(outcome)):
            self.found.append((visible(outcome.job.name), accuracies))

    def said(self, width: int) -> str:
        """Which run it is, by what and how good, with a shorter name where there is little room."""
        if not self.found:
            return ""
        split = "val" if all("val" in accuracies for _, accuracies in self.found) else "test"
        name, accuracies = max(self.found, key=lambda one: one[1][split])
        head, end = f"best so far by {split} accuracy: ", f"  {accuracies[split]:.4f}"
        return f"{head}{without_middle(name, max(width - len(head + end), LEAST_NAME))}{end}"


def _accuracies(outcome: Outcome) -> dict[str, float]:
    """After the last epoch, by part of the data: of images held out where there are some, and of the test images."""
    if not outcome.good or outcome.result is None or not outcome.result.test:
        return {}
    rows = history_of(outcome.job.run_dir) if evaluated_on(outcome.job.config) == "val" else ()
    held_out = {"val": rows[-1]["val_accuracy"]} if rows else {}
    return {**held_out, "test": outcome.result.test["accuracy"]}


def _running_table(running: Sequence[Running], console: Console) -> RenderableType:
    """A line a running job, as many as there is room for."""
    if not running:
        return Text("")
    most = max(console.height - BELOW, 1)
    rows = [_running_row(one) for one in running[:most]]
    splits = {evaluated_on(one.job.config) for one in running}
    accuracy = f"{splits.pop()} accuracy" if len(splits) == 1 else "accuracy"
    titles = ("running", "epoch", accuracy, "left")
    taken = sum(max(map(cell_len, cells)) + 2 for cells in list(zip(titles, *rows, strict=True))[1:])
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="left" if title == "running" else "right", style="cyan")
    for name, *cells in rows:
        table.add_row(Text(without_middle(name, max(console.width - taken, LEAST_NAME))), *cells)
    more = len(running) - most
    return Group(table, Text(f"and {more:,} more", style="cyan")) if more > 0 else table


def _running_row(one: Running) -> tuple[str, str, str, str]:
    row = one.rows[-1] if one.rows else {}
    accuracy = row.get("val_accuracy", row.get("test_accuracy"))
    epochs = one.job.config.epochs
    time_left = "finishing" if len(one.rows) >= epochs else duration(left(one, time.monotonic()))
    return (
        visible(one.job.name),
        f"{len(one.rows)}/{epochs}",
        "" if accuracy is None else f"{accuracy:.4f}",
        "stopping" if one.asked_to_stop else time_left,
    )
