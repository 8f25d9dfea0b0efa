"""`dlrun reproduce` on a table of one's own that trains in a moment, and its lines for the shipped ones."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import heard, json_keys

from dlrun.cli import main
from dlrun.config.compose import compose
from dlrun.config.schema import identity
from dlrun.store.result import Result

pytestmark = pytest.mark.alone

TABLE = """
title: Mine
source: {document: A paper, heading: Table 1}
digits: 3
seeds: 3
common:
  data: synthetic
  data.train_images: 200
  data.test_images: 100
  model: fc_64
  precision: float32
  epochs: 2
  tensorboard: 'off'
  threads: 1
rows:
  - label: narrow
    overrides: {model.layers: [flatten, dense 8], optimizer.lr: 0.1}
    published: {test_accuracy: 0.9}
  - label: wide
    overrides: {model.layers: [flatten, dense 64], optimizer.lr: 0.1}
    published: {test_accuracy: 1}
    note: Read as 64.
lessons:
  - {claim: Wider helps, rows: [wide, narrow], direction: higher}
"""
BROKEN = """
  - label: broken
    overrides: {model: broken}
    published: {test_accuracy: 0.5}
lessons:"""
NETWORK = """
from torch import nn
class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.only = nn.Linear(784, 10)
    def forward(self, images):
        if self.training:
            raise RuntimeError("it broke")
        return self.only(images.flatten(1))
"""


def write_table(folder, text=TABLE):
    (folder / "configs" / "table").mkdir(parents=True, exist_ok=True)
    (folder / "configs" / "table" / "mine.yaml").write_text(text)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working directory with a table `mine`, and no data anywhere."""
    write_table(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DLRUN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def results():
    """Every result below the working directory with the time it was written."""
    files = sorted(Path("outputs/runs").glob("*/result.json"))
    return {path.parent.name: (Result.read(path.parent), path.stat().st_mtime_ns) for path in files}


# --- without running --------------------------------------------------------------------------------------


def dry_run(capsys, *words):
    assert main(["reproduce", *words, "--dry-run"]) == 0
    return capsys.readouterr().out.splitlines()


def test_dry_run_prints_a_line_a_row_and_seed_with_the_hash_it_gives(work, capsys):
    lines = dry_run(capsys, "psc_mnist", "--seeds", "5", "--rows", "1,4-5", "device=cpu")
    assert len(lines) == 15
    for line in lines[::4]:
        program, *overrides, folder = shlex.split(line)
        assert program == "dlrun"
        hash = identity(compose(overrides))
        assert re.fullmatch(rf"hydra\.run\.dir=outputs/runs/mnist-\S+-{hash}", folder)
    assert not Path("outputs").exists()


def test_dry_run_needs_no_torch(work):
    code = "import sys; from dlrun.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    command = [
        sys.executable,
        "-c",
        code,
        "reproduce",
        "lowres_kmnist_fashion",
        "--rows",
        "1",
        "--dry-run",
    ]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "nope: no such table; there are: chollet_mnist, d2l_berkeley,"),
        (
            ["mine", "epoch=2"],
            "configs/table/mine.yaml: row 1 (narrow): epoch: no such field; did you mean epochs?",
        ),
        (["mine", "--rows", "3"], "--rows 3: mine has rows 1 to 2"),
        (["mine", "seed=3"], "--seeds N says how many"),
        (["mine", "hydra.run.dir=x"], "hydra.run.dir: a table runs here or with hydra/launcher=slurm"),
        (["mine", "hydra/launcher=nope"], "hydra/launcher=nope: no such option"),
        (["mine", "hydra.launcher.time=5"], "hydra.launcher.time=5: needs a launcher for Slurm"),
        (["mine", "sweep.fresh=true"], "move outputs/runs away"),
        (["psc_mnist"], "mnist"),
    ],
)
def test_mistakes_end_with_2_before_anything_runs(work, capsys, words, said):
    assert main(["reproduce", *words]) == 2
    assert said in capsys.readouterr().err
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine", "--seeds", "0"], "reproduce: --seeds: 0: expected a whole number from 1 to 1000"),
        (["mine", "--seeds", "x"], "reproduce: --seeds: x: expected a whole number from 1 to 1000"),
        (["mine", "--quikc"], "reproduce: --quikc: no such option; did you mean --quick?"),
        ([], "reproduce: which table? There are: chollet_mnist, d2l_berkeley,"),
        (["--rows", "1"], "reproduce: which table? There are: chollet_mnist, d2l_berkeley,"),
        (["psc_mnst"], "psc_mnst: no such table; did you mean psc_mnist?"),
    ],
)
def test_words_that_cannot_be_read_are_answered_in_a_line(work, capsys, words, said):
    assert main(["reproduce", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dlrun: {said}")
    assert error.count("\n") == 1


# --- running ----------------------------------------------------------------------------------------------


def test_runs_what_is_missing_and_compares(work, capsys):
    assert main(["reproduce", "mine", "--rows", "2", "--seeds", "2"]) == 0
    first = results()
    capsys.readouterr()
    assert main(["reproduce", "mine", "--json"]) == 0
    told = capsys.readouterr()
    assert "narrow seed 1  completed" in told.err
    answer = json.loads(told.out)
    assert list(answer) == json_keys("reproduce TABLE")
    assert [line["label"] for line in answer["lines"]] == ["narrow", "wide"]
    assert main(["reproduce", "mine"]) == 0
    out = capsys.readouterr().out
    assert len(results()) == 6
    assert {name: results()[name][1] for name in first} == {name: when for name, (_, when) in first.items()}
    assert re.search(r"1\s+narrow\s+0\.900\s+\d\.\d{3} ± \d\.\d{3}\s+3\s", out)
    assert "Wider helps" in out
    assert len(dry_run(capsys, "mine")) == 6
    assert "Not the published settings" not in out


def test_a_table_without_runs_lacks_all_its_seeds(work, capsys):
    assert main(["report", "--table", "mine"]) == 2
    assert "dlrun reproduce mine makes them" in capsys.readouterr().err
    assert main(["model=fc_64", "data=synthetic", "epochs=1", "hydra.run.dir=outputs/runs/another"]) == 0
    assert main(["report", "--table", "mine"]) == 0
    assert capsys.readouterr().out.count("3 missing") == 2


def test_a_line_typed_by_hand_counts_and_another_run_in_its_folder_is_left_alone(work, capsys):
    line = dry_run(capsys, "mine", "--rows", "1", "--seeds", "1")[0]
    assert "'model.layers=[flatten, dense 8]'" in line
    assert main(shlex.split(line)[1:]) == 0
    before = results()
    assert main(["reproduce", "mine", "--rows", "1", "--seeds", "1"]) == 0
    assert results() == before
    folder = next(Path("outputs/runs").iterdir())
    extended = Result.read(folder)
    extended.hash = "00000000"
    extended.write(folder)
    assert main(["reproduce", "mine", "--seeds", "1"]) == 2
    assert f"{folder}: holds another run by now" in capsys.readouterr().err
    assert Result.read(folder).hash == "00000000"


def test_progress_names_the_rows(work, capsys):
    assert main(["reproduce", "mine", "--seeds", "1", "epochs=1"]) == 0
    out = capsys.readouterr().out
    lines = re.findall(r"^\[(\d)/2\]  (\w+) seed 0  completed  test accuracy", out, re.MULTILINE)
    # The two run at the same time, so either may end first.
    assert [index for index, _ in lines] == ["1", "2"]
    assert {row for _, row in lines} == {"narrow", "wide"}
    assert "not comparable" in out
    assert "Wider helps" not in out


def test_quick_is_marked(work, capsys):
    assert main(["reproduce", "mine", "epochs=1", "--quick", "--seeds", "1"]) == 0
    out = capsys.readouterr().out
    assert "not comparable" in out
    assert "Not the published settings: run with epochs=2 epochs=1." in out
    assert {result.epochs for result, _ in results().values()} == {1}
    advised = re.search(r"dlrun (report --table .*)$", out)
    assert advised
    assert main(shlex.split(advised[1])) == 0
    assert "3 missing" not in capsys.readouterr().out
    assert "Not the published settings: run with epochs=2 epochs=1" in Path("outputs/runs/mine.html").read_text()


def test_a_row_that_fails_is_shown_and_the_others_go_on(work, capsys):
    write_table(work, TABLE.replace("lessons:", BROKEN.strip("\n")))
    (work / "broken.py").write_text(NETWORK)
    (work / "configs" / "model").mkdir()
    (work / "configs" / "model" / "broken.yaml").write_text("_target_: broken.Network\n")
    for _ in range(2):
        assert main(["reproduce", "mine", "--seeds", "1"]) == 1
        out = capsys.readouterr().out
        assert re.search(r"broken\s+0\.500\s.*1 failed", out)
        assert "Row 3 (broken), seed 0 failed:" in out
        assert re.search(r"^\[\d/3\]  broken seed 0  (failed|kept): .*it broke", out, re.MULTILINE)
        assert "it broke" in out
    assert sorted(result.status for result, _ in results().values()) == ["completed", "completed", "failed"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 needs POSIX")
def test_killed_in_the_middle_it_goes_on_without_repeating(work, tmp_path_factory):
    command = [sys.executable, "-m", "dlrun", "reproduce", "mine", "epochs=20", "sweep.slots=1"]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    while len(results()) < 2:
        assert killed.poll() is None
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = results()
    assert len(before) < 6
    resumed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = results()
    assert {name: after[name][1] for name in before} == {name: when for name, (_, when) in before.items()}
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_table(elsewhere)
    whole = subprocess.run(command, check=True, capture_output=True, text=True, cwd=elsewhere).stdout
    assert rows_of(resumed) == rows_of(whole)


def rows_of(out):
    """The comparison without its times."""
    table = out[out.index("Mine (mine)") :]
    return [re.sub(r"\s+[\d.]+$", "", line) for line in table.splitlines()]


# --- until decided ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_row_gets_seeds_until_it_is_precise_and_a_difference_fails_a_check(work, capsys):
    # 100 images are far from precise: five seeds a published run are the end, or --most
    write_table(
        work,
        TABLE.replace(
            "    published: {test_accuracy: 1}",
            "    published: {test_accuracy: 1}\n    margin: {value: 0.9, reason: anything goes}",
        ),
    )
    assert main(["reproduce", "mine", "--until", "decided", "--most", "3", "--check"]) == 1
    seeds = sorted((result.parameters["total"], result.seed) for result, _ in results().values())
    # wide: any number within its margin, so that two short runs are enough; narrow: three at most
    assert [seed for _, seed in seeds] == [0, 1, 2, 0, 1]
    assert "differs" in capsys.readouterr().out
    before = results()
    assert main(["reproduce", "mine", "--until", "decided", "--most", "3"]) == 0
    assert results() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--most", "3"], "--most: only with --until decided"),
        (["--until", "decided", "--most", "2", "--seeds", "3"], "--seeds: 3 are more than --most 2"),
        (["--until", "done"], "reproduce: --until done is unknown; there are: decided"),
    ],
)
def test_until_is_refused_where_it_means_nothing(work, capsys, words, said):
    assert main(["reproduce", "mine", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_row_without_chance_is_run_once() -> None:
    for seeds, first in ((["--seeds", "3"], 0), (["--seeds", "5-6"], 5)):
        status, out, err = heard("reproduce", "kmnist_benchmark", "--rows", "1,2", "--dry-run", *seeds)
        assert (status, err, out.count("model=knn"), out.count(f" seed={first} ")) == (0, "", 2, 2)
