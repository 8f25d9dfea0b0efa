"""`dlrun clean`: what it finds, what it leaves alone, and what happens in the meantime."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import heard, said

from dlrun.store import leftovers
from dlrun.store.checkpoint import save
from dlrun.store.folders import hold


def checkpoints(run: Path, *names: str) -> None:
    (run / "checkpoints").mkdir()
    for name in names:
        save(run / "checkpoints" / name, {"of": str(run), "weights": list(range(1000))})


def files(folder: Path = Path("outputs")) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file() and not path.name.endswith((".lock", ".claim"))}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache: a parsed data set, what a killed process had begun, and files that were fetched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parsed = tmp_path / "cache" / "dlrun" / "parsed"
    for name in ("mnist-0011", ".mnist-0011-x_1", ".asl-2233-y2"):
        (parsed / name).mkdir(parents=True)
        (parsed / name / "train_images.npy").write_bytes(b"x" * 1000)
    (tmp_path / "cache" / "dlrun" / "data").mkdir()
    (tmp_path / "cache" / "dlrun" / "data" / "fetched").write_bytes(b"x")
    return parsed


def test_what_no_result_needs_is_counted_and_deleted(runs: Callable[..., Path], cache: Path) -> None:
    failed = runs("day/failed", "data=mnist", "model=fc_64", status="failed")
    done = runs("day/done", "data=mnist", "model=fc_64", "seed=1")
    checkpoints(done, "last.pt", "previous.pt", "best.pt")
    alone = runs("day/alone", "data=mnist", "model=fc_64", "seed=2")
    checkpoints(alone, "previous.pt")
    damaged = runs("day/damaged", "data=mnist", "model=fc_64", "seed=3")
    checkpoints(damaged, "last.pt", "previous.pt")
    (damaged / "checkpoints" / "last.pt").write_bytes(b"half")
    interrupted = runs("day/interrupted", "data=mnist", "model=fc_64", "seed=4", status="interrupted")
    checkpoints(interrupted, "last.pt", "previous.pt")
    killed = runs("day/killed", "data=mnist", "model=fc_64", "seed=5", status="failed")
    checkpoints(killed, "last.pt")  # its error says that its process was killed
    started = runs("day/started", "data=mnist", "model=fc_64", "seed=6", status=None)
    begun = Path("outputs/day") / f"{leftovers.REMOVED}old-17"
    begun.mkdir()
    (begun / "history.csv").write_text("x")
    before = files() | files(cache)
    previous = (done / "checkpoints" / "previous.pt").stat().st_size
    size = sum(path.stat().st_size for path in failed.iterdir())

    status, out, _ = heard("clean")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["failed", "runs", "1", f"{size:,}"] in lines
    assert ["previous", "checkpoints", "of", "finished", "runs", "2", f"{2 * previous:,}"] in lines
    assert ["parsed", "data", "in", "the", "cache", "2", "3,000"] in lines
    assert "nothing was deleted; --yes deletes it" in out
    assert files() | files(cache) == before

    assert f"deleted 2 things, {size + 1:,} bytes" in said("clean", "outputs/day", "--failed", "--yes")[1]
    assert not failed.exists()
    assert not begun.exists()
    assert (done / "checkpoints" / "previous.pt").exists()

    status, out, err = heard("clean", "outputs", "--yes")
    assert status == 0
    assert f"deleted 1 thing, {previous:,} bytes" in out
    assert "damaged/checkpoints/previous.pt: stays" in err, "last.pt can't be read, so that one is needed"
    assert files(cache), "a folder was named: the cache is not meant"
    assert "deleted 2 things, 3,000 bytes" in said("clean", "--cache", "--yes")[1]
    assert not files(cache)
    assert (cache.parent / "data" / "fetched").exists()
    gone = {str(path) for path in (failed, begun, cache)} | {str(done / "checkpoints" / "previous.pt")}
    assert files() == {name for name in before if not any(name.startswith(one) for one in gone)}
    for run in (alone, damaged, interrupted, killed, started):
        assert run.exists()
    assert said("clean", "--failed") == (0, "nothing to delete\n")


def test_a_terminal_is_asked_and_what_changed_meanwhile_stays(
    runs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = runs("a", "data=mnist", "model=fc_64", status="failed")
    begun = runs("b", "data=mnist", "model=fc_64", "seed=1", status="failed")
    monkeypatch.setattr("dlrun.verbs.clean._is_asked_of_a_person", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert said("clean")[1].endswith("nothing was deleted\n")
    with hold(begun):

        def agree(question: str) -> str:
            path = ended / "result.json"  # another process has run it again, with success
            values = json.loads(path.read_text()) | {"status": "completed", "error": None}
            del values["checksum"]
            path.write_text(json.dumps(values))
            assert "bytes? [y/N]" in question
            return "y"

        monkeypatch.setattr("builtins.input", agree)
        status, out, err = heard("clean", "--failed")
    assert (status, err) == (0, "outputs/a: stays; it is in use, gone or needed now\n")
    assert out.endswith("deleted 0 things, 0 bytes\n")
    assert ended.exists()
    assert begun.exists()


def test_two_who_clean_delete_each_thing_once(runs: Callable[..., Path]) -> None:
    failed = [runs(f"r{seed}", "data=mnist", "model=fc_64", f"seed={seed}", status="failed") for seed in range(12)]
    deleted: list[bool] = []

    def clean() -> None:
        deleted.extend(leftovers.remove_failed(folder) for folder in failed)

    threads = [threading.Thread(target=clean) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(deleted) == len(failed)
    assert list(Path("outputs").iterdir()) == []


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert said("clean") == (2, "dlrun: clean: there is no folder outputs here; name a folder of runs\n")
    assert said("clean", "nowhere") == (2, "dlrun: nowhere: no such folder\n")
    assert "did you mean --failed?" in said("clean", "--failled")[1]
