"""scripts/clusters: they start what exists, as their schedulers would, and pass signals and statuses on."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from helpers import heard, wait_for

from dlrun.arrays.manifest import Shares
from dlrun.arrays.submitted import SubmittedRun
from dlrun.arrays.task import SCHEDULERS
from dlrun.config.schema import Sweep
from dlrun.store.result import Result

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts" / "clusters"
TINY = ["data=synthetic", "data.train_images=64", "data.test_images=32", "model=fc_64", "epochs=1", "threads=1"]
TINY += ["device=cpu", "tensorboard=off"]
SHELL = {
    "grid_engine.sh": ("Grid Engine", "#$", {"-S", "-N", "-cwd", "-V", "-j", "-l", "-notify", "-r"}),
    "pbs.sh": ("PBS Pro", "#PBS", {"-N", "-j", "-l", "-V", "-r"}),
    "lsf.sh": ("LSF", "#BSUB", {"-o", "-n", "-R", "-W", "-wa", "-wt", "-Q", "-r"}),
}
"""Of each script the scheduler, how its own lines begin, and the options in them."""


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """One of two tasks in the working directory, outside any array; its runs can't be trained."""
    monkeypatch.chdir(tmp_path)
    for one in SCHEDULERS:
        monkeypatch.delenv(one.variable or "none", raising=False)
    return Shares([[SubmittedRun("nowhere", [], "0" * 8)]] * 2, Sweep()).write("two")


@pytest.fixture
def start() -> Iterator[Callable[[Path, Path, dict[str, str]], "subprocess.Popen[str]"]]:
    """Starts a script as its scheduler would, in a process group of its own, which is gone in the end."""
    started = []

    def run(script: Path, manifest: Path, variables: dict[str, str]) -> "subprocess.Popen[str]":
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {
            **os.environ,
            **variables,
            # What a login shell's profile made of it.
            "PATH": path if script.name == "lsf.sh" else os.environ["PATH"],
            "SGE_O_PATH": path,
            "PBS_O_PATH": path,
            "MANIFEST": str(manifest),
            "PBS_O_WORKDIR": str(Path.cwd()),
        }
        started.append(
            subprocess.Popen(
                ["bash", str(script), *([str(manifest)] if script.name == "grid_engine.sh" else [])],
                env=environment,
                cwd="/" if script.name == "pbs.sh" else None,  # PBS begins jobs in the home folder
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield run
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.communicate()


def test_every_script_is_told_of():
    page = (ROOT / "docs" / "clusters.md").read_text()
    assert {path.name for path in SCRIPTS.iterdir()} == {*SHELL, "htcondor.sub", "kubernetes.yaml"}
    assert [path.name for path in SCRIPTS.iterdir() if f"(../scripts/clusters/{path.name})" not in page] == []
    assert [one.variable for one in SCHEDULERS if f"`{one.variable}`" not in page and one.variable] == []
    assert [one.cores for one in SCHEDULERS if f"`{one.cores}`" not in page and one.cores] == []


@pytest.mark.parametrize("name", SHELL)
def test_shell_scripts_start_the_verb_and_pass_its_status_on(manifest, start, name):
    scheduler, sign, options = SHELL[name]
    text = (SCRIPTS / name).read_text()
    lines = [line.removeprefix(sign).split() for line in text.splitlines() if line.startswith(f"{sign} ")]
    assert {line[0] for line in lines} == options
    for one in (one for one in SCHEDULERS if one.name in (scheduler, *(["Torque"] if name == "pbs.sh" else []))):
        typed = one.submit.format(count="N", last="LAST").removesuffix(" …")
        assert f"#   {typed} " in text or f"#   MANIFEST=FILE {typed} " in text
        task = start(SCRIPTS / name, manifest, {one.variable: "9"})
        said, _ = task.communicate(timeout=60)
        assert task.returncode == 2, said
        assert f"{one.variable}=9: in {one.name} the tasks of this manifest are {one.first} to {1 + one.first}" in said


def test_htcondor_names_task_and_manifest(manifest):
    text = (SCRIPTS / "htcondor.sub").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[-1] == "queue $(tasks)"
    values = dict(line.split(" = ", 1) for line in lines[:-1])
    assert values["executable"] == "$(dlrun)"
    assert values["dlrun"].endswith("/bin/dlrun")
    words = values["arguments"].replace("$(manifest)", str(manifest)).replace("$(Process)", "9")
    assert heard(*shlex.split(words)) == (2, "", "dlrun: --task 9: the manifest has tasks 0 to 1\n")


def test_kubernetes_numbers_its_pods(manifest, monkeypatch):
    job = yaml.safe_load((SCRIPTS / "kubernetes.yaml").read_text())
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"  # the rules below demand it
    failing = job["spec"]["podFailurePolicy"]["rules"][1]
    assert (failing["action"], failing["onExitCodes"]["values"]) == ("FailIndex", [1, 2])
    (container,) = job["spec"]["template"]["spec"]["containers"]
    volumes = {one["name"]: one for one in job["spec"]["template"]["spec"]["volumes"]}
    assert [volumes[one["name"]]["name"] for one in container["volumeMounts"]] == ["project"]
    program, *words = container["command"]
    assert (program, container["workingDir"]) == ("dlrun", container["volumeMounts"][0]["mountPath"])
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "9")
    status, _, said = heard(*[word.replace("outputs/arrays/MANIFEST.json", str(manifest)) for word in words])
    assert status == 2
    assert "JOB_COMPLETION_INDEX=9: in Kubernetes the tasks of this manifest are 0 to 1" in said


def prepared_long(manifest: Path) -> Path:
    """Another manifest: of one task with a run of minutes."""
    manifest.unlink()
    words = ["-m", *TINY, "seed=0", "epochs=2000", "data.train_images=2000", "sweep.name=long", "--tasks", "1"]
    assert heard("array", "prepare", *words)[0] == 0
    (path,) = Path("outputs/arrays").iterdir()
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number", "status"),
    [("grid_engine.sh", signal.SIGUSR1, 99), ("grid_engine.sh", signal.SIGUSR2, 140), ("lsf.sh", signal.SIGUSR2, 140)],
)
def test_a_warning_lets_the_runs_save_and_the_scheduler_know(manifest, start, name, number, status):
    path = prepared_long(manifest)
    variable, first = next((one.variable, one.first) for one in SCHEDULERS if one.name == SHELL[name][0])
    task = start(SCRIPTS / name, path, {variable: str(first)})
    wait_for(lambda: [*Path("outputs/sweeps/long").glob("*/history.csv")], 120)
    os.killpg(task.pid, number)
    said, _ = task.communicate(timeout=60)
    assert task.returncode == status, said
    (history,) = Path("outputs/sweeps/long").glob("*/history.csv")
    assert Result.read(history.parent).status == "interrupted"


@pytest.mark.slow
def test_pbs_warns_before_the_time_is_up(manifest, start, tmp_path):
    path = prepared_long(manifest)
    text = (SCRIPTS / "pbs.sh").read_text()
    assert re.search("walltime=1:00:00", text)
    script = tmp_path / "pbs.sh"
    script.write_text(text.replace("58m", "8s"))
    task = start(script, path, {"PBS_ARRAYID": "0"})
    said, _ = task.communicate(timeout=60)
    assert task.returncode == 140, said
