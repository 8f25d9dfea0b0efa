import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dlrun.config.groups import Layers
from dlrun.errors import ConfigError
from dlrun.models.phrases import (
    READERS,
    ActivationPhrase,
    BatchNormPhrase,
    ConvPhrase,
    DensePhrase,
    DropoutPhrase,
    Phrase,
    PoolPhrase,
    plan,
)

CONFIGS = Path(__file__).parents[2] / "configs" / "model"


def planned(*layers: str, shape: tuple[int, int, int] = (1, 28, 28), **scalars: object) -> tuple[Phrase, ...]:
    return plan(Layers(list(layers), **scalars), shape, 10)  # type: ignore[arg-type]


def shapes(*layers: str, **scalars: object) -> list[tuple[int, ...]]:
    return [phrase.out_shape for phrase in planned(*layers, **scalars)]


def problem(*layers: str, shape: tuple[int, int, int] = (1, 28, 28)) -> str:
    with pytest.raises(ConfigError) as caught:
        planned(*layers, shape=shape)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_shapes_and_parameters_are_those_of_the_slides_summary() -> None:
    phrases = planned("conv 32", "conv 64", "pool 2", "dropout 0.25", "flatten", "dense 128", "dropout 0.5")
    assert [phrase.out_shape for phrase in phrases] == [
        *[(32, 26, 26), (64, 24, 24), (64, 12, 12), (64, 12, 12), (9216,), (128,), (128,), (10,)]
    ]
    assert [phrase.parameters for phrase in phrases] == [320, 18496, 0, 0, 0, 1179776, 0, 1290]


def test_a_conv_takes_its_words_in_any_order_and_defaults_from_the_scalars() -> None:
    assert planned("conv 8 same stride 2 3x5 tanh", "flatten")[0] == ConvPhrase(
        "conv 8 same stride 2 3x5 tanh", (1, 28, 28), (8, 14, 14), (3, 5), 2, (0, 1, 1, 2), "tanh"
    )
    first = planned("conv 8", "flatten", kernel=5, padding="same", activation="elu")[0]
    assert first == ConvPhrase("conv 8", (1, 28, 28), (8, 28, 28), (5, 5), 1, (2, 2, 2, 2), "elu")


def test_pools_step_by_their_size_unless_told_otherwise() -> None:
    assert shapes("pool 3", "flatten")[0] == (1, 9, 9)
    assert shapes("pool 3 stride 2", "flatten")[0] == (1, 13, 13)
    assert planned("pool 2 same", "flatten", shape=(1, 7, 4))[0] == PoolPhrase(
        "pool 2 same", (1, 7, 4), (1, 4, 2), (2, 2), 2, (0, 1, 0, 0)
    )


def test_the_last_dense_layer_is_added_without_activation() -> None:
    assert planned("flatten", activation="sigmoid")[-1] == DensePhrase("dense 10 none", (784,), (10,), "none")


def test_dropout_by_channel_or_by_value() -> None:
    assert planned("dropout2d 0.25", "flatten")[0] == DropoutPhrase(
        "dropout2d 0.25", (1, 28, 28), (1, 28, 28), 0.25, True
    )
    assert planned("flatten", "dropout 0")[1] == DropoutPhrase("dropout 0", (784,), (784,), 0.0, False)


def test_batch_norm_counts_its_statistics() -> None:
    bn = planned("conv 32", "bn", "flatten")[1]
    assert (bn.parameters, bn.statistics) == (64, 64)


def test_layers_without_bias_have_fewer_parameters() -> None:
    phrases = planned("conv 64 nobias none", "bn", "relu", "flatten", "dense 10 nobias tanh")
    assert [phrase.parameters for phrase in phrases] == [576, 128, 0, 0, 64 * 26 * 26 * 10, 110]


def test_an_activation_can_be_a_layer_of_its_own() -> None:
    shape = (1, 28, 28)
    assert planned("leaky_relu 0.1", "flatten")[0] == ActivationPhrase(
        "leaky_relu 0.1", shape, shape, "leaky_relu", 0.1
    )
    assert planned("leaky_relu", "flatten")[0] == ActivationPhrase("leaky_relu", shape, shape, "leaky_relu", None)
    assert planned("flatten", "relu")[1] == ActivationPhrase("relu", (784,), (784,), "relu", None)


def test_pools_of_means_and_of_whole_pictures() -> None:
    assert shapes("conv 6 same", "avgpool 2", "avgpool 3 stride 2 same", "globalpool", "dense 4") == [
        *[(6, 28, 28), (6, 14, 14), (6, 7, 7), (6,), (4,), (10,)]
    ]
    assert planned("avgpool 2", "flatten")[0] == PoolPhrase(
        "avgpool 2", (1, 28, 28), (1, 14, 14), (2, 2), 2, (0, 0, 0, 0), mean=True
    )


def test_normalizations_and_their_numbers() -> None:
    phrases = planned("conv 8", "bn 0.8", "groupnorm 4", "layernorm", "flatten")
    assert phrases[1] == BatchNormPhrase("bn 0.8", (8, 26, 26), (8, 26, 26), 0.8)
    assert [phrase.parameters for phrase in phrases[1:4]] == [16, 16, 16]
    assert [phrase.statistics for phrase in phrases[1:4]] == [16, 0, 0]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (["conv 8 nobias nobias"], "nobias and nobias exclude each other"),
        (["conv 8 nobais"], "'nobais' is not understood; did you mean nobias?"),
        (["conv 8 he_norml"], "'he_norml' is not understood; did you mean he_normal?"),
        (["conv 8 he_normal zeros"], "he_normal and zeros exclude each other"),
        (["bn 1"], "expected the share of the old average that is kept, a number from 0 to below 1, found 1"),
        (["conv 8", "groupnorm 3"], "8 channels can't be put into 3 groups of one size"),
        (["flatten", "globalpool"], "needs channels, height and width, but a flatten stands before it"),
        (["flatten", "avgpool 2"], "needs channels, height and width, but a flatten stands before it"),
        (["relu 0.2"], "'0.2' is not understood; nothing may follow here"),
        (["leaky_relu 1.5"], "expected the slope below 0, a number from 0 to below 1, found 1.5"),
        (["rleu"], "no layer is called 'rleu'; did you mean relu?"),
        (["cnov 3"], "phrase 1 'cnov 3': no layer is called 'cnov'; did you mean conv?"),
        (["flatten", ""], "phrase 2 '': is empty; there are: avgpool, bn, conv, dense"),
        (["conv"], "'conv': expected the number of filters, a whole number from 1 to 1048576, found nothing"),
        (["conv 0"], "whole number from 1"),
        (["conv 3.5"], "found 3.5"),
        (["conv 3 smae"], "'smae' is not understood; did you mean same?"),
        (["conv 3 stride"], "expected the stride"),
        (["conv 3 stride 2 stride 3"], "stride stands there twice"),
        (["conv 3 same valid"], "same and valid exclude each other"),
        (["conv 3 3x3 5x5"], "'5x5' is not understood"),
        (["conv 3 29x29"], "a window of 29x29 does not fit into its input of 28x28; use same"),
        (["pool 5", "pool 6"], "phrase 2 'pool 6': a window of 6x6 does not fit into its input of 5x5"),
        (["flatten", "conv 3"], "phrase 2 'conv 3': needs channels, height and width"),
        (["flatten", "dropout2d 0.1"], "needs channels"),
        (["pool 2", "flatten 3"], "'3' is not understood; nothing may follow here"),
        (["dropout 1.5"], "number from 0 to below 1, found 1.5"),
        (["dropout nan"], "found nan"),
        (["dropout half"], "found half"),
        (["dense 3"], "'dense 3': its input has the shape 1x28x28; write flatten before it"),
        (["flatten", "dense 5 rleu"], "did you mean relu?"),
        (["conv 3"], "the last phrase 'conv 3' leaves the shape 3x26x26; write flatten after it"),
    ],
)
def test_a_bad_phrase_is_one_line_that_points_at_it(layers: list[str], said: str) -> None:
    assert said in problem(*layers)


WORDS = [*READERS, "0", "1", "2", "64", "0.5", "3x3", "5x2", "stride", "same", "valid", "relu", "none"]


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join) | st.text(max_size=12), max_size=6))
def test_any_text_is_planned_or_refused_in_one_line(layers: list[str]) -> None:
    problem = ""
    try:
        phrases = plan(Layers(["flatten", *layers] if len(layers) % 2 else [*layers, "flatten"]), (3, 9, 8), 7)
    except ConfigError as error:
        problem = str(error)
    if problem:
        assert len(problem.splitlines()) == 1
        return
    assert phrases[0].in_shape == (3, 9, 8)
    assert phrases[-1].out_shape == (7,)
    for before, after in pairwise(phrases):
        assert before.out_shape == after.in_shape
        assert min(after.out_shape) >= 1


SLIDES = {
    "fc_64": (55_050, 0),
    "fc_512": (669_706, 0),
    "fc_512x3": (932_362, 0),
    "cnn_1layer": (542_230, 0),
    "cnn_2layer": (1_199_882, 0),
    "cnn_dropout": (1_199_882, 0),
    "cnn_batchnorm": (1_200_330, 448),
    "pytorch_mnist": (1_199_882, 0),
}


def shipped(name: str) -> Layers:
    """configs/model/<name>.yaml with its own scalars filled into the phrases."""
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    phrases = values.pop("layers")
    for key, value in values.items():
        phrases = [phrase.replace(f"${{..{key}}}", str(value)) for phrase in phrases]
    known = {field.name for field in dataclasses.fields(Layers)}
    return Layers(phrases, **{key: value for key, value in values.items() if key in known})


@pytest.mark.parametrize("name", SLIDES)
def test_parameters_of_the_slides_networks(name: str) -> None:
    phrases = plan(shipped(name), (1, 28, 28), 10)
    assert (sum(p.parameters for p in phrases), sum(p.statistics for p in phrases)) == SLIDES[name]


def test_parameters_of_nvidias_networks_on_24_letters() -> None:
    assert sum(p.parameters for p in plan(shipped("fc_512"), (1, 28, 28), 24)) == 676_888
    phrases = plan(shipped("asl_cnn"), (1, 28, 28), 24)
    assert (sum(p.parameters for p in phrases), sum(p.statistics for p in phrases)) == (263_749, 300)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 64, 48)])
@pytest.mark.parametrize("name", [*SLIDES, "asl_cnn"])
def test_every_shipped_list_fits_every_picture(name: str, shape: tuple[int, int, int]) -> None:
    assert plan(shipped(name), shape, 100)[-1].out_shape == (100,)
