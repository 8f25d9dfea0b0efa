"""What a result belongs to: the hash and the content of the data; and no point of a sweep is dropped in silence."""

import dataclasses
import json
import subprocess
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlrun.cli import main
from dlrun.config.compose import hydra_started
from dlrun.config.fields import fields_of
from dlrun.config.groups import DATA, GROUPS, OPTIMIZERS, SCHEDULERS, Augment, Layers
from dlrun.config.schema import Checkpoint, Config, Sweep
from dlrun.errors import ConfigError
from dlrun.store.result import Result
from dlrun.sweeps.folder import jobs_of
from dlrun.sweeps.jobs import Job
from dlrun.sweeps.launch import launch
from dlrun.sweeps.points import expand
from dlrun.sweeps.processes import Processes

Dlrun = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ["model=fc_64", "epochs=1", "threads=1", "device=cpu", "tensorboard=off"]
FOLDER = ["data=image_folder", "data.size=8", "data.color=grey", *SMALL]


def write_pictures(folder: Path, shade: int) -> Path:
    from PIL import Image

    for name, tone in (("cats", 0), ("dogs", shade)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(5):
            Image.new("L", (8, 8), tone + number).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the folders `a` and `b`, and `data=set_a`, `data=set_b`."""
    (tmp_path / "configs/data").mkdir(parents=True)
    for name, shade in (("a", 100), ("b", 200)):
        write_pictures(tmp_path / name, shade)
        text = f"name: image_folder\nroot: {name}\nsize: 8\ncolor: grey\n"
        (tmp_path / f"configs/data/set_{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fingerprints(folder: Path) -> dict[str, str]:
    return {path.parent.name: Result.read(path.parent).data["fingerprint"] for path in folder.glob("*/result.json")}


# --- fields -----------------------------------------------------------------------------------------------


def two_values(item: dataclasses.Field, kind: object) -> tuple[str, str]:
    """Two values that a field can take."""
    if item.name == "init_from":  # two files with other content
        return __file__, str(Path(__file__).with_name("conftest.py"))
    if item.name == "init_checksum":
        return "0123456789abcdef", "123456789abcdef0"
    if item.name == "class_weights":
        return "balanced", "[0.5,1]"
    limits = item.metadata
    kinds = [one for one in typing.get_args(kind) or (kind,) if one is not type(None)]
    if limits.get("choices"):
        return limits["choices"][:2]
    if "list[int]" in str(kind):
        return "[1,8,8]", "[1,9,9]"
    if "list[" in str(kind):
        return ("[x]", "[y]") if "str" in str(kind) else ("[0.25]", "[0.5]")
    if kinds == [bool]:
        return "true", "false"
    if kinds[0] is str:
        return "x", "y"
    if kinds == [int]:
        low = int(limits.get("low") or 0) + 1
        return str(low), str(low + 1)
    return "0.25", "0.5"


def every_field() -> Iterator[tuple[str, str, str, list[str]]]:
    parts = [("", Config, []), ("checkpoint.", Checkpoint, []), ("sweep.", Sweep, []), ("augment.", Augment, [])]
    parts += [("data.", DATA[name], [f"data={name}"]) for name in ("synthetic", "image_folder", "cifar100")]
    parts += [("optimizer.", OPTIMIZERS[name], [f"optimizer={name}"]) for name in OPTIMIZERS if name != "adamw"]
    parts += [("scheduler.", SCHEDULERS[name], [f"scheduler={name}"]) for name in ("step", "cosine", "one_cycle")]
    parts += [("model.", Layers, [])]
    for prefix, spec, words in parts:
        for name, item in fields_of(spec).items():
            # The commas of on_end are the shell's.
            if (
                name not in (*GROUPS, "checkpoint", "sweep", "choices", "name", "named", "layers", "on_end")
                or prefix + name == "name"
            ):
                one, other = two_values(item, typing.get_type_hints(spec)[name])
                yield f"{prefix}{name}", one, other, words


def test_every_field_swept_gives_a_run_each_value_or_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlrun.sweeps.folder.check", lambda _: None)
    with hydra_started():
        for name, one, other, words in every_field():
            _try_field(name, one, other, words, tmp_path)


def _try_field(name: str, one: str, other: str, words: list[str], folder: Path) -> None:
    group = [] if any(word.startswith("data=") for word in words) else ["data=synthetic"]
    fixed = ["device=cpu", "precision=float32"]
    if name == "device":
        one, other, fixed = "cpu", "auto", fixed[1:]
    if name == "precision":
        one, other, fixed = "float32", "bfloat16", fixed[:1]
    if name == "scheduler.extend":
        one, other = "[keep 1]", "[restart 1]"
    extra = {
        "optimizer.nesterov": ["optimizer.momentum=0.5"],
        "folds": ["fold=0"],
        "fold": ["folds=5"],
    }.get(name, [])
    said: list[str] = []
    refused = ""
    jobs: list[Job] = []
    try:
        typed = [*words, *group, "model=fc_64", *fixed, *extra, f"{name}={one},{other}"]
        jobs = jobs_of(expand(typed), folder, say=said.append)
    except ConfigError as error:
        refused = str(error)
    reason = "take several values" if name.startswith("sweep.") else "changes no number"
    assert len(jobs) == 2 or said or (name in refused and reason in refused), (name, refused)
    assert len({job.run_dir for job in jobs}) == len(jobs)
    if name in ("threads", "device"):
        assert {job.hash for job in jobs} == {jobs[0].hash}
        assert all(f"{name}{value}" in job.run_dir.name for job, value in zip(jobs, (one, other), strict=True))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=0,0,1"], "seed=0 (2 times)"),
        (["precision=auto,float32"], "precision=auto = precision=float32"),
        (["optimizer.lr=0.1,1e-1"], "one run, since these are equal: "),
        (["sweep.rows=['optimizer=sgd','optimizer=sgd optimizer.lr=0.01']"], "optimizer=sgd = optimizer=sgd"),
    ],
)
def test_equal_points_are_one_run_and_that_is_said(words: list[str], said: str, tmp_path: Path) -> None:
    heard: list[str] = []
    points = expand(["data=synthetic", "model=fc_64", "device=cpu", *words])
    assert len(jobs_of(points, tmp_path, say=heard.append)) == len(points) - 1
    assert said in heard[0]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.root=/x,/y", "data.root: changes no number"),
        ("data.verify=true,false", "data.verify: changes no number"),
        ("tags=[a],[b]", "tags: changes no number"),
        ("model=glob(nope*)", "fits no option; there are: asl_cnn"),
        ("seed=range(0,0)", "seed=range(0,0): has no value"),
        ("optimizer.lr=glob(x)", "glob picks from the options of a group"),
    ],
)
def test_what_can_only_be_a_mistake_is_refused_with_its_reason(word: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        jobs_of(expand(["data=synthetic", "model=fc_64", "device=cpu", word]), tmp_path)
    assert said in str(caught.value)


# --- data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        [*FOLDER, "data.root=a,b"],
        [*SMALL, "data=set_a,set_b"],
        [*SMALL, "sweep.rows=['data=set_a','data=set_b']"],
        [*SMALL, "sweep.zip=['data=set_a,set_b optimizer.lr=0.1,0.1']"],
        [*SMALL, "data._target_=mine.load", "data.root=a,b"],
    ],
)
def test_two_roots_are_two_points_whatever_names_them(words: list[str], pictures: Path) -> None:
    base = ["data=synthetic"] if any("_target_" in word for word in words) else []
    jobs = jobs_of(expand([*base, *words]), pictures / "s")
    assert len({job.run_dir for job in jobs}) == 2
    again = jobs_of(expand([*base, *words]), pictures / "s")
    assert [job.run_dir for job in again] == [job.run_dir for job in jobs]


def test_folders_that_were_moved_keep_their_runs_and_changed_ones_do_not(
    pictures: Path, one_server: tuple[Path, Processes]
) -> None:
    """Absolute paths, since the processes were started in another folder."""
    from dlrun.sweeps.fingerprints import Fingerprints

    def jobs(*roots: Path) -> list[Job]:
        typed = [*FOLDER, f"data.root={','.join(map(str, roots))}"]
        data = Fingerprints(one_server[1])
        found = jobs_of(expand(typed), pictures / "s", data.now)
        assert [data.complete(job) is not None for job in found] == expected
        return found

    expected = [False, False]
    first = jobs(pictures / "a", pictures / "b")
    assert [one.status for one in launch(first, Sweep(), processes=one_server[1])] == ["completed"] * 2
    assert len(set(fingerprints(pictures / "s").values())) == 2
    (pictures / "a").rename(pictures / "new_a")
    (pictures / "b").rename(pictures / "new_b")
    expected = [True, True]
    moved = jobs(pictures / "new_b", pictures / "new_a")
    assert [job.run_dir for job in moved] == [job.run_dir for job in reversed(first)]
    write_pictures(pictures / "a", 150)
    expected = [False]
    (third,) = jobs(pictures / "a")
    assert third.hash == first[0].hash


def test_the_same_folder_with_other_pictures_is_refused_and_a_repeat_says_that_nothing_ran(
    pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["data=set_a", *SMALL, "hydra.run.dir=one"]
    assert main(words) == 0
    before = (pictures / "one/result.json").read_bytes()
    capsys.readouterr()
    assert main(words) == 0
    assert "one: complete before; nothing was run" in capsys.readouterr().out
    assert main(["data=set_b", *words[1:]]) == 2
    assert "one: holds the result of this run on other data" in capsys.readouterr().err
    write_pictures(pictures / "a", 30)
    assert main(words) == 2
    assert "choose another hydra.run.dir" in capsys.readouterr().err
    assert main(["resume", "one"]) == 2
    assert (pictures / "one/result.json").read_bytes() == before


TABLE = """
title: Two
source: {document: A paper, heading: Table 1}
digits: 2
common: {model: fc_64, epochs: 1, tensorboard: 'off', threads: 1, precision: float32}
rows:
  - {label: A, overrides: {data: set_a}, published: {test_accuracy: 0.9}}
  - {label: B, overrides: {data: set_b}, published: {test_accuracy: 0.9}}
"""


@pytest.mark.slow
def test_the_rows_of_a_table_on_two_roots_are_two_runs(pictures: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (pictures / "configs/table").mkdir()
    (pictures / "configs/table/two.yaml").write_text(TABLE)
    assert main(["reproduce", "two", "--seeds", "1", "device=cpu"]) == 0
    assert len(set(fingerprints(pictures / "outputs/runs").values())) == 2
    capfd.readouterr()
    assert main(["plan", "two", "--seeds", "1", "device=cpu"]) == 0
    assert "0 of 2 runs" in capfd.readouterr().out

    def measured() -> list[dict[str, float]]:
        capfd.readouterr()
        assert main(["report", "--table", "two", "--json"]) == 0
        return [line["measured"] for line in json.loads(capfd.readouterr().out)["lines"]]

    before = measured()
    assert all(before)
    (pictures / "a").rename(pictures / "moved")
    option = pictures / "configs/data/set_a.yaml"
    option.write_text(option.read_text().replace("root: a", "root: moved"))
    assert measured() == before, "its run is known by the content of its pictures"
    write_pictures(pictures / "moved", 30)
    assert measured() == [{}, before[1]]


def test_a_run_whose_history_was_changed_does_not_count_as_done(
    pictures: Path, one_server: tuple[Path, Processes]
) -> None:
    from dlrun.sweeps.fingerprints import Fingerprints

    jobs = jobs_of(expand([*FOLDER, f"data.root={pictures / 'a'}"]), pictures / "s")
    data = Fingerprints(one_server[1])
    launch(jobs, Sweep(), processes=one_server[1])
    history = jobs[0].run_dir / "history.csv"
    before = history.read_text()
    assert data.complete(jobs[0]) is not None
    history.write_text(before.replace("1,0.", "1,9."))
    assert data.complete(jobs[0]) is None
    assert [one.status for one in launch(jobs, Sweep(), processes=one_server[1])] == ["completed"]
    assert history.read_text() == before
    assert data.complete(jobs[0]) is not None


def test_a_search_knows_runs_whose_pictures_have_moved(pictures: Path, one_server: tuple[Path, Processes]) -> None:
    pytest.importorskip("optuna")
    from dlrun.sweeps.fingerprints import Fingerprints
    from dlrun.sweeps.search import open_search

    first = jobs_of(expand([*FOLDER, f"data.root={pictures / 'a'},{pictures / 'b'}"]), pictures / "s")
    launch(first, Sweep(), processes=one_server[1])
    (pictures / "a").rename(pictures / "moved")
    words = [*FOLDER, f"data.root={pictures / 'moved'},{pictures / 'b'}"]
    data = Fingerprints(one_server[1])
    search = open_search(words, Sweep(trials=12, sampler="random"), pictures / "s", data.now)
    assert {job.run_dir for job in search.jobs()} == {job.run_dir for job in first}


@pytest.mark.slow
def test_a_search_over_two_roots_names_the_better_one(pictures: Path, dlrun: Dlrun) -> None:
    pytest.importorskip("optuna")
    from PIL import Image

    for number in range(5):  # b can't be told apart
        Image.new("L", (8, 8), 0).save(pictures / f"b/cats/{number}.png")
        Image.new("L", (8, 8), 0).save(pictures / f"b/dogs/{number}.png")
    words = ["-m", "hydra/sweeper=search", "data=set_b,set_a", *SMALL, "epochs=8", "optimizer.lr=0.1", "sweep.name=s"]
    done = dlrun(*words, "sweep.trials=4", "sweep.sampler=random")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((pictures / "outputs/sweeps/s/search.json").read_text())
    assert found["trials"] == {"complete": 4}
    results = {
        path.parent.name: Result.read(path.parent).test for path in pictures.glob("outputs/sweeps/s/*/result.json")
    }
    best = max(results, key=lambda name: results[name]["accuracy"])
    assert best.startswith("set_a")
    assert found["best"]["overrides"] == ["data=set_a"]
