"""Sweeps as processes: killed parents, two parents, signals, other launchers, and always the same results."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import WITHOUT_FORKS, bits, ended, wait_for

from dlrun.cli import main
from dlrun.config.schema import Sweep
from dlrun.store.result import Result
from dlrun.sweeps.jobs import Job, Outcome
from dlrun.sweeps.launch import launch
from dlrun.sweeps.processes import Fresh, Processes

pytestmark = pytest.mark.alone

Quick = Callable[..., list[Outcome]]
Start = Callable[..., subprocess.Popen[str]]
Run = Callable[..., subprocess.CompletedProcess[str]]

both_ways = pytest.mark.parametrize("forks", [pytest.param(True, id="forks"), pytest.param(False, id="fresh")])

SMALL = "data=small"
PLAN_WITHOUT_FORKS = (
    f"import sys; from dlrun.cli import main; {WITHOUT_FORKS}sys.exit(main(['plan', '-m', *sys.argv[1:]]))"
)


def processes_in(folder: Path) -> list[int]:
    """Processes whose working directory is `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").resolve() == folder.resolve() and "Z" not in (path / "stat").read_text().split()[2]:
                found.append(int(path.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.slow
@both_ways
def test_killed_parent_leaves_no_process_and_its_sweep_goes_on(
    forks: bool, workplace: Path, start: Start, sweep: Run
) -> None:
    words = (SMALL, "seed=range(0,6)", "epochs=20", "sweep.slots=2")
    undisturbed = sweep(*words, "hydra.sweep.dir=whole")
    assert undisturbed.returncode == 0, undisturbed.stderr
    folder = workplace / "outputs/sweeps/cut"
    parent = start(*words, "sweep.name=cut", forks=forks)
    wait_for(lambda: len(ended(folder)) >= 2 and len(bits(folder)) >= 3)
    parent.kill()
    parent.communicate()
    wait_for(lambda: not processes_in(workplace), 5)
    done = {path: (path / "result.json").stat().st_mtime_ns for path in ended(folder)}
    assert len(done) < 6
    assert sweep(*words, "sweep.name=cut", forks=forks).returncode == 0
    assert {path: (path / "result.json").stat().st_mtime_ns for path in done} == done
    assert bits(folder) == bits(workplace / "whole")


@pytest.mark.slow
def test_two_parents_share_the_work(workplace: Path, start: Start) -> None:
    both = [start(SMALL, "seed=range(0,8)", "epochs=5", "sweep.name=shared", "sweep.slots=1") for _ in range(2)]
    outputs = [parent.communicate(timeout=120) for parent in both]
    assert [parent.returncode for parent in both] == [0, 0], outputs
    folder = workplace / "outputs/sweeps/shared"
    assert len(ended(folder)) == 8
    for run in ended(folder):
        assert (run / "run.log").read_text().count("EpochEnded(epoch=1,") == 1
    trained = [out.count("  completed  ") for out, _ in outputs]
    assert sum(trained) == 8
    assert min(trained) > 0


@pytest.mark.skipif(os.name != "posix", reason="signals")
@both_ways
def test_interrupt_saves_and_starts_nothing_more(forks: bool, workplace: Path, start: Start) -> None:
    parent, folder = interrupted_in_training(start, workplace, [signal.SIGINT], forks)
    assert parent.returncode == 130
    assert len(ended(folder, "interrupted")) == 1
    assert len(bits(folder)) == 1


@pytest.mark.slow
@both_ways
def test_an_interrupted_sweep_goes_on_to_the_same_bits(forks: bool, workplace: Path, start: Start, sweep: Run) -> None:
    words = (SMALL, "seed=0,1", "epochs=60", "sweep.slots=1", "threads=1")
    assert sweep(*words, "hydra.sweep.dir=whole", forks=forks).returncode == 0
    folder = workplace / "outputs/sweeps/cut"
    parent = start(*words, "sweep.name=cut", forks=forks)
    wait_for(lambda: any(len(rows) > 2 for rows in bits(folder).values()))
    parent.send_signal(signal.SIGINT)
    out, err = parent.communicate(timeout=20)
    assert parent.returncode == 130, out + err
    (stopped,) = ended(folder, "interrupted")
    assert sweep(*words, "sweep.name=cut", forks=forks).returncode == 0
    assert "going on after epoch" in (stopped / "run.log").read_text()
    assert bits(folder) == bits(workplace / "whole")


@pytest.mark.slow
def test_whatever_starts_jobs_can_do_without_forks(workplace: Path, sweep: Run) -> None:
    """A search, a plan, a failure that is told, and the code that each process finds uncommitted."""
    search = ("hydra/sweeper=search", SMALL, "optimizer.lr=interval(0.01,0.1)", "sweep.trials=3", "sweep.slots=2")
    done = sweep(*search, forks=False)
    assert done.returncode == 0, done.stderr
    assert len(list(workplace.rglob("result.json"))) == 3
    assert all("class Net(nn.Module)" in path.read_text() for path in workplace.rglob("uncommitted.diff"))
    assert len(list(workplace.rglob("uncommitted.diff"))) == 3
    done = sweep(SMALL, "model.how=exception,sigkill", "sweep.name=bad", forks=False)
    assert done.returncode == 1
    assert "the network is broken" in done.stdout + done.stderr
    assert "SIGKILL" in done.stdout + done.stderr
    planned = subprocess.run(
        [sys.executable, "-c", PLAN_WITHOUT_FORKS, SMALL, "model=saboteur", "device=cpu", "seed=0,1"],
        cwd=workplace,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert planned.returncode == 0, planned.stderr
    assert "2 runs" in planned.stdout


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_signal_sent_twice_as_timeout_does_is_one(workplace: Path, start: Start) -> None:
    parent, folder = interrupted_in_training(start, workplace, [signal.SIGTERM] * 2)
    assert parent.returncode == 143
    assert len(ended(folder, "interrupted")) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_twice_is_no_failure_of_the_run(workplace: Path, start: Start) -> None:
    parent, folder = interrupted_in_training(start, workplace, [signal.SIGINT] * 2)
    assert parent.returncode == 130
    assert ended(folder, "failed") == []


def interrupted_in_training(
    start: Start, workplace: Path, signals: list[int], forks: bool = True
) -> tuple["subprocess.Popen[str]", Path]:
    """A sweep that gets these signals at once while its first run trains, when it has ended; and its folder."""
    folder = workplace / "outputs/sweeps/s"
    parent = start(SMALL, "seed=range(0,5)", "epochs=400", "sweep.slots=1", "sweep.name=s", forks=forks)
    wait_for(lambda: any(len(rows) > 2 for rows in bits(folder).values()))
    for number in signals:
        parent.send_signal(number)
        time.sleep(0.01)
    out, err = parent.communicate(timeout=20)
    assert "Traceback" not in err
    assert "failed" not in out
    return parent, folder


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every process is fresh")
def test_forks_and_fresh_processes_learn_the_same(quick: Quick, tmp_path: Path) -> None:
    assert [outcome.status for outcome in quick("model=fc_64", "seed=0,1")] == ["completed", "completed"]
    forked = bits(tmp_path)
    jobs = [
        replace(outcome.job, run_dir=tmp_path / "fresh" / outcome.job.run_dir.name)
        for outcome in quick("model=fc_64", "seed=0,1")
    ]
    assert [outcome.status for outcome in launch(jobs, Sweep(), processes=Fresh())] == ["completed", "completed"]
    assert bits(tmp_path / "fresh") == forked


@pytest.mark.slow
def test_basic_launcher_gives_the_same_folders_and_bits(workplace: Path, sweep: Run) -> None:
    words = (SMALL, "model=fc_64,saboteur", "seed=0,1", "threads=1")
    assert sweep(*words, "hydra.sweep.dir=local").returncode == 0
    done = sweep(*words, "hydra.sweep.dir=basic", "hydra/launcher=basic")
    assert done.returncode == 0, done.stderr
    assert len(bits(workplace / "local")) == 4
    assert bits(workplace / "basic") == bits(workplace / "local")
    hashes = [{Result.read(run).hash for run in ended(workplace / name)} for name in ("local", "basic")]
    assert hashes[0] == hashes[1]


def test_stops_at_the_first_failure_or_after_one_error_three_times(quick: Quick, tmp_path: Path) -> None:
    bad = ("model.how=exception", "seed=range(0,6)")
    first = quick(*bad, slots=1, on_failure="stop")
    assert [outcome.status for outcome in first] == ["failed", *["waiting"] * 5]
    assert "a job failed" in first[-1].reason
    third = quick(*bad, "epochs=3", slots=1)
    assert [outcome.status for outcome in third] == [*["failed"] * 3, *["waiting"] * 3]
    assert third[-1].reason == "the same error several times in a row"


def test_different_errors_and_diverging_runs_do_not_stop_a_sweep(quick: Quick) -> None:
    outcomes = quick("model.how=exception,diverge,sigkill,exit", "seed=0,1", "sweep.exclude=['model.how=exit seed=1']")
    assert [outcome.status for outcome in outcomes] == ["failed"] * 7
    assert [outcome.status for outcome in quick("model.how=diverge", "seed=range(0,5)", slots=1)][2:] == ["failed"] * 3


def test_killed_jobs_are_tried_again(quick: Quick, tmp_path: Path) -> None:
    outcomes = quick("model.how=killed_once", "seed=0", retries=1)
    assert [outcome.status for outcome in outcomes] == ["completed"]
    assert [outcome.status for outcome in quick("model.how=sigkill", "seed=0", retries=2)] == ["failed"]


def test_jobs_can_be_made_up_one_by_one(quick: Quick, tmp_path: Path, one_server: tuple[Path, Processes]) -> None:
    known = [outcome.job for outcome in quick("seed=0,1")]
    asked = []

    def source() -> Iterator[Job]:
        for job in known:
            asked.append(job)
            yield job

    outcomes = launch(source(), Sweep(slots=1), processes=one_server[1])
    assert [outcome.status for outcome in outcomes] == ["skipped", "skipped"]
    assert asked == known


def test_a_foreign_run_in_the_folder_is_not_touched(quick: Quick, one_server: tuple[Path, Processes]) -> None:
    (first,) = quick("seed=0")
    (second,) = quick("seed=1")
    before = (first.job.run_dir / "result.json").read_bytes()
    (lost,) = launch([replace(second.job, run_dir=first.job.run_dir)], Sweep(), processes=one_server[1])
    assert lost.status == "failed"
    assert "holds another run" in lost.reason
    assert (first.job.run_dir / "result.json").read_bytes() == before


def test_scale_lr_is_settled_before_the_jobs_are_known(quick: Quick, capsys: pytest.CaptureFixture[str]) -> None:
    (first,) = quick("scale_lr=true", "epochs=1")
    assert (first.status, first.reason) == ("completed", "")
    assert [one.status for one in quick("epochs=1")] == ["skipped"]
    assert main(["resume", str(first.job.run_dir), "scale_lr=true", "trust=true"]) == 0
    assert "This run is complete" in capsys.readouterr().out
