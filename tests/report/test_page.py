"""The page as text: what is in it, that nothing in it can break out, and that it needs nothing else."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers import result_of_a_run

from dlrun.config.compose import compose
from dlrun.config.groups import Target
from dlrun.config.schema import identity
from dlrun.report.dots import Dots, axis
from dlrun.report.page import page, write_page
from dlrun.store import scan as runs_on_disk
from dlrun.store.folders import hold, read_config, write_config
from dlrun.store.result import Result
from dlrun.tables import compare, table
from dlrun.tables import planned as plan
from dlrun.verbs import report

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8ffff3f0005fe02fedccc59e70000000049454e44ae426082"
)
HEADER = "epoch,train_loss,train_accuracy,test_loss,test_accuracy,lr,seconds,images_per_second"


def write_run(folder: Path, typed: Sequence[str], accuracy: float, **changes: object) -> Path:
    """A folder as a run leaves it, three epochs long."""
    config = compose([*typed, "precision=float32"])
    folder.mkdir(parents=True)
    write_config(folder, config, typed)
    lines = [f"{epoch},0.5,{accuracy},0.4,{accuracy - 0.01 * (3 - epoch)},0.01,2.0,30000" for epoch in (1, 2, 3)]
    (folder / "history.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    known = {
        "hash": identity(config),
        "name": folder.name,
        "seed": config.seed,
        "overrides": list(typed),
        "model": config.choices["model"],
        "epochs": 3,
        "train": {"loss": 0.5, "accuracy": accuracy},
        "test": {"loss": 0.4, "accuracy": accuracy},
        "best": {"epoch": 3, "accuracy": accuracy, "selected_on": "test"},
        "seconds": {"total": 6.5, "train": 5.0, "evaluate": 1.0, "start": 0.5},
        "images_per_second": 30000.0,
        "threads": 2,
        "versions": {"python": "3.11.2", "dlrun": "0.1.0", "torch": "2.13.0"},
        "git": {"commit": "c0ffee" * 6, "dirty": False},
    }
    result_of_a_run(**{**known, **changes}).write(folder)
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with three seeds each, and a failed run."""
    sweep = tmp_path_factory.mktemp("written")
    for model, accuracy in (("fc_64", 0.97), ("fc_512", 0.98)):
        for seed in range(3):
            words = ["data=mnist", f"model={model}", f"seed={seed}"]
            write_run(sweep / f"{model}-{seed}", words, accuracy + seed / 1000)
    error = {"type": "RunFailed", "message": "the loss is not a number"}
    words = ["data=mnist", "model=fc_64", "optimizer.lr=9"]
    write_run(sweep / "fc_64-lr9", words, 0.1, status="failed", error=error)
    return sweep


@pytest.fixture
def sweep(written: Path, tmp_path: Path) -> Path:
    """A copy of the sweep for the test to change."""
    return shutil.copytree(written, tmp_path / "sweep")


def page_of(folder: Path) -> str:
    found, damaged = runs_on_disk.read(runs_on_disk.find([folder]))
    return page(found, damaged, folder=folder)


class Reader(HTMLParser):
    """Collects tags, ids, texts of tables' rows and the JSON."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.script = ""
        self._table = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag != "script" else f"script {dict(attrs).get('type')}"
        if tag == "table":
            self._table = dict(attrs)["id"] or ""
            self.rows[self._table] = []
        elif tag == "tr" and self._table:
            self.rows[self._table].append([])
        elif tag in ("td", "th") and self._table:
            self.rows[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._table = "" if tag == "table" else self._table
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script application/json":
            self.script += data
        elif self._table and self.rows[self._table] and self.rows[self._table][-1]:
            self.rows[self._table][-1][-1] += data.strip()

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def test_leaderboard_first_then_runs_and_failures(sweep: Path) -> None:
    read = Reader(page_of(sweep))
    assert list(read.rows) == ["board", "runs", "environments", "failures"]
    first = read.rows["board"][1]
    assert first[:3] == ["fc_512, lr 0.01", "0.9810 ± 0.0010", "best"], "the accuracy beside the row's name"
    assert len(read.rows["runs"]) == 1 + 7
    assert "the loss is not a number" in " ".join(read.rows["failures"][1])


def test_the_page_says_first_what_its_runs_share(sweep: Path, tmp_path: Path) -> None:
    assert '<p class="subject">mnist, 10 epochs, sgd</p>' in page_of(sweep)
    one = page_of(write_run(tmp_path / "10-48-57", ["data=mnist", "model=fc_64", "limit=2000", "epochs=1"], 0.9))
    about = "fc_64, mnist, limit 2,000, 1 epoch, sgd, lr 0.01"
    assert f"<title>{about} · 10-48-57 · dlrun</title>" in one
    assert f'<p class="subject">{about}</p>' in one
    (sweep / "fc_64-lr9").rename(tmp_path / "failed")
    text = page_of(sweep)
    assert "Every run: status completed, epochs 3" in text
    assert Reader(text).rows["runs"][0][:2] == ["configuration", "seed"]


def test_dot_plot_says_in_words_what_it_shows(sweep: Path) -> None:
    plots = [one for one in Reader(page_of(sweep)).all("svg") if one.get("class") == "dots"]
    assert plots[0]["role"] == "img"
    # Variances are held by what 10,000 test images tell, as where rows are compared.
    assert plots[0]["aria-label"] == "0.9810; 95 % interval 0.9797 to 0.9823; seeds 0.9800, 0.9810, 0.9820"


def test_accuracy_against_every_number_that_was_swept(tmp_path: Path) -> None:
    for rate, batch, accuracy in ((0.001, 64, 0.90), (0.01, 64, 0.97), (0.1, 64, 0.95), (0.1, 32, 0.94)):
        words = ["data=mnist", "model=fc_64", f"optimizer.lr={rate}", f"batch_size={batch}"]
        write_run(tmp_path / f"{rate}-{batch}", words, accuracy)
    text = page_of(tmp_path)
    (about,) = [one["aria-label"] for one in Reader(text).all("svg") if "by lr" in (one.get("aria-label") or "")]
    best = "0.001: 0.9000; 0.01: 0.9700; 0.1: 0.9500."
    assert about == f"test accuracy by lr. Best at each value: {best} Arrow keys read the configurations."
    assert "test accuracy by lr (logarithmic)" in text
    assert "by batch_size" not in text, "two values are no line"
    assert "the largest value tried" not in text
    write_run(tmp_path / "edge", ["data=mnist", "model=fc_64", "optimizer.lr=1", "batch_size=64"], 0.98)
    text = page_of(tmp_path)
    assert "The best is at 1, the largest value tried: larger ones may be better." in text
    assert not Reader(text).all("polyline"), "how two fields act together is seen there"
    write_run(tmp_path / "m", ["data=mnist", "model=fc_64", "optimizer.lr=1", "optimizer.momentum=0.5"], 0.99)
    read = Reader(page_of(tmp_path))
    (about,) = [
        one["aria-label"] or "" for one in read.all("svg") if "a line for each" in (one.get("aria-label") or "")
    ]
    assert about.startswith("test accuracy by lr, momentum and batch_size: a line for each of 6 configurations. Best: ")
    lines = [one["points"] or "" for one in read.all("polyline") if one.get("class") != "near"]
    rates = [float(line.partition(" ")[0].partition(",")[2]) for line in lines]
    assert len(set(rates)) == len(lines), "no line lies on another one"
    places = [round(3 * (96 - rate) / 92, 1) for rate in sorted(rates)]
    assert places == [3.1, 2.9, 2.1, 1.9, 1.0, 0.0], "spaced by their logarithms"
    heights = [float(line.rpartition(",")[2]) for line in lines]
    assert heights == sorted(heights, reverse=True), "the best lies on top"


def test_curves_hold_every_epoch_of_every_run(sweep: Path) -> None:
    curves = json.loads(Reader(page_of(sweep)).script)
    assert [entry["label"] for entry in curves] == ["fc_512, lr 0.01", "fc_64, lr 0.01", "fc_64, lr 9"]
    assert curves[0]["runs"][1]["columns"]["test_accuracy"] == [0.961, 0.971, 0.981]
    assert curves[0]["runs"][1]["columns"]["epoch"] == [1.0, 2.0, 3.0]


def test_long_histories_are_thinned_to_first_and_last(sweep: Path) -> None:
    run = sweep / "fc_512-0"
    lines = [f"{epoch},1,0.5,1,{epoch / 1000},0.1,1,1" for epoch in range(1, 1001)]
    (run / "history.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    epochs = json.loads(Reader(page_of(sweep)).script)[0]["runs"][0]["columns"]["epoch"]
    assert (epochs[0], epochs[-1]) == (1, 1000)
    assert len(epochs) == 201


def test_nothing_is_loaded_from_anywhere(sweep: Path) -> None:
    text = page_of(sweep)
    read = Reader(text)
    assert "default-src 'none'" in text
    for tag, attributes in read.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form")
        assert "src" not in attributes or (attributes["src"] or "").startswith("data:")
        if tag == "link":
            assert attributes["href"] == "data:,"
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)


HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}\x1b[31m\u202e"


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    words = ["data=mnist", "model=fc_64"]
    error = {"type": HOSTILE, "message": HOSTILE}
    for number, status in enumerate(("completed", "failed")):
        folder = write_run(
            tmp_path / f"run-<b>{number}",
            [*words, f"seed={number}"],
            0.9,
            name=HOSTILE,
            model=HOSTILE,
            device=HOSTILE,
            status=status,
            error=error,
            versions={HOSTILE: HOSTILE},
            overrides=[HOSTILE],
        )
        config = dataclasses.replace(read_config(folder), data=Target("mine.load", {"<i>": HOSTILE}))
        write_config(folder, config, words)
        dataclasses.replace(Result.read(folder), hash=identity(config)).write(folder)
    found, _ = runs_on_disk.read(runs_on_disk.find([tmp_path]))
    text = page(found, [HOSTILE], title=HOSTILE, folder=tmp_path)
    read = Reader(text)
    assert not read.all("img")
    assert not read.all("b")
    assert not read.all("i")
    assert len(read.all("script")) == 2
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "49" not in "".join(cell for row in read.rows["runs"] for cell in row)
    assert HOSTILE.split("{")[0] in json.loads(read.script)[0]["label"]


def test_damaged_runs_are_named(sweep: Path) -> None:
    (sweep / "fc_64-0" / "result.json").write_text("{")
    assert "result.json: can" in page_of(sweep)


def test_figures_are_embedded_with_size_and_words(sweep: Path) -> None:
    figures = sweep / "fc_512-0" / "figures"
    figures.mkdir()
    (figures / "confusion_matrix.png").write_bytes(PNG)
    (figures / "mistakes.png").write_bytes(b"no picture")
    (figures / "learning_curves.png").write_bytes(PNG)
    images = Reader(page_of(sweep)).all("img")
    assert len(images) == 1
    assert (images[0]["width"], images[0]["height"], images[0]["loading"]) == ("1", "1", "lazy")
    assert images[0]["alt"] == "Confusion matrix of fc_512, lr 0.01, run fc_512-0"


def test_running_runs_have_a_row_and_curves(sweep: Path) -> None:
    (sweep / "fc_64-lr9" / "result.json").unlink()
    with hold(sweep / "fc_64-lr9"):
        read = Reader(page_of(sweep))
    assert [row[2] for row in read.rows["runs"] if row[0] == "fc_64, lr 9"] == ["running"]
    assert "failures" not in read.rows


def test_published_table_with_verdicts_and_lessons(tmp_path: Path) -> None:
    published = table.load("psc_mnist")
    rows = published.rows[:2]
    planned = plan.plan(published, rows, range(3), runs=tmp_path)
    labels = {}
    for one in planned:
        folder = tmp_path / one.folder.name
        accuracy = (one.row.published.test_accuracy or 0) + one.seed / 10_000
        labels[write_run(folder, one.overrides, accuracy)] = one.row.label
    comparison = compare.compare(published, rows, plan.find(planned))
    found, _ = runs_on_disk.read(runs_on_disk.find([tmp_path]))
    read = Reader(page(found, comparison=comparison, labels=labels, title=comparison.title))
    assert list(read.rows)[:3] == ["board", "beside", "lessons"]
    assert "train, published" not in read.rows["board"][0]
    assert [row[1:3] for row in read.rows["beside"]] == [
        ["row", "train, published"], ["FC (64,64)", ""], ["FC (512,512)", "0.9977"]
    ]  # fmt: skip
    assert read.rows["board"][1][1:3] == ["FC (64,64)", "reproduced"]
    assert read.rows["lessons"][1][:2] == ["Wider helps", "holds"]
    plots = [one["aria-label"] for one in read.all("svg") if one.get("class") == "dots"]
    assert plots[0] == "published 0.9755, measured 0.9756 ± 0.0026 (n = 3)"
    assert [entry["label"] for entry in json.loads(read.script)] == ["FC (64,64)", "FC (512,512)"]


def test_verb_compares_with_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    published = table.load("nvidia_dli")
    for one in plan.plan(published, published.rows[:1], range(2)):
        write_run(one.folder, one.overrides, 0.979)
    assert report.main(["--table", "nvidia_dli"]) == 0
    captured = capsys.readouterr()
    assert "2 missing" in captured.out
    assert captured.err == "page: outputs/runs/nvidia_dli.html\n"
    read = Reader(Path("outputs/runs/nvidia_dli.html").read_text())
    assert len(read.rows["runs"]) == 1 + 2
    assert report.main(["outputs/runs", "--table", "nvidia_dli", "epochs=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changes"] == ["epochs=1"]


def test_axis_leaves_a_run_that_learnt_nothing_outside() -> None:
    found = axis([Dots(0.1), Dots(0.97), Dots(0.98), Dots(0.99)])
    assert found is not None
    assert found.is_off(0.1)
    assert (found.low, found.high) == (pytest.approx(0.97), pytest.approx(0.99))
    assert found.place(0.1) == found.place(0.97)
    assert axis([Dots()]) is None


def test_verb_writes_the_page_into_the_folder(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(sweep)]) == 0
    assert "page: " in capsys.readouterr().err
    assert (sweep / "report.html").read_text().startswith("<!doctype html>")


def test_verb_writes_it_elsewhere_and_not_for_programs(sweep: Path, tmp_path: Path) -> None:
    assert report.main([str(sweep), "--csv"]) == 0
    assert not (sweep / "report.html").exists()
    assert report.main([str(sweep), "--html", str(tmp_path / "here.html")]) == 0
    assert 'href="sweep/fc_512-0"' in (tmp_path / "here.html").read_text()


def test_folder_that_cannot_be_written_costs_only_the_page(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(sweep), "--html", str(sweep / "nowhere" / "x.html")]) == 0
    captured = capsys.readouterr()
    assert "fc_512" in captured.out
    assert "no page: " in captured.err


def test_many_runs_take_a_second_not_a_minute(sweep: Path, tmp_path: Path) -> None:
    found, _ = runs_on_disk.read(runs_on_disk.find([sweep]))
    many = [
        dataclasses.replace(run, fields={**run.fields, "batch_size": number}) for number in range(150) for run in found
    ]
    started = time.process_time()
    write_page(tmp_path / "many.html", runs=many)
    assert time.process_time() - started < 10
    assert len(json.loads(Reader((tmp_path / "many.html").read_text()).script)) == 300


def test_torch_is_not_imported() -> None:
    code = "import sys, dlrun.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
