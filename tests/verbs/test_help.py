"""dlrun --help names every field that is typed."""

import re

import pytest

from dlrun.config.fields import fields_of
from dlrun.config.schema import Config, Sweep
from dlrun.verbs import help


def test_every_field_of_a_run_and_of_a_sweep_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert help.main([]) == 0
    named = set(re.findall(r"^  ([a-z][\w.]*)", capsys.readouterr().out, re.MULTILINE))
    fields = {name for name, item in fields_of(Config).items() if "help" in item.metadata} - {"choices"}
    assert fields | {f"sweep.{name}" for name in fields_of(Sweep)} <= named
    assert not {"choices", "model.named", "optimizer.name", "data.name"} & named
