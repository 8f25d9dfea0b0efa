"""What a config read off the disk may build: it may be a stranger's, and to build a `_target_` is to run code."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from dlrun.config.fields import default_of, fields_of
from dlrun.config.groups import NEIGHBOURS, NetworkTarget, Target
from dlrun.config.overrides import hydra_value
from dlrun.config.schema import Config
from dlrun.errors import ConfigError
from dlrun.text import typeable

BUILT = ("model", "data", "optimizer")
"""The groups that may name a `_target_`: all of them are built where a run goes on."""
STARTED = ("sinks", "on_end")
"""Fields that start something besides the run."""
OWN_MODELS = ("dlrun.models.resnet.resnet9", "dlrun.models.resnet.resnet18", "dlrun.models.lowres.lowres", NEIGHBOURS)
TORCHVISION = "torchvision.models."
ANY_OF_TORCHVISION = "torchvision.models.get_model"
LISTED = ("dlrun.models.resnet.", "dlrun.models.lowres.", NEIGHBOURS, "torch.nn.", "torch.optim.", TORCHVISION)
"""How the names on the list begin; the list itself needs torch."""


def check_trust(config: Config, groups: Sequence[str], trust: bool) -> None:
    """Refuse a config that was read off the disk if one of `groups` names what is outside the list.

    The list: dlrun's own networks, the `nn.Module` classes defined in `torch.nn`, torchvision's classifiers without
    weights to download, the optimizers defined in `torch.optim`. A rule by module prefix would be no protection:
    there are functions in torch that run a shell.

    Args:
        trust: `trust=true` was typed in this command. What the config itself says of trust counts for nothing.

    Raises:
        ConfigError: Something is not listed and `trust` is false.
    """
    for group in groups:
        part = getattr(config, group)
        if isinstance(part, Target) and not trust and not is_listed(group, part):
            raise ConfigError(
                f"{group}._target_={part.target}: not on dlrun's list of what the config of a run may build, since "
                f"building it runs code{_of_weights(part)}; if you trust whoever made this run, add trust=true"
            )


def is_listed(group: str, part: Target) -> bool:
    """Whether building this part of a config runs nothing but code of dlrun, PyTorch and torchvision."""
    if group == "optimizer":
        return _is_optimizer(part.target)
    return group == "model" and _is_network(part)


def only_typed(config: Config, typed: Collection[str], trust: bool) -> tuple[Config, list[str]]:
    """A config that was read off the disk, less the sinks and the command that nobody typed; and sentences on these.

    Args:
        typed: The fields that stand in this command.
        trust: As `check_trust` takes it.
    """
    said = []
    for name in STARTED:
        value = getattr(config, name)
        if value and name not in typed and not trust:
            said.append(
                f"{_typed(name, value)} of the run's config is not started, since its folder may be a "
                "stranger's; type it again, or trust=true"
            )
            config = replace(config, **{name: default_of(fields_of(Config)[name])})
    return config, said


def check_started(config: Config, trust: bool) -> None:
    """Refuse a config from a file that nobody typed here if it starts a sink.

    Raises:
        ConfigError: It does, and `trust` is false.
    """
    if config.sinks and not trust:
        raise ConfigError(
            f"sinks={hydra_value(config.sinks)}: a sink is started only if you trust the file that names it; "
            "add trust=true"
        )


def _typed(name: str, value: str | list[str]) -> str:
    """A field of `STARTED` as one types it; a command is taken as it stands."""
    return f"{name}={value if isinstance(value, str) else hydra_value(value)}"


def hint(config: Config, groups: Sequence[str]) -> str:
    """What has to be typed behind a verb for a run with this config: ` trust=true` or nothing (without torch)."""
    targets = {group: part for group in groups if isinstance(part := getattr(config, group), Target)}
    own = (group == "data" or not part.target.startswith(LISTED) for group, part in targets.items())
    return " trust=true" if any(own) else ""


def go_on(config: Config, run_dir: Path) -> str:
    """The line to type to go on with a run."""
    again = [typeable(_typed(name, value)) for name in STARTED if (value := getattr(config, name))]
    trust = hint(config, BUILT)  # which covers the others, too
    return " ".join(["dlrun resume", f"{typeable(run_dir)}{trust}", *([] if trust else again)])


def without_download(part: NetworkTarget) -> NetworkTarget:
    """The network less what would make torchvision fetch weights: where they come from a checkpoint."""
    if not part.target.startswith(TORCHVISION):
        return part
    kept = {key: value for key, value in part.arguments.items() if key not in _weights(part)}
    return replace(part, arguments=kept)


def classifiers() -> list[str]:
    """The names of torchvision's classifiers, such as `resnet18`; the list is torchvision's own."""
    from dlrun.models import torchvision_ops

    torchvision_ops.prepare()
    from torchvision import models

    return list(models.list_models(module=models))


def _weights(part: Target) -> list[str]:
    return [key for key, value in part.arguments.items() if key.startswith(("weights", "pretrained")) and value]


def _of_weights(part: Target) -> str:
    names = _weights(part) if part.target.startswith(TORCHVISION) else []
    return f" (and {names[0]} may download)" if names else ""


def _is_network(model: Target) -> bool:
    if model.target in OWN_MODELS:
        return True
    if model.target.startswith("torch.nn."):
        return _is_layer(model.target)
    if _weights(model):
        return False
    if model.target == ANY_OF_TORCHVISION:
        return model.arguments.get("name") in classifiers()
    return model.target.startswith(TORCHVISION) and model.target.removeprefix(TORCHVISION) in classifiers()


def _is_layer(target: str) -> bool:
    """Whether it is the public name of a class of layers that is defined inside torch.nn."""
    from torch import nn

    found = vars(nn).get(target.removeprefix("torch.nn."))
    return isinstance(found, type) and issubclass(found, nn.Module) and found.__module__.startswith("torch.nn.")


def _is_optimizer(target: str) -> bool:
    """Whether it is the public name of a class of optimizers that is defined inside torch.optim."""
    from torch import optim

    found = vars(optim).get(target.removeprefix("torch.optim.")) if target.startswith("torch.optim.") else None
    return isinstance(found, type) and issubclass(found, optim.Optimizer) and found.__module__.startswith("torch.optim")
