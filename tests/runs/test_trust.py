"""What a config that was read off the disk may build without `trust=true`."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from dlrun.config.compose import compose, options
from dlrun.config.groups import Layers, Target
from dlrun.config.schema import Config
from dlrun.errors import ConfigError
from dlrun.runs.trust import BUILT, check_trust, classifiers, go_on, hint

HOSTILE = [
    Target("os.system", {"command": "touch /tmp/owned"}),
    Target("torch.utils.collect_env.run", {"command": "touch /tmp/owned"}),
    Target("torch.hub.load", {"repo_or_dir": "a/b", "model": "c"}),
    Target("torch.load", {"f": "x"}),
    Target("torch.nn.modules.module._addindent", {}),
    Target("torch.nn.functional.relu", {}),
    Target("torch.nn.init.torch.hub.load", {}),
    Target("torch.nn.Parameter", {}),
    Target("torch.nn.utils.prune.torch.load", {}),
    Target("torchvision.models.get_weight", {"name": "x"}),
    Target("torchvision.models.get_model", {"name": "../x"}),
    Target("torchvision.models.get_model", {"name": ["resnet18"]}),
    Target("torchvision.models.detection.fasterrcnn_resnet50_fpn", {}),
    Target("torchvision.models.resnet18", {"weights": "DEFAULT"}),
    Target("torchvision.models.get_model", {"name": "resnet18", "pretrained": True}),
    Target("torchvision.models.quantization.resnet18", {}),
    Target("torchvision.datasets.MNIST", {"root": ".", "download": True}),
    Target("torchvision.datasets.utils.download_url", {}),
    Target("dlrun.config.targets.imported", {"target": "os.system", "group": "model"}),
    Target("dlrun.cli.main", {}),
    Target("__main__.x", {}),
    Target("", {}),
]
LISTED: list[Any] = [
    Layers(["flatten"]),
    Target("dlrun.models.resnet.resnet9", {}),
    Target("torch.nn.Linear", {"in_features": 4, "out_features": 2}),
    Target("torch.nn.Sequential", {}),
    Target("torchvision.models.resnet18", {}),
    Target("torchvision.models.get_model", {"name": "resnet34"}),
]
OPTIMIZERS = [Target("torch.optim.NAdam", {"lr": 0.1}), Target("torch.optim.LBFGS", {})]
HOSTILE_OPTIMIZERS = [
    Target("torch.optim.lr_scheduler.LambdaLR", {}),
    Target("torch.optim.optimizer.torch.hub.load", {}),
    Target("torch.optim.swa_utils.AveragedModel", {}),
    Target("torch.nn.Linear", {"in_features": 4, "out_features": 2}),
    Target("torch.hub.load", {}),
    Target("dlrun.optim.keras.torch.hub.load", {}),
]


@pytest.fixture(scope="module")
def base() -> Config:
    return compose(["data=synthetic", "model=fc_64"])


def refused(config: Config, group: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{group}\._target_=.*: not on dlrun's list .*add trust=true"):
        check_trust(config, BUILT, trust=False)
    check_trust(config, BUILT, trust=True)


@pytest.mark.parametrize("target", HOSTILE, ids=lambda target: target.target)
@pytest.mark.parametrize("group", BUILT)
def test_a_config_off_the_disk_builds_nothing_outside_the_list(target: Target, group: str, base: Config) -> None:
    refused(dataclasses.replace(base, **{group: target}), group)
    refused(dataclasses.replace(base, **{group: target}, trust=True), group)


@pytest.mark.parametrize("target", HOSTILE_OPTIMIZERS, ids=lambda target: target.target)
def test_nor_for_an_optimizer(target: Target, base: Config) -> None:
    refused(dataclasses.replace(base, optimizer=target), "optimizer")


@pytest.mark.parametrize("model", LISTED, ids=str)
def test_the_list_holds_our_own_layers_of_torch_and_classifiers_of_torchvision(model: Any, base: Config) -> None:
    check_trust(dataclasses.replace(base, model=model), BUILT, trust=False)
    if isinstance(model, Target):
        refused(dataclasses.replace(base, data=model), "data")
        refused(dataclasses.replace(base, optimizer=model), "optimizer")


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_the_list_holds_the_optimizers_of_torch(optimizer: Target, base: Config) -> None:
    check_trust(dataclasses.replace(base, optimizer=optimizer), BUILT, trust=False)
    refused(dataclasses.replace(base, model=optimizer), "model")


def test_torchvision_lists_classifiers_only() -> None:
    names = classifiers()
    assert {"resnet18", "vgg11", "vit_b_16"} <= set(names)
    assert not any("rcnn" in name or "deeplab" in name or name.startswith("raft") for name in names)


@pytest.mark.parametrize(
    ("group", "target", "typed"),
    [
        ("model", "mine.Net", " trust=true"),
        ("data", "torch.nn.Linear", " trust=true"),
        ("optimizer", "mine.Sgd", " trust=true"),
        ("model", "torchvision.models.vgg11", ""),
        ("optimizer", "torch.optim.NAdam", ""),
    ],
)
def test_the_line_to_type(group: str, target: str, typed: str, base: Config) -> None:
    config = dataclasses.replace(base, **{group: Target(target, {})})
    assert hint(config, BUILT) == typed
    assert hint(config, [name for name in BUILT if name != group]) == ""
    assert go_on(config, Path("a b")) == f"dlrun resume 'a b'{typed}"


def test_every_network_that_is_shipped_is_on_the_list(base: Config) -> None:
    for option in options("model"):
        check_trust(compose([f"model={option}", "data=synthetic"]), ("model",), trust=False)
