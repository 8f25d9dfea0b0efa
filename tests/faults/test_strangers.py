"""Folders that others made: nothing in them is run, neither by its name nor by what a config in it names."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import said
from PIL import Image

from dlrun.config.schema import parse
from dlrun.config.settled import settle
from dlrun.store import checkpoint

TINY = [
    *("data=synthetic", "data.train_images=32", "data.test_images=16", "model=fc_64", "epochs=1"),
    *("threads=1", "device=cpu", "tensorboard=off"),
]
SCRIPT = Path(sys.executable).with_name("dlrun")


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder with a module for every name that Python or an installed package goes by; each leaves a trace."""
    names = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()} - set(sys.builtin_module_names)
    for name in names:
        if name.isidentifier() and not name.startswith("__"):
            (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write(__name__ + ' ')\n")
    plugin = tmp_path / "hydra_plugins" / "planted"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text((tmp_path / "yaml.py").read_text())
    return tmp_path


def imported(folder: Path) -> set[str]:
    trace = folder / "imported"
    return set(trace.read_text().split()) if trace.exists() else set()


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.skipif(not SCRIPT.exists(), reason="the command is not installed beside Python")
def test_a_command_imports_nothing_from_the_folder_it_is_typed_in(planted: Path) -> None:
    for words in (["show", "."], ["-m", *TINY, "seed=1,2", "sweep.name=two"]):
        done = run([str(SCRIPT), *words], planted)
        assert "Traceback" not in done.stderr
        assert imported(planted) == set(), words
    assert done.returncode == 0, done.stderr
    assert "2 runs in" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not SCRIPT.exists(), reason="the command is not installed beside Python")
def test_no_verb_imports_anything_from_there(planted: Path) -> None:
    assert run([str(SCRIPT), *TINY, "hydra.run.dir=r"], planted).returncode == 0
    (planted / "pictures").mkdir()
    for words in (
        ["evaluate", "r"],
        ["predict", "r", "pictures"],
        ["export", "r", "--format", "pt2"],
        ["resume", "r", "epochs=2"],
        ["show", "r"],
        ["report", "."],
        ["plan", "-m", *TINY, "seed=8,9"],
        ["reproduce", "psc_mnist", "--dry-run"],
        ["data", "show", "synthetic"],
        ["doctor"],
        ["slurm", "status"],
        ["array", "prepare", "-m", *TINY, "seed=8,9", "--tasks", "2"],
        ["--help"],
        ["--cfg", "job"],
    ):
        done = run([str(SCRIPT), *words], planted)
        assert "Traceback" not in done.stderr, done.stderr
        assert imported(planted) == set(), words


def test_as_a_module_of_python_it_imports_only_what_python_itself_begins_with(planted: Path) -> None:
    """Python puts the folder first before dlrun is asked; `python -P -m dlrun` does not."""
    begun = run([sys.executable, "-c", "import runpy, sys; print(*sys.modules)"], planted.parent).stdout.split()
    for name in begun:
        (planted / f"{name}.py").unlink(missing_ok=True)
    assert {"yaml.py", "random.py", "typing.py", "logging.py", "torch.py"} <= {path.name for path in planted.iterdir()}
    assert "no runs" in run([sys.executable, "-m", "dlrun", "report", "."], planted).stderr
    assert imported(planted) == set()


# --- what a config of theirs names ------------------------------------------------------------------------

MODULE = """
from torch import nn

open("PWNED", "w").close()


class Net(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(784, num_classes))
"""
HOSTILE: list[dict[str, Any]] = [
    {"_target_": "os.system", "command": "touch PWNED"},
    {"_target_": "torch.utils.collect_env.run", "command": "touch PWNED"},
    {"_target_": "torch.hub.load", "repo_or_dir": ".", "model": "Net", "source": "local", "num_classes": 10},
    {"_target_": "planted_module.Net"},
    {"_target_": "torchvision.models.get_model", "name": ["a"]},
]
USING = {
    "model": (["resume", "r"], ["resume", "r", "epochs=9"], ["evaluate", "r"], ["predict", "r", "."], ["export", "r"]),
    "data": (["resume", "r"], ["resume", "r", "epochs=9"], ["evaluate", "r"], ["evaluate", "r", "data.root=."]),
    "optimizer": (["resume", "r"], ["resume", "r", "epochs=9"]),
}
LOOKING = (["show", "r"], ["report", "."], ["report", "r"], ["evaluate", "r", "data=synthetic"])


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed_trust: Path) -> Path:
    """A working directory with somebody's run `r`, a picture, and modules that leave a trace when imported."""
    shutil.copytree(undisturbed_trust, tmp_path / "r")
    for name in ("planted_module", "hubconf"):
        (tmp_path / f"{name}.py").write_text(MODULE)
    Image.new("L", (28, 28)).save(tmp_path / "picture.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "planted_module", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed_trust(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theirs") / "r"
    assert said(*TINY, f"hydra.run.dir={folder}")[0] == 0
    return folder


def rewrite(run_dir: Path, **changes: Any) -> None:
    """Another config, with a checkpoint that says it is of that; whoever makes a run up takes care of it."""
    values = yaml.safe_load((run_dir / "config.yaml").read_text()) | changes
    (run_dir / "config.yaml").write_text(yaml.safe_dump(values))
    (run_dir / "result.json").unlink()
    last = run_dir / "checkpoints" / "last.pt"
    checkpoint.save(last, checkpoint.load(last) | {"hash": settle(parse(values)).hash})


@pytest.mark.parametrize("group", USING)
@pytest.mark.parametrize("part", HOSTILE, ids=lambda part: part["_target_"])
def test_nothing_that_a_config_of_theirs_names_is_run(group: str, part: dict[str, Any], theirs: Path) -> None:
    rewrite(theirs / "r", **{group: part}, trust=True)
    for words in USING[group]:
        status, text = said(*words)
        assert status == 2
        assert f"{group}._target_={part['_target_']}: not on dlrun's list" in text
        assert "add trust=true" in text
    for words in LOOKING:
        said(*words)
    assert not (theirs / "PWNED").exists()


def test_trust_as_typed_opens_it_and_so_does_the_command_that_began_the_run(theirs: Path) -> None:
    mine = [*TINY[:3], *TINY[4:], "model=mine", "hydra.run.dir=m"]
    (theirs / "configs" / "model").mkdir(parents=True)
    (theirs / "configs" / "model" / "mine.yaml").write_text("_target_: planted_module.Net\n")
    assert said(*mine)[0] == 0
    (theirs / "m" / "result.json").unlink()
    assert said("resume", "m")[0] == 2
    assert "completed in" in said(*mine)[1]
    status, text = said("resume", "m", "epochs=2", "trust=true")
    assert status == 0, text
    assert said("resume", "m", "epochs=3")[0] == 2, "what was typed yesterday does not count"
