"""What one sees of a run: a header, a live bar, a line an epoch; plain lines where there is no terminal."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from dlrun.config.schema import Config, evaluated_on
from dlrun.sinks.curve import accuracy_curve
from dlrun.store.history import read_history
from dlrun.store.result import Result
from dlrun.text import typeable, visible
from dlrun.training.events import EpochEnded, Event, StepsTaken, Stopped


class _Console(Console):
    """A console that falls silent when its reader goes away (`dlrun … | head`): a run is not to end of that."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_console(quiet: bool = False) -> Console:
    """Standard output as rich sees it; on a pipe nothing is wrapped at 80 columns."""
    return _Console(highlight=False, quiet=quiet, soft_wrap=not sys.stdout.isatty())


def header(console: Console, facts: dict[str, str]) -> None:
    """Print what is about to run, a line a fact."""
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        grid.add_row(f"[bold]{name}[/]", escape(visible(value)))
    if console.is_terminal:
        console.print(grid)
    else:
        for name, value in facts.items():
            console.print(f"{name}: {visible(value)}", markup=False)


class ConsoleSink:
    """A progress bar on a terminal, and one line an epoch everywhere."""

    def __init__(self, console: Console, config: Config) -> None:
        self.console, self.epochs, self.patience = console, config.epochs, config.early_stopping
        better = f"better {evaluated_on(config)} {config.best_by}"
        self.better = f"{better} by more than {config.min_delta:g}" if config.min_delta else better
        self.width = len(str(self.epochs))
        self.progress = _bar(console) if console.is_terminal else None
        self.task: TaskID | None = None
        self.started = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Move the bar, or print the line of an epoch."""
        if isinstance(event, StepsTaken):
            self._advance(event)
        elif isinstance(event, EpochEnded):
            self.console.print(self._line(event), markup=False)
        elif isinstance(event, Stopped) and event.reason == "early_stopping":
            waited = "in the last epoch" if self.patience == 1 else f"for {self.patience} epochs"
            self.console.print(f"stopped early: no {self.better} {waited} (early_stopping)", markup=False)

    def _advance(self, event: StepsTaken) -> None:
        if self.progress is None:
            return
        total = event.steps_per_epoch * self.epochs
        if self.task is None:
            self.progress.start()
            self.task = self.progress.add_task("", total=total, completed=event.step - event.steps_done, state="")
        self.progress.update(
            self.task,
            completed=(event.epoch - 1) * event.steps_per_epoch + event.steps_done,
            description=f"epoch {event.epoch}/{self.epochs}",
            state=f"loss {event.train.loss:.4f}  acc {event.train.accuracy:.4f}  {event.images_per_second:,.0f} img/s",
        )

    def _line(self, event: EpochEnded) -> str:
        seconds = event.train_seconds + event.evaluate_seconds
        return (
            f"epoch {event.epoch:>{self.width}}/{self.epochs}  "
            f"train loss {event.train.loss:.4f} acc {event.train.accuracy:.4f}  "
            f"{event.split} loss {event.evaluated.loss:.4f} acc {event.evaluated.accuracy:.4f}  "
            f"{seconds:.1f} s{'  *' if event.best else ''}"
        )

    def close(self) -> None:
        """Take the bar off the screen."""
        if self.progress is not None:
            self.progress.stop()


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None if console.width < 100 else 30),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def best_in_words(best: Mapping[str, Any]) -> str:
    """What the best epoch of a result reached, and what it was selected on."""
    split, by = best.get("selected_on"), best.get("by")
    loss = f", loss {best.get('loss', 0):.4f}" if by == "loss" else ""
    return (
        f"{split} accuracy {best.get('accuracy', 0):.4f}{loss} (selected on {split}{' loss' if by == 'loss' else ''})"
    )


def summary(console: Console, result: Result, run_dir: Path) -> None:
    """The closing lines: last and best epoch, where everything lies, what to type next."""
    if result.test and result.train:
        rows = read_history(run_dir)
        held_out = f"val accuracy {rows[-1]['val_accuracy']:.4f}, " if rows and "val_accuracy" in rows[-1] else ""
        console.print(
            f"last epoch {result.epochs}: {held_out}test accuracy {result.test['accuracy']:.4f}, "
            f"loss {result.test['loss']:.4f}; train accuracy {result.train['accuracy']:.4f}",
            markup=False,
        )
    if result.best:
        console.print(f"best epoch {result.best['epoch']}: {best_in_words(result.best)}", markup=False)
    if console.is_terminal:
        for line in accuracy_curve(read_history(run_dir), console.encoding):
            console.print(line)
    console.print(f"next: dlrun show {typeable(run_dir)}", markup=False)
    if (run_dir / "tensorboard").is_dir():
        console.print(f"      tensorboard --logdir {typeable(run_dir)}", markup=False)
    console.print(
        f"{result.status} in {result.seconds['total']:.1f} s: {visible(str(run_dir.resolve()))}", markup=False
    )
