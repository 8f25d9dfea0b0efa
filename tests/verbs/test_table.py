"""`dlrun table`: from what one has to a table that runs."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml
from helpers import heard, said

from dlrun.errors import UsageError
from dlrun.tables.printed import parse
from dlrun.tables.table import load

MARKDOWN = """
A slide:

| Model        | Parameters | Test accuracy | Loss  | Speed |
|:-------------|-----------:|--------------:|-------|------:|
| FC (64,64)   |     55,050 |      97.5     | 0.12  | 12    |
| **CNN**      |  1,199,882 |     **99.25** | 0.031 | 3.5   |
| to do        |            |       —       |       | 1     |
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_slide_becomes_a_table_that_can_be_run(tmp_path: Path) -> None:
    Path("slide.md").write_text(MARKDOWN)
    status, text = said("table", "new", "mine", "--from", "slide.md")
    assert status == 0, text
    assert text.splitlines() == [
        "configs/table/mine.yaml: 3 rows",
        "parameters: the column Parameters",
        "test_accuracy, percent: the column Test accuracy",
        "test_loss: the column Loss",
        "not taken: the column Speed",
        "next: fill in source, common and overrides there, then dlrun table check mine",
    ]
    table = load("mine")
    assert [row.label for row in table.rows] == ["FC (64,64)", "CNN", "to do"]
    assert [row.published.test_accuracy for row in table.rows] == [0.975, 0.9925, None]
    assert [row.published.test_loss for row in table.rows] == [0.12, 0.031, None]
    assert [row.parameters for row in table.rows] == [55_050, 1_199_882, None]
    assert (table.digits, [row.digits for row in table.rows]) == (4, [3, 4, 4])
    status, text = said("table", "check", "mine", "--no-trials")
    assert status == 1
    assert text.count("overrides: missing") == 3
    assert "source.document: missing" in text
    assert "3 rows of 3 can't be run yet" in text
    status, text = said("reproduce", "mine", "--dry-run")
    assert (status, text) == (
        2,
        "dlrun: configs/table/mine.yaml: row 1 (FC (64,64)): overrides: missing; "
        "dlrun table check mine says what else is\n",
    )
    assert said("report", "--table", "mine")[0] == 2
    path = Path("configs/table/mine.yaml")
    values = yaml.safe_load(path.read_text())
    values["source"] = {"document": "a talk", "heading": "a slide"}
    values["common"] = {"data": "synthetic", "epochs": 1, "device": "cpu", "threads": 1, "precision": "float32"}
    for row, layers in zip(values["rows"], (["dense 4"], ["dense 5"], ["danse 6"]), strict=True):
        row["overrides"] = {"model.layers": ["flatten", *layers]}
        row.pop("parameters", None)
    path.write_text(yaml.safe_dump(values))
    status, text = said("table", "check", "mine", "--no-trials")
    assert status == 1
    assert text.count("3 runs") == 2
    assert "no layer is called 'danse'" in text
    assert "1 row of 3 can't be run yet" in text
    values["rows"][2]["overrides"] = values["rows"][1]["overrides"]
    path.write_text(yaml.safe_dump(values))
    assert "overrides: the same as row 2" in said("table", "check", "mine", "--no-trials")[1]
    del values["rows"][2]
    path.write_text(yaml.safe_dump(values))
    status, text = said("table", "check", "mine", "--no-trials")
    assert (status, "all rows can be run: dlrun reproduce mine" in text) == (0, True), text
    status, text = said("table", "new", "mine", "--from", "slide.md")
    assert (status, "there is a table of this name" in text) == (2, True)


def teachers_table() -> tuple[str, str]:
    """The sheet and the table file of the how-to page, as they stand there."""
    page = (Path(__file__).parents[2] / "docs/how-to.md").read_text("utf-8")
    sheet = re.search(r"```text\n(initial weights,.*?)```", page, re.DOTALL)
    table = re.search(r"```yaml\n# configs/table/teacher\.yaml\n(.*?)```", page, re.DOTALL)
    assert sheet
    assert table
    return sheet[1], table[1]


def test_a_teachers_table_of_held_out_images_needs_no_python() -> None:
    sheet, text = teachers_table()
    Path("sheet.csv").write_text(sheet, encoding="utf-8")
    assert said("table", "new", "begun", "--from", "sheet.csv")[0] == 0
    Path("configs/table/teacher.yaml").write_text(text, encoding="utf-8")
    begun, table = load("begun"), load("teacher")
    assert [row.label for row in begun.rows] == [row.label for row in table.rows]
    assert [row.published for row in begun.rows] == [row.published for row in table.rows]
    assert (begun.metric, begun.digits) == (table.metric, table.digits) == ("val_accuracy", 3)
    status, out, err = heard("reproduce", "teacher", "--dry-run")
    assert (status, err, out.count("\n")) == (0, "", 6)
    assert out.count("model.init=he_normal") == 3
    assert out.count("validation=5000 validation_by=last") == 6


@pytest.mark.slow
def test_a_teachers_table_is_judged_by_held_out_images() -> None:
    text = teachers_table()[1].replace("data: fashion_mnist", "data: synthetic").replace("5000", "60")
    text = text.replace("epochs: 10", "epochs: 2\n  limit: 300\n  threads: 1\n  tensorboard: 'off'")
    Path("configs/table").mkdir(parents=True)
    Path("configs/table/teacher.yaml").write_text(text, encoding="utf-8")
    assert "all rows can be run: dlrun reproduce teacher" in said("table", "check", "teacher", "--no-trials")[1]
    status, out, _ = heard("reproduce", "teacher", "--seeds", "2", "--json")
    assert status == 0
    lines = json.loads(out)["lines"]
    assert [(line["metric"], line["n"], line["published_n"], line["published_std"]) for line in lines] == [
        ("val_accuracy", 2, 5, 0.003),
        ("val_accuracy", 2, 5, 0.002),
    ]
    held_out = []
    for path in Path("outputs/runs").glob("*/history.csv"):
        with path.open() as file:
            held_out.append(float([*csv.DictReader(file)][-1]["val_accuracy"]))
    assert sorted(value for line in lines for value in line["measured"].values()) == sorted(held_out)
    assert {round(60 * value, 6) % 1 for value in held_out} == {0.0}  # of 60 pictures


@pytest.mark.parametrize(
    ("text", "labels", "numbers", "percent"),
    [
        ("a,0.91\nb,0.9\n", ["a", "b"], ["0.91", "0.9"], False),
        ("Netz;Genauigkeit\nA;97,5\nB;98,25 %\n", ["A", "B"], ["97.5", "98.25"], True),
        ("net\tacc\nx\t.91\nx\t.92\n", ["x (1)", "x (2)"], [".91", ".92"], False),
        ('"a, b",sgd,99.1 ± 0.2\n"c",adam,98.7 ± 0.1', ["a, b, sgd", "c, adam"], ["99.1", "98.7"], True),
    ],
)
def test_tables_are_read_as_they_are_copied(text, labels, numbers, percent):
    printed = parse(text)
    assert [row.label for row in printed.rows] == labels
    assert [row.numbers["test_accuracy"].text for row in printed.rows] == numbers
    assert printed.in_percent == ({"test_accuracy"} if percent else set())


@pytest.mark.parametrize(
    ("heads", "kinds"),
    [
        ("top-5 accuracy,Top-1 Accuracy (%)", {"test_accuracy": 2}),
        ("train time test,train images,acc.", {"test_accuracy": 3}),
        ("F1 test,val. acc,validation size", {"val_accuracy": 2}),
        ("test error rate,number of parameters,std,n", {"test_error": 1, "parameters": 2, "std": 3, "n": 4}),
        ("best epoch,best test accuracy,train-loss", {"best_epoch": 1, "best_accuracy": 2, "train_loss": 3}),
        ("mean of test accuracy on the test set,error bars", {"test_accuracy": 1}),
    ],
)
def test_a_head_is_understood_as_a_whole_or_not_at_all(heads, kinds):
    printed = parse(
        f"net,{heads}\nA,1,2,3,4\n" if heads.count(",") == 3 else f"net,{heads}\nA{',9' * (1 + heads.count(','))}"
    )
    places = {name: place for place, name in enumerate(heads.split(","), 1)}
    assert {one.kind: places[one.head] for one in printed.columns} == kinds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("net,F1,AUC\nA,30,40\n", r"which column is the result\? Call one of F1, AUC: test accuracy"),
        ("net,acc,test acc\nA,30,40\n", "the columns acc and test acc are both test_accuracy"),
        ("net,test acc\nA,0.975\nB,98.2\n", "column test acc: 0.975 among percent"),
        (
            "net,val acc,test acc\nA,97,97.5\nB,98,98.2 (0.1)\n",
            r"row 2 \(B\), column test acc: .* found '98.2 \(0.1\)'",
        ),
        ("net,test acc\nA,97.5\nB,good\n", r"row 2 \(B\), column test acc: expected a number, or - where"),
        ("net,test acc\nA,97,5\nB,98,2\n", "'A,97,5' has 3 cells, the first line 2"),
    ],
)
def test_what_can_be_read_in_two_ways_is_asked(text, said):
    with pytest.raises(UsageError, match=said):
        parse(text)


def test_fractions_and_percent_are_told_apart_column_by_column():
    printed = parse("net,test acc,train acc (%),sd\nA,0.992,99.5,0.001\nB,0.985,0.9,0.002\n")
    assert printed.in_percent == {"train_accuracy"}
    assert parse("net,sd,acc\nA,0.3,97.5\n").in_percent == {"test_accuracy", "std"}


def test_marks_of_footnotes_thousands_and_pipes_are_read():
    head = "| net | params | acc |\n|---|--|---|\n"
    cells = f"{head}| A \\| B | 55.050 | 97.5* |\n| C | 1 200 000 | 98.1[2] |\n| D† | – | n/a |\n"
    printed = parse(cells)
    assert [row.label for row in printed.rows] == ["A | B", "C", "D†"]
    assert [{kind: one.text for kind, one in row.numbers.items()} for row in printed.rows] == [
        {"parameters": "55050", "test_accuracy": "97.5"},
        {"parameters": "1200000", "test_accuracy": "98.1"},
        {},
    ]
    for count in ("1.2", "1.2M", "10^6", "10²"):
        rounded = parse(f"net,params,acc\nA,{count},97.5²\n")
        assert [row.label for row in rounded.rows] == ["A"]
        assert rounded.left_out == ("params (rounded; a table's parameters are exact)",)
    with pytest.raises(UsageError, match=r"row 1 \(A\), column acc: .*found '10²'"):
        parse("net,acc\nA,10²\n")


def test_nothing_is_written_that_is_no_table():
    Path("f.csv").write_text("net,test acc\nA,101\n")
    status, text = said("table", "new", "wrong", "--from", "f.csv")
    assert (status, text) == (
        2,
        "dlrun: f.csv: row 1 (A): published.test_accuracy=1.01: expected a number from 0 to 1; a fraction: 0.0101\n",
    )
    assert not Path("configs").exists()
    Path("f.csv").write_text("net,test acc\nA,10.1\n")
    assert said("table", "new", "wrong", "--from", "f.csv")[0] == 0


def test_what_an_editor_leaves_beside_a_table_is_none():
    folder = Path("configs/table")
    (folder / "folder.yaml").mkdir(parents=True)
    (folder / ".#open.yaml").symlink_to("user@host:1")
    (folder / "gone.yaml").symlink_to("nowhere")
    assert said("reproduce", "psc_mnist", "--dry-run", "--rows", "1", "--seeds", "1")[0] == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [("", "no table"), ("just a line", "no table"), ("a,b\nc,d\n", "no column has numbers"), ('a,1\n"b,2', "no table")],
)
def test_what_is_no_table_is_refused(text, error):
    with pytest.raises(UsageError, match=error):
        parse(text)


def test_errors_and_deviations():
    Path("e.csv").write_text("net,test error,sd,n\na,1.25 %,0.1,5\nb,0.9 %,0.05,5\n")
    Path("d.csv").write_text("net,acc\na,97.5 ± 0.2\nb,98.1 ± 0.1\n")
    assert said("table", "new", "errors", "--from", "e.csv")[0] == 0
    first, second = load("errors").rows
    assert (first.published.test_accuracy, first.published.std, first.published.n) == (0.9875, 0.001, 5)
    assert (second.published.std, second.digits) == (0.0005, 3)
    assert said("table", "new", "deviations", "--from", "d.csv")[0] == 0
    assert load("deviations").rows[0].published.std is None
    assert "std: 0.002 is printed, too; of how many runs?" in Path("configs/table/deviations.yaml").read_text()
    for words in (["new", "Bad name", "--from", "e.csv"], ["new", "x", "--from", "none.csv"], ["check", "psc_mnst"]):
        status, text = said("table", *words)
        assert (status, len(text.splitlines())) == (2, 1), text
