"""What all tests share: the command in a folder of its own, and which heavy tests this machine can run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

# A busy machine is no reason to fail: the first example of a strategy may wait for a core.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture(autouse=True)
def _tiny_numbers() -> None:
    """An earlier test's run made tiny numbers count as 0 in this process; what hypothesis makes up has such."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


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


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and threads that stay as they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dlrun.runs.parts.set_threads", lambda _: 1)
    monkeypatch.setattr("dlrun.runs.loading.set_threads", lambda _: 1)
    return tmp_path


TRACKERS = ("mlflow", "wandb", "trackio")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the heavy tests whose means are not here, and say what is missing."""
    missing = {
        "real_data": None if os.environ.get("DLRUN_DATA") else "DLRUN_DATA is not set",
        "slurm": None if shutil.which("slurmctld") else "slurmctld is not installed",
        "cluster": None if _has_grid_engine() else "Grid Engine (sge_qmaster, sge_execd, qsub) is not installed",
        "browser": None if shutil.which("chromium") else "chromium is not installed",
        "keras": None if os.environ.get("DLRUN_KERAS_PYTHON") else "DLRUN_KERAS_PYTHON names no Python with tensorflow",
        "trackers": None if all(map(find_spec, TRACKERS)) else f"not all of {', '.join(TRACKERS)} are installed",
        "cuda": None if Path("/dev/nvidia0").exists() else "there is no NVIDIA GPU",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _has_grid_engine() -> bool:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    return all(shutil.which(name, path=path) for name in ("sge_qmaster", "sge_execd", "qsub"))


@pytest.fixture(scope="session")
def drawn_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with `mnist/` in it: the digits of a font, light on dark, 28x28, moved and scaled a little."""
    import struct

    import numpy as np
    from PIL import Image, ImageDraw

    from dlrun.drawing.fonts import font

    random = np.random.default_rng(0)

    def drawn(digit: int) -> np.ndarray:
        page = Image.new("L", (28, 28))
        x, y = 14 + random.integers(-2, 3, size=2)
        ImageDraw.Draw(page).text((x, y), str(digit), fill=255, font=font(int(random.integers(20, 27))), anchor="mm")
        return np.asarray(page)

    folder = tmp_path_factory.mktemp("drawn") / "mnist"
    folder.mkdir()
    for name, count in (("train", 600), ("t10k", 200)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.stack([drawn(label) for label in labels])
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + images.tobytes())
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels.tobytes())
    return folder.parent


DRAWN_RUN = (
    "data=mnist",
    "data.verify=false",
    "model.layers=[conv 8, pool 2, flatten, dense 32]",
    "optimizer=adam",
    "optimizer.lr=0.005",
    "augment=shift_flip",
    "augment.flip=false",
    "epochs=6",
    "batch_size=25",
    "log_every=10",
    "threads=1",
    "device=cpu",
)


@pytest.fixture(scope="session")
def drawn_run(drawn_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has learnt the drawn digits; tests only read it."""
    import torch

    from dlrun.config.compose import compose
    from dlrun.config.settled import settle
    from dlrun.runs.run import run

    before = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("runs") / "drawn"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        result = run(settle(compose([*DRAWN_RUN, f"data.root={drawn_digits}"])), folder)
    torch.set_num_threads(before)
    assert result.test is not None
    assert result.test["accuracy"] > 0.95
    return folder
