"""A few training steps under PyTorch's profiler: a trace, and a table of the costliest operators."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

log = logging.getLogger("dlrun")

WAIT, WARMUP, STEPS = 5, 2, 10
"""Steps let by, steps that warm the profiler up, steps recorded."""
ROWS = 25


@contextlib.contextmanager
def profiled(optimizer: torch.optim.Optimizer, folder: Path) -> Iterator[None]:
    """Record ten of the first steps inside into `folder`: `trace.json.gz` and `operators.txt`.

    The trace opens in https://ui.perfetto.dev or chrome://tracing. The table goes to the log, too.
    """
    folder.mkdir(exist_ok=True)
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    steps = schedule(wait=WAIT, warmup=WARMUP, active=STEPS, repeat=1)
    profiler = profile(
        activities=activities,
        schedule=steps,
        on_trace_ready=lambda done: _save(done, folder),
        record_shapes=True,
    )
    step = optimizer.step

    def counted(*arguments: Any, **options: Any) -> Any:
        done = step(*arguments, **options)
        profiler.step()
        return done

    # Not register_step_post_hook: dlrun's own optimizers go without PyTorch's hooks.
    optimizer.step = counted  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a run that ends before the last recorded step
        profiler.start()
    try:
        yield
    finally:
        del optimizer.step
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            profiler.stop()


def _save(done: Any, folder: Path) -> None:
    done.export_chrome_trace(str(folder / "trace.json.gz"))
    by = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    table = done.key_averages().table(sort_by=by, row_limit=ROWS, max_name_column_width=48)
    (folder / "operators.txt").write_text(table, encoding="utf-8")
    log.info("%d training steps, the costliest operators first:\n%s", STEPS, table)
