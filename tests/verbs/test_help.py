"""dlrun --help is a screen that leads to every field that is typed."""

import os
import re
from pathlib import Path

import pytest
from helpers import on_terminal

from dlrun.config.fields import fields_of
from dlrun.config.schema import Config, Sweep
from dlrun.errors import UsageError
from dlrun.verbs import VERBS, help
from dlrun.verbs.completion import candidates


def test_every_field_of_a_run_and_of_a_sweep_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert help.main(["all"]) == 0
    named = set(re.findall(r"^  ([a-z][\w.]*)", capsys.readouterr().out, re.MULTILINE))
    fields = {name for name, item in fields_of(Config).items() if "help" in item.metadata} - {"choices"}
    assert fields | {f"sweep.{name}" for name in fields_of(Sweep)} <= named
    assert not {"choices", "model.named", "optimizer.name", "data.name"} & named


def _said(capsys: pytest.CaptureFixture[str], *topic: str) -> str:
    assert help.main(list(topic)) == 0
    return capsys.readouterr().out


def test_it_is_a_screen_that_leads_to_more(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = _said(capsys).splitlines()
    assert len(lines) < 40
    assert max(map(len, lines)) <= 80
    assert set(VERBS) <= set(" ".join(lines).split())
    group = _said(capsys, "scheduler")
    assert "one_cycle" in group
    assert "scheduler.warmup " in group
    assert "epochs " not in [line.strip()[:7] for line in group.splitlines()]
    assert re.fullmatch(r"  epochs +passes over the training set \[10; .*\]\n", _said(capsys, "epochs"), re.DOTALL)
    assert re.search(r"optimizer=sgd\n  optimizer\.lr .*0\.01", _said(capsys, "optimizer.lr=0.1"))
    for topic in help.topics():
        if topic not in VERBS:
            assert max(map(len, _said(capsys, topic).splitlines())) <= 80
    with pytest.raises(UsageError, match="--help epoch: no such verb, group or field; did you mean epochs"):
        help.main(["epoch"])
    with pytest.raises(UsageError, match="--help epochs seed: one verb, group or field at a time"):
        help.main(["epochs", "seed"])
    assert candidates("dlrun --help optimizer.l") == ["optimizer.lr"]
    with pytest.raises(SystemExit):
        help.main(["clean"])
    assert capsys.readouterr().out.startswith("usage: dlrun clean")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")
def test_what_is_longer_than_the_terminal_is_paged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "sed -n 1s/dlrun/paged/p")
    status, seen = on_terminal(["--help", "all"], tmp_path)
    assert (status, seen[:16], seen.count("\n")) == (0, "paged KEY=VALUE ", 0)
