"""Signals at any moment of a command, from its first one on: it ends with 128 + N, with all it started."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import WITHOUT_FORKS, wait_for

from dlrun.store.folders import hold, is_held
from dlrun.store.result import Result
from dlrun.sweeps.child import Task
from dlrun.sweeps.folder import jobs_of
from dlrun.sweeps.jobs import Outcome
from dlrun.sweeps.points import expand
from dlrun.sweeps.processes import Forks, Process, Processes

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc; elsewhere there is no server"),
]

Start = Callable[..., "subprocess.Popen[str]"]
LONG = ("data=small", "model=saboteur", "epochs=100000", "tensorboard=off", "device=cpu", "threads=1")
FRESH = ("-c", f"import sys; from dlrun.cli import main; {WITHOUT_FORKS}sys.exit(main(sys.argv[1:]))")
SOON = 20.0
"""Seconds in which a busy machine ends what ends at once; jobs get 30 to save before they are killed."""


def task_in(folder: Path) -> Task:
    (job,) = jobs_of(expand([*LONG, "seed=0"]), folder)
    return Task.of(job.settled, job.run_dir, job.overrides, {})


def end_of(process: Process, processes: Processes) -> int:
    deadline = time.monotonic() + SOON
    while process.status is None:
        assert time.monotonic() < deadline, "the signal was lost"
        processes.poll(0.1)
    return process.status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_is_stopped_before_the_server_is_up_never_begins(
    number: int, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    forks = Forks()
    process = forks.start(task_in(workplace / "runs"))
    process.send(number)
    end_of(process, forks)
    forks.close()
    assert not (workplace / "runs").exists()


def test_a_job_that_is_stopped_as_it_starts_ends_of_it(
    one_server: tuple[Path, Processes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, processes = one_server
    monkeypatch.chdir(folder)
    task = task_in(tmp_path)
    for number in range(8):
        process = processes.start(replace(task, run_dir=str(tmp_path / str(number))))
        if number == 0 or number % 2:  # the first one waits until the server is up
            wait_for(lambda: processes.poll(0.001) or process.pid, SOON)  # noqa: B023
            time.sleep(random.Random(number).random() / 20)
        process.send(signal.SIGTERM)
        assert end_of(process, processes) in (-signal.SIGTERM, 128 + signal.SIGTERM)


@pytest.mark.parametrize(
    ("times", "forks"),
    [
        (1, True),
        pytest.param(2, True, marks=pytest.mark.slow),
        pytest.param(1, False, marks=pytest.mark.slow),
        pytest.param(2, False, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_before_the_first_job_has_begun(times: int, forks: bool, workplace: Path, start: Start) -> None:
    parent = start("data=small", "epochs=100000", "seed=0,1,2", "sweep.name=s", forks=forks)
    wait_for(lambda: list((workplace / "outputs").rglob(".claim")), SOON)
    began = time.monotonic()
    for _ in range(times):
        parent.send_signal(signal.SIGINT)
        time.sleep(0.01)
    out, err = parent.communicate(timeout=60)
    assert time.monotonic() - began < SOON
    assert parent.returncode == 130, out + err
    assert "Traceback" not in err
    assert "the same command goes on with what is left" in err
    assert "failed" not in out
    wait_for(lambda: not left_in(workplace), 5)


def test_ctrl_c_in_the_answer_still_says_how_to_go_on(workplace: Path, start: Start) -> None:
    as_it_reads = (
        "import os, signal, dlrun.sweeps.session as s; read = s.scan.read; "
        "s.scan.read = lambda folders: os.kill(os.getpid(), signal.SIGINT) or read(folders); "
    )
    parent = start("data=small", "epochs=100000", "seed=0,1", "sweep.name=s", before=as_it_reads)
    wait_for(lambda: list((workplace / "outputs").rglob(".claim")), SOON)
    parent.send_signal(signal.SIGINT)
    _, err = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert err == "dlrun: stopped by SIGINT; the same command goes on with what is left\n"


@pytest.mark.slow
def test_hup_ends_a_sweep_but_not_under_nohup(workplace: Path) -> None:
    words = [sys.executable, "-m", "dlrun", "-m", *LONG[:2], *LONG[3:], "epochs=3", "seed=0,1", "sweep.name=s"]

    def begin(ignored: bool) -> "subprocess.Popen[bytes]":
        way = signal.SIG_IGN if ignored else signal.SIG_DFL
        process = subprocess.Popen(
            words,
            cwd=workplace,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, way) and None,
        )
        wait_for(lambda: list((workplace / "outputs").rglob(".claim")), SOON)
        process.send_signal(signal.SIGHUP)
        return process

    assert begin(ignored=False).wait(60) == 128 + signal.SIGHUP
    assert begin(ignored=True).wait(120) == 0
    assert len(list(workplace.rglob("result.json"))) == 2


def left_in(folder: Path) -> list[str]:
    """The command lines of processes whose working directory is `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").resolve() == folder.resolve():
                found.append((path / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return [line for line in found if line]


COMMANDS = {
    "sweep": ["-m", *LONG[:2], *LONG[3:], "epochs=30", "seed=range(0,4)", "sweep.slots=2", "sweep.name=s"],
    "sweep in fresh processes": ["-m", *LONG[:2], *LONG[3:], "epochs=30", "seed=range(0,4)", "sweep.name=s"],
    "search": ["-m", "hydra/sweeper=search", *LONG, "optimizer.lr=interval(0.01,0.1)", "sweep.trials=3"],
    "plan": ["plan", "-m", *LONG, "seed=0,1"],
    "reproduce": ["reproduce", "own", "threads=1", "device=cpu", "tensorboard=off"],
    "run": [*LONG, "hydra.run.dir=r"],
    "doctor": ["doctor"],
}
TABLE = """
title: Own
source: {document: a test, heading: none}
metric: test_accuracy
digits: 4
seeds: 2
common: {data: small, model: saboteur, precision: float32, epochs: 100000}
rows:
  - {label: A, overrides: {optimizer.lr: 0.01}, published: {test_accuracy: 0.99}}
"""

LAST_WORDS = {
    "sweep": "test accuracy  n ",
    "sweep in fresh processes": "test accuracy  n ",
    "doctor": "Folders",
    "plan": "from start to end",
}
"""By command what it has said when it is done, so that a signal that comes as it ends has nothing to stop."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ("run", "sweep", "search") else pytest.mark.long) for name in COMMANDS],
)
def test_signals_at_many_moments(name: str, workplace: Path) -> None:
    """Found before it was mended: lost, answered after 30 s, ignored by doctor, and a crash of it."""
    (workplace / "configs" / "table").mkdir()
    (workplace / "configs" / "table" / "own.yaml").write_text(TABLE)
    finished: dict[Path, bytes] = {}
    draw = random.Random(name)
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]
    count = int(os.environ.get("DLRUN_SIGNALS", "12"))
    for step in range(count):
        number = numbers[step % 4] if step % 2 else signal.SIGINT
        moment = 6 * (step + draw.random()) / count
        process = subprocess.Popen(
            [sys.executable, *(FRESH if "fresh" in name else ("-m", "dlrun")), *COMMANDS[name]],
            cwd=workplace,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(moment)
        began = time.monotonic()
        process.send_signal(number)
        if step % 3 == 2:
            time.sleep(draw.random())
            process.send_signal(number)
        out, err = process.communicate(timeout=90)
        took = time.monotonic() - began
        said = (
            f"{name}, {signal.Signals(number).name} after {moment:.2f} s: {process.returncode} {took:.1f} s\n{out}{err}"
        )
        print(said.splitlines()[0])
        over = process.returncode == 0 and LAST_WORDS.get(name, "\0") in out
        if not over:
            assert process.returncode in (-number, 128 + number), said
        assert took < SOON, said
        assert "Fatal" not in err, said
        wait_for(lambda: not left_in(workplace), 10)
        results = {path: path.read_bytes() for path in workplace.rglob("result.json")}
        assert finished.items() <= results.items(), said
        assert not [path for path in results if Result.read(path.parent).status == "failed"], said
        finished = {path: text for path, text in results.items() if Result.read(path.parent).status == "completed"}


def test_a_folder_that_somebody_holds_is_not_moved(quick: Callable[..., list[Outcome]], tmp_path: Path) -> None:
    (first,) = quick("seed=0")
    folder, result = first.job.run_dir, first.result
    assert result is not None
    replace(result, data={**result.data, "fingerprint": "of other data", "verified": False}).write(folder)
    before = (folder / "result.json").stat().st_ino
    there = []
    begun = threading.Event()

    def work_there() -> None:
        with hold(folder):
            begun.set()
            time.sleep(1.5)
            there.append((folder / "result.json").stat().st_ino)

    thread = threading.Thread(target=work_there)
    thread.start()
    begun.wait()
    (second,) = quick("seed=0")
    thread.join()
    assert there == [before], "it was moved away from who held it"
    assert second.status == "completed"
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, f"{folder.name}.of_other_data"}
    assert not is_held(folder)
