"""What a real Slurm of one node refuses, splits and loses; and how often srun starts a command."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import process_of, result_of_a_run, same_bits, snapshot, wait_for

from dlrun.cli import main
from dlrun.slurm.manifest import read
from dlrun.store.history import read_history
from dlrun.store.result import Result
from dlrun.sweeps.folder import jobs_of
from dlrun.sweeps.points import expand

pytestmark = pytest.mark.slurm

FAST = ["data=synthetic", "data.train_images=500", "model=fc_64", "threads=1", "tensorboard=off", "device=cpu"]
SCRIPTS = Path(__file__).parents[2] / "scripts" / "slurm"
JOB = ["hydra.launcher.cpus=1", "hydra.launcher.memory=1GB", "hydra.launcher.time=10"]


@pytest.fixture(autouse=True)
def _on_the_cluster(cluster, monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)


REFUSALS = [
    (["hydra.launcher.partition=nowhere"], "invalid partition specified: nowhere", "partition=nowhere; partitions"),
    (["hydra.launcher.partition=short", "hydra.launcher.time=1:00:00"], "Requested time limit", "time=1:00:00"),
    (["hydra.launcher.cpus=64"], "CPU count|More processors|node configuration", "hydra.launcher.cpus=64"),
    (["hydra.launcher.gpus=9"], "node configuration", "hydra.launcher.gpus=9"),
    (["hydra.launcher.constraint=a100"], "Invalid feature", "hydra.launcher.constraint=a100"),
    (["hydra.launcher.extra=['--nonsense=1']"], "unrecognized option", "hydra.launcher.extra="),
]


def test_refusals_leave_all_as_it_was_and_say_what_to_change(capfd, tmp_path):
    words = [*FAST, "seed=0,1,2", "sweep.name=refused"]
    for job, ending in zip(
        jobs_of(expand(words[:-1]), Path("outputs/sweeps/refused")), ("failed", "completed", ""), strict=True
    ):
        error = {"type": "RunFailed", "message": "it broke"} if ending == "failed" else None
        if ending:
            job.run_dir.mkdir(parents=True)
            result_of_a_run(status=ending, hash=job.hash, error=error).write(job.run_dir)
    before = snapshot(tmp_path)
    assert len(before) == 2
    for fields, reason, change in REFUSALS:
        assert main(["slurm", "submit", "-m", *words, *JOB, *fields, "sweep.failed=retry"]) == 2, fields
        said = capfd.readouterr().err
        first, second = said.splitlines()
        assert first.startswith("dlrun: Slurm refuses the job: sbatch: "), said
        assert any(one in first for one in reason.split("|")), said
        assert second.startswith("to change: hydra.launcher."), said
        assert change in second, said
        assert snapshot(tmp_path) == before, fields
        assert main(["slurm", "status", "refused"]) == 2
        assert "nothing was submitted under this name" in capfd.readouterr().err
    assert not Path("outputs/slurm").exists()


@pytest.mark.parametrize("configured", [True, False])
def test_an_array_that_is_too_large_is_split(cluster, tmp_path, capsys, monkeypatch, configured):
    """The cluster takes arrays of nine; where it does not say so, its refusal does."""
    if not configured:
        command = tmp_path / "commands" / "scontrol"
        command.parent.mkdir()
        command.write_text("#!/bin/sh\nexit 1\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", str(command.parent), prepend=":")
    words = ["-m", *FAST, "seed=range(0,12)", "sweep.name=many", *JOB, "hydra.launcher.extra=['--begin=now+600']"]
    assert main(["slurm", "submit", *words]) == 0
    assert "12 runs submitted in 12 jobs (2 arrays" in capsys.readouterr().out
    ids = [job.id for job in read("many").jobs]
    assert len({job.partition("_")[0] for job in ids}) == 2
    assert sorted(cluster.states()) == sorted(ids)
    assert main(["slurm", "cancel", "many"]) == 0
    assert "12 jobs cancelled" in capsys.readouterr().out
    cluster.wait_until_idle()


def test_srun_does_not_train_twice(tmp_path):
    environment = {**os.environ, "COLUMNS": "120"}
    words = [sys.executable, "-P", "-m", "dlrun", *FAST, "epochs=1"]
    two = ["srun", "-n2", "--overcommit", "--quiet", *words]
    done = subprocess.run(two, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.count("srun has started 2 copies of this command, and each would train the same") == 2
    assert not (tmp_path / "outputs").exists()
    # A script of a job with two tasks is one process.
    line = " ".join(f"'{word}'" for word in (*words, "hydra.run.dir=once"))
    script = ["sbatch", "--wait", "-n2", "-o", "log", f"--wrap={line}"]
    subprocess.run(script, env=environment, capture_output=True, timeout=120, check=True)
    assert Result.read(tmp_path / "once").status == "completed", (tmp_path / "log").read_text()


@pytest.mark.long
def test_twelve_runs_under_random_kills_end_once_each_and_with_the_same_bits(dlrun, cluster, tmp_path, capsys):
    words = ["-m", *FAST, "optimizer=adam", "augment=noise", "epochs=4", "seed=range(0,6)", "optimizer.lr=0.01,0.001"]
    done = dlrun(*words, "hydra.sweep.dir=undisturbed", "sweep.slots=2", timeout=600)
    assert done.returncode == 0, done.stderr
    submit = ["slurm", "submit", *words, "sweep.name=killed", *JOB]
    chance, kills = random.Random(0), 0
    folder, whole = tmp_path / "outputs" / "sweeps" / "killed", tmp_path / "undisturbed"
    deadline = time.monotonic() + 900
    while True:
        assert time.monotonic() < deadline
        assert main(submit) == 0
        if "0 runs submitted in 0 jobs, 12 complete before" in capsys.readouterr().out:
            break
        while states := cluster.states():
            running = [job for job, state in states.items() if state == "RUNNING"]
            if running and kills < 8 and chance.random() < 0.4:
                kills += kill_a_process_of(cluster, chance.choice(running), chance)
            time.sleep(chance.uniform(0.5, 3))
            assert time.monotonic() < deadline
    assert kills >= 3
    runs = sorted(path.parent for path in folder.rglob("result.json"))
    assert len(runs) == 12
    assert sorted(path.name for path in runs) == sorted(path.parent.name for path in whole.rglob("result.json"))
    for run in runs:
        assert Result.read(run).status == "completed"
        assert [row["epoch"] for row in read_history(run)] == [1, 2, 3, 4]
        assert same_bits(run, whole / run.name)


def kill_a_process_of(cluster, job: str, chance: random.Random) -> int:
    """Kill -9 what srun started, or what trains there; 1 if there was such a process."""
    own = cluster.run("squeue", "--noheader", f"--job={job}", "--format=%A").strip()
    module = chance.choice([b"submitit.core._submit", b"dlrun.sweeps.server"])
    try:
        os.kill(process_of(own, module), signal.SIGKILL)
    except (AssertionError, ProcessLookupError):
        return 0
    return 1


def test_a_farm_of_tasks_may_say_that_it_is_one(tmp_path):
    own = "seed=$SLURM_PROCID hydra.run.dir=task$SLURM_PROCID"
    line = f"SLURM_STEP_NUM_TASKS=1 '{sys.executable}' -P -m dlrun {' '.join(FAST)} epochs=1 {own}"
    command = ["srun", "-n2", "--overcommit", "--quiet", "bash", "-c", line]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert [Result.read(tmp_path / f"task{number}").seed for number in (0, 1)] == [0, 1]


def test_one_run_over_two_nodes_by_the_script(two_nodes, tmp_path):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["sbatch", "--wait", "--nodes=2", "--gpus-per-node=1", "--cpus-per-task=1", "--mem=2GB"]
    words = [str(SCRIPTS / "torchrun.sbatch"), *FAST, "epochs=2"]
    subprocess.run([*command, *words], env=environment, capture_output=True, timeout=300, check=False)
    log = "\n".join(path.read_text() for path in tmp_path.glob("slurm-*.log"))
    (result,) = [Result.read(path.parent) for path in (tmp_path / "outputs").rglob("result.json")]
    assert (result.status, result.ranks) == ("completed", 2), log


def test_a_job_that_waits_in_vain_is_told_of(cluster, capsys):
    """Clusters that don't enforce limits when a job is submitted let it wait for ever."""
    words = ["-m", *FAST, "seed=0", "sweep.name=vain", *JOB, "hydra.launcher.partition=short"]
    assert main(["slurm", "submit", *words, "hydra.launcher.extra=['--hold']"]) == 0
    (job,) = cluster.states()
    cluster.run("scontrol", "update", "PartitionName=short", "MaxTime=5")
    try:
        cluster.run("scontrol", "release", job)
        wait_for(lambda: "Limit" in cluster.run("squeue", "--noheader", "--format=%r"), 60)
        capsys.readouterr()
        assert main(["slurm", "status", "vain"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "waits in vain: PartitionTimeLimit (hydra.launcher.time)" in said
    finally:
        cluster.run("scancel", job)
        cluster.run("scontrol", "update", "PartitionName=short", "MaxTime=30")
