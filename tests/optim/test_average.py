import copy

import torch
from torch import nn

from dlrun.optim.average import Average


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


def test_weights_follow_exponentially_and_buffers_are_copied() -> None:
    model = network()
    nn.init.constant_(model[0].weight, 1.0)
    average = Average(model, 0.75)
    nn.init.constant_(model[0].weight, 5.0)
    model(torch.randn(8, 2))
    for expected in (2.0, 2.75):
        average.update(model)
        assert average.model[0].weight.unique().tolist() == [expected]
    assert torch.equal(average.model[1].running_mean, model[1].running_mean)
    assert average.model[1].num_batches_tracked == 1


def test_the_copy_evaluates_and_needs_no_gradient() -> None:
    model = network()
    average = Average(model, 0.9)
    assert model.training
    assert not average.model.training
    assert not average.model(torch.randn(3, 2)).requires_grad


def test_a_saved_average_is_copied_into_the_tensors_that_are_there() -> None:
    model = network()
    average = Average(model, 0.9)
    saved = copy.deepcopy(average.state_dict())
    nn.init.zeros_(model[0].weight)
    average.update(model)
    place = average.model[0].weight.data_ptr()
    average.load_state_dict(saved)
    assert average.model[0].weight.data_ptr() == place
    assert torch.equal(average.model[0].weight, saved["0.weight"])
