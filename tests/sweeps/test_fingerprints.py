"""A completed run counts only on the data it was made with."""

from pathlib import Path

import pytest

from dlrun.config.schema import Sweep
from dlrun.sweeps.jobs import Job
from dlrun.sweeps.launch import launch
from dlrun.sweeps.processes import Processes


def write_pictures(folder: Path, shade: int) -> None:
    from PIL import Image

    for name, tone in (("cats", 0), ("dogs", shade)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(10):
            Image.new("L", (8, 8), tone + number).save(folder / name / f"{number}.png")


def test_changed_pictures_are_trained_on_anew_and_nothing_is_lost(
    tmp_path: Path,
    one_server: tuple[Path, Processes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, processes = one_server
    monkeypatch.chdir(folder)
    write_pictures(tmp_path / "pictures", 100)
    words = ["data=image_folder", f"data.root={tmp_path / 'pictures'}", "model=fc_64", "epochs=1", "device=cpu"]
    job = Job.of(tuple(words), tmp_path / "run")
    assert [one.status for one in launch([job], Sweep(), processes=processes)] == ["completed"]
    assert [one.status for one in launch([job], Sweep(), processes=processes)] == ["skipped"]
    write_pictures(tmp_path / "pictures", 200)
    (again,) = launch([job], Sweep(), processes=processes)
    assert again.status == "completed"
    assert "run: its data have changed since; that run is kept as run." in capsys.readouterr().out
    assert len(list(tmp_path.glob("run*/result.json"))) == 2
    for count, shade in ((3, 100), (4, 200)):  # back and forth: names for what is put aside recur
        write_pictures(tmp_path / "pictures", shade)
        (again,) = launch([job], Sweep(), processes=processes)
        assert again.status == "completed"
        assert len(list(tmp_path.glob("run*/result.json"))) == count
