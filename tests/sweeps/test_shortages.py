"""A machine without room stops a sweep, says nothing against its runs, and the same command goes on."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlrun.store.result import Result
from dlrun.sweeps.jobs import Outcome

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="limits on the size of files"),
]

WORDS = ["data=synthetic", "data.train_images=128", "data.test_images=64", "model=fc_64", "epochs=2", "threads=1"]
WORDS += ["device=cpu", "tensorboard=off", "seed=range(0,6)", "sweep.slots=1"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the sweep of six in a folder, perhaps with a largest size of files."""

    def command(folder: Path, size: int | None = None) -> "subprocess.CompletedProcess[str]":
        def limit() -> None:
            if size is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        return subprocess.run(
            [sys.executable, "-m", "dlrun", "-m", *WORDS, f"hydra.sweep.dir={folder}"],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200"},
            preexec_fn=limit,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return command


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False)
    if done.returncode:
        pytest.skip("no tmpfs here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def statuses(folder: Path) -> list[str]:
    return [Result.read(path.parent).status for path in folder.glob("*/result.json")]


def test_no_room_is_not_the_runs_failure(quick: Callable[..., list[Outcome]], tmp_path: Path) -> None:
    words = ("seed=range(0,5)", "model.how=no_room")
    outcomes = quick(*words, slots=1)
    assert [one.status for one in outcomes] == ["failed"] * 3 + ["waiting"] * 2
    assert outcomes[0].reason == "No space left on device; the same command goes on when there is room"
    assert outcomes[4].reason == "the same error several times in a row"
    assert set(statuses(tmp_path)) == {"interrupted"}
    Path("repaired").touch()  # `quick` works in the folder of the saboteur
    try:
        assert [one.status for one in quick(*words)] == ["completed"] * 5
    finally:
        Path("repaired").unlink()


@pytest.mark.parametrize("how", ["exception", "bad_disk", "bad_file"])
def test_one_error_in_several_folders_is_one_error(how: str, quick: Callable[..., list[Outcome]]) -> None:
    outcomes = quick("seed=range(0,5)", f"model.how={how}", slots=1)
    assert [one.status for one in outcomes] == ["failed"] * 3 + ["waiting"] * 2, [one.reason for one in outcomes]


@pytest.mark.slow
def test_files_that_may_not_grow(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    short = run(folder, size=150_000)
    stopped(short, "File too large", 3)
    assert set(statuses(folder)) <= {"interrupted"}
    again = run(folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert statuses(folder) == ["completed"] * 6


def stopped(done: "subprocess.CompletedProcess[str]", reason: str, never: int) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{reason}; the same command goes on when there is room" in done.stdout
    assert f"3 of 6 runs failed; {never} were not started: the same error several times in a row" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_a_full_disk(run: Run, small_disk: Path, tmp_path: Path) -> None:
    """0.1.0 tried every run, and kept each as failed when there was room again."""
    folder = small_disk / "s"
    first = run(folder)
    done = statuses(folder).count("completed")
    assert first.returncode == 1
    assert "No space left on device; the same command goes on when there is room" in first.stdout
    assert "the same error several times in a row" in first.stderr
    assert "failed" not in statuses(folder)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    again = run(folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("  completed  ") == 6 - done
    assert run(tmp_path / "whole").returncode == 0
    for path in (tmp_path / "whole").glob("*/history.csv"):
        bits = [
            [row.split(",")[:6] for row in one.read_text().splitlines()]
            for one in (path, folder / path.relative_to(tmp_path / "whole"))
        ]
        assert bits[0] == bits[1]
