"""dlrun doctor: every line true of this machine, advice that can be typed, and no crash when something is broken."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

Dlrun = Callable[..., subprocess.CompletedProcess[str]]


def test_a_sound_machine(dlrun: Dlrun, tmp_path: Path) -> None:
    (tmp_path / "configs/model").mkdir(parents=True)
    (tmp_path / "configs/model/mine.yaml").write_text("layers: [flatten]\n")
    done = dlrun("doctor", DLRUN_DATA=str(tmp_path))
    assert done.returncode == 0
    assert done.stderr == ""
    for name in ("dlrun", "python", "torch", "torchvision", "device=auto", "synthetic", "outputs", "cache"):
        assert re.search(rf"^  ok +{name} ", done.stdout, re.MULTILINE), name
    assert re.search(r"^  (ok|missing) +bfloat16 +on the CPU \d+\.\d times float32's time", done.stdout, re.MULTILINE)
    assert re.search(r"missing mnist +not fetched\n +> dlrun data fetch mnist\n", done.stdout)
    assert "./configs       1 YAML file of yours" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["configs"]


def test_damaged_data_and_a_folder_that_cannot_be_written(dlrun: Dlrun, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / "mnist" / f"{name}-ubyte").write_bytes(b"rubbish")
    done = dlrun("doctor", cwd=Path("/proc"), DLRUN_DATA=str(tmp_path))
    assert done.returncode == 0
    assert re.search(r"broken +mnist ", done.stdout)
    assert "broken  outputs         can't write to /proc" in done.stdout


def test_torch_that_cannot_be_imported_and_nothing_else_there(dlrun: Dlrun, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text('raise ImportError("libcudart.so.13: cannot open")\n')
    done = dlrun("doctor", PATH=str(tmp_path), PYTHONPATH=str(tmp_path), DLRUN_DATA="/nonexistent")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert re.search(r"broken +torch +can't be imported: libcudart.so.13", done.stdout)
    assert re.search(r'> \S+ -m pip install .*"torch[<>]', done.stdout)
    assert "missing commands        no sbatch, squeue, scancel, scontrol here" in done.stdout
    assert "broken  $DLRUN_DATA     /nonexistent: no such folder" in done.stdout


def test_what_is_typed_wrongly(dlrun: Dlrun) -> None:
    assert dlrun("doctor", "nobody").returncode == 2
