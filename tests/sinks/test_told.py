"""Sinks from the config: told of each epoch, never waited for, and started only by who typed them."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import said

from dlrun.store.history import read_history

TINY = ("data=synthetic", "data.size=8", "data.train_images=60", "data.test_images=40", "tensorboard=off")
HERE = ("model=fc_64", "device=cpu", "threads=1", "hydra.run.dir=r")

SINKS = """
import sys, threading, time

class Sink:
    def __init__(self, run):
        self.say(f"begin {run.name} {run.epoch} {run.config['epochs']} {run.parameters}")
    def say(self, text):
        with open("told.txt", "a") as file:
            print(text, threading.current_thread() is threading.main_thread(), file=file)
    def __call__(self, event):
        self.say(f"epoch {event.epoch} {event.evaluated.accuracy}")
    def close(self, result):
        self.say(f"end {result.status} {result.epochs}")

class Begins(Sink):
    def __init__(self, run): raise ConnectionError("no such server")
class Learns(Sink):
    def __call__(self, event): raise ValueError("epoch not welcome")
class Leaves(Sink):
    def __call__(self, event): sys.exit(3)
class Ends(Sink):
    def close(self, result): raise OSError("not stored")
class Hangs(Sink):
    def __call__(self, event): time.sleep(1000)

def function(run):
    return lambda event: print(event.epoch, file=sys.stderr)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module with sinks in the working directory."""
    name = f"sinks_of_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(SINKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop(name, None)


def told() -> list[str]:
    return Path("told.txt").read_text().splitlines()


def test_a_sink_of_ones_own_is_told_of_each_epoch_and_starts_for_who_typed_it_alone(module: str) -> None:
    sink = f"sinks=[{module}.Sink]"
    status, output = said(*TINY, *HERE, "epochs=2", f"sinks=[{module}.Sink,{module}.function]", "name=mine")
    assert status == 0, output
    accuracies = [row["test_accuracy"] for row in read_history(Path("r"))]
    epochs = [f"epoch {epoch} {accuracy} False" for epoch, accuracy in enumerate(accuracies, start=1)]
    assert "1\n2\n" in output
    assert told() == ["begin mine 0 2 8970 False", *epochs, "end completed 2 False"]
    # Going on: what the folder says starts nothing, whatever it says of trust.
    config = Path("r/config.yaml")
    assert f"- {module}.Sink" in config.read_text()
    lines = config.read_text().replace("trust: false", "trust: true").splitlines(keepends=True)
    config.write_text("".join(lines[1:-1]))  # less its checksum
    status, output = said("resume", "r", "epochs=3")
    assert (status, len(told())) == (0, 4), output
    assert f"sinks=[{module}.Sink, {module}.function] of the run's config is not started" in output
    assert "type it again, or trust=true" in output
    assert said("resume", "r", "epochs=4", sink)[0] == 0
    assert [line.split()[:3] for line in told()[4:]] == [
        ["begin", "mine", "3"],
        ["epoch", "4", told()[5].split()[2]],
        ["end", "completed", "4"],
    ]
    assert said("resume", "r", "epochs=5", "trust=true")[0] == 0
    assert len(told()) == 10
    for verb in ("evaluate", "show"):
        assert said(verb, "r")[0] == 0
    assert len(told()) == 10


def test_a_sink_that_fails_is_said_and_loses_nothing(module: str) -> None:
    names = ("Begins", "Learns", "Leaves", "Ends", "Sink")
    status, output = said(*TINY, *HERE, "epochs=2", f"sinks=[{','.join(f'{module}.{name}' for name in names)}]")
    assert status == 0
    for name, error in (
        ("Begins", "ConnectionError: no such server"),
        ("Learns", "ValueError: epoch not welcome"),
        ("Leaves", "RuntimeError: it called sys.exit(3)"),
        ("Ends", "OSError: not stored"),
    ):
        assert output.count(f"sink {module}.{name} failed, the run goes on without: {error}") == 1
    assert told()[-1] == "end completed 2 False"
    assert json.loads(Path("r/result.json").read_text())["status"] == "completed"
    # The numbers are those of the run without sinks.
    with_sinks = [row["train_loss"] for row in read_history(Path("r"))]
    assert said(*TINY, *HERE[:-1], "epochs=2", "hydra.run.dir=without")[0] == 0
    assert [row["train_loss"] for row in read_history(Path("without"))] == with_sinks


def test_a_sink_that_hangs_is_left(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlrun.sinks.told.LINGER", 0.1)
    status, output = said(*TINY, *HERE, "epochs=3", f"sinks=[{module}.Hangs]")
    assert status == 0
    assert f"sink {module}.Hangs has not taken everything in 0.1 s after the run, and is left" in output


def test_mistakes_in_sinks(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)  # as where it is not installed
    Path("wandb").mkdir()
    monkeypatch.setattr("dlrun.sinks.told.find_spec", lambda name: None if name == "trackio" else find_spec(name))
    from importlib.util import find_spec

    for names, message in (
        ("wandv", "sinks=[wandv]: no such sink; did you mean wandb?"),
        ("trackio", "sinks=[trackio]: needs trackio; install it with:"),
        (f"{module}.Snk", f"sinks=[{module}.Snk]: {module} has no 'Snk'"),
        (f"no_{module}.Sink", f"sinks=[no_{module}.Sink]: there is no module 'no_{module}'"),
        (f"{module}.sys.argv", f"sinks=[{module}.sys.argv]: is no class or function"),
    ):
        status, output = said(*TINY, *HERE, f"sinks=[{names}]")
        assert (status, message in output) == (2, True), output
        assert "Traceback" not in output
    assert not Path("r/config.yaml").exists()


def test_a_manifest_starts_no_sink_without_trust(module: str) -> None:
    words = (*TINY, "model=fc_64", "device=cpu", "epochs=1", f"sinks=[{module}.Sink]", "seed=0,1")
    status, output = said("array", "prepare", "--tasks", "1", "-m", *words, "sweep.name=s")
    assert status == 0, output
    line = next(line for line in output.splitlines() if "dlrun array run" in line)
    assert line.endswith(" trust=true")
    manifest = line.split()[-2]
    status, output = said("array", "run", manifest, "--task", "0")
    assert status == 2
    assert "a sink is started only if you trust the file that names it; add trust=true" in output
    assert not Path("told.txt").exists()
