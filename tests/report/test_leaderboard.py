"""Leaderboards from folders as runs leave them: one a test set, seeds averaged, varying fields only, ties, strays."""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import result_of_a_run

from dlrun.config.compose import compose
from dlrun.config.schema import identity, parse, plain
from dlrun.errors import UsageError
from dlrun.output import Table
from dlrun.report.leaderboard import boards, failures, leaderboard, printed
from dlrun.store.folders import hold, write_config
from dlrun.store.plain_yaml import parse_yaml
from dlrun.store.result import Result
from dlrun.store.scan import find, read

Make = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Make:
    """Writes a run folder: `run("optimizer.lr=0.1", accuracy=0.9, status="failed", …)`; status None: no result."""

    def make(*typed: str, accuracy: float = 0.9, status: str | None = "completed", **changes: Any) -> Path:
        config = compose(["data=mnist", "model=fc_64", "precision=float32", *typed])
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        write_config(folder, config, typed)
        if status is not None:
            known = {"status": status, "hash": identity(config), "seed": config.seed, "model": config.choices["model"]}
            result_of_a_run(**{**known, "test": {"loss": 0.3, "accuracy": accuracy}, **changes}).write(folder)
        return folder

    return make


def table(folder: Path, sort: str | None = None, hide_failed: bool = False, **options: Any) -> Table:
    """All boards in one, as programs get them."""
    return leaderboard(boards(read(find([folder]))[0], sort, hide_failed), **options)


def board(folder: Path, **options: Any) -> Table:
    """The only board, as people get it."""
    (found,) = boards(read(find([folder]))[0])
    return found.table(**options)


def titles(found: Table) -> list[str]:
    return [item.title for item in found.columns if item.title != "board"]


def shown(found: Table, title: str) -> list[str]:
    (item,) = [item for item in found.columns if item.title == title]
    return [item.show(record) for record in found.records]


def test_seeds_are_averaged_and_only_varying_fields_are_columns(run: Make, tmp_path: Path) -> None:
    for seed, accuracy in ((0, 0.90), (1, 0.92)):
        run("optimizer.lr=0.1", f"seed={seed}", accuracy=accuracy)
        run("optimizer.lr=0.01", f"seed={seed}", accuracy=accuracy - 0.2, threads=seed + 1)
    found = table(tmp_path)
    assert titles(found)[:4] == ["lr", "test accuracy", "vs best", "n"]
    assert shown(found, "lr") == ["0.1", "0.01"]
    assert shown(found, "test accuracy")[0] == "0.9100 ± 0.0141"
    assert shown(found, "n") == ["2", "2"]
    assert shown(found, "parameters") == ["55,050", "55,050"]
    assert "status" not in titles(found)


def test_what_follows_from_a_choice_is_no_column(run: Make, tmp_path: Path) -> None:
    run("optimizer=sgd")
    run("optimizer=adam")
    run("model=cnn_dropout")
    assert titles(table(tmp_path))[:3] == ["model", "optimizer", "test accuracy"]


def test_ties_are_marked_where_runs_cannot_be_told_apart(run: Make, tmp_path: Path) -> None:
    for seed, noise in ((0, -0.01), (1, 0.0), (2, 0.01)):
        run("batch_size=32", f"seed={seed}", accuracy=0.92 + noise)
        run("batch_size=64", f"seed={seed}", accuracy=0.91 + noise)
        run("batch_size=128", f"seed={seed}", accuracy=0.50 + noise)
    found = board(tmp_path)
    assert shown(found, "vs best") == ["best", "tied", "below"]
    assert shown(found, "test accuracy")[1] == "0.9100 ± 0.0100", "a sign before it would read as 'approximately'"
    assert "not told apart from the best" in found.notes[0]
    assert found.notes[1] == "±: the standard deviation over the n runs of a row"
    single = "A single run of fewer than ten epochs says nothing of how far another would lie (seed=0,1,2 tells)."
    assert single not in found.notes
    run("batch_size=256", accuracy=0.60)
    found = board(tmp_path)
    assert shown(found, "vs best") == ["best", "tied", "too few seeds", "below"]
    assert single in found.notes, "neither a tie nor a difference, as docs/verdicts.md has it"


def test_running_failed_and_interrupted_runs_are_shown(run: Make, tmp_path: Path) -> None:
    run("batch_size=32")
    run("batch_size=64", status="failed", error={"type": "ValueError", "message": "broken"})
    going = run("batch_size=128", status=None)
    header = "epoch,train_loss,train_accuracy,test_loss,test_accuracy,lr,seconds,images_per_second\n"
    (going / "history.csv").write_text(header + "1,1,1,1,1,1,1,1\n2,1,1,1,1")
    for path in (going, *going.iterdir()):
        os.utime(path, (0, 0))  # an epoch may last for days
    run("batch_size=256", status=None)
    with hold(going):
        found = table(tmp_path)
        assert sorted(shown(found, "status")) == ["1 completed", "1 failed", "1 interrupted", "running 1/10"]
        assert len(table(tmp_path, hide_failed=True).records) == 2
    assert len(table(tmp_path, hide_failed=True).records) == 1
    lost = failures(read(find([tmp_path]))[0])
    assert shown(lost, "reason") == ["ValueError: broken"]
    assert shown(lost, "log") == [str(tmp_path / "run-1" / "run.log")]


def test_a_repeated_seed_counts_once_and_the_later_one(run: Make, tmp_path: Path) -> None:
    first = run(accuracy=0.5)
    os.utime(first / "result.json", (1, 1))
    run(accuracy=0.9)
    run(status=None)
    assert shown(table(tmp_path), "test accuracy") == ["0.9000"]
    assert shown(table(tmp_path), "n") == ["1"]


def test_equal_configs_on_changed_data_are_told_apart(run: Make, tmp_path: Path) -> None:
    run("seed=0")
    run("seed=1", data={"name": "mnist", "fingerprint": "g", "verified": False})
    found = table(tmp_path)
    assert sorted(shown(found, "fingerprint")) == ["ab" * 32, "g"]


def test_columns_and_sorting(run: Make, tmp_path: Path) -> None:
    run("batch_size=64", accuracy=0.8)
    run("batch_size=32", accuracy=0.9)
    run("batch_size=128", accuracy=0.7)
    assert shown(table(tmp_path, sort="batch_size"), "batch_size") == ["32", "64", "128"]
    assert shown(table(tmp_path, sort="-batch_size"), "batch_size") == ["128", "64", "32"]
    assert shown(table(tmp_path, sort="-test_accuracy"), "batch_size") == ["128", "64", "32"]
    assert titles(table(tmp_path, columns=["lr", "epochs"])) == ["lr", "epochs"]
    assert titles(table(tmp_path, only_changed=True)) == ["batch_size", "test accuracy", "vs best"]
    with pytest.raises(UsageError, match=r"column batch_sise: no such field; did you mean batch_size\?"):
        table(tmp_path, sort="batch_sise")
    with pytest.raises(UsageError, match="column kernell: no such field"):
        table(tmp_path, columns=["kernell"])


DAMAGE: Sequence[tuple[str, str | bytes]] = [
    ("result.json", "{"),
    ("result.json", "[]"),
    ("result.json", b"\xff\xfe"),
    ("result.json", '{"schema": 1}'),
    ("config.yaml", "a: [1"),
    ("config.yaml", "- 1\n- 2\n"),
    ("config.yaml", b"\xff\xfe\x00"),
    ("config.yaml", "a: &x [1]\nb: *x\n"),
    ("config.yaml", "!!python/object/apply:os.system [id]"),
]


@pytest.mark.parametrize(("name", "content"), DAMAGE)
def test_damaged_files_are_named_and_left_out(name: str, content: str | bytes, run: Make, tmp_path: Path) -> None:
    run()
    bad = run("batch_size=64")
    (bad / name).write_bytes(content.encode() if isinstance(content, str) else content)
    found, damaged = read(find([tmp_path]))
    assert len(found) == 1
    assert len(damaged) == 1
    assert str(bad / name) in damaged[0]


@pytest.mark.parametrize("change", [{"seconds": {"total": "x"}}, {"best": {"epoch": 1}}, {"parameters": {"total": []}}])
def test_results_with_words_for_numbers_are_damaged(change: dict[str, Any], run: Make, tmp_path: Path) -> None:
    run(**change)
    assert "damaged" in read(find([tmp_path]))[1][0]


def test_finding_runs(run: Make, tmp_path: Path) -> None:
    inside = run()
    (inside / "nested").mkdir()
    (inside / "nested" / "result.json").write_text("{}")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "result.json").write_text("{}")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "config.yaml").write_text("a: 1")
    assert find([tmp_path, inside]) == [inside]
    with pytest.raises(UsageError, match="no such folder"):
        find([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="not a folder"):
        find([inside / "config.yaml"])


def test_parsing_in_pieces_is_parsing(tmp_path: Path) -> None:
    import yaml

    config = compose(["model=cnn_dropout", "tags=[a,b]", "name='x: y'", "scheduler=cosine"])
    write_config(tmp_path, config, [])
    text = (tmp_path / "config.yaml").read_text()
    assert parse_yaml(text) == yaml.safe_load(text) == plain(config)
    assert parse(parse_yaml(text)) == config
    for odd in ("", "a: 'x\n\n  y'\nb: 2\n", "a: |\n  b: 1\nc:\n- 1\n", "# c\na: 1\n---\n"):
        try:
            expected = yaml.safe_load(odd)
        except yaml.YAMLError:
            continue
        assert (parse_yaml(odd) or None) == expected


def test_two_thousand_runs_cost_eight_times_as_much_as_an_eighth(tmp_path: Path) -> None:
    base = plain(compose(["data=mnist", "model=fc_64", "precision=float32"]))
    for number in range(2000):
        folder = tmp_path / ("eighth" if number < 250 else "rest") / f"{number:04d}"
        folder.mkdir(parents=True)
        values = {**base, "seed": number % 50, "batch_size": 8 * (1 + number // 50)}
        # Not synced to the disk, which would take longer than everything else.
        (folder / "config.yaml").write_text("\n".join(_lines(values)))
        (folder / "overrides.yaml").write_text("[]")
        hash = identity(parse(values))
        text = result_of_a_run(hash=hash, seed=number % 50, test={"loss": 0.1, "accuracy": 0.9 + number / 1e6})
        (folder / "result.json").write_text(_json(text))
    _timed(tmp_path / "eighth")  # what is imported and cached once
    seconds, _ = _timed(tmp_path / "eighth")
    of_all, found = _timed(tmp_path)
    assert len(found.records) == 40
    assert {record["n"] for record in found.records} == {50}
    assert of_all < 3 * 8 * seconds


def _timed(folder: Path) -> tuple[float, Table]:
    """Seconds of the processor, and the table."""
    started = time.process_time()
    found = table(folder)
    return time.process_time() - started, found


def _lines(values: dict[str, Any]) -> list[str]:
    import json

    return [f"{name}: {json.dumps(value)}" for name, value in values.items()]


def _json(result: Result) -> str:
    import json

    return json.dumps(dataclasses.asdict(result))


def validated(folder: Path, val: float, test: float) -> None:
    """Give a run the history of one that held images out, whose last epoch had these accuracies."""
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    rows = [[1, 1, 0.5, 1, 0.1, 0.01, 1, 1], [2, 1, 0.5, 1 - val, val, 0.01, 1, 1]]
    lines = [",".join(map(str, row)) for row in (["epoch", *names, "lr", "seconds", "images_per_second"], *rows)]
    (folder / "history.csv").write_text("\n".join(lines) + "\n")


def test_held_out_images_decide_and_the_test_accuracy_stands_beside(run: Make, tmp_path: Path) -> None:
    best = {"epoch": 2, "accuracy": 0.8, "selected_on": "val"}
    for batch, val, test in ((32, 0.7, 0.99), (64, 0.8, 0.5), (128, 0.8, 0.6)):
        for seed in (0, 1, 2):
            words = (f"batch_size={batch}", f"seed={seed}", "validation=1000")
            validated(run(*words, accuracy=test, best=best), val + seed / 100, test)
    found = table(tmp_path)
    assert titles(found)[:5] == ["batch_size", "val accuracy", "test accuracy", "vs best", "n"]
    assert shown(found, "batch_size") == ["64", "128", "32"]
    assert shown(found, "val accuracy") == ["0.8100 ± 0.0100", "0.8100 ± 0.0100", "0.7100 ± 0.0100"]
    assert shown(found, "vs best") == ["best", "tied", "below"]
    assert [text[:6] for text in shown(found, "test accuracy")] == ["0.5000", "0.6000", "0.9900"]
    assert not any("flatters" in note for note in board(tmp_path).notes)
    assert shown(table(tmp_path, sort="test_accuracy"), "batch_size") == ["32", "128", "64"]

    run("batch_size=256", accuracy=0.999)
    found = table(tmp_path)
    assert shown(found, "batch_size") == ["64", "128", "32", "256"], "what holds nothing out has a board of its own"
    assert shown(found, "vs best")[3] == "best"
    for seed in (0, 1, 2):
        run("batch_size=32", f"seed={seed}", "validation=1000", accuracy=0.99)
    (found, _) = boards(read(find([tmp_path]))[0])
    assert [record["batch_size"] for record in found.records] == [32, 128, 64]
    assert "Not all runs have val accuracies, so they are sorted and compared by test accuracy." in found.table().notes


def test_folds_are_the_repeats_of_one_configuration(run: Make, tmp_path: Path) -> None:
    for batch in (32, 64):
        for fold in range(3):
            if (batch, fold) != (64, 1):
                folder = run(f"batch_size={batch}", "folds=3", f"fold={fold}")
                validated(folder, batch / 100 + fold / 100, 0.9)
    found = board(tmp_path)
    assert shown(found, "n") == ["2", "3"]
    assert shown(found, "val accuracy")[1] == "0.3300 ± 0.0100"
    assert titles(found)[0] == "batch_size"
    assert "fold" not in titles(found)
    assert any(note.startswith("n counts folds") for note in found.notes)
    assert any("not over the whole training set: 1 of run-" in note for note in found.notes)
    assert shown(table(tmp_path, columns=["folds_done"]), "folds") == ["0, 2", "0, 1, 2"]
    validated(run("batch_size=64", "folds=3", "fold=1", "seed=1"), 0.6, 0.9)
    assert any(note.startswith("n counts folds and seeds:") for note in board(tmp_path).notes)
    validated(run("batch_size=64", "validation=5"), 0.6, 0.9)
    assert set(shown(table(tmp_path), "board")) == {"mnist, folds=3", "mnist, validation=5"}


def test_runs_of_an_earlier_dlrun_are_of_the_same_configuration(run: Make, tmp_path: Path) -> None:
    folder = run("seed=0")
    run("seed=1")
    lines = (folder / "config.yaml").read_text().splitlines()[1:-1]
    (folder / "config.yaml").write_text("\n".join(line for line in lines if not line.startswith("fold")) + "\n")
    assert shown(table(tmp_path), "n") == ["2"]


def test_one_board_for_each_test_set_and_held_out_rule(run: Make, tmp_path: Path) -> None:
    run("batch_size=64", "train_limit=100", accuracy=0.7)
    run("batch_size=32", "data.normalize=standard", accuracy=0.8)
    run("batch_size=64", "limit=100", accuracy=0.95)
    run("batch_size=64", "data=synthetic", accuracy=1.0, data={"name": "synthetic", "fingerprint": "s"})
    run("batch_size=32", "data=synthetic", accuracy=1.0, data={"name": "synthetic", "fingerprint": "s"})
    run("data=fashion_mnist", "validation=500", "validation_by=last", data={"name": "fashion_mnist"})
    run("data=fashion_mnist", "validation=500", data={"name": "fashion_mnist"})
    for root in ("cats", "dogs"):
        run("data=image_folder", f"data.root=/x/{root}", data={"name": "image_folder", "fingerprint": root})
    run("data=image_folder", "data.root=/x/dogs", "seed=1", data={"name": "image_folder", "fingerprint": "new dogs"})
    found = boards(read(find([tmp_path]))[0])
    assert [one.title for one in found] == [
        "mnist",
        "mnist, limit=100",
        "fashion_mnist, validation=500, validation_by=last",
        "fashion_mnist, validation=500, validation_by=class",
        "image_folder, cats",
        "image_folder, dogs, content dogs",
        "image_folder, dogs, content new dogs",
        "synthetic",
    ]
    assert [record["vs_best"] for record in found[0].records] == ["best", "too few seeds"]
    assert "vs best" not in titles(found[1].table()), "a row alone is compared with nothing"
    records = leaderboard(found).records
    assert [record["board"] for record in records] == [one.title for one in found for _ in one.records]
    text = printed(found, "text", 80)
    assert text.index("0.8000") < text.index("0.9500") < text.index("1.0000")
    assert text.count("0.9500") == 1, "the result of a board of one row stands there once"


def test_what_every_row_says_is_said_once(run: Make, tmp_path: Path) -> None:
    for batch in (32, 64):
        for seed, epoch in enumerate((1, 2, 5)):
            best = {"epoch": epoch, "accuracy": 0.95, "selected_on": "test"}
            run(f"batch_size={batch}", f"seed={seed}", best=best, accuracy=0.9 + batch / 1000 + seed / 100)
    found = board(tmp_path)
    assert found.title.startswith("mnist; every row: n 3, best epoch 1–5, last epoch ")
    assert not {"n", "best epoch", "last epoch", "parameters"} & set(titles(found))
    assert shown(board(tmp_path, columns=["best_epoch"]), "best epoch") == ["1–5", "1–5"]
    records = table(tmp_path).records
    assert [(one["best_epoch"], one["best_epoch_max"]) for one in records] == [(1, 5), (1, 5)]
