"""The launcher, the verb and the scripts on a real Slurm of one node; disturbed runs end with the same bits."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import json_keys, process_of, same_bits, wait_for

from dlrun.store.history import read_history
from dlrun.store.result import Result

pytestmark = pytest.mark.slurm

FAST = ["data=synthetic", "model=fc_64", "epochs=2", "threads=1", "tensorboard=off", "device=cpu"]
JOB = ["hydra.launcher.cpus=1", "hydra.launcher.memory=1GB", "hydra.launcher.time=10"]
SCRIPTS = Path(__file__).parents[2] / "scripts" / "slurm"

# Dropout, so that the random state matters; some seconds an epoch.
LONG = [*FAST[:1], "data.train_images=4000", "model=fc_512", "optimizer=adam", "augment=noise", "epochs=6", *FAST[3:]]

TABLE = """\
title: Two networks
source: {document: a test, heading: none}
metric: test_accuracy
digits: 4
seeds: 1
common: {data: synthetic, epochs: 1, threads: 1, tensorboard: "off", device: cpu, precision: float32}
rows:
  - {label: narrow, overrides: {model: fc_64}, published: {test_accuracy: 0.99}}
  - {label: wide, overrides: {model: fc_512}, published: {test_accuracy: 0.99}}
"""


@pytest.fixture(autouse=True)
def _on_the_cluster(cluster, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def table(tmp_path):
    """A table `mine` of two rows in the working directory."""
    file = tmp_path / "configs" / "table" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(TABLE)


def ok(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def folder_of(tmp_path: Path, name: str) -> Path:
    """The folder of the only run of a sweep."""
    (found,) = (path for path in (tmp_path / "outputs" / "sweeps" / name).iterdir() if path.is_dir())
    return found


def test_a_sweep_of_twelve_runs_by_the_launcher(dlrun, tmp_path):
    words = ["-m", "hydra/launcher=slurm", *FAST, "seed=0,1,2,3,4,5", "optimizer.lr=0.1,0.01", "sweep.name=dozen", *JOB]
    said = ok(dlrun(*words, "hydra.launcher.runs_per_job=4", timeout=300))
    assert "12 runs submitted in 3 jobs" in said
    assert "12 runs: 12 done" in said
    results = [Result.read(path.parent) for path in (tmp_path / "outputs").rglob("result.json")]
    assert [result.status for result in results] == ["completed"] * 12
    again = ok(dlrun(*words, timeout=60))
    assert "0 runs submitted" in again


def test_submit_status_and_collect_of_a_table(dlrun, cluster, tmp_path, table):
    # Jobs of some seconds may be done before the next command has begun.
    said = ok(dlrun("slurm", "submit", "mine", *JOB, "hydra.launcher.extra=['--begin=now+20']"))
    assert "2 runs submitted in 2 jobs" in said
    assert "2 in the queue already" in ok(dlrun("slurm", "submit", "mine", *JOB))
    assert re.search(r"mine: 2 runs: .*(queued|running)", ok(dlrun("slurm", "status")))
    assert dlrun("slurm", "collect", "mine").returncode == 1
    cluster.wait_until_idle()
    assert "mine: 2 runs: 2 done" in ok(dlrun("slurm", "status", "mine"))
    answer = json.loads(ok(dlrun("slurm", "status", "--json")))
    assert [one["status"] for one in answer["mine"]] == ["done", "done"]
    assert list(answer["mine"][0]) == json_keys("slurm status")
    page = ok(dlrun("slurm", "collect"))
    assert "narrow" in page
    assert "wide" in page
    assert ok(dlrun("reproduce", "mine")).endswith(page)
    assert "0 runs submitted" in ok(dlrun("slurm", "submit", "mine", *JOB))


def test_reproduce_waits_for_slurm(dlrun, tmp_path, table):
    said = ok(dlrun("reproduce", "mine", "hydra/launcher=slurm", *JOB, timeout=200))
    assert "2 runs submitted in 2 jobs" in said
    assert "wide" in said


def test_search_goes_by_batches(dlrun, tmp_path):
    words = ["hydra/sweeper=search", "hydra/launcher=slurm", "sweep.trials=4", "sweep.slots=2", "sweep.name=found"]
    said = ok(dlrun("-m", *words, *FAST, "optimizer.lr=interval(0.001,0.1)", *JOB, timeout=300))
    assert said.count("2 runs submitted in 2 jobs") == 2
    assert len(list((tmp_path / "outputs" / "sweeps" / "found").rglob("result.json"))) == 4


def requeue(cluster, job):
    cluster.run("scontrol", "requeue", job)


def usr1(cluster, job):
    cluster.run("scancel", "--signal=USR1", job)


def usr2(cluster, job):
    cluster.run("scancel", "--signal=USR2", job)


def kill(cluster, job):
    """The process that srun started."""
    os.kill(process_of(job, b"submitit.core._submit"), signal.SIGKILL)


def kill_training(cluster, job):
    """What has forked the process that trains; that goes with it."""
    os.kill(process_of(job, b"dlrun.sweeps.server"), signal.SIGKILL)


@pytest.mark.parametrize(
    "disturb", [requeue, usr1, kill, *(pytest.param(one, marks=pytest.mark.long) for one in (usr2, kill_training))]
)
def test_a_disturbed_run_ends_with_the_same_bits(dlrun, cluster, tmp_path, disturb):
    ok(dlrun(*LONG, "hydra.run.dir=undisturbed"))
    submit = ["slurm", "submit", "-m", *LONG, "sweep.name=disturbed", *JOB]
    ok(dlrun(*submit))
    begun = tmp_path / "outputs" / "sweeps" / "disturbed"
    wait_for(lambda: any(len(read_history(path)) >= 2 for path in begun.iterdir() if path.is_dir()))
    (job,) = cluster.states()
    disturb(cluster, job)
    folder = folder_of(tmp_path, "disturbed")
    if disturb in (kill, kill_training):
        wait_for(lambda: not cluster.states())
        assert "1 run: 1 lost" in ok(dlrun("slurm", "status"))
        assert "1 run submitted" in ok(dlrun(*submit))
    else:
        wait_for(lambda: cluster.states().get(job) == "PENDING")
        assert "1 run: 1 preempted" in ok(dlrun("slurm", "status"))
        assert Result.read(folder).status == "interrupted"
    assert len(read_history(folder)) < 6
    cluster.wait_until_idle()
    assert "1 run: 1 done" in ok(dlrun("slurm", "status"))
    assert same_bits(folder, tmp_path / "undisturbed")
    assert "going on after epoch" in (folder / "run.log").read_text()


def test_a_cancelled_run_stays_away_until_it_is_submitted_again(dlrun, cluster, tmp_path):
    submit = ["slurm", "submit", "-m", *LONG, "epochs=60", "sweep.name=away", *JOB]
    ok(dlrun(*submit))
    begun = tmp_path / "outputs" / "sweeps" / "away"
    wait_for(lambda: any(read_history(path) for path in begun.iterdir() if path.is_dir()))
    assert "1 job cancelled" in ok(dlrun("slurm", "cancel"))
    wait_for(lambda: not cluster.states())
    assert "1 run: 1 lost" in ok(dlrun("slurm", "status", "away"))
    assert Result.read(folder_of(tmp_path, "away")).status == "interrupted"
    assert "1 run submitted" in ok(dlrun(*submit))
    ok(dlrun("slurm", "cancel", "away"))
    wait_for(lambda: not cluster.states())


def test_a_failed_run_is_named_and_kept(dlrun, cluster):
    submit = ["slurm", "submit", "-m", *FAST, "optimizer.lr=0.01,1e30", "sweep.name=mixed", *JOB]
    ok(dlrun(*submit))
    cluster.wait_until_idle()
    shown = ok(dlrun("slurm", "status"))
    assert "2 runs: 1 done, 1 failed" in shown
    assert "the loss became" in shown
    assert dlrun("slurm", "collect").returncode == 1
    assert "1 failed before" in ok(dlrun(*submit))
    assert "1 run submitted" in ok(dlrun(*submit, "sweep.failed=retry"))
    cluster.wait_until_idle()


def test_slurms_refusal_is_shown(dlrun):
    done = dlrun("slurm", "submit", "-m", *FAST, "seed=0,1", "hydra.launcher.partition=nope")
    assert done.returncode == 2
    assert "invalid partition" in done.stderr.lower()


@pytest.mark.parametrize(
    ("script", "before", "words"),
    [
        ("one_run", [], FAST),
        ("table_rows", [], ["mine"]),
        ("shared_gpu", [], [*FAST, "seed=0,1,2,3"]),
        ("torchrun", [], FAST),
    ],
)
def test_scripts_run_as_they_stand(cluster, tmp_path, table, script, before, words):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["sbatch", *before, str(SCRIPTS / f"{script}.sbatch"), *words]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    cluster.wait_until_idle()
    results = [Result.read(path.parent) for path in (tmp_path / "outputs").rglob("result.json")]
    logs = "\n".join(path.read_text() for path in tmp_path.glob("slurm-*.log"))
    expected = {"one_run": 1, "table_rows": 2, "shared_gpu": 4, "torchrun": 1}[script]
    assert [result.status for result in results] == ["completed"] * expected, logs
    if script == "torchrun":
        assert results[0].ranks == 2


def test_what_slurm_refuses_is_as_it_was(dlrun, tmp_path):
    diverging = ("-m", *FAST, "seed=0,1", "optimizer.lr=1e30", "sweep.name=refused")
    assert dlrun(*diverging).returncode == 1
    before = {path: path.read_bytes() for path in tmp_path.rglob("result.json")}
    assert len(before) == 2
    done = dlrun("slurm", "submit", *diverging, *JOB, "hydra.launcher.partition=nowhere", "sweep.failed=retry")
    assert done.returncode == 2
    assert "Slurm refuses the job: sbatch: error: " in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("result.json")} == before
    assert [path for path in (tmp_path / "outputs" / "slurm").rglob("*") if path.is_file()] == []
    assert "nothing was submitted under this name" in dlrun("slurm", "status", "refused").stderr
