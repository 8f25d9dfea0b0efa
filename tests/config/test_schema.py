"""Checks, defaults and identity of configs, without Hydra."""

import pytest

from dlrun.config.fields import expectation, fields_of
from dlrun.config.groups import GROUPS, AdamOrAdamW, NetworkTarget
from dlrun.config.schema import Config, identity, parse, plain
from dlrun.errors import ConfigError

MINIMAL = {
    "data": {"name": "mnist"},
    "model": {"layers": ["flatten", "dense ${..width}"], "width": 64},
    "optimizer": {"name": "adam"},
    "precision": "float32",
}


def test_parse_fills_in_the_defaults() -> None:
    config = parse(MINIMAL)
    assert (config.epochs, config.batch_size, config.seed) == (10, 32, 0)
    assert config.optimizer == AdamOrAdamW(name="adam", lr=0.001)
    assert config.scheduler.name == "constant"
    assert config.model.named == {"width": 64}


def test_plain_and_parse_are_inverse() -> None:
    config = parse({**MINIMAL, "augment": {"shift": 0.1}, "checkpoint": {"every_steps": 5}, "tags": ["a"]})
    assert parse(plain(config)) == config


def test_parts_of_the_users_own_keep_their_arguments() -> None:
    config = parse({**MINIMAL, "model": {"_target_": "my.Net", "width": 3}})
    assert config.model == NetworkTarget("my.Net", {"width": 3})
    assert plain(config)["model"] == {"_target_": "my.Net", "width": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs=0: expected a whole number >= 1"),
        (
            {"batch_size": 10**20},
            "batch_size=100000000000000000000: expected a whole number >= 1; whole numbers have 18",
        ),
        ({"clip_norm": 1e-320}, "clip_norm=1e-320: expected a number > 0 or null; sizes go from 1e-30 to 1e30"),
        ({"augment": {"mixup": 1e300}}, "augment.mixup=1e+300: expected a number >= 0; sizes go from"),
        ({"augment": {"crop": 100_000}}, "augment.crop=100000: expected a whole number >= 0 and <= 1000"),
        (
            {"scheduler": {"name": "steps", "at": [0]}},
            "scheduler.at=[0]: expected a list of whole numbers >= 1 that rise",
        ),
        ({"scheduler": {"name": "steps", "at": [5, 3]}}, "scheduler.at=[5, 3]: expected a list"),
        ({"scheduler": {"name": "steps", "at": [3, 3]}}, "scheduler.at=[3, 3]: expected a list"),
        ({"epochs": "four"}, "epochs=four: expected a whole number >= 1"),
        ({"epochs": True}, "epochs=true: expected a whole number >= 1"),
        ({"epochs": 2.5}, "epochs=2.5: expected a whole number >= 1"),
        ({"batch_size": -1}, "batch_size=-1: expected a whole number >= 1"),
        ({"average": 1}, "average=1.0: expected a number > 0 and < 1 or null"),
        ({"clip_norm": float("inf")}, "clip_norm=inf: expected a number > 0 or null"),
        ({"precision": "float8"}, "precision=float8: expected one of auto, float32, bfloat16, float16"),
        ({"epoch": 3}, "epoch: no such field; did you mean epochs?"),
        ({"lrr": 3}, "lrr: no such field; did you mean optimizer.lr?"),
        ({"optimizer": {"name": "adam", "lrr": 1}}, "optimizer.lrr: no such field; did you mean lr?"),
        ({"optimizer": {"name": "adan"}}, "optimizer.name: 'adan' is unknown; did you mean adam?"),
        ({"optimizer": 3}, "optimizer: expected a group of fields, got 3"),
        ({"optimizer": {"name": "adam", "lr": float("nan")}}, "optimizer.lr=nan: expected a number > 0"),
        ({"sweep": []}, "sweep: expected a group of fields, got []"),
        (
            {"model": {"layers": []}},
            "model.layers: the list of layers is empty; e.g. model.layers='[flatten, dense 64]'",
        ),
        ({"model": {"layers": ["dense 3"], "widht": "x"}}, "model.widht: no such field"),
        ({"tags": "x"}, "tags=x: expected a list"),
        (
            {"scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR"}},
            "scheduler._target_: not supported; scheduler is one of constant, step, steps, "
            "exponential, inverse_time, linear, cosine, one_cycle",
        ),
        ({"data": {"_target_": 3}}, "_target_: expected the dotted name of a class or function, got 3"),
    ],
)
def test_mistakes_are_named_in_one_line(change: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({**MINIMAL, **change})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_identity_is_pinned() -> None:
    """A change here makes every finished run count as another: raise NUMERICS or find out why."""
    assert identity(parse(MINIMAL)) == "01df7287"


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cpu"},
        {"threads": 2},
        {"name": "x", "tags": ["y"]},
        {"tensorboard": "off", "log_every": 7},
        {"checkpoint": {"every_steps": 3}},
        {"sweep": {"slots": 2}},
        {"data": {"name": "mnist", "root": "/x", "verify": False}},
    ],
)
def test_what_cannot_change_the_numbers_is_not_part_of_the_identity(change: dict) -> None:
    assert identity(parse({**MINIMAL, **change})) == identity(parse(MINIMAL))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 11},
        {"eval_batch_size": 10},
        {"optimizer": {"name": "adam", "lr": 0.002}},
        {"data": {"name": "mnist", "normalize": "standard"}},
        {"augment": {"flip": True}},
        {"shuffle": False},
        {"drop_last": True},
        {"scale_last": True},
        {"train_limit": 100},
        {"model": {"layers": ["flatten"], "init": "he_normal"}},
        {"data": {"name": "mnist", "normalize": "standard", "mean": [0.5], "std": [0.5]}},
    ],
)
def test_what_changes_the_numbers_changes_the_identity(change: dict) -> None:
    assert identity(parse({**MINIMAL, **change})) != identity(parse(MINIMAL))


def test_where_ones_own_data_lie_is_not_part_of_the_identity_and_what_else_they_are_told_is() -> None:
    own = {"_target_": "mine.load", "root": "/a", "size": 3}
    moved, other = ({**MINIMAL, "data": {**own, **change}} for change in ({"root": "/b"}, {"size": 4}))
    assert identity(parse(moved)) == identity(parse({**MINIMAL, "data": own})) != identity(parse(other))


def test_only_what_is_settled_has_an_identity() -> None:
    for change in ({"precision": "auto"}, {"scale_lr": True}):
        with pytest.raises(ConfigError, match="not settled"):
            identity(parse({**MINIMAL, **change}))


def test_every_flat_field_is_documented() -> None:
    undocumented = [name for name, item in fields_of(Config).items() if not item.metadata.get("help")]
    assert undocumented == [*GROUPS, "checkpoint", "sweep"], "these are groups of documented fields"


def test_expectation_in_words() -> None:
    assert expectation(int | None, {"low": 1}) == "a whole number >= 1 or null"
    assert expectation(str, {"choices": ("a", "b")}) == "one of a, b"


def test_a_cosine_with_warm_up_is_another_experiment_since_it_begins_after_it() -> None:
    """Pinned as 0.1.0 had them: only the config whose schedule has changed has another hash."""
    cosine = {"scheduler": {"name": "cosine"}}
    assert identity(parse({**MINIMAL, **cosine})) == "4c7d47ff"
    assert identity(parse({**MINIMAL, "scheduler": {"name": "cosine", "warmup": 2}})) != "c3162042"
    assert identity(parse({**MINIMAL, "scheduler": {"name": "step", "warmup": 2}})) == "6d41bd4a"
