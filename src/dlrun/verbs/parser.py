"""What reads the words behind a verb: argparse, with its complaints in one line as all others of dlrun's."""

import argparse
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from dlrun.config.kinds import is_field
from dlrun.errors import UsageError, did_you_mean
from dlrun.output import folded, page, say, terminal_width

OUTPUTS = Path("outputs")
"""Where runs are looked for if no folder is named."""
LAST = "last"
"""The name of the newest run in `OUTPUTS`, wherever a run's folder is typed."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises a `UsageError` instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        """Say argparse's `message` in one line.

        Raises:
            UsageError: Always.
        """
        kind, _, words = message.partition(": ")
        if kind == "unrecognized arguments":
            raise UsageError(f"{self._verb()}: {self._not_known(words)}")
        if kind == "the following arguments are required":
            message = f"{words} {'are' if ', ' in words else 'is'} missing"
        raise UsageError(f"{self._verb()}: {message.removeprefix('argument ')}; see {self.prog} --help")

    def format_help(self) -> str:
        """The help, its lines folded on a terminal."""
        text, width = super().format_help(), terminal_width()
        if width is None:
            return text
        # The lines of a paragraph are joined first: folded one by one each would leave a stump.
        return folded(re.sub(r"(?m)^((?!.* {3})\S.{89,})\n(?!.* {3})(?=\S)", r"\1 ", text), width)

    def print_help(self, file: Any = None) -> None:
        """Print the help, a screen at a time on a terminal."""
        page(self.format_help())

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            typed = " ".join([*action.option_strings[:1], str(value)])
            raise UsageError(f"{self._verb()}: {typed} is unknown{did_you_mean(str(value), map(str, action.choices))}")

    def _verb(self) -> str:
        return self.prog.removeprefix("dlrun ")

    def _not_known(self, words: str) -> str:
        option = next((word.partition("=")[0] for word in words.split() if word.startswith("-")), None)
        if option is None:
            return f"{words}: not expected here; see {self.prog} --help"
        return f"{option}: {without_dashes(option) or f'no such option{did_you_mean(option, self._options())}'}"

    def _options(self) -> set[str]:
        """The long options, those of its actions included: argparse leaves their complaints to the verb."""
        found = {text for action in self._actions for text in action.option_strings if text.startswith("--")}
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found = found.union(*(child._options() for child in action.choices.values()))
        return found


def without_dashes(option: str, value: str = "") -> str:
    """How to type a field that was typed as an option (`--batch-size`); empty if there is no such field."""
    name = option.lstrip("-").replace("-", "_")
    return f"fields are typed without dashes: {name}={value or 'VALUE'}" if is_field(name) else ""


def picture_file(text: str) -> Path:
    """An argument that names a picture to be written."""
    path = Path(text)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise argparse.ArgumentTypeError(f"{text}: expected a name that ends in .png or .jpg")
    return path


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option --json; what it writes is in docs/reference.md, from scripts/reference."""
    parser.add_argument("--json", action="store_true", help="write the facts as JSON, for programs")


def add_records(parser: Parser) -> None:
    """The option --records; `records_and_words` reads it."""
    parser.add_argument(
        "--records",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="files of records (dlrun records), or folders of them, beside those in a folder records/ here",
    )


def records_and_words(options: argparse.Namespace) -> tuple[list[Path], list[str]]:
    """The files of records that are meant, and the overrides that stood behind them.

    Raises:
        UsageError: There is no such file.
    """
    from dlrun.records.files import own, record_files

    words = [word for word in options.records if "=" in word and not Path(word).exists()]
    named = record_files(Path(word) for word in options.records if word not in words)
    here = [path for path in own() if path not in named]
    return [*here, *named], words


def run_folder(text: str) -> Path:
    """What was typed for the folder of a run; `last` is the newest one in `outputs`, which is said.

    Raises:
        UsageError: `last`, and there is no run.
    """
    typed = Path(text)
    if text != LAST or typed.exists():
        return typed
    from dlrun.store.scan import newest

    found = newest(OUTPUTS)
    if found is None:
        raise UsageError(f"{LAST}: there is no run in {OUTPUTS} here")
    say(f"{LAST} is {found}", sys.stderr)
    return found
