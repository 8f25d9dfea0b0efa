"""All published tables on one page."""

import csv
import io
import json
from pathlib import Path

import pytest
from helpers import heard, record_of_a_run

from dlrun.config.compose import configs_dir
from dlrun.statistics import chi2_above
from dlrun.tables import overview as pages
from dlrun.tables import table as tables
from dlrun.tables.planned import plan
from dlrun.verbs import reproduce

FIRST = """
title: First
source: {document: A paper, heading: Table 1}
digits: 4
common: {data: synthetic, data.test_images: 10000, model: fc_64, precision: float32, epochs: 10}
rows:
  - {label: same, overrides: {batch_size: 16}, published: {test_accuracy: 0.9, best_accuracy: 0.901}}
  - label: apart
    overrides: {batch_size: 32}
    published: [{test_accuracy: 0.5}, {test_accuracy: 0.7}]
    looked_into: A batch of 64 changes nothing.
    note: Read as printed.
  - {label: apart read anew, overrides: {batch_size: 64}, reading_of: apart}
  - {label: not trained, overrides: {batch_size: 128}, published: {test_accuracy: 0.9}}
lessons:
  - {claim: more is less, rows: [apart, same], direction: lower}
  - {claim: unknown, rows: [not trained, same], direction: higher}
"""
SECOND = """
title: Second
source: {document: A paper, heading: Table 2}
digits: 4
common: {data: synthetic, data.test_images: 10000, model: fc_64, precision: float32, epochs: 10}
rows:
  - {label: nothing here, overrides: {batch_size: 256}, published: {test_accuracy: 0.9}}
lessons: []
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with two tables, and records of three seeds for most rows of the first."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("configs/table").mkdir(parents=True)
        Path("configs/table/first.yaml").write_text(FIRST)
        Path("configs/table/second.yaml").write_text(SECOND)
        table = tables.load("first")
        lines = []
        for one in plan(table, table.rows[:3], 3):
            end = {"same": 0.9, "apart": 0.6, "apart read anew": 0.55}[one.row.label] + 0.001 * one.seed
            lines.append(record_of_a_run(one.config, [end] * 10, hash=one.hash).line())
        Path("mine.jsonl").write_bytes(b"\n".join(sorted(lines)) + b"\n")
        yield folder


@pytest.fixture(scope="module")
def printed(here):
    """Every form, of these two tables alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tables, "available", lambda: {path.stem: path for path in sorted(Path("configs/table").iterdir())}
        )
        words = ["report", "--tables", "--records", "mine.jsonl"]
        return {
            form: heard(*words, *options)
            for form, options in {
                "text": ["--html", "all.html"],
                "md": ["--md"],
                "csv": ["--csv"],
                "json": ["--json"],
                "latex": ["--latex"],
            }.items()
        }


def test_the_headline_counts_every_printed_accuracy_once_in_its_main_reading(printed):
    status, out, err = printed["text"]
    assert (status, err) == (0, "page: all.html\n")
    assert out.splitlines()[0] == (
        "Of 5 printed numbers: 2 reproduced, 0 close, 2 differ, 0 undecided, 1 not measured. "
        "Of 2 lessons: 1 hold, 0 contradicted, 1 open."
    )
    assert "Without results: second (1)." in out


def test_what_differs_says_what_was_looked_into(printed):
    out = printed["md"][1]
    found = out.partition("## What differs")[2].partition("## first")[0]
    assert found.count("| first | apart |") == 2
    assert "A batch of 64 changes nothing. Read as printed. read as apart read anew: 0.5510 (differs)" in found


def test_the_plot_has_a_line_a_number_in_units_of_its_uncertainty(printed):
    plot = printed["md"][1].partition("```text\n")[2].partition("```")[0].splitlines()
    assert [line.split()[-1] for line in plot[1:]] == ["differs", "reproduced", "reproduced", "differs"]
    assert ">" in plot[1]
    assert "<" in plot[-1]
    assert {len(line.rpartition("  ")[0]) for line in plot[1:]} == {len(plot[0])}
    # 0.9010 against 0.9: u² = 4/3 (8 * 5e-6 + 2e-6) / 10, times t(.975, 10): 0.19 half-widths, a second step of eight
    assert [line[len(plot[0]) - 25 :][:3] for line in plot[2:4]] == ["|.o", "o.."]


def test_other_forms(printed):
    assert {status for status, _, _ in printed.values()} == {0}
    rows = list(csv.DictReader(io.StringIO(printed["csv"][1])))
    assert [(row["table"], row["label"], row["verdict"]) for row in rows][-2:] == [
        ("first", "apart read anew", "differs"),
        ("first", "not trained", ""),
    ]
    values = json.loads(printed["json"][1])
    assert values["headline"].startswith("Of 5 printed numbers: 2 reproduced")
    assert [one["table"] for one in values["comparisons"]] == ["first"]
    assert r"\begin{tabular}" in printed["latex"][1]


def test_the_page_needs_nothing_but_itself(printed):
    page = Path("all.html").read_text()
    assert "Of 5 printed numbers: 2 reproduced" in page
    assert page.count('<svg class="dots"') == 4 + 7  # differences, and the lines of the table
    assert 'aria-label="+' in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert '<link rel="stylesheet"' not in page


def test_calibration_by_hand(here):
    table = tables.load("first")
    # by experiment s² = 1e-6 on 2; v0 = err / 20000 with the larger of both error rates
    v0 = [(1 - 0.9) / 20_000, (1 - 0.5) / 20_000, (1 - 0.5) / 20_000]
    squares = sum(2e-6 / one for one in v0)
    found = json.loads(heard("report", "--table", table.name, "--records", "mine.jsonl", "--json")[1])
    expected = [line["expected_std"] ** 2 for line in found["lines"] if line["expected_std"]]
    assert [expected[0], expected[2], expected[4]] == pytest.approx(v0)
    out = heard("report", "--tables", "--records", "mine.jsonl", "--md")[1]
    assert f"(sum of (n - 1) s²/v0 {squares:.1f} on 6, p = {chi2_above(squares, 6):.2g})" in out.replace("\\", "")


def test_mistakes_are_sentences(here):
    assert heard("report", "--tables", "--table", "first")[::2] == (
        2,
        "dlrun: --tables: all of them; --table NAME is one of them\n",
    )
    assert "--tables compares with what is published" in heard("report", "--tables", "epochs=2")[2]
    assert "no runs of tables here yet; dlrun reproduce --all makes them" in heard("report", "--tables")[2]


WHOLE = """
title: {name}
source: {{document: A paper, heading: Table 3}}
digits: 4
rows: [{{label: same, same_as: {{table: first, row: same}}, published: {{test_accuracy: {number}}}}}]
lessons: []
"""


def test_all_tables_are_reproduced_one_after_the_other(here, monkeypatch):
    files = {"first": Path("configs/table/first.yaml")}
    for name, number in (("one", 0.9), ("two", 0.5)):
        files[name] = here / f"{name}.yaml"
        files[name].write_text(WHOLE.format(name=name, number=number))
    monkeypatch.setattr(tables, "available", lambda: files)
    monkeypatch.setattr(reproduce, "load_all", lambda: [tables.load("one"), tables.load("two")])
    words = ["reproduce", "--all", "--records", "mine.jsonl"]
    status, out, _ = heard(*words)
    assert (status, out.index("one (one)") < out.index("two (two)")) == (0, True)
    assert out.endswith("All tables on one page: dlrun report --tables\n")
    assert heard(*words, "--check")[0] == 1
    assert heard("reproduce", "--all", "epochs=10", "--dry-run")[1].count("\n") == 3
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--all", "--rows", "1"], "--rows: of which table? --all takes every row of every table"),
        (["psc_mnist", "--all"], "--all: psc_mnist is one of all tables; leave one of the two out"),
    ],
)
def test_what_all_tables_cannot_be_asked(here, words, sentence):
    assert heard("reproduce", *words)[::2] == (2, f"dlrun: {sentence}\n")


@pytest.mark.slow
def test_a_dry_run_composes_every_row_of_every_table(here, monkeypatch):
    monkeypatch.setattr(tables, "available", lambda: {path.stem: path for path in (configs_dir() / "table").iterdir()})
    lines = heard("reproduce", "--all", "--dry-run", "--seeds", "1")[1].splitlines()
    rows = [row for name in tables.available() for row in tables.load(name).rows]
    same = [row for row in rows if row.same_as]
    assert (len(rows), len(same), len(lines)) == (209, 19, len(rows) - len(same))
    assert len({line.rpartition("hydra.run.dir=")[2] for line in lines}) == len(lines)
    assert all(line.startswith("dlrun ") and line.count(" seed=0 ") == 1 for line in lines)


def test_without_any_result_there_is_nothing_to_show():
    assert pages.overview([]).comparisons == ()
    assert pages.plot(pages.overview([])) == ""
    assert pages.calibration([]) is None
