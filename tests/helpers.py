"""What several test modules need and no fixture has to prepare."""

import time
from collections.abc import Callable
from typing import Any

from dlrun.result import Result


def wait_for(reached: Callable[[], object], seconds: float = 300) -> None:
    """Return when `reached()` is true; fail when that takes too long."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.05)


def result_of_a_run(**changes: Any) -> Result:
    """The result of a completed run of FC 64 on MNIST, less what is given."""
    values: dict[str, Any] = {
        "status": "completed",
        "hash": "",
        "name": "",
        "seed": 0,
        "overrides": [],
        "data": {"name": "mnist", "fingerprint": "ab" * 32, "verified": True},
        "model": "fc_64",
        "parameters": {"total": 55_050, "trainable": 55_050, "non_trainable": 0},
        "epochs": 10,
        "train": {"loss": 0.1, "accuracy": 0.95},
        "test": {"loss": 0.3, "accuracy": 0.9},
        "best": {"epoch": 7, "accuracy": 0.91, "selected_on": "test"},
        "seconds": {"total": 12.0, "train": 10.0, "evaluate": 1.0, "start": 1.0},
        "images_per_second": 1e5,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "cpu_capability": "AVX2",
        "versions": {"dlrun": "0.1.0", "torch": "2.13.0"},
        "git": None,
    }
    return Result(**{**values, **changes})
