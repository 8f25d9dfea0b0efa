"""What one sees of a run: a header, a live bar, a line an epoch; plain lines where there is no terminal."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from dlrun.config.schema import Config, evaluated_on
from dlrun.output import duration, folded, near
from dlrun.sinks.curve import accuracy_curve
from dlrun.store.history import read_history
from dlrun.store.result import Result
from dlrun.text import typeable, visible
from dlrun.training.events import EpochEnded, Event, Metrics, StepsTaken, Stopped

WIDE = 100
"""Characters of a line that the long form of progress and epochs needs."""


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
    if not console.is_terminal:
        for name, value in facts.items():
            console.print(f"{name}: {visible(value)}", markup=False)
        return
    widest = max(map(cell_len, facts), default=0)
    for name, value in facts.items():
        print_fact(console, name, value, widest + 2)


def print_fact(console: Console, name: str, value: str, indent: int) -> None:
    """Print a name and its value, which begins after `indent` characters and is folded on a terminal."""
    text = Text(folded(f"{name:<{indent}}{visible(value)}", room(console), indent))
    text.stylize("bold", 0, len(name))
    console.print(text, soft_wrap=True)


def room(console: Console) -> int | None:
    """Characters of a line; None where the console is no terminal."""
    return console.width if console.is_terminal else None


def tell(console: Console, text: str, style: str = "") -> None:
    """As `dlrun.output.say`, through a console, which may be quiet or draw a live table below."""
    console.print(Text(folded(visible(text), room(console), 2), style), soft_wrap=True)


class ConsoleSink:
    """A progress bar on a terminal, and one line an epoch everywhere."""

    def __init__(self, console: Console, config: Config) -> None:
        self.console, self.epochs, self.patience = console, config.epochs, config.early_stopping
        better = f"better {evaluated_on(config)} {config.best_by}"
        self.better = f"{better} by more than {config.min_delta:g}" if config.min_delta else better
        self.width = len(str(self.epochs))
        self.narrow = console.is_terminal and console.width < WIDE
        self.progress = _bar(console) if console.is_terminal else None
        self.task: TaskID | None = None
        self.started = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Move the bar, or print the line of an epoch."""
        if isinstance(event, StepsTaken):
            self._advance(event)
        elif isinstance(event, EpochEnded):
            tell(self.console, self._line(event))
        elif isinstance(event, Stopped) and event.reason == "early_stopping":
            waited = "in the last epoch" if self.patience == 1 else f"for {self.patience} epochs"
            tell(self.console, f"stopped early: no {self.better} {waited} (early_stopping)")

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
            state=f"loss {event.train.loss:.4f} acc {event.train.accuracy:.4f} {event.images_per_second:,.0f} img/s",
        )

    def _line(self, event: EpochEnded) -> str:
        seconds = event.train_seconds + event.evaluate_seconds
        return (
            f"epoch {event.epoch:>{self.width}}/{self.epochs}  "
            f"train {self._measured(event.train)}  {event.split} {self._measured(event.evaluated)}  "
            f"{seconds:.1f} s{'  *' if event.best else ''}"
        )

    def _measured(self, found: Metrics) -> str:
        if self.narrow:
            return f"{found.accuracy:.4f} loss {found.loss:.4f}"
        return f"loss {found.loss:.4f} acc {found.accuracy:.4f}"

    def close(self) -> None:
        """Take the bar off the screen."""
        if self.progress is not None:
            self.progress.stop()


class _Left(ProgressColumn):
    """How long the run will still take."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """The time as people say it; nothing where it is not known yet."""
        seconds = task.time_remaining
        return Text("" if seconds is None else f"{duration(seconds)} left")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None if console.width < WIDE else 30),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}"),
        _Left(),
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
        tell(
            console,
            f"last epoch {result.epochs}: {held_out}test accuracy {result.test['accuracy']:.4f}, "
            f"loss {result.test['loss']:.4f}; train accuracy {result.train['accuracy']:.4f}",
        )
    if result.best:
        tell(console, f"best epoch {result.best['epoch']}: {best_in_words(result.best)}")
    if console.is_terminal:
        for line in accuracy_curve(read_history(run_dir), console.encoding):
            console.print(line)
    tell(console, f"next: dlrun show {typeable(run_dir)}")
    if (run_dir / "tensorboard").is_dir():
        tell(console, f"      tensorboard --logdir {typeable(run_dir)}")
    tell(console, f"{result.status} in {result.seconds['total']:.1f} s: {near(run_dir)}")
