"""What all tests share: the command in a folder of its own, and which heavy tests this machine can run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def dlrun(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `dlrun WORDS` as a user would, in an empty working directory (`tmp_path`)."""

    def run(
        *words: str, cwd: Path = tmp_path, timeout: float = 120, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dlrun", *words],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "120", **variables},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the heavy tests whose means are not here, and say what is missing."""
    missing = {
        "real_data": None if os.environ.get("DLRUN_DATA") else "DLRUN_DATA is not set",
        "slurm": None if shutil.which("slurmctld") else "slurmctld is not installed",
        "browser": None if shutil.which("chromium") else "chromium is not installed",
        "keras": None if os.environ.get("DLRUN_KERAS_PYTHON") else "DLRUN_KERAS_PYTHON names no Python with tensorflow",
        "cuda": None if Path("/dev/nvidia0").exists() else "there is no NVIDIA GPU",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
