"""The command line: the first word is a verb, or everything is Hydra's; errors become sentences."""

import importlib
import logging
import os
import sys
from pathlib import Path

from dlrun import __version__
from dlrun.errors import DlrunError, UsageError, did_you_mean
from dlrun.verbs import VERBS


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 failed, 2 a mistake, 128 + N after signal N."""
    words = sys.argv[1:] if arguments is None else arguments
    _make_importable(Path.cwd())
    _warn_on_stderr()
    try:
        return _dispatch(words)
    except DlrunError as error:
        return _say(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _say("stopped", 130)
    except BrokenPipeError:
        # The reader went away (`dlrun … | head`); Python must not complain while closing the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _say(f"{error.filename or 'a file'}: {error.strerror or error}", 1)


def _make_importable(folder: Path) -> None:
    """A console script does not have the working directory on its path; `_target_` may name a module there."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _warn_on_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger().addHandler(handler)


def _say(text: str, status: int) -> int:
    print(f"dlrun: {text}", file=sys.stderr)
    return status


def _dispatch(words: list[str]) -> int:
    first = words[0] if words else ""
    if first in ("--help", "-h", "help"):
        return _verb("help").main(words[1:])
    if first == "--version":
        print(f"dlrun {__version__}")
        return 0
    if first in VERBS:
        return _verb(first).main(words[1:])
    if first and "=" not in first and first[0] not in "-+~":
        raise UsageError(
            f"{first}: no such verb{did_you_mean(first, VERBS)}\nA field is set with KEY=VALUE; see dlrun --help"
        )
    if any(word.startswith("-") for word in words):
        return _verb("multirun").main(words)
    return _verb("train").main(words)


def _verb(name: str) -> "importlib.types.ModuleType":  # type: ignore[name-defined]
    return importlib.import_module(f"dlrun.verbs.{name}")
