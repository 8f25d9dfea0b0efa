"""`dlrun -m sweep=NAME`: a sweep in a file means what one would have typed, or a slip is told with file and line."""

from pathlib import Path

import pytest
import yaml
from helpers import said

from dlrun.errors import ConfigError
from dlrun.sweeps.files import with_file
from dlrun.verbs.completion import candidates

WIDTH = """\
# how wide must it be?
data: synthetic
model: [fc_64, fc_512]
seed: 0,1
optimizer: {name: sgd}
optimizer.lr: [0.1, 1e-2]
epochs: 2
name: 007
tensorboard: off
shuffle: no
tags: [wide, 2024]
model.layers: [[flatten, dense 8], ["flatten", "dense 0x10"]]
batch_size: range(16, 48, 16)
train_limit: null
sweep:
  exclude: ['model=fc_512 seed=1']
  retries: 2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "configs" / "sweep"
    path.mkdir(parents=True)
    (path / "width.yaml").write_text(WIDTH)
    return path


def test_a_file_means_what_one_would_have_typed(folder: Path) -> None:
    *words, name = with_file(["-m", "sweep=width"])
    assert words == [
        "-m",
        "data=synthetic",
        "model=fc_64,fc_512",
        "seed=0,1",
        "optimizer.name=sgd",
        "optimizer.lr=0.1,1e-2",
        "epochs=2",
        "name=007",
        "tensorboard=off",
        "shuffle=false",
        "tags=[wide, 2024]",
        "model.layers=[flatten, dense 8],[flatten, dense 0x10]",
        "batch_size=range(16, 48, 16)",
        "train_limit=null",
        "sweep.exclude=['model=fc_512 seed=1']",
        "sweep.retries=2",
    ]
    assert name.startswith("sweep.name=width-")
    typed = with_file(["-m", "seed=5", "sweep=width", "optimizer=adam", "sweep.name=mine"])
    assert [word for word in typed if word.startswith(("seed", "optimizer", "sweep.name"))] == [
        "seed=5",
        "optimizer=adam",
        "sweep.name=mine",
    ]
    assert with_file(["-m", "seed=0"]) == ["-m", "seed=0"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epochs:\t1\n", "line 1: a tab; YAML wants blanks there"),
        ("epochs: 1\ntags: [a\n", "line 3: "),
        ("epochs:1\n", "line 1: expected lines of KEY: VALUE"),
        ("", "is empty; a sweep is lines such as `seed: 0,1,2`"),
        ("epochs: 1\nepochs: 2\n", "line 2: epochs: given twice"),
        ("seed: 0\nepochs: [1, 010]\n", "line 2: epochs: 010 is 8 to YAML; write '010' in quotes, or a plain number"),
        ("seed: 0x10\n", "line 1: seed: 0x10 is 16 to YAML"),
        ("epochs: yes\n", "line 1: epochs: yes is true to YAML"),
        ("checkpoint:\n  every_minutes: 1:30\n", "line 2: checkpoint.every_minutes: 1:30 is 90 to YAML"),
        ("epoch: 1,2\n", "line 1: epoch: no such field; did you mean epochs?"),
        ("seed: 1\nsweep:\n  retry: 1\n", "line 3: sweep.retry: no such field; did you mean sweep.retries?"),
        ("seed: []\n", "line 1: seed: an empty list"),
    ],
)
def test_a_slip_has_file_and_line(folder: Path, text: str, told: str) -> None:
    (folder / "slip.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        with_file(["sweep=slip"])
    assert str(caught.value).startswith("configs/sweep/slip.yaml")
    assert told in str(caught.value)


def test_every_verb_of_sweeps_takes_it(folder: Path) -> None:
    (folder / "small.yaml").write_text("data: synthetic\nmodel: fc_64\nepochs: 1\nseed: 0,1\nlimit: 64\n")
    wrong = "dlrun: sweep=widht: no such file: configs/sweep/widht.yaml; did you mean width?\n"
    for words in (["-m"], ["plan", "-m"], ["slurm", "submit", "-m"], ["array", "prepare", "--tasks", "1", "-m"]):
        assert said(*words, "sweep=widht") == (2, wrong)
    assert said("sweep=small") == (2, "dlrun: sweep=small: names a sweep, which runs with -m: dlrun -m sweep=small\n")
    assert "expected one name" in said("-m", "sweep=small,width")[1]
    assert "sweep=" in candidates("dlrun -m swe")
    assert candidates("dlrun -m sweep=") == ["sweep=small", "sweep=width"]


@pytest.mark.slow
def test_a_file_runs_and_grows(folder: Path) -> None:
    small = "data: synthetic\nmodel: fc_64\nepochs: 1\nlimit: 64\nthreads: 1\ndevice: cpu\ntensorboard: off\n"
    (folder / "small.yaml").write_text(small + "seed: 0,1\n")
    assert said("-m", "sweep=small")[0] == 0
    (noted,) = Path("outputs/sweeps").glob("small-*/sweep.yaml")
    assert yaml.safe_load(noted.read_text())["typed"][:3] == ["data=synthetic", "model=fc_64", "epochs=1"]
    assert "0 of 2 runs are missing in" in said("plan", "-m", "sweep=small")[1]
    (folder / "small.yaml").write_text(small + "seed: 0,1,2\n")
    status, out = said("-m", "sweep=small")
    assert status == 0
    assert "2 of 3 runs are complete in outputs/sweeps/small-" in out
    assert len(list(Path("outputs/sweeps").glob("small-*/*/result.json"))) == 3
