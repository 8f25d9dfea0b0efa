"""`dlrun show`: one real run, and what may become of a run's folder."""

import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlrun.config.compose import compose
from dlrun.config.groups import Target
from dlrun.config.schema import identity
from dlrun.store.folders import hold, read_config, write_config
from dlrun.verbs import show

WORDS = ["data=synthetic", "model=fc_64", "epochs=2", "limit=64", "optimizer=adam", "optimizer.lr=0.002"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs."""
    root = tmp_path_factory.mktemp("show")
    words = [*WORDS, "tensorboard=off", "threads=1", "hydra.run.dir=run"]
    subprocess.run([sys.executable, "-m", "dlrun", *words], cwd=root, check=True, capture_output=True)
    return root / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return shutil.copytree(trained, tmp_path / "run")


def shown(folder: Path, capsys: pytest.CaptureFixture[str], status: int = 0) -> str:
    assert show.main([str(folder)]) == status
    return capsys.readouterr().out


def edit(run: Path, **changes: object) -> None:
    path = run / "result.json"
    values = json.loads(path.read_text()) | {"history": None} | changes
    del values["checksum"]
    path.write_text(json.dumps(values))


def test_completed_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(run, capsys)
    assert "completed, 2 of 2 epochs" in text
    settings = next(line.split()[1:] for line in text.splitlines() if line.startswith("settings"))
    assert sorted(settings) == sorted([*WORDS, "tensorboard=off", "threads=1"])
    assert "fc_64, 55,050 parameters" in text
    assert "cpu, float32, 1 thread," in text
    assert "dense 64" in text
    assert "50,240" in text
    assert "accuracy by epoch" in text
    assert f"dlrun resume {run} epochs=4" in text


def test_settings_can_be_typed_again() -> None:
    layers = "model.layers=[conv 4 5x5, pool 2, dropout 0.5, flatten]"
    typed = ["data=synthetic", layers, "optimizer.lr=0.00123456789", "name='a, b'", "tensorboard=off", "limit=9"]
    config = compose([*typed, "precision=float32"])
    again = compose([*shlex.split(" ".join(show.changes(config))), "precision=float32"])
    assert again == config


@pytest.mark.parametrize(
    ("group", "target", "predict", "evaluate"),
    [
        ("model", "mine.Network", " trust=true", " trust=true"),
        ("model", "torchvision.models.alexnet", "", ""),
        ("model", "dlrun.models.resnet.resnet9", "", ""),
        ("data", "mine.load", "", " trust=true"),
    ],
)
def test_code_of_ones_own_is_trusted_in_the_lines_to_type(
    group: str, target: str, predict: str, evaluate: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = dataclasses.replace(read_config(run), **{group: Target(target, {})})
    write_config(run, config, WORDS)
    edit(run, hash=identity(config))
    text = shown(run, capsys)
    assert f"dlrun predict {run} IMAGE{predict}\n" in text
    assert f"dlrun evaluate {run}{evaluate}\n" in text


def test_failed_run_says_why_and_where_the_log_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(run, status="failed", error={"type": "ValueError", "message": "loss is nan"})
    text = shown(run, capsys)
    assert "failed, 2 of 2 epochs" in text
    assert "ValueError: loss is nan" in text
    assert str(run / "run.log") in text
    assert f"dlrun resume {run}\n" in text


def test_a_run_runs_as_long_as_its_lock_is_held(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "result.json").unlink()
    hour_ago = time.time() - 3600
    for path in [run, *run.rglob("*")]:
        os.utime(path, (hour_ago, hour_ago))
    with hold(run):
        text = shown(run, capsys)
    assert "running, 2 of 2 epochs" in text
    assert "tail -f" in text
    (run / "run.log").write_text("a sign of life, then kill -9")
    text = shown(run, capsys)
    assert "interrupted, 2 of 2 epochs" in text
    assert "dlrun resume" in text


def test_damaged_result_shows_the_rest(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "result.json").write_text('{"schema": 1')
    text = shown(run, capsys, status=1)
    assert "damaged: " in text
    assert "model=fc_64" in text
    assert "train accuracy" in text


@pytest.mark.parametrize("name", ["config.yaml", "history.csv"])
@pytest.mark.parametrize("content", ["", "\x00\xff", "a: [", "epoch,x\n1,2,3\n4,5\n"])
def test_damaged_parts_do_not_end_in_a_traceback(
    run: Path, name: str, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).write_text(content, encoding="latin-1")
    assert "damaged" in shown(run, capsys, status=1)


def test_hostile_texts_are_spelt_out(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[31m[bold red]\u202e"
    edit(run, status="failed", model=hostile, device=hostile, error={"type": hostile, "message": hostile})
    text = shown(run, capsys)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[31m[bold red]" in text


def test_long_history_is_abridged(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, first = (run / "history.csv").read_text().splitlines()[:2]
    rows = [",".join([str(number), *first.split(",")[1:]]) for number in range(1, 51)]
    (run / "history.csv").write_text("\n".join([head, *rows]) + "\n")
    edit(run, best={"epoch": 20, "accuracy": 0.5, "selected_on": "test"})
    table = shown(run, capsys).partition("train loss")[2].partition("accuracy by epoch")[0]
    assert [line.split()[0] for line in table.splitlines()[1:] if line.strip()] == [
        *("1", "2", "3", "…", "20", "…", "48", "49", "50")
    ]


def test_other_folders_are_refused(run: Path, dlrun) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(run, run.parent / "second")
    several = dlrun("show", ".")
    assert several.returncode == 2
    assert "holds 2 runs" in several.stderr
    (run.parent / "empty").mkdir()
    assert "not the folder of a run" in dlrun("show", "empty").stderr
    assert "no such folder" in dlrun("show", "nowhere").stderr


def test_torch_is_not_imported(run: Path) -> None:
    code = "import sys\nfrom dlrun.verbs import show\nshow.main([sys.argv[1]])\nsys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(run)], check=False, capture_output=True)
    assert done.returncode == 0
