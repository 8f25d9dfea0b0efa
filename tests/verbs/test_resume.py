"""`dlrun resume`: going on and extending, through the command."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import said, same_bits

from dlrun.sinks.checkpoints import Checkpoints
from dlrun.store.history import read_history
from dlrun.training.events import Event

Dlrun = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ["data=synthetic", "data.train_images=256", "data.test_images=64", "model=fc_64", "threads=1", "device=cpu"]


def test_an_extended_run_has_a_result_and_an_identity_of_its_own(dlrun: Dlrun, tmp_path: Path) -> None:
    assert dlrun(*SMALL, "epochs=2", "hydra.run.dir=r").returncode == 0
    short = json.loads((tmp_path / "r" / "result.json").read_text())
    done = dlrun("resume", "r", "epochs=4")
    assert done.returncode == 0, done.stderr
    long = json.loads((tmp_path / "r" / "result.json").read_text())
    assert long["hash"] != short["hash"]
    assert long["epochs"] == 4
    assert long["origin"] == {"hash": short["hash"], "epochs": 2}
    assert dlrun(*SMALL, "epochs=4", "hydra.run.dir=whole").returncode == 0
    whole = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert (whole["hash"], whole["test"], whole["train"]) == (long["hash"], long["test"], long["train"])


@pytest.mark.slow
def test_a_schedule_that_depends_on_the_length_is_recomputed_and_said(dlrun: Dlrun) -> None:
    assert dlrun(*SMALL, "epochs=1", "scheduler=cosine", "hydra.run.dir=r").returncode == 0
    assert "schedule is recomputed for 2 epochs" in dlrun("resume", "r", "epochs=2").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "is this the folder of a run?"),
        (["r", "seed=5"], "start a new run"),
        (["r", "epochs=${nothing}"], "dlrun: "),
        (["r", "tags.0=3"], "dlrun: "),
        (["r", "epochs=1"], "an extension needs more"),
        (["r", "epohcs=3"], "epohcs: no such field; did you mean epochs?"),
        (["r", "tags=[a"], "dlrun: tags=[a: can't be read as KEY=VALUE; missing at the end: ]"),
        (["r", "epochs=3,4"], "epochs=3,4: expected FIELD=VALUE"),
    ],
)
def test_mistakes(dlrun: Dlrun, words: list[str], said: str) -> None:
    assert dlrun(*SMALL, "epochs=2", "tensorboard=off", "hydra.run.dir=r").returncode == 0
    done = dlrun("resume", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


COSINE = [*SMALL, "scheduler=cosine", "scheduler.warmup=0.5", "tensorboard=off", "batch_size=64"]


def rates(folder: Path) -> list[float]:
    return [row["lr"] for row in read_history(folder)]


@pytest.mark.slow
def test_an_extension_chooses_what_becomes_of_the_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert said(*COSINE, "epochs=2", "scheduler.final=0.1", "hydra.run.dir=a/short")[0] == 0
    for way in ("keep", "restart", "again"):
        shutil.copytree("a/short", f"a/{way}")
    status, printed = said("resume", "a/short", "epochs=4")
    assert status == 0
    assert "The schedule is recomputed for 4 epochs" in printed
    assert "scheduler.extend=keep or restart chooses otherwise" in printed

    status, printed = said("resume", "a/keep", "epochs=4", "scheduler.extend=keep")
    assert status == 0
    assert "The rate stays at 0.001, where the schedule so far ended." in printed
    assert len(set(rates(Path("a/keep"))[1:])) == 1

    with monkeypatch.context() as patch:
        _stop_in_epoch(3, patch)
        assert said("resume", "a/restart", "epochs=4", "scheduler.extend=restart")[0] == 130
    # The same words once more go on, as no words do.
    status, printed = said("resume", "a/restart", "epochs=4", "scheduler.extend=restart")
    assert (status, "going on after epoch 2" in Path("a/restart/run.log").read_text()) == (0, True)
    assert rates(Path("a/restart"))[:2] == rates(Path("a/restart"))[2:]

    results = {way: json.loads(Path("a", way, "result.json").read_text()) for way in ("short", "keep", "restart")}
    assert len({result["hash"] for result in results.values()}) == 3
    assert all(result["origin"]["epochs"] == 2 for result in results.values())
    for way in ("keep", "restart"):  # what the config says is what was trained
        assert said(*COSINE, "epochs=4", "scheduler.final=0.1", f"scheduler.extend=[{way} 2]", f"hydra.run.dir=b/{way}")
        whole = json.loads(Path("b", way, "result.json").read_text())
        assert (whole["hash"], same_bits(Path("a", way), Path("b", way))) == (results[way]["hash"], True)
        assert f"scheduler.extend=[{way} 2]" in Path("a", way, "overrides.yaml").read_text()

    assert said("resume", "a/keep", "epochs=6", "scheduler.extend=restart")[0] == 0
    assert rates(Path("a/keep"))[4:] == rates(Path("a/restart"))[2:]
    for words, reason in (
        (["scheduler.extend=keep"], "goes with more epochs than the run has; epochs=2 here"),
        (["epochs=4", "scheduler.extend=[keep 1]"], "start a new run for the rest"),
        (["epochs=4", "scheduler.extend=later"], "expected [keep N] or [restart N], rising; keep or restart alone"),
        (["epochs=4", "scheduler.extend=[keep 4]"], "expected fewer epochs than the run has, 4"),
        (["epochs=4", "scheduler=cosine"], "scheduler: expected a group of fields, got 'cosine'"),
    ):
        status, printed = said("resume", "a/again", *words)
        assert (status, reason in printed) == (2, True), printed
    status, printed = said(*SMALL, "epochs=3", "scheduler.extend=[keep 2]")
    assert (status, "the rate is constant, so that there is nothing to choose" in printed) == (2, True)


def _stop_in_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run end in an error before the checkpoint of an epoch, as if it were killed."""
    saved = Checkpoints.__call__

    def stop(self: Checkpoints, event: Event) -> None:
        if getattr(event, "epoch", 0) >= epoch:
            raise KeyboardInterrupt
        saved(self, event)

    monkeypatch.setattr(Checkpoints, "__call__", stop)
