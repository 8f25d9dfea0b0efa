"""docs/llms.txt, the page for language models, says what is so."""

import dataclasses
import re
from pathlib import Path

from helpers import heard

from dlrun import errors
from dlrun.config.compose import options
from dlrun.store.history import columns
from dlrun.store.result import Result
from dlrun.verbs import VERBS

TEXT = (Path(__file__).parents[1] / "docs" / "llms.txt").read_text("utf-8")


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_verbs_are_those_of_the_command() -> None:
    listed = re.findall(r"^- `(\w+)`:? (.*)$", section("Verbs"), re.MULTILINE)
    assert listed == list(VERBS.items())


def test_exit_statuses_are_those_of_the_errors() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DlrunError)]
    fixed = {kind.exit_status for kind in kinds if kind is not errors.Interrupted}
    assert errors.Interrupted("", 15).exit_status == 128 + 15
    listed = re.findall(r"^- `([^`]+)`:", section("Exit status"), re.MULTILINE)
    assert listed == ["0", *map(str, sorted(fixed)), "128 + N"]


def test_groups_and_their_options_are_all_there() -> None:
    listed = dict(re.findall(r"^- `(\w+)`: (`.*)$", section("Groups"), re.MULTILINE))
    assert set(listed) == {"data", "optimizer", "scheduler", "augment"}
    for group, text in listed.items():
        assert names(text) == sorted(options(group)), group


def test_fields_and_columns_are_those_of_the_files() -> None:
    formats = section("Formats")
    fields = formats.split("Fields:")[1].split(";")[0]
    assert names(fields) == [item.name for item in dataclasses.fields(Result)]
    row = formats.split("a row an epoch:")[1].split("\n- ")[0]
    assert set(names(row)) == {*columns("test"), *columns("val")}


def test_verbs_that_print_for_programs_do() -> None:
    for words, flags in (
        (("report",), ("--json", "--csv", "--md", "--latex")),
        (("list",), ("--json", "--csv", "--md")),
        (("predict",), ("--json", "--csv")),
        (("records", "show"), ("--json", "--csv", "--md")),
        (("evaluate",), ("--json", "--csv", "--md")),
        (("compare",), ("--json", "--csv")),
    ):
        status, out, _ = heard(*words, "--help")
        assert status == 0
        assert all(flag in out for flag in flags), words
