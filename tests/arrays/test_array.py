"""`dlrun array`: shares fixed by a file, the task's own found, each run trained once, mistakes said in a line."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers import heard, wait_for

from dlrun.arrays.manifest import Shares
from dlrun.arrays.submitted import SubmittedRun
from dlrun.arrays.task import SCHEDULERS, cores_given, task_number
from dlrun.config.compose import compose
from dlrun.config.schema import Sweep
from dlrun.config.settled import settle
from dlrun.errors import UsageError
from dlrun.linux import cores
from dlrun.store.folders import take
from dlrun.store.history import read_history
from dlrun.store.result import Result
from dlrun.sweeps.jobs import Job, record_failure

pytestmark = pytest.mark.alone

TINY = ["data=synthetic", "data.train_images=64", "data.test_images=32", "model=fc_64", "epochs=1", "threads=1"]
TINY += ["device=cpu", "tensorboard=off"]
FIVE = ["array", "prepare", "-m", *TINY, "seed=0,1,2,3,4", "sweep.name=five"]
VARIABLES = [one.variable for one in SCHEDULERS if one.variable]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty working directory, in no job of any array; handlers of signals as they were, afterwards."""
    monkeypatch.chdir(tmp_path)
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def prepared(*words: str) -> Path:
    """The only manifest there is after `dlrun array prepare`."""
    status, _, complaints = heard(*words)
    assert status == 0, complaints
    (path,) = Path("outputs/arrays").iterdir()
    return path


# --- which task -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({"SLURM_ARRAY_TASK_ID": "0"}, 0),
        ({"PBS_ARRAY_INDEX": "3"}, 3),
        ({"PBS_ARRAYID": "1"}, 1),
        ({"LSB_JOBINDEX": "1"}, 0),
        ({"SGE_TASK_ID": "4"}, 3),
        ({"JOB_COMPLETION_INDEX": "2"}, 2),
        ({"SGE_TASK_ID": "undefined", "LSB_JOBINDEX": "0", "PBS_ARRAYID": "", "SLURM_ARRAY_TASK_ID": "2"}, 2),
    ],
)
def test_schedulers_count_each_in_its_own_way(environment, number):
    assert task_number(4, None, environment) == number
    assert task_number(4, 1, environment) == 1


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "which task?"),
        ({"SGE_TASK_ID": "undefined", "LSB_JOBINDEX": "0"}, "which task?"),
        ({"SGE_TASK_ID": "5"}, "in Grid Engine the tasks of this manifest are 1 to 4 (qsub -t 1-4 …)"),
        ({"SGE_TASK_ID": "0"}, "SGE_TASK_ID=0: in Grid Engine"),
        ({"LSB_JOBINDEX": "5"}, "in LSF the tasks of this manifest are 1 to 4 (bsub -J 'dlrun[1-4]' …)"),
        ({"SLURM_ARRAY_TASK_ID": "4"}, "in Slurm the tasks of this manifest are 0 to 3 (sbatch --array=0-3 …)"),
        ({"PBS_ARRAY_INDEX": "-1"}, "PBS_ARRAY_INDEX=-1"),
        ({"JOB_COMPLETION_INDEX": "²"}, "JOB_COMPLETION_INDEX=²"),
        ({"SLURM_ARRAY_TASK_ID": "0", "SGE_TASK_ID": "1"}, "SLURM_ARRAY_TASK_ID=0 and SGE_TASK_ID=1: which of them"),
    ],
)
def test_a_number_that_is_none_is_not_guessed(environment, said):
    with pytest.raises(UsageError) as error:
        task_number(4, None, environment)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_cores_are_those_that_the_scheduler_gave():
    assert cores_given({"NSLOTS": "3"}) == 3
    assert cores_given({"SLURM_CPUS_PER_TASK": "2", "NSLOTS": "3"}) == 2
    assert cores_given({"NSLOTS": "many", "NCPUS": "0"}) == cores()


# --- prepare ----------------------------------------------------------------------------------------------


def test_shares_are_fixed_by_a_file_that_is_written_once():
    status, said, _ = heard(*FIVE, "--tasks", "2")
    assert status == 0
    (path,) = Path("outputs/arrays").iterdir()
    assert said.splitlines()[:2] == [f"5 runs in 2 tasks: {path}", f"each task: dlrun array run {path}"]
    assert "  Grid Engine  qsub -t 1-2 …" in said.splitlines()
    assert said.splitlines()[-1] == "afterwards: dlrun report outputs/sweeps/five"
    tasks = json.loads(path.read_text())["tasks"]
    assert [[run["folder"][-14:-9] for run in runs] for runs in tasks] == [
        ["seed0", "seed2", "seed4"],
        ["seed1", "seed3"],
    ]
    assert tasks[1][0]["overrides"][-2:] == ["seed=1", "precision=float32"]
    before = path.stat().st_mtime_ns
    assert heard(*FIVE, "--tasks=2")[0] == 0
    assert path.stat().st_mtime_ns == before
    assert heard(*FIVE, "--tasks", "5")[0] == 0
    assert len(list(Path("outputs/arrays").iterdir())) == 2


TABLE = """\
title: Two networks
source: {document: a test, heading: none}
digits: 4
seeds: 2
common: {data: synthetic, data.train_images: 64, epochs: 1, threads: 1, tensorboard: "off", device: cpu}
rows:
  - {label: narrow, overrides: {model: fc_64}, published: {test_accuracy: 0.99}}
  - {label: wide, overrides: {model: fc_512}, published: {test_accuracy: 0.99}}
"""


def test_a_table_takes_its_own_options():
    file = Path("configs/table/mine.yaml")
    file.parent.mkdir(parents=True)
    file.write_text(TABLE)
    status, said, _ = heard("array", "prepare", "mine", "--rows", "2", "--tasks", "2", "--seeds", "3", "epochs=2")
    assert status == 0
    assert said.startswith("3 runs in 2 tasks: outputs/arrays/mine-")
    assert said.splitlines()[-1] == "afterwards: dlrun reproduce mine --rows 2 --seeds 3 epochs=2"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "array: prepare | run is missing"),
        (["prepar"], "array: prepar is unknown; did you mean prepare?"),
        (["prepare", "-m", "seed=0,1"], "array prepare: --tasks is missing"),
        (["prepare", "--tasks", "2"], "array prepare: what?"),
        (["prepare", "-m", *TINY, "seed=0,1", "--tasks", "3"], "--tasks 3: these are 2 runs; expected 1 to 2"),
        (["prepare", "-m", *TINY, "seed=0,1", "--tasks", "0"], "--tasks 0"),
        (["prepare", "-m", *TINY, "seed=0,1", "--tasks", "two"], "two: expected a whole number"),
        (["prepare", "-m", *TINY, "sed=1", "--tasks", "1"], "sed: no such field"),
        (["prepare", "-m", *TINY, "hydra/launcher=slurm", "--tasks", "2"], "hydra/launcher=slurm"),
        (["prepare", "nope", "--tasks", "2"], "nope: no such table"),
        (["run"], "array run: MANIFEST is missing"),
        (["run", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["run", "nowhere.json", "--tsk", "0"], "--tsk: no such option; did you mean --task?"),
        (["run", "nowhere.json", "epochs=2"], "epochs=2: expected KEY=VALUE"),
    ],
)
def test_mistakes_end_with_2(words, said):
    status, _, complaint = heard("array", *words)
    assert status == 2
    assert said in complaint
    assert len(complaint.splitlines()) <= 2


# --- run --------------------------------------------------------------------------------------------------


def test_a_task_trains_its_share_and_nothing_twice(tmp_path, monkeypatch):
    manifest = prepared(*FIVE, "--tasks", "2").absolute()
    folders = [Path(run["folder"]) for run in json.loads(manifest.read_text())["tasks"][1]]
    monkeypatch.chdir("/")  # where a scheduler may begin a job
    monkeypatch.setenv("SGE_TASK_ID", "2")
    status, said, _ = heard("array", "run", str(manifest))
    assert status == 0
    assert said.splitlines()[0] == f"task 1 of 0 to 1: 2 runs in {tmp_path}"
    assert [line.partition(":")[0] for line in said.splitlines()[1:]] == ["started", "completed"] * 2
    monkeypatch.chdir(tmp_path)
    assert sorted(path.parent for path in Path("outputs").rglob("result.json")) == folders

    # A process of the first was killed, and somebody works on the second: it goes on with both, and with nothing else.
    killed, other = (Job.of(tuple(Result.read(folder).overrides), folder) for folder in folders)
    (killed.run_dir / "result.json").unlink()
    record_failure(killed, "Killed", "killed by SIGKILL")
    (other.run_dir / "result.json").unlink()
    claim = take(other.run_dir / ".claim")
    assert claim is not None
    release = threading.Timer(3, claim.release)
    release.start()
    status, said, _ = heard("array", "run", str(manifest))
    release.join()
    assert status == 0
    assert said.splitlines()[1] == f"in the hands of another process, waited for: {other.run_dir}"
    assert [Result.read(folder).status for folder in folders] == ["completed"] * 2
    said = heard("array", "run", str(manifest), "--task", "1")[1]
    assert [line.partition(":")[0] for line in said.splitlines()[1:]] == ["skipped"] * 2


@pytest.mark.slow
def test_a_run_that_fails_is_kept_and_told(tmp_path):
    words = ["array", "prepare", "-m", *TINY, "optimizer.lr=1e30", "seed=0", "sweep.name=bad", "--tasks", "1"]
    manifest = prepared(*words)
    status, said, complaint = heard("array", "run", str(manifest), "--task", "0")
    assert status == 1
    assert "failed: outputs/sweeps/bad/" in said
    assert "1 of 1 run failed" in complaint
    assert "kept: " in heard("array", "run", str(manifest), "--task", "0")[1]


OWN = """\
import torch

open("RAN", "w").close()


def optimizer(params, lr):
    return torch.optim.SGD(params, lr=lr)
"""


def test_code_that_a_manifest_names_is_run_when_that_is_typed(tmp_path):
    Path("mine.py").write_text(OWN)
    words = ["+optimizer._target_=mine.optimizer", "optimizer.lr=0.1"]
    status, said, complaint = heard("array", "prepare", "-m", *TINY, *words, "seed=0,1", "--tasks", "1")
    assert status == 0, complaint
    (manifest,) = Path("outputs/arrays").iterdir()
    assert said.splitlines()[1] == f"each task: dlrun array run {manifest} trust=true"
    status, _, complaint = heard("array", "run", str(manifest), "--task", "0")
    assert status == 2
    assert "optimizer._target_=mine.optimizer" in complaint
    assert "add trust=true" in complaint
    assert not Path("RAN").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["+model._target_=os.system", "+model.command='touch PWNED'"],
        ["+data._target_=torch.utils.collect_env.run", "+data.command='touch PWNED'"],
        ["+optimizer._target_=planted.optimizer"],
    ],
)
def test_a_strangers_manifest_runs_nothing_of_theirs(words):
    Path("planted.py").write_text("open('PWNED', 'w').close()\n")
    words = ["device=cpu", "precision=float32", *words]
    run = SubmittedRun("outputs/sweeps/theirs/one", words, settle(compose(words)).hash)
    manifest = Shares([[run]], Sweep()).write("theirs")
    status, _, complaint = heard("array", "run", str(manifest), "--task", "0")
    assert status == 2
    assert "add trust=true" in complaint
    assert not Path("PWNED").exists()


def test_a_manifest_that_is_not_as_it_was_written_is_refused(tmp_path):
    manifest = prepared(*FIVE, "--tasks", "2")
    changed = manifest.with_name(f"changed-{manifest.stem[-8:]}.json")
    changed.write_text(manifest.read_text().replace("seed=1", "seed=7"))
    elsewhere = Path(manifest.name)
    elsewhere.write_text(manifest.read_text())
    empty = manifest.with_name("empty-44136fa3.json")
    empty.write_text("{}")
    for path, said in (
        (changed, "not as dlrun array prepare wrote it"),
        (elsewhere, "not in outputs/arrays"),
        (empty, "no manifest of dlrun array prepare (KeyError)"),
        (manifest.parent, "not a regular file"),
    ):
        status, _, complaint = heard("array", "run", str(path), "--task", "0")
        assert status == 2
        assert said in complaint


@pytest.mark.slow
def test_what_a_dead_task_leaves_the_next_one_takes_up_with_the_same_bits(dlrun):
    import torch

    long = ["data=synthetic", "data.train_images=3000", "model=fc_512", "optimizer=adam", "augment=noise", "epochs=4"]
    long += ["threads=1", "device=cpu", "tensorboard=off"]
    assert dlrun(*long, "hydra.run.dir=undisturbed").returncode == 0
    manifest = prepared("array", "prepare", "-m", *long, "seed=0", "sweep.name=disturbed", "--tasks", "1")
    command = [sys.executable, "-m", "dlrun", "array", "run", str(manifest), "--task", "0"]
    task = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    (folder,) = (Path(run["folder"]) for run in json.loads(manifest.read_text())["tasks"][0])
    wait_for(lambda: len(read_history(folder)) >= 1)
    os.kill(task.pid, signal.SIGKILL)
    task.wait()
    assert not (folder / "result.json").exists()
    assert dlrun(*command[3:]).returncode == 0

    def end(run: Path) -> tuple[list[float], dict[str, torch.Tensor]]:
        losses = [row["train_loss"] for row in read_history(run)]
        return losses, torch.load(run / "checkpoints" / "last.pt", weights_only=True)["state"]["model"]

    (losses, weights), (expected, others) = end(folder), end(Path("undisturbed"))
    assert losses == expected
    assert all(torch.equal(weights[name], others[name]) for name in others)
    assert "going on after epoch" in (folder / "run.log").read_text()
