"""From what was typed and what lies in `configs/` to a checked config."""

from pathlib import Path

import pytest

from dlrun.config.compose import Composed, checked, compose, compose_all, compose_with_hydra, hydra_started
from dlrun.config.groups import Layers
from dlrun.config.schema import Config
from dlrun.errors import ConfigError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a network of the user's own, in which a field is misspelt."""
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "configs" / "model" / "lenet.yaml").write_text("layers: [flatten, dense 10]\nactivaton: tanh\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_slip_in_an_option_of_ones_own_is_found(own: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model=lenet: activaton: no such field.*did you mean activation\?$"):
        compose(["model=lenet", "data=synthetic"])


def test_scalars_of_layers_that_were_replaced_do_not_matter() -> None:
    model = compose(["model=cnn_dropout", "model.layers=[flatten, dense 5]", "data=synthetic"]).model
    assert isinstance(model, Layers)
    assert model.named == {}


def test_a_typed_scalar_must_be_referred_to() -> None:
    with pytest.raises(ConfigError, match=r"^model\.conv_dropot: no such field.*did you mean conv_dropout\?$"):
        compose(["model=cnn_dropout", "model.conv_dropot=0.3", "data=synthetic"])


ROWS = [
    ["model=fc_64", "data=mnist", "seed=3"],
    ["model=fc_64", "data=mnist"],
    ["model=fc_64", "data=mnist", "+optimizer.lr=0.5", "++epochs=2", "optimizer.lr=0.25"],
    ["model=cnn_dropout", "seed=${batch_size}", "name='a, b'", "tags=[x,y]"],
    ["model=cnn_dropout", "model.layers=[flatten, dense 7]", "hydra.job.num=1"],
    ["data=mnist", "sweep={slots: 2, retries: 1}", "sweep.slots=3", "checkpoint.every_steps=5"],
    ["data=mnist", "augment=none", "~augment", "augment.shift=0.1"],
    ["scheduler=cosine", "optimizer=adam", "optimizer.beta1=0.8"],
    [],
]


def by_hydra_alone(row: list[str]) -> Config:
    with hydra_started():
        return checked(Composed.of(compose_with_hydra(row)), row)


def test_what_rows_share_is_composed_once_and_makes_no_difference() -> None:
    assert compose_all([*ROWS, *reversed(ROWS)]) == [by_hydra_alone(row) for row in [*ROWS, *reversed(ROWS)]]
