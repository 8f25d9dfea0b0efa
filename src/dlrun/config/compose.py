"""From what was typed to a checked config: Hydra composes, `dlrun.config.schema` checks, errors become sentences."""

import contextlib
import copy
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import yaml
from hydra import __version__ as hydra_version
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from dlrun.config.fields import fields_of
from dlrun.config.groups import GROUPS, Layers
from dlrun.config.kinds import is_field, kind_of, takes_text_alone
from dlrun.config.overrides import bare, key_of, pair, quoted
from dlrun.config.own_files import as_typed, check_file, located, own_file, undecodable
from dlrun.config.schema import Config, defaults, parse
from dlrun.config.yaml_numbers import refuse_misread_options
from dlrun.errors import ConfigError, did_you_mean, first_line

BEHAVIOUR = {"version_base": "1.3"} if hydra_version.startswith("1.3.") else {}
"""Asks Hydra 1.3 for its own behaviour and not that of 1.1; Hydra 1.4 has no other, and warns when it is asked."""

ConfigStore.instance().store(name="dlrun_defaults", node=defaults())


def configs_dir() -> Path:
    """The shipped configs: `configs/` of the checkout that holds these sources, else inside the package.

    The checkout comes first because an editable install can leave a stale copy in the package.
    """
    checkout = Path(__file__).parents[3] / "configs"
    return checkout if (checkout / "config.yaml").is_file() else Path(__file__).parents[1] / "configs"


def config_folders() -> list[Path]:
    """Where configs are looked for, in Hydra's order: the shipped ones, then those of the working directory."""
    own = Path.cwd() / "configs"
    folders = [configs_dir()]
    if own.is_dir() and own.resolve() != folders[0].resolve():
        folders.append(own)
    return folders


def options(group: str) -> list[str]:
    """The names that can be chosen for a group such as `model`."""
    found = {
        path.relative_to(folder / group) for folder in config_folders() for path in (folder / group).rglob("*.yaml")
    }
    return sorted(path.with_suffix("").as_posix() for path in found)


def hydra_started() -> contextlib.AbstractContextManager[None]:
    """Hydra, started with the shipped configs for as long as the context lasts."""
    started: contextlib.AbstractContextManager[None] = initialize_config_dir(str(configs_dir()), **BEHAVIOUR)
    return started


def composing() -> contextlib.AbstractContextManager[None]:
    """Hydra for all that is composed inside: runs that choose the same options share the work."""
    # A sweeper is called by a Hydra that is started already.
    return contextlib.nullcontext() if GlobalHydra.instance().is_initialized() else hydra_started()


def compose(overrides: Sequence[str]) -> Config:
    """The checked config of one run.

    Raises:
        ConfigError: An unknown option or key, a wrong type, a value out of range, a typing mistake.
    """
    return compose_all([overrides])[0]


def compose_all(rows: Iterable[Sequence[str]]) -> list[Config]:
    """`compose` for many runs; Hydra is started once.

    Raises:
        ConfigError: As `compose`, for the first row that is wrong.
    """
    with composing():
        bases = _bases.setdefault(GlobalHydra.instance().hydra, {})
        return [_compose_one(row, bases) for row in rows]


@dataclass(frozen=True)
class Composed:
    """What Hydra composed, less its own node, and the option chosen for each group."""

    config: DictConfig
    choices: Mapping[str, Any]

    @classmethod
    def of(cls, composed: DictConfig) -> "Composed":
        """Take Hydra's node out of what `compose_with_hydra` gave."""
        choices = composed.hydra.runtime.choices
        with open_dict(composed):
            del composed["hydra"]
        return cls(composed, choices)


_bases: WeakKeyDictionary[Any, dict[tuple[str, ...], Composed]] = WeakKeyDictionary()
"""Of each Hydra, by what was chosen: most points of a sweep differ in fields only, and composing takes 50 ms."""


def _compose_one(overrides: Sequence[str], bases: dict[tuple[str, ...], Composed]) -> Config:
    composed = _from_base(overrides, bases) or Composed.of(compose_with_hydra(overrides))
    return checked(composed, overrides)


def _from_base(overrides: Sequence[str], bases: dict[tuple[str, ...], Composed]) -> Composed | None:
    """What Hydra composes, from the options chosen and then, on a copy, the fields as it sets those with `++`.

    None where the order of overrides matters (`~`), and for what Hydra refuses: it can say why.
    """
    permitted = permit(overrides)
    fields = [text for text in permitted if _sets_field(text)]
    chosen = tuple(text for text in permitted if not _sets_field(text))
    if any(text.startswith("~") for text in chosen):
        return None
    if chosen not in bases:
        bases[chosen] = Composed.of(compose_with_hydra(chosen))
    config = copy.deepcopy(bases[chosen].config)
    try:
        for override in OverridesParser.create().parse_overrides(fields):
            if override.package is not None or override.is_sweep_override():
                return None
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
    except (HydraException, OmegaConfBaseException, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return Composed(config, bases[chosen].choices)


def _sets_field(permitted: str) -> bool:
    return permitted.startswith("++") and not permitted.startswith("++hydra")


def compose_with_hydra(overrides: Sequence[str]) -> DictConfig:
    """What Hydra composes, its own `hydra` node included; call it where Hydra is initialised.

    Raises:
        ConfigError: Hydra refuses, or a file that the user wrote has a slip.
    """
    check_choices(overrides)
    try:
        with in_sentences(overrides):
            composed = hydra_compose("config", overrides=permit(overrides), return_hydra_config=True)
    # Hydra lets these through on numbers of thousands of digits, lists a thousand deep, groups that are no names.
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"the overrides can't be read: {sentence(error)}") from error
    of_hydra = {group: name for group, name in composed.hydra.runtime.choices.items() if group.startswith("hydra")}
    refuse_misread_options(of_hydra, config_folders())
    return composed


@contextlib.contextmanager
def in_sentences(typed: Iterable[str]) -> Iterator[None]:
    """What Hydra, OmegaConf and YAML raise inside becomes a ConfigError in one or two lines.

    Args:
        typed: The overrides before `permit`.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(sentence(error, typed)) from error
    except yaml.YAMLError as error:
        raise ConfigError(located(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(undecodable() or f"a file is not UTF-8: {error}") from error


def folder_of(key: str, text: str, values: Mapping[str, Any]) -> Path:
    """A folder as it was typed, with `${…}` in it replaced.

    Args:
        key: Of the field that names it.
        values: What may be referred to, besides the date (`${now:%Y}`) and the environment (`${oc.env:HOME}`).

    Raises:
        ConfigError: Something that is not there is referred to, or the text is no name, or that of a file.
    """
    setup_globals()  # Hydra's resolvers
    holder = OmegaConf.create({str(name): value for name, value in values.items()})
    try:
        OmegaConf.update(holder, key, text, force_add=True)
        folder = str(OmegaConf.select(holder, key))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}={text}: {sentence(error)}") from error
    if not folder or "\0" in folder:
        raise ConfigError(f"{key}: expected the name of a folder")
    path = Path(folder)
    there = next((one for one in (path, *path.parents) if one.exists()), None)
    if there is not None and not there.is_dir():
        raise ConfigError(f"{key}={text}: {there} is a file; expected the name of a folder")
    return path


def checked(composed: Composed, overrides: Sequence[str]) -> Config:
    """Resolve and check what Hydra composed.

    Args:
        overrides: What was typed: a scalar typed for the model must be referred to by a layer.

    Raises:
        ConfigError: An interpolation that leads nowhere, or what `dlrun.config.schema.parse` finds.
    """
    config, choices = composed.config, composed.choices
    as_typed(config, choices)
    for text in overrides:
        if pair(text)[0].partition(".")[0] == "choices":
            raise ConfigError(f"{text}: choices only say what was chosen; choose with model=…, data=… and so on")
    try:
        values = OmegaConf.to_container(config, resolve=True)
        model = OmegaConf.to_container(config.model, resolve=False) if "model" in config else {}
    except OmegaConfBaseException as error:
        raise ConfigError(sentence(error)) from error
    assert isinstance(values, dict)
    values["choices"] = {group: str(choices[group]) for group in (*GROUPS, "experiment") if choices.get(group)}
    if isinstance(model, dict) and "_target_" not in model:
        for key in _unused_scalars(model):
            _refuse_mistake(key, model, overrides, values["choices"])
            del values["model"][key]
    return parse({str(key): value for key, value in values.items()})


def _unused_scalars(model: dict[Any, Any]) -> list[Any]:
    """Scalars that nothing refers to: left over from the option's own layers, or a typing mistake."""
    known = fields_of(Layers)
    interpolations = " ".join(text for text in _texts(model) if "${" in text)
    return [
        key for key in model if key not in known and not re.search(rf"[.{{]{re.escape(str(key))}\b", interpolations)
    ]


def _refuse_mistake(key: Any, model: dict[Any, Any], overrides: Sequence[str], choices: Mapping[str, str]) -> None:
    """Refuse a scalar without use, unless it belongs to layers that others were put in the place of."""
    typed = {pair(text)[0] for text in overrides}
    if f"model.{key}" not in typed and ("model.layers" in typed or "experiment" in choices):
        return
    where = f"model.{key}" if f"model.{key}" in typed else f"model={choices.get('model')}: {key}"
    others = {*fields_of(Layers), *model} - {key, "layers", "named"}
    raise ConfigError(f"{where}: no such field, and no layer refers to it{did_you_mean(str(key), others)}")


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def permit(overrides: Sequence[str]) -> list[str]:
    """The overrides for Hydra, each field with `++`, so that `dlrun.config.schema` and not Hydra judges the keys.

    Hydra knows only the keys that a YAML file spells out, and answers a misspelt one with the advice to
    add it with `+`.
    """
    return [_permit_one(text) for text in overrides]


def _permit_one(text: str) -> str:
    key = pair(text)[0]
    if text.startswith("~") or "=" not in text or key.startswith("hydra") or _is_group(key):
        return text
    return "++" + _in_letters(bare(text))


def _is_group(key: str) -> bool:
    return any((folder / key.partition("@")[0]).is_dir() for folder in config_folders())


def _in_letters(text: str) -> str:
    """An override whose field takes text alone, such that Hydra takes the value as it is typed.

    To Hydra 20260101 and 1e3 are numbers, and letters and signs beyond ASCII nothing at all.
    """
    key, value = pair(text)
    if key == "on_end" and value not in ("", "null"):  # the shell reads all of it, commas and ${…}
        whole = value if value[0] in "'\"" and _reads(text) else quoted(value)
        return f"{key}=" + re.sub(r"(?<!\\)\$\{", r"\\${", whole)
    kind = kind_of(key.split("."))
    if kind is None or not takes_text_alone(kind):
        return text
    if listed := re.fullmatch(r"\[([^][{}()'\"\\]*)\]", value):
        items = (item.strip() for item in listed[1].split(","))
        return f"{key}=[{', '.join(quoted(item) if _LIKE_NUMBER.fullmatch(item) else item for item in items)}]"
    if _LIKE_NUMBER.fullmatch(value) or (value.isprintable() and value[:1] not in ("", *"'\"[{(") and not _reads(text)):
        return f"{key}={quoted(value)}"
    return text


_LIKE_NUMBER = re.compile(r"[+-]?[\d_.]*\d[\d_.]*(?:e[+-]?\d+)?|[+-]?(?:inf|nan)|true|false", re.IGNORECASE)


def _reads(text: str) -> bool:
    try:
        OverridesParser.create().parse_override(text)
    except HydraException:
        return False
    return True


def check_choices(overrides: Iterable[str]) -> None:
    """Look at the files of the user's that are chosen, before Hydra does, and at what is chosen.

    Raises:
        ConfigError: A slip in a file, null as a choice, or a sweep's file where there is no sweep.
    """
    for text in overrides:
        key, value = pair(text)
        if text.startswith("~") and is_field(name := key_of(text)) and name not in GROUPS and "." not in name:
            raise ConfigError(f"{text}: a field can't be deleted; without {name}=… it has its default")
        if key == "sweep" and re.fullmatch(r"[\w./-]+", value):
            raise ConfigError(f"{text}: names a sweep, which runs with -m: dlrun -m {text}")
        if value in ("null", "~") and not text.startswith("~") and _is_group(key):
            raise ConfigError(f"{text}: expected the name of an option; there are: {', '.join(options(key))}")
        for name in value.split(","):
            if path := own_file(key.partition("@")[0], name.strip()):
                check_file(path)


def sentence(error: Exception, typed: Iterable[str] = ()) -> str:
    """One or two lines for an error of Hydra's or OmegaConf's; `typed` are the overrides before `permit`."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        if group == "model" and _of_torchvision(option):
            return f"model={option}: no such option; torchvision has it: model=torchvision model.name={option}"
        return f"{group or 'config'}={option}: no such option{did_you_mean(option, error.options or [])}"
    if isinstance(error, OverrideParseException):
        return _unreadable(next((text for text in typed if _permit_one(text) == error.override), error.override))
    if isinstance(error, InterpolationKeyError):
        key = str(error.full_key or "")
        return first_line(error) if key.startswith("hydra.") or not key else f"{key}: {first_line(error)}"
    if "Ambiguous value" in str(error):
        return "several values for one field: dlrun -m runs every combination (a text with a comma needs quotes)"
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    if lines and (absent := re.match(r"Could not delete from config\. '([^']+)' does not exist", lines[0])):
        return f"~{absent[1]}: no option says it, so that there is nothing to delete; it has its default"
    if lines and (unknown := re.match(r"Key '([^']+)' (?:is not in struct|not in ')", lines[0])):
        return _no_field_of_hydra(unknown[1], list(typed)) or lines[0]
    return lines[0] if lines else type(error).__name__


def _no_field_of_hydra(name: str, typed: Sequence[str]) -> str:
    """A sentence for a field below `hydra.` that is not there; empty if none was typed."""
    keys = [pair(text)[0] for text in typed]
    key = next((key for key in keys if key.startswith("hydra.") and name in key.split(".")), None)
    if key is None or not key.startswith("hydra.launcher."):
        return f"{key}: no such field" if key else ""
    chosen = next((pair(text)[1] for text in reversed(typed) if pair(text)[0] == "hydra/launcher"), "local")
    fields = {option: _keys_of("hydra/launcher", option) for option in options("hydra/launcher")}
    others = [f"hydra/launcher={option}" for option, known in fields.items() if name in known and option != chosen]
    hint = f"; {' and '.join(others)} has it" if others else did_you_mean(name, fields.get(chosen, []))
    return f"{key}: hydra/launcher={chosen} has no such field{hint}"


def _keys_of(group: str, option: str) -> list[str]:
    for folder in config_folders():
        with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
            values = yaml.safe_load((folder / group / f"{option}.yaml").read_text("utf-8"))
            return [str(key) for key in values] if isinstance(values, dict) else []
    return []


def _unreadable(text: str) -> str:
    unmatched = _unmatched(text)
    key, value = pair(text)
    if "=" not in text:
        return f"{text}: expected KEY=VALUE, without blanks around the sign"
    inner = f"{key}={quoted(value)}"
    typed = f'"{inner}"' if not set(inner) & set('"$`\\!') else shlex.quote(inner)
    return f"{text}: can't be read as KEY=VALUE; {unmatched or f'text with special signs needs quotes twice: {typed}'}"


def _unmatched(text: str) -> str:
    """Which bracket or quote has no partner; empty if all have.

    >>> _unmatched("layers=[flatten, {a: 'b'")
    'missing at the end: } ]'
    """
    partners = {"[": "]", "{": "}", "(": ")"}
    awaited: list[str] = []
    quote = ""
    for sign in re.sub(r"\\.", "", text):
        if quote or sign in "'\"":
            quote = "" if sign == quote else quote or sign
        elif sign in partners:
            awaited.append(partners[sign])
        elif sign in partners.values() and (not awaited or awaited.pop() != sign):
            return f"{sign} closes nothing"
    missing = " ".join([*([quote] if quote else []), *reversed(awaited)])
    return f"missing at the end: {missing}" if missing else ""


def _of_torchvision(name: str) -> bool:
    """Whether torchvision registers a network of this name; read from its source, as its import takes seconds."""
    package = find_spec("torchvision")
    if package is None or package.origin is None or not name.isidentifier():
        return False
    texts = (path.read_text("utf-8") for path in (Path(package.origin).parent / "models").glob("*.py"))
    return any("@register_model()" in text and f"\ndef {name}(" in text for text in texts)
