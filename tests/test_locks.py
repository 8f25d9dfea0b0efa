"""Run folders and caches are held by one process; the system frees them, and who asks disturbs nobody."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlrun.cli import main
from dlrun.config.schema import Sweep
from dlrun.errors import UsageError
from dlrun.locks import Lock, locked
from dlrun.store.folders import hold, is_held
from dlrun.sweeps.folder import jobs_of
from dlrun.sweeps.launch import launch
from dlrun.sweeps.points import expand

HOLDER = """
import sys, time
from pathlib import Path
from dlrun.store.folders import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_seen_is_left_alone_and_frees_the_folder_when_it_is_killed(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert is_held(tmp_path)
    with pytest.raises(UsageError, match="another process is working on this run"), hold(tmp_path):
        pass
    holder.send_signal(signal.SIGSTOP)
    assert is_held(tmp_path), "one that was stopped works there, too"
    holder.kill()
    holder.wait()
    assert not is_held(tmp_path)
    with hold(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_asking_makes_no_file_and_a_marker_of_an_earlier_version_holds_nothing(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not is_held(tmp_path / "nothing")
    (tmp_path / ".lock").write_text("12345\nanother-node\n")
    assert not is_held(tmp_path)
    with hold(tmp_path):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="takes the place of another user")
def test_reading_the_folder_is_enough_to_ask() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with hold(folder):
            (folder / ".lock").chmod(0o444)
            folder.chmod(0o555)
            os.seteuid(65534)
            try:
                assert is_held(folder)
            finally:
                os.seteuid(0)
        os.seteuid(65534)
        try:
            assert not is_held(folder)
            with pytest.raises(UsageError, match=r"can't be written \(Permission denied\)"), hold(folder):
                pass
        finally:
            os.seteuid(0)


def test_a_run_starts_although_others_keep_asking(tmp_path: Path) -> None:
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            is_held(tmp_path)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            with hold(tmp_path):
                pass
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_lock_whose_folder_was_moved_is_not_taken_for_that_of_the_new_one(tmp_path: Path) -> None:
    old, new = tmp_path / "r", tmp_path / "r.old"
    old.mkdir()
    holding = Lock(old / ".lock")
    assert holding.take()
    real = os.open

    def moved_meanwhile(path: Any, *rest: Any, **more: Any) -> int:
        handle = real(path, *rest, **more)
        if str(path) == str(old / ".lock") and not new.exists():
            old.rename(new)
            holding.release()
        return handle

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", moved_meanwhile)
        waiting = Lock(old / ".lock")
        assert not waiting.take()
    assert not is_held(new)


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def refusal(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a file system without locks says; the working directory lies on one."""

    def refuses(*_: Any) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuses)
    return f"its file system has no locks ({os.strerror(request.param)})"


WORDS = ["data=synthetic", "model=fc_64", "tensorboard=off", "threads=1", "device=cpu"]


def test_a_run_on_a_file_system_without_locks_is_refused(refusal: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "hydra.run.dir=r"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"dlrun: r: {refusal}")
    assert said.count("\n") == 1
    assert "hydra.run.dir" in said
    assert Path("r/.lock").read_bytes() == b"", "no marker that would stay"
    assert not is_held(Path("r"))


def test_a_sweep_on_a_file_system_without_locks_is_refused(refusal: str) -> None:
    with pytest.raises(UsageError, match=re.escape(refusal)):
        launch(jobs_of(expand([*WORDS, "seed=0,1"]), Path("s")), Sweep())
    assert [path.read_bytes() for path in Path("s").rglob(".claim")] == [b""]


def test_a_cache_waits_for_its_lock(tmp_path: Path) -> None:
    path, order = tmp_path / "x.lock", []
    started = threading.Event()

    def second() -> None:
        started.set()
        with locked(path):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(path):
        thread.start()
        started.wait()
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
