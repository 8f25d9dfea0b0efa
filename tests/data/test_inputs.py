"""What a checkpoint says of the data."""

import pytest

from dlrun.data.inputs import Inputs


def test_inputs_survive_the_checkpoint() -> None:
    inputs = Inputs(("a", "b"), (3, 4, 5), (0.1, 0.2, 0.3), (1.0, 1.0, 1.0), (0.0, 0.5, 1.0))
    assert Inputs.parse(inputs.plain()) == inputs


@pytest.mark.parametrize(
    ("name", "message"), [("classes", "classes"), ("shape", "shape"), ("mean", "mean: expected a number")]
)
def test_inputs_that_lack_something_are_refused(name: str, message: str) -> None:
    values = Inputs(("a", "b"), (1, 4, 5), (0.1,), (1.0,), (0.0,)).plain()
    with pytest.raises(ValueError, match=message):
        Inputs.parse({**values, name: []})
