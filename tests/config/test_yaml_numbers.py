"""Numbers that YAML 1.1 reads otherwise than people write them, in every kind of file that people write."""

import pytest

from dlrun.cli import main
from dlrun.config.yaml_numbers import misread, refuse_misread
from dlrun.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs: 010", "epochs: 010 is 8 to YAML; write '010' in quotes, or a plain number"),
        ("a: {b: [1, 1:30]}", "b: 1:30 is 90 to YAML; write '1:30' in quotes, or a plain number"),
        ("time: 1:30:00", "time: 1:30:00 is 5400 to YAML; write '1:30:00' in quotes, or a plain number"),
        ("time: 1:30:00.5", "time: 1:30:00.5 is 5400.5 to YAML; write '1:30:00.5' in quotes, or a plain number"),
        ("- 0x1F", "0x1F is 31 to YAML; write '0x1F' in quotes, or a plain number"),
        ("a: 0b11", "a: 0b11 is 3 to YAML; write '0b11' in quotes, or a plain number"),
        ("010", "010 is 8 to YAML; write '010' in quotes, or a plain number"),
    ],
)
def test_they_are_named_with_line_and_remedy(text, said):
    with pytest.raises(ConfigError) as error:
        refuse_misread(f"# a comment\n{text}\n", "mine.yaml, ")
    assert str(error.value) == f"mine.yaml, line 2: {said}"


@pytest.mark.parametrize(
    "text",
    ["a: '1:30:00'", 'a: "010"', "a: 0", "a: 10", "a: 0.5", "a: 1e-3", "a: 1-12:30:00", "a: 01:30:00", "a: 08", "[", "",
     "a: 100_000", "# 1:30:00", "a: conv 010", "a: !!str 010", "a: 2024-01-01"],
)  # fmt: skip
def test_what_is_read_as_it_stands_passes(text):
    assert misread(text) is None


@pytest.mark.parametrize(
    ("group", "words"),
    [("experiment", ["experiment=mine"]), ("optimizer", ["optimizer=mine"]), ("data", ["-m", "data=mine", "seed=0,1"])],
)
def test_options_of_ones_own_are_checked(tmp_path, monkeypatch, capsys, group, words):
    """0.1.0 trained eight epochs for `epochs: 010` in a file, and refused it where it was typed."""
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "configs" / group / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\nname: x\nnumber: 010\n")
    assert main(words) == 2
    said = f"configs/{group}/mine.yaml, line 3: number: 010 is 8 to YAML; write '010' in quotes, or a plain number\n"
    assert said in capsys.readouterr().err


def test_tables_are_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "configs" / "table" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("title: Mine\nseeds: 010\n")
    assert main(["reproduce", "mine"]) == 2
    assert "line 2: seeds: 010 is 8 to YAML" in capsys.readouterr().err
