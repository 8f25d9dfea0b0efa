"""What the verbs write with --json: what the reference says, and the same as people read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import heard, json_keys

from dlrun.store.folders import hold


def told(*words: str) -> Any:
    status, out, err = heard(*words, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_show(runs: Callable[..., Path]) -> None:
    runs("one", "data=mnist", "model=fc_64", "name=first", "tags=[slides]", "optimizer.lr=0.5")
    answer = told("show", "outputs/one")
    assert list(answer) == json_keys("show RUN")
    assert (answer["name"], answer["tags"], answer["status"]) == ("first", ["slides"], "completed")
    assert "optimizer.lr=0.5" in answer["settings"]
    assert answer["fields"]["optimizer.lr"] == 0.5
    assert answer["result"]["test"]["accuracy"] == 0.9
    assert "dlrun evaluate outputs/one" in answer["next"]


def test_show_of_a_damaged_run(runs: Callable[..., Path]) -> None:
    (runs("one") / "result.json").write_text("{")
    status, out, _ = heard("show", "outputs/one", "--json")
    answer = json.loads(out)
    assert (status, answer["status"]) == (1, "damaged")
    assert answer["damaged"]


def test_list_and_watch(runs: Callable[..., Path]) -> None:
    with hold(runs("one", status=None)):
        assert set(told("list")[0]) == set(json_keys("list"))
        assert list(told("watch")[0]) == json_keys("watch")


def test_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("data=synthetic", "model=fc_64", "epochs=1", "limit=64", "threads=1", "device=cpu", "tensorboard=off")
    answer = told("plan", "-m", "seed=0,1", *words)
    assert list(answer) == json_keys("plan -m OVERRIDE …")
    assert answer["runs"] == len(answer["missing"]) == 2
    assert answer["seconds"] == pytest.approx(sum(one["seconds"] for one in answer["missing"]))


def test_data_and_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sets = {one["name"]: one for one in told("data", "list")}
    assert list(sets["mnist"]) == json_keys("data list")
    assert (sets["mnist"]["train"], sets["mnist"]["shape"], sets["asl"]["classes"]) == (60_000, [1, 28, 28], 24)
    assert sets["image_folder"]["train"] is None
    findings = told("doctor")
    assert list(findings[0]) == json_keys("doctor")
    assert {one["state"] for one in findings} <= {"ok", "missing", "broken"}
