"""What a checkpoint says of the data."""

import pytest
import torch

from dlrun.data.dataset import Dataset, Split
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


def test_the_rim_is_that_of_every_picture_of_the_data_set() -> None:
    def split(level: int) -> Split:
        return Split(torch.full((2, 1, 4, 4), level, dtype=torch.uint8), torch.tensor([0, 1]))

    dataset = Dataset("own", split(0), split(51), ("a", "b"), (0.5,), (0.5,), "f", True, val=split(255))
    assert Inputs.of(dataset).rim == (0.0, 0.2, 1.0)
