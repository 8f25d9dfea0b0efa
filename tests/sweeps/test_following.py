"""A sweep takes complete runs of other sweeps: found by hash and data, listed, followed by report, spared by clean."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from helpers import heard, result_of_a_run, said

from dlrun.config.compose import hydra_started
from dlrun.store.folders import hold, write_config
from dlrun.sweeps.folder import note_typed
from dlrun.sweeps.following import PARENT
from dlrun.sweeps.jobs import Job
from dlrun.sweeps.words import typed_sweep

Grown = Callable[..., tuple[Path, list[Job], str]]
CONTENT = "0123456789abcdef"
SMALL = ("data=synthetic", "model=fc_64", "precision=float32", "epochs=1")


@pytest.fixture
def grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Grown]:
    """What `dlrun -m WORDS` comes to before anything runs, and is noted: its folder, its jobs, what is said."""
    monkeypatch.chdir(tmp_path)

    def prepare(*words: str, content: str | None = CONTENT) -> tuple[Path, list[Job], str]:
        capsys.readouterr()
        sweep = typed_sweep([*SMALL, *words], lambda _: content)
        note_typed(sweep.folder, words, sweep.jobs)
        return sweep.folder, sweep.jobs, capsys.readouterr().out.strip()

    with hydra_started():
        yield prepare


def complete(jobs: Iterable[Job]) -> None:
    """Lay the results of jobs into their folders, as training would."""
    for job in jobs:
        job.run_dir.mkdir()
        write_config(job.run_dir, job.config, job.overrides)
        result_of_a_run(
            hash=job.hash,
            seed=job.config.seed,
            overrides=list(job.overrides),
            data={"name": "synthetic", "fingerprint": CONTENT, "verified": False},
        ).write(job.run_dir)


def edited(job: Job, **changes: object) -> None:
    path = job.run_dir / "result.json"
    values = json.loads(path.read_text()) | changes
    del values["checksum"]
    path.write_text(json.dumps(values))


def lying(jobs: list[Job]) -> list[str]:
    return [job.run_dir.parent.name for job in jobs]


def test_what_is_complete_is_taken_however_it_is_typed(grown: Grown) -> None:
    first, jobs, _ = grown("seed=0,1")
    complete(jobs)
    for words in (
        ("seed=0,1,2",),
        ("seed=1,0",),
        ("seed=range(0,2)",),
        ("seed=0,1", "name=hello"),
        ("seed=0,1", "tensorboard=scalars"),
        ("seed=0,1", "threads=2"),
        ("seed=0,1", "optimizer.lr=0.01"),
        ("seed=0,1", "sweep.name=another"),
    ):
        second, more, line = grown(*words)
        assert second != first
        assert sorted(job.config.seed for job in more if job.run_dir.parent == first) == [0, 1], words
        assert line == f"2 of {len(more)} runs are complete in {first}: followed"
        listed = json.loads((second / "follows.json").read_text())
        there = {(f"../{first.name}/{job.run_dir.name}", job.hash) for job in jobs}
        assert {(one["path"], one["hash"]) for one in listed} == there
        assert [path.name for path in second.iterdir() if path.is_dir()] == [], "nothing is copied"


def test_what_is_not_taken(grown: Grown) -> None:
    first, jobs, _ = grown("seed=0,1")
    second, more, _ = grown("seed=0,1,2")
    assert lying(more) == [second.name] * 3, "not complete"
    complete(jobs)
    own, more, _ = grown("seed=0,1", "sweep.fresh=true")
    assert lying(more) == [own.name] * 2
    own, more, _ = grown("seed=0", "threads=1,2")
    assert lying(more) == [own.name] * 2, "who compares speed wants both"
    assert lying(grown("seed=0,1", "sweep.name=other", content="f" * 16)[1]) == ["other"] * 2, "other data"
    assert lying(grown("seed=0,1", "sweep.name=unread", content=None)[1]) == ["unread"] * 2, "data nobody can read"
    assert lying(grown("seed=0,1", "hydra.sweep.dir=apart")[1]) == ["apart"] * 2, "a folder of one's own stands alone"
    with hold(jobs[1].run_dir):
        assert lying(grown("seed=0,1", "sweep.name=going")[1]) == [first.name, "going"]
    (jobs[0].run_dir / "result.json").write_text("{")
    assert lying(grown("seed=0,1", "sweep.name=damaged")[1]) == ["damaged", first.name]


def test_what_was_followed_and_is_not_what_it_was_is_said_and_not_taken(grown: Grown) -> None:
    first, jobs, _ = grown("seed=0,1,2,3")
    complete(jobs)
    words = ("seed=0,1,2,3", "sweep.name=second")
    second, followed, _ = grown(*words)
    assert lying(followed) == [first.name] * 4
    shutil.rmtree(jobs[0].run_dir)
    edited(jobs[1], history="of another training")
    edited(jobs[2], status="interrupted")
    reasons = ["is gone", "was trained again since", "is interrupted now"]
    _, out, err = heard("list", "--below", str(second), "--json")
    assert len(json.loads(out)) == 1
    _, now, said_now = grown(*words)
    assert lying(now) == ["second"] * 3 + [first.name]
    for job, reason in zip(jobs, reasons, strict=False):
        assert f"{second} follows {job.run_dir}, which {reason}: left out" in err
        assert f"{job.run_dir}, which this sweep followed, {reason}: it is not taken" in said_now
    assert [one["hash"] for one in json.loads((second / "follows.json").read_text())] == [jobs[3].hash]
    (second / "follows.json").write_text("[{")
    assert "follows.json: can't be read" in said("list", "--below", str(second))[1]


def test_reports_follow_and_clean_spares(grown: Grown) -> None:
    first, jobs, _ = grown("seed=0,1")
    complete(jobs)
    second, more, _ = grown("seed=0,1,2")
    complete(more[2:])
    for job in more:
        (job.run_dir / "checkpoints").mkdir()
        for name in ("last.pt", "previous.pt"):
            (job.run_dir / "checkpoints" / name).write_bytes(b"x")
    (record,) = json.loads(heard("report", str(second), "--json", "--columns", "n,seeds")[1])
    assert record == {"n": 3, "seeds": [0, 1, 2]}
    (whole,) = json.loads(heard("report", str(PARENT), "--json", "--columns", "n,folders")[1])
    assert whole["n"] == 3
    assert len(whole["folders"]) == 3, "each run once"
    for path in (str(first), str(second), "outputs"):
        out = said("clean", path, "--previous")[1]
        assert "seed0" not in out, path
        assert "seed2" in out or path == str(first)
    text = said("report", str(second), "--html", "page.html")[1]
    assert "page: page.html" in text
    assert "seed0" in Path("page.html").read_text()


@pytest.mark.slow
def test_the_command_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "limit=64", "threads=1", "device=cpu", "tensorboard=off"]
    assert said("-m", *words, "seed=0,1", "sweep.name=a")[0] == 0
    before = {path: path.read_bytes() for path in PARENT.glob("a/*/result.json")}
    status, out = said("-m", *words, "seed=0,1,2", "sweep.name=b")
    assert status == 0
    assert "2 of 3 runs are complete in outputs/sweeps/a: followed" in out
    assert "2 of 3 were complete already" in out
    assert len(list(PARENT.glob("b/*/result.json"))) == 1
    assert before == {path: path.read_bytes() for path in PARENT.glob("a/*/result.json")}
    assert "1 of 4 runs is missing" in said("plan", "-m", *words, "seed=0,1,2,3")[1]
    assert json.loads(heard("plan", "-m", *words, "seed=0,1,2", "--json")[1])["missing"] == []
