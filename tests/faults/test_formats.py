"""Whatever stands in a result, a run's YAML or on the command line: read as it was written, or refused in words."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlrun.config.compose import compose
from dlrun.config.device import settle_precision
from dlrun.config.schema import Config, identity, parse, plain
from dlrun.errors import UsageError
from dlrun.store.folders import read_config, read_overrides, read_yaml, write_config
from dlrun.store.result import Result

SAME_FOLDER = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)
values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [item.name for item in dataclasses.fields(Result)]


def refusal(read: Callable[[], Any]) -> str | None:
    """The sentence with which something is refused, None if it is taken."""
    try:
        read()
    except UsageError as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def whole(undisturbed: Any) -> str:
    values = json.loads((undisturbed.folder / "result.json").read_text())
    del values["checksum"]
    return json.dumps(values)


@SAME_FOLDER
@given(st.dictionaries(st.sampled_from(FIELDS), values, max_size=3))
def test_any_result(tmp_path: Path, whole: str, changes: dict[str, Any]) -> None:
    (tmp_path / "result.json").write_text(json.dumps({**json.loads(whole), **changes}))
    said = refusal(lambda: Result.read(tmp_path).write(tmp_path))
    if said is None:
        Result.read(tmp_path)
    else:
        assert len(said.splitlines()) == 1


@SAME_FOLDER
@given(st.binary(max_size=60) | st.text(st.sampled_from("!&*?|>-:{}[],#%@`\"' \nabc0.~<"), max_size=30).map(str.encode))
def test_any_yaml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    for read in (read_config, lambda folder: read_yaml(folder / "config.yaml")):
        assert str(tmp_path) in (refusal(lambda read=read: read(tmp_path)) or str(tmp_path))


@pytest.mark.parametrize("text", ["!!bool x", "!!int ''", "!!timestamp x", "a: &a [*a]", "? {}\n: 1"])
def test_yaml_that_trips_its_reader(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"config\.yaml"):
        read_yaml(tmp_path / "config.yaml")


@pytest.fixture(scope="module")
def base() -> Config:
    return compose(["data=synthetic", "precision=float32"])


@SAME_FOLDER
@given(st.lists(st.text(max_size=10), max_size=4), st.text(max_size=10), st.lists(st.text(max_size=5), max_size=3))
def test_what_was_typed_comes_back(
    tmp_path: Path, base: Config, overrides: list[str], name: str, tags: list[str]
) -> None:
    config = dataclasses.replace(base, name=name, tags=tags)
    write_config(tmp_path, config, overrides)
    assert read_config(tmp_path) == config
    assert read_overrides(tmp_path) == overrides


keys = st.sampled_from(
    [
        "epochs",
        "model",
        "optimizer.lr",
        "model.layers",
        "data.shape",
        "tags",
        "+x",
        "~model",
        "data@a",
        "hydra.run.dir",
        "",
    ]
)
texts = st.text(st.sampled_from("0123456789.-+e[]{}(),:'\"\\$&| \tabcnfalsetrue"), max_size=12) | st.text(max_size=8)


@SAME_FOLDER
@given(st.lists(st.builds("{}={}".format, keys, texts) | texts, min_size=1, max_size=3))
def test_any_overrides(overrides: list[str]) -> None:
    made: list[Config] = []
    said = refusal(lambda: made.append(compose(["data=synthetic", "precision=float32", *overrides])))
    assert said is None or said.count("\n") <= 1 + "".join(overrides).count("\n")
    for config in made:
        assert parse(plain(config)) == config
        assert len(identity(settle_precision(config))) == 8
