"""`on_end`: a command when a run or a sweep has ended, for who typed it alone."""

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import said

Dlrun = Callable[..., subprocess.CompletedProcess[str]]
TINY = ("data=synthetic", "data.size=8", "data.train_images=60", "data.test_images=40", "tensorboard=off")
HERE = ("model=fc_64", "device=cpu", "threads=1", "epochs=1")
TELLS = 'on_end=echo "$DLRUN_STATUS, ${DLRUN_COMPLETED}+$DLRUN_FAILED+$DLRUN_UNFINISHED of $DLRUN_RUNS" >> ended'
BROKEN = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.called = torch.nn.Linear(784, 10), 0
    def forward(self, images):
        self.called += self.training
        if self.called > 2:
            raise ValueError("broken")
        return self.layer(images.flatten(1))
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ended() -> list[str]:
    path = Path("ended")
    return path.read_text().splitlines() if path.exists() else []


def broken_network() -> None:
    """Make `model=broken` an option of the working directory."""
    Path("broken_net.py").write_text(BROKEN)
    Path("configs/model").mkdir(parents=True)
    Path("configs/model/broken.yaml").write_text("_target_: broken_net.Net\n")


def test_a_run_that_ends_and_one_that_goes_on(tmp_path: Path) -> None:
    assert said(*TINY, *HERE, TELLS, "hydra.run.dir=r")[0] == 0
    assert ended() == ["completed, 1+0+0 of 1"]
    status, output = said("resume", "r", "epochs=2")
    assert (status, len(ended())) == (0, 1)
    assert "of the run's config is not started, since its folder may be a stranger's; type it again" in output
    assert said("resume", "r", "epochs=3", TELLS)[0] == 0
    assert len(ended()) == 2
    assert said("resume", "r", "epochs=4", "trust=true")[0] == 0
    assert len(ended()) == 3
    folder = 'on_end=printf "%s" "$DLRUN_FOLDER" > where'
    assert said("resume", "r", "epochs=5", folder)[0] == 0
    assert Path("where").read_text() == str(tmp_path / "r")


def test_a_run_that_fails_and_a_mistake_before_it() -> None:
    broken_network()
    message = 'on_end=echo "$DLRUN_STATUS $DLRUN_FAILED $DLRUN_MESSAGE" > ended'
    words = ("data=synthetic", "model=broken", *HERE[1:], "tensorboard=off", "hydra.run.dir=r")
    status, output = said(*words, message)
    assert status == 1, output
    assert ended()[0].startswith("failed 1 ValueError: broken")
    Path("ended").unlink()
    assert said(*TINY, *HERE, "batch_size=0", TELLS)[0] == 2
    assert ended() == []


def test_a_run_that_is_stopped_says_how_to_go_on_with_both() -> None:
    Path("stopping_sinks.py").write_text(
        "import os, signal\ndef stops(run):\n    return lambda event: os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    words = (*TINY, *HERE[:-1], "epochs=5000", "sinks=[stopping_sinks.stops]", "hydra.run.dir=r")
    status, output = said(*words, TELLS)
    assert (status, ended()) == (143, ["interrupted, 0+0+1 of 1"]), output
    line = next(line for line in output.splitlines() if "go on with: " in line).partition("go on with: ")[2]
    assert shlex.split(line) == ["dlrun", "resume", "r", "sinks=[stopping_sinks.stops]", TELLS]
    assert said(*shlex.split(line)[1:])[0] == 143
    assert len(ended()) == 2


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("exit 3", "on_end: the command ended with exit status 3"),
        ("no_such_command_anywhere", "on_end: the command ended with exit status 127"),
        ("kill -9 $$", "on_end: the command was killed by SIGKILL"),
        ("sleep 60 & sleep 60", "on_end: the command took more than 0.3 s and was killed"),
    ],
)
def test_how_the_command_ends_is_said_and_changes_no_exit_status(
    command: str, message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from dlrun.runs import on_end

    monkeypatch.setattr(on_end, "SECONDS", 0.3)
    with on_end.followed_by(command, Path("r"), list):
        pass
    assert message in caplog.text


@pytest.mark.slow
def test_a_sweep_has_one_end_whether_runs_fail_or_a_signal_comes(dlrun: Dlrun, tmp_path: Path) -> None:
    broken_network()
    sweep = ("-m", *HERE[1:], "data=synthetic", "tensorboard=off", "seed=0,1", "sweep.name=s")
    rows = "sweep.rows=['model=fc_64','model=broken']"
    done = dlrun(*sweep, rows, TELLS, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert ended() == ["failed, 2+2+0 of 4"]
    assert "on_end" not in "".join(path.read_text() for path in tmp_path.glob("outputs/sweeps/s/*/overrides.yaml"))
    # The folder has the same name with and without it.
    named = [dlrun("-m", *TINY, *HERE, "seed=0,1", *more).stdout.splitlines()[0] for more in ([], [TELLS])]
    assert named[0] == named[1]
    assert ended()[1:] == ["completed, 2+0+0 of 2"]
    searched = ("-m", "hydra/sweeper=search", *TINY, *HERE, "batch_size=10,20", "sweep.trials=2", TELLS)
    assert dlrun(*searched).returncode == 0
    assert ended()[2] == "completed, 2+0+0 of 2"


def test_where_a_scheduler_trains_it_is_refused() -> None:
    for words in (("array", "prepare", "--tasks", "1", "-m", "seed=0,1"), ("slurm", "submit", "-m", "seed=0,1")):
        status, output = said(*words, *TINY, *HERE, "on_end=true")
        assert status == 2
        assert "on_end=true: is not known to a scheduler's jobs" in output
    assert not Path("outputs").exists()


@pytest.mark.slow
def test_a_table_has_one_end() -> None:
    Path("configs/table").mkdir(parents=True)
    Path("configs/table/mine.yaml").write_text(
        "title: Mine\nsource: {document: me, heading: one}\nseeds: 1\nmetric: test_accuracy\ndigits: 4\n"
        "common: {data: synthetic, data.size: 8, data.train_images: 60, data.test_images: 40, epochs: 1}\n"
        "rows:\n- {label: a, overrides: {model: fc_64}, published: {test_accuracy: 0.5}}\n"
    )
    status, output = said("reproduce", "mine", "device=cpu", "threads=1", TELLS)
    assert (status, ended()) == (0, ["completed, 1+0+0 of 1"]), output
