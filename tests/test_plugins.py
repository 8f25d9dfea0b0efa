"""Another Hydra application in the same environment goes on as if dlrun were not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = """
import sys
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    print("loaded of dlrun:", sorted(name for name in sys.modules if name.split(".")[0] == "dlrun"))

main()
"""
PLUGINS = {
    "launcher/local": "hydra_plugins.dlrun_plugins.launcher.LocalLauncher",
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
