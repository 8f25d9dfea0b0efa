"""What the tests of several verbs share."""

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import result_of_a_run

from dlrun.config.compose import compose
from dlrun.config.schema import Config, identity
from dlrun.store.folders import write_config

HOUR = 3600


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is loaded leaves the number of this process' threads alone."""
    monkeypatch.setattr("dlrun.runs.loading.set_threads", lambda _: 1)


@functools.cache
def composed(*words: str) -> Config:
    return compose(["precision=float32", *words])


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Lays a run into `outputs/FOLDER` of an empty working directory, so many hours old."""
    monkeypatch.chdir(tmp_path)
    now = 1_790_000_000

    def make(folder: str, *words: str, hours: int = 0, status: str | None = "completed", accuracy: float = 0.9) -> Path:
        path = Path("outputs") / folder
        path.mkdir(parents=True)
        # Composed once for all seeds: it takes longer than the rest.
        seed = next((int(word[5:]) for word in words if word.startswith("seed=")), 0)
        config = replace(composed(*(word for word in words if not word.startswith("seed="))), seed=seed)
        write_config(path, config, words)
        if status is not None:
            error = {"type": "Killed", "message": "killed"} if status == "failed" else None
            result_of_a_run(
                hash=identity(config), name=config.name or path.name, seed=config.seed, overrides=list(words),
                status=status, error=error, test={"loss": 0.1, "accuracy": accuracy},
            ).write(path)  # fmt: skip
        for file in path.iterdir():
            os.utime(file, (now - hours * HOUR,) * 2)
        return path

    return make
