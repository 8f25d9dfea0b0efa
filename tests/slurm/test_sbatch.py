"""The batch script as text, and what can be wrong about it; commands that stand in for Slurm's take it."""

import itertools
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import result_of_a_run, snapshot

from dlrun.cli import main
from dlrun.config.schema import Sweep
from dlrun.errors import ConfigError, UsageError
from dlrun.slurm import status, waiting
from dlrun.slurm.manifest import read
from dlrun.slurm.queue import queue
from dlrun.slurm.refusals import ANY_LIMIT, about, is_too_many
from dlrun.slurm.settings import SlurmSettings, asked
from dlrun.store.folders import hold
from dlrun.store.result import Result
from dlrun.store.status import Status
from dlrun.sweeps.folder import jobs_of
from dlrun.sweeps.points import expand

pytestmark = pytest.mark.alone

SWEEP = ["-m", "data=synthetic", "model=fc_64", "seed=0,1,2", "sweep.name=three"]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A working directory, and an `sbatch` that keeps the script and answers as Slurm does."""
    commands = tmp_path / "commands"
    commands.mkdir()
    kept = tmp_path / "kept.sh"
    _program(commands / "sbatch", f'cp "$1" {kept}; echo Submitted batch job 7')
    _program(commands / "squeue", "true")
    for name in ("srun", "scontrol", "sinfo", "sacct"):
        _program(commands / name, "true")
    monkeypatch.setenv("PATH", str(commands), prepend=":")
    monkeypatch.chdir(tmp_path)
    return kept


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("defaults", []),
        (
            "everything",
            [
                "hydra.launcher.partition=gpu",
                "hydra.launcher.account=psc",
                "hydra.launcher.time=90",
                "hydra.launcher.gpus=2",
                "hydra.launcher.cpus=8",
                "hydra.launcher.memory=32GB",
                "hydra.launcher.array_parallelism=2",
                "hydra.launcher.constraint=a100",
                "hydra.launcher.extra=['--qos=short', '--exclusive']",
                "hydra.launcher.setup=['module load cuda/12.4', 'export A=1']",
                "hydra.launcher.container='singularity exec --nv image.sif'",
                "hydra.launcher.warning=300",
            ],
        ),
        ("packed", ["hydra.launcher.runs_per_job=2", "hydra.launcher.memory=null"]),
    ],
)
def test_batch_script(slurm, tmp_path, name, fields):
    assert main(["slurm", "submit", *SWEEP, *fields]) == 0
    text = slurm.read_text().replace(str(tmp_path), "/home/me").replace(sys.executable, "/venv/bin/python")
    assert text == (GOLDEN / f"{name}.sbatch").read_text()


def test_manifest_says_which_job_has_which_runs(slurm):
    assert main(["slurm", "submit", *SWEEP, "hydra.launcher.runs_per_job=2"]) == 0
    manifest = read("three")
    assert [job.id for job in manifest.jobs] == ["7_0", "7_1"]
    assert [len(job.folders) for job in manifest.jobs] == [2, 1]
    assert all(re.fullmatch(r"outputs/sweeps/three/seed\d-[0-9a-f]{8}", run.folder) for run in manifest.runs)
    assert manifest.job_of(manifest.runs[2].folder) == "7_1"
    assert manifest.runs[1].overrides == ["data=synthetic", "model=fc_64", "seed=1", "precision=float32"]


def test_the_users_own_launcher_keeps_the_clusters_values(slurm, tmp_path):
    own = tmp_path / "configs" / "hydra" / "launcher" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [slurm]\npartition: small\nsetup: ['module load python']\n")
    settings, rest = asked(["hydra/launcher=mine", "hydra.launcher.time=5", "seed=0,1"])
    assert settings is not None
    assert (settings.partition, settings.time, settings.cpus) == ("small", 5, SlurmSettings().cpus)
    assert rest == ["seed=0,1"]


def test_yaml_and_class_agree():
    assert asked(["hydra/launcher=slurm"])[0] == SlurmSettings()


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["hydra.launcher.time=0"], ConfigError, "hydra.launcher.time=0: expected a whole number >= 1 (minutes)"),
        (["hydra.launcher.time=24h"], ConfigError, "hydra.launcher.time=24h: expected a whole number >= 1 (minutes)"),
        (["hydra.launcher.time=1-"], ConfigError, "or as Slurm has it: 90:00, 1:30:00, 1-12 (days-hours)"),
        (["hydra.launcher.time=-5"], ConfigError, "hydra.launcher.time=-5: expected"),
        (["hydra.launcher.time=1.5"], ConfigError, "hydra.launcher.time=1.5: expected"),
        (["hydra.launcher.time=1:30"], ConfigError, "hydra.launcher.time=1:30: 90 s, and hydra.launcher.warning=120 s"),
        (["hydra.launcher.time=2"], ConfigError, "hydra.launcher.time=2: 120 s, and hydra.launcher.warning=120 s"),
        (["hydra.launcher.account=12e4"], ConfigError, "hydra.launcher.account reads as the number 120000"),
        (["hydra.launcher.partition=true"], ConfigError, "hydra.launcher.partition=true: expected text or null"),
        (["hydra.launcher.tim=1"], ConfigError, "tim"),
        (["hydra.launcher.extra=['qos=short']"], ConfigError, "is no option of sbatch; e.g. --qos=short"),
        (["hydra/launcher=local"], UsageError, "needs a launcher for Slurm"),
        (["hydra/launcher=slrm"], ConfigError, "did you mean slurm?"),
    ],
)
def test_mistakes_in_the_fields(words, kind, said):
    with pytest.raises(kind, match=re.escape(said)):
        asked(words, always=True)


@pytest.mark.parametrize("time", ["30", "90:00", "1:30:00", "01:30:00", "1-12", "1-12:30", "1-12:30:00", "UNLIMITED"])
def test_slurms_own_times_are_taken_typed_and_in_a_file(slurm, tmp_path, time):
    """0.1.0 took whole minutes only."""
    typed, _ = asked([f"hydra.launcher.time={time}"], always=True)
    own = tmp_path / "configs" / "hydra" / "launcher" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(f"defaults: [slurm]\ntime: '{time}'\n")
    written, _ = asked(["hydra/launcher=mine"])
    assert typed is not None
    assert written is not None
    assert str(typed.time) == str(written.time) == time


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("time: 1:30:00", "time: 1:30:00 is 5400 to YAML; write '1:30:00' in quotes, or a plain number"),
        ("time: 90:30", "time: 90:30 is 5430 to YAML"),
        ("account: 007", "account: 007 is 7 to YAML; write '007' in quotes"),
        ("partition: 0x10", "partition: 0x10 is 16 to YAML"),
        ("extra: ['--nice=3', 0100]", "extra: 0100 is 64 to YAML"),
    ],
)
@pytest.mark.parametrize("built_on", [False, True])
def test_what_yaml_would_read_otherwise_is_refused_with_its_line(slurm, tmp_path, capsys, line, said, built_on):
    """0.1.0 wrote `--time=5400`, three days and 18 hours, for an hour and a half; and account 7 for 007."""
    folder = tmp_path / "configs" / "hydra" / "launcher"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(f"defaults: [slurm]\n# of the cluster\n{line}\n")
    (folder / "other.yaml").write_text("defaults: [mine]\n")
    name = "other" if built_on else "mine"
    assert main(["slurm", "submit", *SWEEP, f"hydra/launcher={name}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dlrun: configs/hydra/launcher/mine.yaml, line 3: {said}")
    assert error.endswith("in quotes, or a plain number\n")
    assert not slurm.exists()


def test_names_may_be_numbers(slurm, tmp_path):
    """0.1.0: expected text or null, got 12."""
    own = tmp_path / "configs" / "hydra" / "launcher" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [slurm]\npartition: 12\naccount: '007'\nmemory: 4000\nconstraint: 80\n")
    assert main(["slurm", "submit", *SWEEP, "hydra/launcher=mine"]) == 0
    script = slurm.read_text()
    for line in ("--partition=12", "--account=007", "--mem=4000", "--constraint=80"):
        assert f"#SBATCH {line}\n" in script
    typed, _ = asked(["hydra.launcher.account=007", "hydra.launcher.partition=12", "hydra.launcher.memory=4000"], True)
    assert typed is not None
    assert (typed.account, typed.partition, typed.memory) == ("007", "12", "4000")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["submit"], "submit: what?"),
        (["submit", "nope"], "nope: no such table"),
        (["submit", "-m", "data=synthetic", "epoch=1,2"], "epoch: no such field; did you mean epochs?"),
        (["submit", "-m", "data=synthetic", "hydra.run.dir=x"], "hydra.run.dir=x"),
        (["status"], "nothing was submitted"),
        (["status", "nope"], "nope: nothing was submitted under this name"),
        (["collect"], "nothing was submitted"),
        (["cancel"], "nothing was submitted"),
    ],
)
def test_mistakes_end_with_2(slurm, capsys, words, said):
    assert main(["slurm", *words]) == 2
    assert said in capsys.readouterr().err
    assert not slurm.exists()


def test_submitit_that_is_missing_is_named_with_what_to_type(slurm, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert main(["slurm", "submit", *SWEEP]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "dlrun: Slurm needs the package submitit. To install it:"
    assert second.startswith(f'{sys.executable} -m pip install "submitit')
    assert not slurm.exists()


def test_sbatch_that_refuses_is_quoted(slurm, tmp_path, capsys):
    _program(tmp_path / "commands" / "sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1")
    assert main(["slurm", "submit", *SWEEP, "hydra.launcher.partition=x"]) == 2
    assert "Slurm refuses the job: sbatch: error: invalid partition specified: x" in capsys.readouterr().err


REFUSES = "echo 'sbatch: error: Batch job submission failed: Invalid job array specification' >&2; exit 1"


@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_after_a_refusal_everything_is_as_before(slurm, tmp_path, capsys, again):
    """0.1.0 deleted the results of failed runs, and called what was never submitted lost."""
    if again:
        assert main(["slurm", "submit", *SWEEP]) == 0
    jobs = jobs_of(expand(SWEEP[1:4]), tmp_path / "outputs/sweeps/three")
    for job, ending in zip(jobs, ("failed", "interrupted", "completed"), strict=True):
        error = None if ending == "completed" else {"type": "RunFailed", "message": "it broke"}
        job.run_dir.mkdir(parents=True, exist_ok=True)
        result_of_a_run(status=ending, hash=job.hash, error=error).write(job.run_dir)
    capsys.readouterr()
    main(["slurm", "status", "three"])
    said = capsys.readouterr()
    before = snapshot(tmp_path)
    assert sum(name.endswith("result.json") for name in before) == 3
    _program(tmp_path / "commands" / "sbatch", REFUSES)
    words = [*SWEEP, "tensorboard=off", "sweep.failed=retry", "seed=range(0,8)"]
    assert main(["slurm", "submit", *(word for word in words if word != "seed=0,1,2")]) == 2
    assert "Invalid job array specification" in capsys.readouterr().err
    assert snapshot(tmp_path) == before
    main(["slurm", "status", "three"])
    assert capsys.readouterr() == said
    _program(tmp_path / "commands" / "sbatch", "echo Submitted batch job 8")
    assert main(["slurm", "submit", *(word for word in words if word != "seed=0,1,2")]) == 0
    left = [Result.read(path.parent).status for path in tmp_path.rglob("result.json")]
    assert left == ["completed"], "what is out of date goes when Slurm has taken the jobs"


def test_a_run_that_somebody_works_on_is_not_submitted(slurm, tmp_path, capsys):
    (job,) = jobs_of(expand([*SWEEP[1:3], "seed=0"]), tmp_path / "outputs/sweeps/three")
    job.run_dir.mkdir(parents=True)
    result_of_a_run(status="failed", hash=job.hash, error={"type": "RunFailed", "message": "it broke"}).write(
        job.run_dir
    )
    with hold(job.run_dir):
        before = snapshot(tmp_path)
        assert main(["slurm", "submit", *SWEEP, "sweep.failed=retry"]) == 2
        assert "another process is working on this run" in capsys.readouterr().err
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        (
            "invalid partition specified: x",
            "hydra.launcher.partition=x; partitions, and what a job may take there: main 1-00:00:00, long infinite",
        ),
        (
            "Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
            "hydra.launcher.time=60; partitions, and what",
        ),
        (
            "Batch job submission failed: Invalid account or account/partition combination specified",
            "account=null, hydra",
        ),
        ("Batch job submission failed: Invalid qos specification", "hydra.launcher.extra=[]"),
        ("Batch job submission failed: Invalid feature specification", "hydra.launcher.constraint=null"),
        ("Batch job submission failed: Requested node configuration is not available", "cpus=2, hydra.launcher.gpus=0"),
        ("Memory specification can not be satisfied", "hydra.launcher.memory=4GB"),
    ],
)
def test_a_refusal_names_the_option_to_change_once(slurm, tmp_path, capfd, said, changes):
    _program(tmp_path / "commands" / "sbatch", f"echo 'sbatch: error: {said}' >&2; exit 1")
    _program(tmp_path / "commands" / "sinfo", "echo main 1-00:00:00; echo long infinite")
    assert main(["slurm", "submit", *SWEEP, "hydra.launcher.partition=x"]) == 2
    first, second = capfd.readouterr().err.splitlines()
    assert first == f"dlrun: Slurm refuses the job: sbatch: error: {said}"
    assert second.startswith("to change: hydra.launcher.")
    assert changes in second
    assert not (tmp_path / "outputs").exists()


POLICY = f"Batch job submission failed: Job violates accounting/QOS policy {ANY_LIMIT}"


@pytest.mark.parametrize(
    ("word", "too_many", "fields"),
    [
        ("AssocMaxSubmitJobLimit; ", True, ("runs_per_job",)),
        ("QOSMaxSubmitJobPerUserLimit; ", True, ("runs_per_job",)),
        ("QOSMaxWallDurationPerJobLimit; ", False, ("time",)),
        ("QOSMaxCpuPerUserLimit; ", False, ("cpus",)),
        ("QOSMaxGRESPerJob; ", False, ("gpus",)),
        ("", True, ("time", "cpus", "gpus", "memory", "constraint", "runs_per_job")),
    ],
)
def test_limits_of_accounts_are_told_apart(word, too_many, fields):
    assert is_too_many(word + POLICY) == too_many
    assert about(word + POLICY) == fields


def test_a_refusal_of_the_launcher_leaves_all_as_it_was(slurm, tmp_path, capsys):
    """Hydra makes the folder of a sweep before it asks the launcher."""
    words = ["-m", *SWEEP[1:], "sweep.name=fresh", "hydra/launcher=slurm", "hydra.launcher.partition=x"]
    _program(tmp_path / "commands" / "sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1")
    assert main(words) == 2
    assert "to change: hydra.launcher.partition=x" in capsys.readouterr().err
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("outputs/**/*"))
    assert left == []


def accepting(tmp_path: Path, most: int, said: str) -> None:
    """An sbatch that takes arrays of so many jobs at most, and notes the size of each."""
    size = r"""grep -oE 'array=0-[0-9]+' "$1" | cut -d- -f2"""
    take = f"count=$(({{}}+1)); [ $count -gt {most} ] && {{{{ echo 'sbatch: error: {said}' >&2; exit 1; }}}}"
    text = take.format(f"$({size} | grep . || echo 0)")
    note = f"echo $count >> {tmp_path}/sizes; echo Submitted batch job $((100 + $(wc -l < {tmp_path}/sizes)))"
    _program(tmp_path / "commands" / "sbatch", f"{text}; {note}")


@pytest.mark.parametrize("configured", [True, False])
def test_an_array_is_split_as_the_cluster_asks(slurm, tmp_path, capsys, configured):
    """0.1.0 passed on that the array is invalid, and called all runs lost."""
    accepting(tmp_path, 3, "Batch job submission failed: Invalid job array specification")
    if configured:
        _program(tmp_path / "commands" / "scontrol", "echo 'MaxArraySize            = 3'")
    words = [*(word for word in SWEEP if word != "seed=0,1,2"), "seed=range(0,8)"]
    assert main(["slurm", "submit", *words]) == 0
    sizes = (tmp_path / "sizes").read_text().split()
    assert sizes == (["3", "3", "2"] if configured else ["2", "2", "2", "2"])
    assert f"8 runs submitted in 8 jobs ({len(sizes)} arrays, as large" in capsys.readouterr().out
    manifest = read("three")
    assert len({job.id for job in manifest.jobs}) == len(manifest.runs) == 8
    assert [job.folders for job in manifest.jobs] == [[run.folder] for run in manifest.runs]


def test_what_a_limit_keeps_out_is_held(slurm, tmp_path, capsys):
    """MaxJobCount of 7: of eight jobs five go in, for one is there already."""
    accepting(tmp_path, 8, "")
    _program(tmp_path / "commands" / "scontrol", "echo 'MaxJobCount = 7'")
    _program(tmp_path / "commands" / "squeue", 'case "$*" in *--all*) echo 1 ;; esac')
    words = [*(word for word in SWEEP if word != "seed=0,1,2"), "seed=range(0,8)"]
    assert main(["slurm", "submit", *words]) == 1
    assert "5 runs submitted in 5 jobs, 3 more when Slurm takes them" in capsys.readouterr().out
    assert len(read("three").runs) == 5
    _program(tmp_path / "commands" / "scontrol", "echo 'MaxJobCount = 2'")
    before = snapshot(tmp_path)
    assert main(["slurm", "submit", *words, "sweep.failed=retry"]) == 2
    assert "no more jobs now" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_a_sweep_that_waits_submits_the_rest_later(slurm, tmp_path, monkeypatch, capsys):
    accepting(tmp_path, 8, "")
    _program(tmp_path / "commands" / "scontrol", "echo 'MaxJobCount = 3'")
    turns: list[list[str]] = []

    def trained(manifest, folders, tell):
        turns.append(list(folders))
        over = []
        for run in (run for run in manifest.runs if run.folder in folders):
            data = {"name": "synthetic", "fingerprint": run.fingerprint, "verified": True}
            Path(run.folder).mkdir(parents=True)
            result_of_a_run(hash=run.hash, data=data).write(Path(run.folder))
            over.append(status.Seen(run, Status.DONE, "1", 1, 0.9))
        return over

    monkeypatch.setattr(waiting, "wait", trained)
    jobs = jobs_of(expand(SWEEP[1:4]), Path("outputs/sweeps/three"))
    outcomes = waiting.run_on_slurm(jobs, SlurmSettings(), Sweep(), "three", "sweep three")
    assert [len(turn) for turn in turns] == [2, 1]
    assert [outcome.status for outcome in outcomes] == ["completed"] * 3
    assert "2 runs submitted in 2 jobs, 1 more when Slurm takes them" in capsys.readouterr().out
    assert len(read("three").runs) == 3


def test_a_refusal_after_the_first_array_keeps_what_is_submitted(slurm, tmp_path, capsys):
    accepting(tmp_path, 3, "Batch job submission failed: Unexpected message received")
    program = (tmp_path / "commands" / "sbatch").read_text().splitlines()[1]
    _program(tmp_path / "commands" / "sbatch", f"[ -e sizes ] && {{ echo no >&2; exit 1; }}; {program}")
    _program(tmp_path / "commands" / "scontrol", "echo 'MaxArraySize = 2'")
    assert main(["slurm", "submit", *SWEEP]) == 1
    assert "2 of 3 jobs are submitted; the same command submits the rest" in capsys.readouterr().err
    assert len(read("three").runs) == 2


TABLE = """\
title: Two networks
source: {document: a test, heading: none}
metric: test_accuracy
digits: 4
seeds: 1
common: {data: synthetic, epochs: 1, precision: float32}
rows:
  - {label: narrow, overrides: {model: fc_64}, published: {test_accuracy: 0.99}}
  - {label: wide, overrides: {model: fc_512}, published: {test_accuracy: 0.99}}
"""


def test_manifests_never_collide(slurm, tmp_path, capsys):
    """0.1.0 gave `--rows 1 --seeds 2` and `--rows 2 --seeds 1` one manifest, and two sweeps called alike."""
    own = tmp_path / "configs" / "table" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(TABLE)
    calls = [
        ["mine", "--rows", "1", "--seeds", "2"],
        ["mine", "--rows", "2", "--seeds", "1"],
        ["mine", "epochs=2", "epochs=3"],
        ["mine", "epochs=3", "epochs=2"],
        ["mine", "--seeds", "1"],  # all of it
        ["-m", *SWEEP[1:4], "sweep.name=mine"],
        ["-m", *SWEEP[1:3], "seed=7,8", "hydra.sweep.dir=elsewhere/mine"],
        ["-m", *SWEEP[1:3], "seed=7,8", "hydra.sweep.dir=elsewhere/mine"],
        ["mine"],
    ]
    called = []
    for words in calls:
        assert main(["slurm", "submit", *words]) == 0
        called.append(capsys.readouterr().out.splitlines()[1].removeprefix("next: dlrun slurm status "))
    assert called[4:] == ["mine", "mine-2", "mine-3", "mine-3", "mine"]
    assert len(set(called[:4])) == 4
    assert [len(read(name).runs) for name in called] == [2, 1, 2, 2, 2, 3, 2, 2, 2]


def test_runs_in_the_queue_under_another_name_are_waited_for(slurm, tmp_path, capsys):
    own = tmp_path / "configs" / "table" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(TABLE)
    assert main(["slurm", "submit", "mine"]) == 0
    _program(tmp_path / "commands" / "squeue", "echo '7_0 PENDING Priority'; echo '7_1 RUNNING None'")
    capsys.readouterr()
    assert main(["slurm", "submit", "mine", "--rows", "2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "0 runs submitted in 0 jobs, 1 in the queue already"
    manifest = read(said[1].split()[-1])
    assert [(job.id, len(manifest.runs)) for job in manifest.jobs] == [("7_1", 1)]


def test_status_says_why_by_queue_and_accounting(slurm, tmp_path, capsys):
    assert main(["slurm", "submit", *SWEEP]) == 0
    _program(tmp_path / "commands" / "squeue", "echo '7_0 PENDING PartitionTimeLimit'")
    _program(tmp_path / "commands" / "sacct", "echo '7_1|OUT_OF_MEMORY'; echo '7_2|CANCELLED by 1000'")
    capsys.readouterr()
    assert main(["slurm", "status"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "waits in vain: PartitionTimeLimit (hydra.launcher.time)" in said
    assert "its job ended with OUT_OF_MEMORY (more of it: hydra.launcher.memory): submit again" in said
    assert "its job ended with CANCELLED: submit again" in said


def test_waiting_survives_a_squeue_that_fails_and_reads_what_is_over_once(slurm, tmp_path, monkeypatch, capsys):
    """0.1.0 ended the sweep with the first squeue that failed, and read every history every second."""
    assert main(["slurm", "submit", *SWEEP]) == 0
    manifest = read("three")
    due = dict(zip((5, 40, 100), manifest.runs, strict=True))
    waits = "".join(f"echo '7_{number} RUNNING None'; " for number in range(3))
    fails = "echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1"
    answers = itertools.chain([waits, fails, fails, waits], itertools.repeat(fails))
    looks: list[str] = []
    asked_at: list[float] = []
    clock = [0.0]
    seen_before = status._seen

    def seen(run, job, waiting):
        looks.append(run.folder)
        return seen_before(run, job, waiting)

    def asked():
        asked_at.append(clock[0])
        _program(tmp_path / "commands" / "squeue", next(answers))
        return queue()

    def sleep(seconds):
        clock[0] += seconds
        assert clock[0] < 1000, "it does not end"
        for run in [due.pop(when) for when in list(due) if when < clock[0]]:
            Path(run.folder).mkdir(parents=True)
            data = {"name": "synthetic", "fingerprint": run.fingerprint, "verified": True}
            result_of_a_run(hash=run.hash, data=data).write(Path(run.folder))

    monkeypatch.setattr(status, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    monkeypatch.setattr(status, "_seen", seen)
    monkeypatch.setattr(status, "queue", asked)
    lines: list[str] = []
    over = status.wait(manifest, [run.folder for run in manifest.runs], lines.append)
    assert [one.status for one in over] == ["done"] * 3
    assert "squeue: error: Unable to contact slurm controller; it is asked again in 20 s" in lines
    assert lines[-1] == "3 runs: 3 done"
    assert not any("lost" in line for line in lines)
    first, second, third = (looks.count(run.folder) for run in manifest.runs)
    assert first < second < third < 40, "what is over is read no more, and what waits ever more seldom"
    assert all(10 <= later - earlier <= 65 for earlier, later in itertools.pairwise(asked_at))


@pytest.mark.parametrize("said", ["squeue: error: no controller", "error: no controller"])
def test_squeue_that_fails_is_quoted_with_its_name_once(slurm, tmp_path, capsys, said):
    assert main(["slurm", "submit", *SWEEP]) == 0
    _program(tmp_path / "commands" / "squeue", f"echo '{said}' >&2; exit 1")
    assert main(["slurm", "status"]) == 2
    assert capsys.readouterr().err == "dlrun: squeue: error: no controller\n"


def test_without_slurm_nothing_is_submitted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["slurm", "submit", *SWEEP]) == 2
    assert "login node" in capsys.readouterr().err
