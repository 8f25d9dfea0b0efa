"""Tables in every format: the same content, and no string that could act instead of being shown."""

import csv
import io
import json

import pytest
from rich.cells import cell_len

from dlrun.output import Column, Table, column, folded, plain_text, without_middle, write
from dlrun.text import visible

EVIL = "=cmd|'/c calc'!A1\x1b[2J | a_b & 50%\n\u202egnp"
TABLE = Table(
    [column("name"), column("accuracy", digits=4, right=True)],
    [{"name": EVIL, "accuracy": 0.92841}, {"name": "plain", "accuracy": None}],
    notes=["a note with $ and _"],
)


def test_terminal_text_shows_control_characters_instead_of_obeying_them() -> None:
    text = write(TABLE, "text")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"\x1b[2J | a_b & 50%\n\u202egnp" in text
    assert text.splitlines()[1].endswith("0.9284")
    assert len(text.splitlines()) == 4


def test_terminal_text_keeps_to_a_width() -> None:
    assert max(len(line) for line in write(Table(TABLE.columns, TABLE.records), "text", 40).splitlines()) <= 40


def test_numbers_stay_whole_where_there_is_little_room() -> None:
    numbers = [column(f"a long heading {n}", f"n{n}", digits=4, right=True) for n in range(5)]
    record = {"name": "a name of several words", **{f"n{n}": 0.12345 * n for n in range(5)}}
    text = write(Table([column("name"), *numbers], [record]), "text", 40)
    assert max(map(len, text.splitlines())) <= 40
    assert "0.1235" in text
    assert " ".join(text.split()).endswith("No room here for: a long heading 3, a long heading 4.")


def test_the_first_numbers_stay_where_there_is_no_room_for_all_text() -> None:
    settings = [column(f"setting {n}", "long") for n in range(6)]
    numbers = [column(title, digits=4, right=True) for title in ("val", "test", "n")]
    text = write(Table([*settings, *numbers], [{"long": "a_long_value", "val": 0.9, "test": 0.8, "n": 3}]), "text", 60)
    assert max(map(len, text.splitlines())) <= 60
    assert "0.9000  0.8000" in text
    assert " ".join(text.split()).endswith("No room here for: setting 3, setting 4, setting 5, n.")


def test_a_path_stands_whole_below_its_row_where_there_is_no_room_beside_it() -> None:
    path = "outputs/sweeps/model-optimizer/fc_512-adam-seed0-e38ac66d"
    columns = [
        column("model"),
        column("accuracy", digits=4, right=True),
        Column("run", lambda one: path, (), whole=True),
    ]
    table = Table(columns, [{"model": "a network of many words", "accuracy": 0.9}, {"model": "fc", "accuracy": 0.8}])
    beside = write(table, "text", 100).splitlines()
    assert (len(beside), beside[1].endswith(f"0.9000  {path}")) == (3, True)
    below = write(table, "text", 60).splitlines()
    assert below == ["model                    accuracy", "a network of many words    0.9000", f"  {path}", *below[3:]]
    assert below[3:] == ["fc                         0.8000", f"  {path}"]
    narrow = write(table, "text", 25).splitlines()
    assert narrow[-2:] == ["fc                 0.8000", f"  {path}"], "longer than a line, and not broken"


def test_csv_cells_are_no_formulas_and_numbers_stay_whole() -> None:
    rows = list(csv.reader(io.StringIO(write(TABLE, "csv"))))
    assert rows[0] == ["name", "accuracy"]
    assert rows[1][0].startswith("'=cmd|")
    assert rows[1][1] == "0.92841"
    assert rows[2] == ["plain", ""]


@pytest.mark.parametrize("text", ["=1", "+1", "-1+1", "@SUM(A1)", "\t=1", "  =1"])
def test_csv_formulas_of_every_kind(text: str) -> None:
    cell = next(csv.reader(io.StringIO(write(Table([column("x")], [{"x": text}]), "csv").splitlines()[1])))[0]
    assert cell[0] not in "=+-@\t"


def test_markdown_keeps_its_columns() -> None:
    line = write(TABLE, "md").splitlines()[2]
    assert line.replace(r"\|", "").count("|") == 3
    assert r"a\_b" in line


def test_latex_escapes_what_latex_reads() -> None:
    text = write(TABLE, "latex")
    assert r"a\_b \& 50\%" in text
    assert r"\textbackslash{}x1b" in text
    assert text.startswith(r"\begin{tabular}{lr}")


def test_json_has_plain_values_and_no_nan() -> None:
    table = Table([column("x"), Column("both", str, ("y", "z"))], [{"x": float("nan"), "y": [1], "z": "t"}])
    assert json.loads(write(table, "json")) == [{"x": None, "y": [1], "z": "t"}]


def test_plain_text_and_visible() -> None:
    assert [plain_text(value) for value in (None, True, 1e-5, 0.1, [1, 0.5])] == ["", "true", "1e-05", "0.1", "1, 0.5"]
    assert visible("café\x00\u2028") == "café\\x00\\u2028"


def test_lines_are_folded_but_a_command_stays_whole_where_it_fits() -> None:
    text = "state saved; go on with: dlrun resume outputs/2026-11-29 epochs=40"
    assert folded(text, 60, 2) == "state saved; go on with:\n  dlrun resume outputs/2026-11-29 epochs=40"
    assert folded(text, None) == text
    assert folded("versions dlrun 0.2.0, torch", 24, 2) == "versions dlrun 0.2.0,\n  torch"
    assert folded("a dlrun resume of/a/path of/more", 20, 2) == "a dlrun resume\n  of/a/path of/more"
    assert folded("name      words that go on", 20) == "name      words that\n          go on"
    assert folded("in /a/path/that/is/longer/than/a/line", 10) == "in\n/a/path/that/is/longer/than/a/line"
    assert cell_len(without_middle("訓練した網の名前-seed0", 12)) <= 12
