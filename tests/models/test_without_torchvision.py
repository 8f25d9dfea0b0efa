"""torchvision is asked for by the networks that come from it; where its import fails, nothing else does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = ["data=synthetic", "data.train_images=64", "data.test_images=32", "model=fc_64", "epochs=1", "threads=1"]
RUN += ["device=cpu", "tensorboard=off", "profile=false"]
SCRIPT = """
import sys
from dlrun.cli import main

for words in {commands}:
    print("$", *words, flush=True)
    try:
        status = main(words)
    except SystemExit as error:
        status = error.code
    print("ended with", status or 0, flush=True)
print("imported:", sys.modules.get("torchvision") is not None)
"""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder whose torchvision fails as the real one does beside a PyTorch that can't load its operators."""
    package = tmp_path / "broken" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    return package.parent


def ran(commands: list[list[str]], folder: Path, broken: Path) -> str:
    """What these commands print in one process; each must end with 0, where it does not say otherwise."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(commands=commands)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(broken), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_network_of_phrases_trains_and_doctor_says_what_is_broken(broken: Path, tmp_path: Path) -> None:
    commands = [
        [*RUN, "hydra.run.dir=run"],
        ["evaluate", "run"],
        ["doctor"],
        ["model=torchvision", *(word for word in RUN if not word.startswith("model=")), "hydra.run.dir=other"],
    ]
    said = ran(commands, tmp_path, broken)
    assert said.count("ended with 0") == 3, said
    assert "ended with 2" in said
    assert "torchvision.models.get_model: importing torchvision failed: RuntimeError: operator" in said
    assert "broken  torchvision     can't be imported: operator torchvision::nms does not exist" in said
    assert "ok      torch  " in said
    assert said.count("Traceback") == 0
    assert "imported: False" in said


@pytest.mark.slow
def test_nor_does_any_other_verb_need_it(broken: Path, tmp_path: Path) -> None:
    """Sweeps, pictures, a network of dlrun's own, TensorBoard's graph, the profile, reports and both exports."""
    watched = [word for word in RUN if word not in ("tensorboard=off", "profile=false", "model=fc_64")]
    commands = [
        [*watched, "model=resnet9", "profile=true", "augment=affine", "hydra.run.dir=run"],
        ["resume", "run", "epochs=2"],
        ["predict", "run", str(Path(__file__).parents[2] / "docs" / "images" / "page.png")],
        ["export", "run", "--format", "onnx"],
        ["export", "run", "--format", "pt2"],
        ["show", "run"],
        ["-m", *RUN, "seed=0,1", "sweep.name=s"],
        ["report", "outputs"],
        ["data", "show", "synthetic"],
    ]
    said = ran(commands, tmp_path, broken)
    assert said.count("ended with 0") == len(commands), said
    assert "imported: False" in said
