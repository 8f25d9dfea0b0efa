"""Sweeps on workers of Dask: what they refuse, and real workers that are killed, blind or told to stop."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import bits, ended, said, wait_for

from dlrun import extras
from dlrun.config.compose import compose
from dlrun.config.settled import settle
from dlrun.lab import worker, workers
from dlrun.lab.settings import DaskSettings, asked
from dlrun.locks import Lock
from dlrun.sweeps.child import Task
from dlrun.verbs import doctor

pytestmark = pytest.mark.alone

DASK = [sys.executable, "-P", "-m", "dask"]
RUN = ("model=fc_64", "data=synthetic", "limit=64", "device=cpu", "threads=1", "tensorboard=off")
LAUNCHER = "hydra/launcher=dask"

Words = Callable[..., "subprocess.Popen[str]"]


def in_mid_run(folder: Path) -> list[str]:
    """Runs that have begun and have many epochs to go."""
    done = {path.name for path in ended(folder)}
    return [name for name, rows in bits(folder).items() if 2 <= len(rows) <= 28 and name not in done]


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.fixture
def terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What a sweep in the working directory asks of workers, while it runs."""
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / ".workers-1"
    marker.write_text("token")
    lock = Lock(marker)
    assert lock.take()
    yield worker.terms(marker, "token")
    lock.release()


def unfit(terms: dict[str, Any], **changes: object) -> str:
    return str(json.loads(worker.examine(json.dumps({**terms, **changes})))["unfit"])


def test_a_worker_takes_what_it_shares_with_the_sweep(terms: dict[str, Any]) -> None:
    assert unfit(terms) == ""


def test_a_worker_says_in_a_line_why_it_takes_no_jobs(terms: dict[str, Any], tmp_path: Path) -> None:
    ours = terms["installed"]
    assert unfit(terms, installed={**ours, "dlrun": "0.1.0"}) == f"has dlrun {ours['dlrun']}, and the sweep 0.1.0"
    assert unfit(terms, installed={**ours, "torch": "2.8.0"}) == f"has torch {ours['torch']}, and the sweep 2.8.0"
    assert unfit(terms, installed={**ours, "torch": ours["torch"]}) == "", "a build for CUDA is the same release"
    assert unfit(terms, marker="/nowhere/.workers-1") == "does not see /nowhere, which all machines must share"
    assert (
        unfit(terms, token="of a folder with the same name")
        == f"does not see {tmp_path}, which all machines must share"
    )
    assert unfit(terms, folder="/nowhere").startswith("does not see the working directory /nowhere")
    (tmp_path / "unlocked").write_text("token")
    assert unfit(terms, marker=str(tmp_path / "unlocked")).startswith(f"does not see locks in {tmp_path}")


def test_folders_are_named_as_the_shell_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("PWD", str(tmp_path / "home"))
    assert worker.as_called(Path("outputs/a")) == tmp_path / "home/outputs/a"
    assert worker.as_called(Path("/elsewhere/a")) == Path("/elsewhere/a")
    monkeypatch.setenv("PWD", str(tmp_path))
    assert worker.as_called(Path("outputs/a")) == tmp_path / "disk/outputs/a"


def test_what_is_typed_wrong_is_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = "hydra.launcher.address=lab1: expected tcp://HOST:PORT or tls://HOST:PORT"
    assert_refused(said("-m", *RUN, "epochs=1", LAUNCHER, "hydra.launcher.address=lab1"), told)
    told = "hydra.launcher.workers=0: "
    assert_refused(said("reproduce", "psc_mnist", LAUNCHER, "hydra.launcher.workers=0"), told)
    assert not list(tmp_path.rglob("result.json"))


def test_the_words_for_dask_are_told_from_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["mine", "epochs=1", LAUNCHER, "hydra.launcher.workers=3"]
    assert asked(words) == (DaskSettings(None, 3), ["mine", "epochs=1"])
    for others in (["mine", "epochs=1"], ["hydra/launcher=slurm", "hydra.launcher.time=5"], ["hydra.launcher.time=5"]):
        assert asked(others) == (None, others)
    (tmp_path / "configs/hydra/launcher").mkdir(parents=True)
    (tmp_path / "configs/hydra/launcher/mine.yaml").write_text("defaults: [dask]\naddress: tcp://lab1:8786\n")
    assert asked(["hydra/launcher=mine"]) == (DaskSettings("tcp://lab1:8786", 2), [])


def assert_refused(heard: tuple[int, str], told: str) -> None:
    status, text = heard
    assert (status, told in text, len(text.splitlines())) == (2, True, 1), text


@pytest.mark.slow
def test_nobody_answers(cluster: "Cluster", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1.0)
    sweep = ("-m", *RUN, "epochs=1", LAUNCHER)
    told = (
        "hydra.launcher.address=tcp://127.0.0.1:9: no scheduler of Dask answers; start one there with: dask scheduler"
    )
    assert_refused(said(*sweep, "hydra.launcher.address=tcp://127.0.0.1:9"), told)
    told = f": no workers there; start one on each machine with: dask worker {cluster.address}"
    assert_refused(said(*sweep, f"hydra.launcher.address={cluster.address}"), told)


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    status, text = said("-m", *RUN, LAUNCHER)
    assert status == 2
    assert (
        text == f"dlrun: hydra/launcher=dask needs the package distributed. To install it:\n{extras.command('dask')}\n"
    )
    (found,) = [one for one in doctor._extras() if one.name == "dask"]
    assert found.state == "ok" or found.advice == extras.command("dask")


@pytest.mark.slow
def test_other_data_are_told_by_their_fingerprint(terms: dict[str, Any], tmp_path: Path) -> None:
    settled = settle(compose([*RUN, "epochs=1"]))
    task = Task.of(settled, tmp_path / "run", ["epochs=1"], {}).__dict__

    def answer(fingerprint: str | None) -> dict[str, Any]:
        order = {"name": "1", "terms": terms, "task": task, "fingerprint": fingerprint}
        return dict(json.loads(worker.train(json.dumps(order))))

    try:
        refused = answer("0" * 16)["unfit"]
        assert refused.startswith("has data with fingerprint ")
        assert refused.endswith(", and the sweep 0000000000000000 (data=synthetic)")
        assert not (tmp_path / "run").exists()
        assert answer(refused.split()[4].rstrip(","))["status"] == 0
        assert answer(None)["status"] == 0, "which finds it done"
    finally:
        worker.forget(terms["marker"])


# --- real workers -----------------------------------------------------------------------------------------


class Cluster:
    """A scheduler and the workers that it is given, each a process in a session of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", "scheduler.json"
        )
        wait_for((folder / "scheduler.json").exists, 60)
        wait_for(lambda: (folder / "scheduler.json").read_text().endswith("}"), 10)
        self.address = str(json.loads((folder / "scheduler.json").read_text())["address"])

    def worker(self, *options: str, before: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
        started = self._start("worker", self.address, "--nthreads", "1", "--no-dashboard", *options, before=before)
        log = self.folder / f"{len(self.processes) - 1}.log"
        wait_for(lambda: "Registered to" in log.read_text(), 60)
        return started

    def _start(self, *words: str, before: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [*before, *DASK, *words], cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with contextlib.closing(Cluster(tmp_path_factory.mktemp("cluster"))) as made:
        yield made


@pytest.fixture
def start(tmp_path: Path) -> Words:
    """Starts `dlrun -m WORDS` in a session of its own, as a terminal would."""

    def popen(*words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "dlrun", "-m", *RUN, *words],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return popen


def finished(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.mark.slow
def test_a_worker_is_killed_and_every_run_is_done_once_to_the_same_bits(
    cluster: Cluster, start: Words, tmp_path: Path
) -> None:
    words = ("seed=range(0,12)", "epochs=40")
    status, _, err = finished(start(*words, "hydra.sweep.dir=whole"))
    assert status == 0, err
    doomed, _ = cluster.worker("--no-nanny"), cluster.worker("--no-nanny")
    folder = tmp_path / "outputs/sweeps/lab"
    address = f"hydra.launcher.address={cluster.address}"
    sweep = start(*words, "sweep.name=lab", LAUNCHER, address)
    wait_for(lambda: len(ended(folder)) >= 2 and len(in_mid_run(folder)) == 2, 120)
    os.killpg(doomed.pid, signal.SIGKILL)
    status, out, err = finished(sweep)
    assert (status, err) == (0, ""), out + err
    assert out.count("goes on elsewhere") == 1
    assert out.count("  completed  ") == 12
    assert len(ended(folder)) == 12
    assert bits(folder) == bits(tmp_path / "whole")
    assert not list(folder.glob(".workers-*"))
    status, out, err = finished(start(*words, "sweep.name=lab", LAUNCHER, address))
    assert (status, "12 of 12 were complete already" in out) == (0, True), out + err


@pytest.mark.long
@pytest.mark.slow
def test_when_the_scheduler_is_killed_workers_save_and_the_sweep_ends_in_a_line(
    cluster: Cluster, start: Words, tmp_path: Path
) -> None:
    cluster.worker()
    folder = tmp_path / "outputs/sweeps/lab"
    address = f"hydra.launcher.address={cluster.address}"
    sweep = start("seed=0,1", "epochs=2000", "sweep.name=lab", LAUNCHER, address)
    wait_for(lambda: any(len(rows) > 2 for rows in bits(folder).values()), 120)
    os.killpg(cluster.processes[0].pid, signal.SIGKILL)
    status, _, err = finished(sweep)
    told = "dlrun: the scheduler of Dask is gone; the same command goes on with what is left\n"
    assert (status, err) == (1, told)
    # Workers look every second whether the sweep is still there, and then save.
    wait_for(lambda: ended(folder, "interrupted"), 30)
    assert len(ended(folder, "interrupted")) == len(bits(folder)) == 1


@pytest.mark.long
@pytest.mark.slow
def test_when_the_sweep_is_killed_its_workers_save_and_stop(cluster: Cluster, start: Words, tmp_path: Path) -> None:
    cluster.worker("--no-nanny")
    folder = tmp_path / "outputs/sweeps/lab"
    address = f"hydra.launcher.address={cluster.address}"
    sweep = start("seed=0,1", "epochs=2000", "sweep.name=lab", LAUNCHER, address)
    wait_for(lambda: any(len(rows) > 2 for rows in bits(folder).values()), 120)
    os.killpg(sweep.pid, signal.SIGKILL)
    finished(sweep)
    wait_for(lambda: ended(folder, "interrupted"), 30)
    assert len(bits(folder)) == 1
    left = list(folder.glob(".workers-*"))
    assert len(left) == 1
    status, out, err = finished(start("seed=0", "epochs=1", "sweep.name=lab", LAUNCHER, address))
    assert (status, err) == (0, ""), out + err
    assert not list(folder.glob(".workers-*"))


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_folder_is_left_out(cluster: Cluster, start: Words, tmp_path: Path) -> None:
    blind = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{tmp_path}" && exec "$@"', "sh")
    if subprocess.run([*blind, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    cluster.worker("--no-nanny", before=blind)
    words = ("seed=0,1", "epochs=1", "sweep.name=lab", LAUNCHER, f"hydra.launcher.address={cluster.address}")
    status, out, err = finished(start(*words))
    sees = f"does not see {tmp_path / 'outputs/sweeps/lab'}, which all machines must share"
    assert status == 2, out + err
    assert err.startswith("dlrun: no worker can take this sweep: tcp://")
    assert err.endswith(f" {sees}\n")
    cluster.worker("--no-nanny")
    status, out, err = finished(start(*words))
    assert (status, err) == (0, ""), out + err
    assert out.count(f": left out, since it {sees}\n") == 1
    assert len(ended(tmp_path / "outputs/sweeps/lab")) == 2


TABLE = """
title: Two widths
source: {document: a test, heading: here}
digits: 2
seeds: 1
common: [data=synthetic, epochs=1, limit=64, device=cpu, threads=1, tensorboard=off]
rows:
  - {label: narrow, overrides: ['model.layers=[flatten, dense 8]'], published: {test_accuracy: 0.20}}
  - {label: wide, overrides: ['model.layers=[flatten, dense 16]'], published: {test_accuracy: 0.25}}
"""


def pythons_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}


@pytest.mark.slow
def test_a_table_runs_on_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs/table").mkdir(parents=True)
    (tmp_path / "configs/table/widths.yaml").write_text(TABLE)
    variables = pythons_variables()
    status, text = said("reproduce", "widths", LAUNCHER)
    assert status == 0, text
    assert pythons_variables() == variables
    assert text.count("  completed  ") == 2
    assert not list(tmp_path.rglob(".workers-*"))


@pytest.mark.slow
def test_ctrl_c_on_workers_of_this_machine_saves_and_leaves_nothing_running(start: Words, tmp_path: Path) -> None:
    folder = tmp_path / "outputs/sweeps/s"
    words = ("seed=range(0,4)", "epochs=400", "sweep.name=s", LAUNCHER)
    sweep = start(*words)
    wait_for(lambda: sum(len(rows) > 2 for rows in bits(folder).values()) == 2, 120)
    os.killpg(sweep.pid, signal.SIGINT)
    status, out, err = finished(sweep)
    assert status == 130, out + err
    assert len(ended(folder, "interrupted")) == 2, out + err
    assert len(bits(folder)) == 2
    assert "failed" not in out
    assert err.splitlines() == ["dlrun: stopped by SIGINT; the same command goes on with what is left"]
    assert not [path for path in Path("/proc").glob("[0-9]*/cwd") if path.exists() and path.resolve() == tmp_path]
