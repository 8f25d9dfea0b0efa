"""From what was typed and what lies in `configs/` to a checked config."""

from pathlib import Path

import pytest

from dlrun.compose import compose
from dlrun.errors import ConfigError
from dlrun.groups import Layers


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
