"""Reading results and histories, whole and damaged."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from helpers import result_of_a_run

from dlrun.errors import UsageError
from dlrun.store.history import read_history
from dlrun.store.result import Result


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    result_of_a_run().write(tmp_path)
    assert Result.read(tmp_path) == result_of_a_run()


def test_a_result_of_0_1_0_names_no_cpu_and_is_read(tmp_path: Path) -> None:
    values = dataclasses.asdict(result_of_a_run())
    del values["cpu"]
    (tmp_path / "result.json").write_text(json.dumps(values))
    assert Result.read(tmp_path) == result_of_a_run()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"status": "great"},
        {"seed": "0"},
        {"test": {"loss": None}},
        {"overrides": [1]},
        {"data": []},
        {"cpu": 3},
    ],
)
def test_a_wrong_field_is_an_error(tmp_path: Path, change: dict[str, Any]) -> None:
    values = {**dataclasses.asdict(result_of_a_run()), **change}
    (tmp_path / "result.json").write_text(json.dumps(values))
    with pytest.raises(UsageError, match=r"result\.json"):
        Result.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"schema": 1}', b"[" * 100_000])
def test_no_result_at_all_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"result\.json"):
        Result.read(tmp_path)


def test_history_leaves_out_a_torn_last_line(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("epoch,train_loss\n1,0.5\n2,0.")
    assert read_history(tmp_path) == [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.0}]
    (tmp_path / "history.csv").write_text("epoch,train_loss\n1,0.5\n2")
    assert read_history(tmp_path) == [{"epoch": 1, "train_loss": 0.5}]
    (tmp_path / "history.csv").write_text("epoch,train_loss\n1\n2,0.5\n")
    with pytest.raises(UsageError, match="line 2"):
        read_history(tmp_path)
