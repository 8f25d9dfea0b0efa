"""Another Hydra application in the same environment goes on as if dlrun were not there."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import OmegaConf

from dlrun.verbs.multirun import task
from hydra_plugins.dlrun_plugins.rows import PointSweeper

APPLICATION = """
import sys
import hydra

# Hydra 1.3 warns of an application that does not name a version, 1.4 of one that does.
VERSION = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}

@hydra.main(**VERSION, config_path="conf", config_name="config")
def main(config):
    print("loaded of dlrun:", sorted(name for name in sys.modules if name.split(".")[0] == "dlrun"))

main()
"""
PLUGINS = {
    "launcher/local": "hydra_plugins.dlrun_plugins.launcher.LocalLauncher",
    "launcher/lab": "hydra_plugins.dlrun_plugins.launcher.DaskLauncher",
    "launcher/cluster": "hydra_plugins.dlrun_plugins.slurm.SlurmLauncher",
    "sweeper/points": "hydra_plugins.dlrun_plugins.rows.PointSweeper",
    "sweeper/search": "hydra_plugins.dlrun_plugins.search.SearchSweeper",
}


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """An application of somebody's, with a folder `configs` that means nothing to it."""
    (tmp_path / "configs").mkdir()
    for name, target in PLUGINS.items():
        path = tmp_path / "conf" / "hydra" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"_target_: {target}\n")
    (tmp_path / "conf" / "config.yaml").write_text("x: 1\n")
    (tmp_path / "app.py").write_text(APPLICATION)
    return tmp_path / "app.py"


def run(application: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(application), *words]
    # dlrun itself asks Hydra for tracebacks, in whatever process it runs a sweep.
    environment = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    return subprocess.run(
        command, cwd=application.parent, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_its_search_path_is_its_own(application: Path) -> None:
    shown = run(application, "--info", "searchpath").stdout
    assert "conf" in shown
    assert "working-directory" not in shown


def test_it_does_not_pay_for_dlrun(application: Path) -> None:
    assert "loaded of dlrun: []" in run(application, "hydra.run.dir=out").stdout


@pytest.mark.parametrize("plugin", PLUGINS)
def test_dlruns_launchers_and_sweepers_refuse_it_in_one_sentence(application: Path, plugin: str) -> None:
    group, option = plugin.split("/")
    done = run(application, "-m", "x=1,2", f"hydra/{group}={option}")
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line and not line.startswith("Set the environment variable")]
    name = PLUGINS[plugin].rpartition(".")[2]
    assert told == [f"{name} belongs to dlrun and trains dlrun's networks only; __main__ needs another one"]


def test_hydra_has_nothing_to_warn_of(dlrun: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    """Hydra 1.3 wants a `version_base`, 1.4 does not; 1.4 hands a sweeper its config read-only."""
    words = ("data=synthetic", "model=fc_64", "epochs=1", "limit=64", "device=cpu", "threads=1", "tensorboard=off")
    done = dlrun("-m", *words, "seed=0", "sweep.name=s", "hydra/launcher=basic", PYTHONWARNINGS="always")
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "hydra" in line.lower() or "omegaconf" in line.lower()]


def test_a_sweeper_takes_a_config_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Hydra 1.4 hands it over."""
    monkeypatch.chdir(tmp_path)
    config = OmegaConf.create(
        {
            "hydra": {
                "sweep": {"dir": "of Hydra's"},
                "overrides": {"hydra": [], "task": ["data=synthetic", "sweep.name=mine", "seed=0,1"]},
                "launcher": {"_target_": PLUGINS["launcher/local"]},
            }
        }
    )
    OmegaConf.set_readonly(config, True)
    sweeper = PointSweeper()
    sweeper.setup(hydra_context=cast(Any, None), task_function=task, config=config)
    assert sweeper.config is not None
    assert Path(sweeper.config.hydra.sweep.dir) == Path("outputs/sweeps/mine")
    assert type(sweeper.launcher).__name__ == "LocalLauncher"  # Hydra has loaded the module once more
