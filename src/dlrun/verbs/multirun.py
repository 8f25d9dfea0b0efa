"""Whatever carries a flag (`-m`, `--cfg job`, `--info` …) is Hydra's: this hands the command to it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dlrun.config.compose import BEHAVIOUR, Composed, check_choices, checked, configs_dir, in_sentences, permit
from dlrun.config.overrides import bare
from dlrun.config.settled import settle
from dlrun.errors import UsageError, nearest
from dlrun.runs.check import check
from dlrun.sweeps.files import with_file
from dlrun.training.started import refuse_ranks
from dlrun.verbs import VERBS
from dlrun.verbs.completion import options_of
from dlrun.verbs.parser import without_dashes
from dlrun.verbs.train import train


def main(arguments: list[str]) -> int:
    """Run Hydra with the arguments as typed.

    Raises:
        UsageError: Flags that Hydra refuses.
        ConfigError: Hydra refuses what was typed.
    """
    _refuse_mistakes(arguments)
    arguments = with_file(arguments)
    refuse_ranks("a sweep")
    check_choices(word for word in arguments if not word.startswith("-"))
    # Hydra would print its own words and leave with 1; this makes it raise instead.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["dlrun", *(word if word.startswith("-") else permit([word])[0] for word in arguments)]
    with in_sentences(arguments):
        hydra.main(**BEHAVIOUR, config_path=str(configs_dir()), config_name="config")(task)()
    return 0


def _refuse_mistakes(words: Sequence[str]) -> None:
    """Say in one line what Hydra's argparse would say below eight lines of usage, or in a traceback."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    known, rest = parser.parse_known_args(words)
    for word in rest:
        if word.startswith("-"):
            flags = [text for action in parser._actions for text in action.option_strings]
            raise UsageError(_without_dashes(word, words) or _unknown(word.partition("=")[0], flags))
    if sum(map(bool, (known.run, known.multirun, known.cfg, known.info))) > 1:
        raise UsageError("only one of --run, --multirun (-m), --cfg and --info can be asked for")
    if rest:
        raise UsageError(f"{rest[0]}: overrides stand together; put flags such as -m in front of all of them")


def _without_dashes(word: str, words: Sequence[str]) -> str:
    """How to type a field that was typed as an option, with the value that stands behind it; empty if it is none."""
    option, _, value = word.partition("=")
    behind = words[words.index(word) + 1 :][:1]
    value = value or next((text for text in behind if not text.startswith("-") and "=" not in text), "")
    said = without_dashes(option, value)
    return f"{word}: {said}" if said else ""


def _refuse(message: str) -> NoReturn:
    raise UsageError(message.removeprefix("argument "))


def _unknown(option: str, of_hydra: Sequence[str]) -> str:
    """Whose an option is, or which one was probably meant."""
    owners: dict[str, list[str]] = {}
    for verb in VERBS:
        for one in dict.fromkeys(options_of(verb)):
            owners.setdefault(one, []).append(f"dlrun {verb}")
    if option in owners:
        return f"{option} belongs to {', '.join(owners[option])}; see {owners[option][0]} --help"
    near = nearest(option, [*of_hydra, *owners])
    if near is None:
        return f"{option}: no such option; see dlrun --help and dlrun --hydra-help"
    return f"{option}: no such option; did you mean {near}{'' if near in of_hydra else f' of {owners[near][0]}'}?"


def task(composed: DictConfig) -> float:
    """One job of Hydra's; returns its test accuracy, which sweepers of others may maximise."""
    job = HydraConfig.get()
    overrides = [bare(text) for text in job.overrides.task]
    settled = settle(checked(Composed(composed, job.runtime.choices), overrides))
    check(settled.config)
    result = train(settled, Path(job.runtime.output_dir), overrides)
    return result.test["accuracy"] if result.test else 0.0
