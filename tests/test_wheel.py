"""A built wheel, installed away from the clone, is the whole program with its configs inside."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with dlrun's wheel; what dlrun needs comes from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    place = folder / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    site = next((place / "lib").glob("python*/site-packages"))
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", str(place), "install", "--no-deps", str(wheel)], check=True)
    (site / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def run(command: Path, *words: str, cwd: Path) -> str:
    done = subprocess.run([str(command), *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_trains_from_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    where = run(environment / "python", "-c", "import dlrun; print(dlrun.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment.parent)
    assert "completed in" in run(environment / "dlrun", "data=synthetic", "model=fc_64", "epochs=1", cwd=tmp_path)
    assert list(tmp_path.glob("outputs/*/*/result.json"))
    script = "from dlrun import run; print(run('data=synthetic', 'model=fc_64', 'epochs=1').status)"
    assert run(environment / "python", "-c", script, cwd=tmp_path).splitlines()[-1] == "completed"


@pytest.mark.slow
def test_sweeps_tables_and_the_users_own_configs_work(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "configs" / "experiment").mkdir()
    (tmp_path / "configs" / "model" / "mine.yaml").write_text("layers: [flatten, dense 20]\n")
    (tmp_path / "configs" / "experiment" / "quick.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: mine\n  - override /data: synthetic\nepochs: 1\n"
    )
    assert "[2/2]" in run(environment / "dlrun", "-m", "experiment=quick", "seed=0,1", cwd=tmp_path)
    assert run(environment / "dlrun", "reproduce", "psc_mnist", "--dry-run", cwd=tmp_path).count("\n") == 21
