"""The ready sinks against the real packages, in a folder of this machine; and Optuna's dashboard on a search."""

import contextlib
import json
import re
import struct
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import wait_for

from dlrun.store.history import read_history

pytestmark = [pytest.mark.trackers, pytest.mark.filterwarnings("ignore")]

Dlrun = Callable[..., subprocess.CompletedProcess[str]]
TINY = ("data=synthetic", "data.size=8", "data.train_images=60", "data.test_images=40", "tensorboard=off")
HERE = ("model=fc_64", "device=cpu", "threads=1")


@pytest.fixture(autouse=True)
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three log below `tmp_path`, and nothing leaves the machine."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_a_run_and_its_extension_are_one_run_of_every_tracker(dlrun: Dlrun, tmp_path: Path) -> None:
    sinks = "sinks=[mlflow,wandb,trackio]"
    first = dlrun(*TINY, *HERE, "epochs=2", sinks, "hydra.run.dir=r", "name=mine", "tags=[a,b]")
    assert first.returncode == 0, first.stderr
    assert "failed" not in first.stderr
    ids = json.loads((tmp_path / "r/trackers.json").read_text())
    assert ids.keys() == {"mlflow", "wandb", "trackio"}
    further = dlrun("resume", "r", "epochs=3", sinks)
    assert further.returncode == 0, further.stderr
    assert "failed" not in further.stderr
    assert json.loads((tmp_path / "r/trackers.json").read_text()) == ids
    accuracies = [row["test_accuracy"] for row in read_history(tmp_path / "r")]
    assert len(accuracies) == 3
    in_mlflow(ids["mlflow"], accuracies)
    in_wandb(tmp_path, ids["wandb"], accuracies)
    in_trackio(tmp_path, ids["trackio"], accuracies)


def in_mlflow(run: str, accuracies: list[float]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient()
    found = client.get_run(run)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "mine"
    assert found.data.params["optimizer.lr"] == "0.01"
    assert (found.data.params["epochs"], found.data.tags["epochs"]) == ("2", "3")
    logged = {one.step: one.value for one in client.get_metric_history(run, "test/accuracy")}
    assert list(logged.values()) == pytest.approx(accuracies)
    assert client.get_metric_history(run, "final/test_accuracy")[-1].value == pytest.approx(accuracies[-1])


def in_wandb(folder: Path, run: str, accuracies: list[float]) -> None:
    files = sorted(folder.glob(f"wandb/offline-run-*-{run}/run-{run}.wandb"))
    assert len(files) == 2  # of one run: `wandb sync` puts them together
    assert logged_by_wandb(files) == pytest.approx(accuracies)


def logged_by_wandb(files: list[Path]) -> list[float]:
    from wandb.proto import wandb_internal_pb2

    found = {}
    for file in files:
        for data in records_in(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            items = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
            if "test/accuracy" in items:
                found[record.history.step.num] = float(items["test/accuracy"])
    return [found[step] for step in sorted(found)]


def records_in(content: bytes) -> Iterator[bytes]:
    """Those of LevelDB's log format, as wandb uses it: blocks of 32 KiB, each piece with 7 bytes before it."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield whole
            whole = b""


def in_trackio(folder: Path, run: str, accuracies: list[float]) -> None:
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs("dlrun", f"mine-{run}")
    logged = {row["step"]: row["test/accuracy"] for row in rows if "test/accuracy" in row}
    assert [logged[step] for step in sorted(logged)] == pytest.approx(accuracies)


def test_runs_of_a_sweep_make_a_store_of_mlflow_at_once(dlrun: Dlrun, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    done = dlrun("-m", *TINY, *HERE, "epochs=2", "sinks=[mlflow]", "seed=range(3)", "sweep.slots=3", "sweep.name=s")
    assert done.returncode == 0, done.stderr
    logs = [path.read_text() for path in tmp_path.glob("outputs/sweeps/s/*/run.log")]
    assert [text for text in logs if "sink mlflow" in text] == []
    client = MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("dlrun").experiment_id])
    assert sorted(run.data.params["seed"] for run in runs) == ["0", "1", "2"]
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_server_that_is_not_there_costs_the_run_nothing(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = dlrun(*TINY, *HERE, "epochs=1", "sinks=[mlflow]", "hydra.run.dir=r")
    assert done.returncode == 0, done.stderr
    assert "sink mlflow failed, the run goes on without" in done.stderr


def test_a_search_opens_in_optunas_dashboard(dlrun: Dlrun, tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    words = ("batch_size=10,20", "sweep.trials=2", "sweep.objective=[accuracy,parameters]", "sweep.name=s")
    assert dlrun("-m", "hydra/sweeper=search", *TINY, *HERE, "epochs=1", *words).returncode == 0
    with dashboard(tmp_path / "outputs/sweeps/s/study.log", tmp_path / "dashboard.log") as address:
        studies = json.load(urllib.request.urlopen(f"{address}/api/studies"))["study_summaries"]
        assert [(one["study_name"], one["directions"]) for one in studies] == [("search", ["maximize", "minimize"])]
        study = json.load(urllib.request.urlopen(f"{address}/api/studies/0"))
        assert [trial["state"] for trial in study["trials"]] == ["Complete", "Complete"]


@contextlib.contextmanager
def dashboard(study: Path, log: Path) -> Iterator[str]:
    """The address at which the dashboard shows a study, by the command of the documents."""
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), str(study), "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(lambda: re.search(r"http://\S+:[1-9]\d*", log.read_text()) or process.poll() is not None, 60)
        found = re.search(r"http://[\w.]+:[1-9]\d*", log.read_text())
        assert found, log.read_text()
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)
