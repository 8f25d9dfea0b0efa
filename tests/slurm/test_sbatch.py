"""The batch script as text, and what can be wrong about it; commands that stand in for Slurm's take it."""

import re
import sys
from pathlib import Path

import pytest
from helpers import result_of_a_run

from dlrun.cli import main
from dlrun.errors import ConfigError, UsageError
from dlrun.slurm.manifest import read
from dlrun.slurm.settings import SlurmSettings, asked
from dlrun.store.folders import hold
from dlrun.store.result import Result
from dlrun.sweeps.folder import jobs_of
from dlrun.sweeps.points import expand

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
    _program(commands / "srun", "true")
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
        (["hydra.launcher.time=0"], ConfigError, "hydra.launcher.time=0: expected a whole number >= 1"),
        (["hydra.launcher.tim=1"], ConfigError, "tim"),
        (["hydra.launcher.extra=['qos=short']"], ConfigError, "is no option of sbatch; e.g. --qos=short"),
        (["hydra/launcher=local"], UsageError, "needs a launcher for Slurm"),
        (["hydra/launcher=slrm"], ConfigError, "did you mean slurm?"),
    ],
)
def test_mistakes_in_the_fields(words, kind, said):
    with pytest.raises(kind, match=re.escape(said)):
        asked(words, always=True)


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


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, less locks, what was typed and the commands that stand in for Slurm's."""
    left_out = (".lock", ".claim", "sbatch", "sweep.yaml")
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in left_out}


REFUSES = "echo 'sbatch: error: Batch job submission failed: Invalid job array specification' >&2; exit 1"


@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_after_a_refusal_everything_is_as_before(slurm, tmp_path, capsys, again):
    """0.1.0 deleted the results of failed runs, and called what was never submitted lost."""
    if again:
        assert main(["slurm", "submit", *SWEEP]) == 0
    jobs = jobs_of(expand(SWEEP[1:4]), tmp_path / "outputs/sweeps/three")
    for job, status in zip(jobs, ("failed", "interrupted", "completed"), strict=True):
        error = None if status == "completed" else {"type": "RunFailed", "message": "it broke"}
        job.run_dir.mkdir(parents=True, exist_ok=True)
        result_of_a_run(status=status, hash=job.hash, error=error).write(job.run_dir)
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
