"""The examples work from outside the clone: each is copied away and run as its page in docs/ says."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Dlrun = Callable[..., subprocess.CompletedProcess[str]]
EXAMPLES = Path(__file__).parents[1] / "examples"
SHORT = ["epochs=1", "limit=60", "tensorboard=off", "hydra.run.dir=run"]


@pytest.fixture
def example(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return Path(shutil.copytree(EXAMPLES / request.param, tmp_path / request.param))


def result(folder: Path) -> dict:
    return json.loads((folder / "run/result.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("example", ["own_model"], indirect=True)
def test_own_model(dlrun: Dlrun, example: Path) -> None:
    done = dlrun("model=small_resnet", "model.width=8", "data=synthetic", *SHORT, cwd=example)
    assert done.returncode == 0, done.stderr
    # 8*9+8, twice two convolutions of 8*8*9+8, 16*8*10+10
    assert result(example)["parameters"]["total"] == 80 + 4 * 584 + 1290
    assert result(example)["model"] == "small_resnet"
    assert dlrun("evaluate", "run", cwd=example).returncode == 2
    assert dlrun("evaluate", "run", "trust=true", cwd=example).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("example", ["own_model"], indirect=True)
def test_own_layers(dlrun: Dlrun, example: Path) -> None:
    done = dlrun("model=lenet", "data=synthetic", *SHORT, cwd=example)
    assert done.returncode == 0, done.stderr
    assert result(example)["parameters"]["total"] == 61_706


@pytest.mark.parametrize("example", ["own_data"], indirect=True)
def test_own_data(dlrun: Dlrun, example: Path) -> None:
    done = dlrun("data=shapes", "model=fc_64", *SHORT, cwd=example)
    assert done.returncode == 0, done.stderr
    assert result(example)["data"]["name"] == "shapes"


@pytest.mark.slow
@pytest.mark.parametrize("example", ["own_data"], indirect=True)
def test_own_pictures(dlrun: Dlrun, example: Path) -> None:
    subprocess.run([sys.executable, "draw.py", "pictures"], cwd=example, check=True, timeout=60)
    words = ("data=image_folder", "data.root=pictures", "data.color=grey", "data.size=28", "model=fc_64")
    done = dlrun(*words, *SHORT, cwd=example)
    assert done.returncode == 0, done.stderr
    assert "image_folder, 60 train + 60 test, 1x28x28, 3 classes" in done.stdout
