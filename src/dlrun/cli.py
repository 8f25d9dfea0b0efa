"""The command line: the first word is a verb, or everything is Hydra's; errors become sentences."""

import contextlib
import importlib
import io
import logging
import os
import sys
from typing import TextIO

from dlrun import __version__
from dlrun.config.groups import GROUPS
from dlrun.errors import DlrunError, UsageError, did_you_mean, is_out_of_memory
from dlrun.linux import bound_spinning
from dlrun.output import say, starting
from dlrun.text import VisibleFormatter
from dlrun.training.signals import ctrl_c_ends
from dlrun.verbs import VERBS

LONGEST = 1000
"""Characters of a line that tells of an error."""
LESS_MEMORY = {
    "evaluate": "lower eval_batch_size or limit, unless the network itself is too large for the device",
    "compare": "the networks are too large for the device; device=… names another",
    "predict": "the network is too large for the device; device=… names another",
    "export": "the network is too large for this machine",
}
"""What to do where memory is short, by verb."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 failed, 2 a mistake, 128 + N after signal N."""
    if arguments is not None:
        return _status_of(arguments, last=False)
    status = _status_of(sys.argv[1:], last=True)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        _leave(status)
    return status


def _leave(status: int) -> None:
    """End a rank of several without Python's tidying up.

    A thread of torch.distributed that wants Python while it goes away would abort the process, one time in some
    hundreds ("terminate called without an active exception"): torchrun then takes a finished run for a failed one.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    logging.shutdown()
    os._exit(status)


def _status_of(words: list[str], *, last: bool) -> int:
    _prepare_streams()
    _warn_on_stderr()
    bound_spinning()
    try:
        with ctrl_c_ends(last=last):
            return _dispatch(words)
    except DlrunError as error:
        return _say(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _say("stopped", 130)
    except BrokenPipeError:
        # The reader went away (`dlrun … | head`); Python must not complain while closing the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        verb = next(iter(words), "")
        return _say(f"out of memory; {LESS_MEMORY.get(verb, 'lower batch_size, eval_batch_size or limit')}", 1)
    except OSError as error:
        return _say(f"{error.filename or 'standard output'}: {error.strerror or error}", 1)


def _prepare_streams() -> None:
    """Streams that are closed (`>&-`) lead nowhere; names that the encoding lacks are spelt out, which is no error."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, _nowhere(number))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nowhere(number: int) -> TextIO:
    """A stream to the null device at a closed number, which the next file would get, and with it what C prints."""
    handle = os.open(os.devnull, os.O_RDWR)
    if handle != number:
        os.dup2(handle, number)
        os.close(handle)
    os.set_inheritable(number, True)
    return open(number, "w" if number else "r", encoding="utf-8")


class _Warnings(logging.Handler):
    """Prints warnings on what is standard error at that moment; tracebacks are for run.log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(VisibleFormatter("%(levelname)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print it, unless the sentence that ends the command follows."""
        if record.exc_info is None:
            with contextlib.suppress(OSError):  # a reader that went away, a full disk: no reason to stop
                print(self.format(record), file=sys.stderr, flush=True)


def _warn_on_stderr() -> None:
    root = logging.getLogger()
    if not any(isinstance(handler, _Warnings) for handler in root.handlers):
        root.addHandler(_Warnings())


def _say(text: str, status: int) -> int:
    """Print an error: the text of a file or an argument may be in it, so it is cut and spelt out."""
    for line in f"dlrun: {text}".split("\n"):
        say(f"{line[:LONGEST]}…" if len(line) > LONGEST else line, sys.stderr, 2)
    return status


def _dispatch(words: list[str]) -> int:
    first = words[0] if words else ""
    if first in ("--help", "-h", "help") or first.startswith("--help="):
        return _verb("help").main([*filter(None, [first.partition("=")[2]]), *words[1:]])
    if first == "--version":
        print(f"dlrun {__version__}")
        return 0
    if first in VERBS:
        return _verb(first).main(words[1:])
    if words[1:] and words[1].startswith("=") and first[:1] not in ("", "-"):
        value = words[1][1:] or next(iter(words[2:]), "")
        raise UsageError(f"{first} {' '.join(words[1:3])}: no blanks around the sign: {first}={value}")
    if first and "=" not in first and first[0] not in "-+~":
        raise UsageError(_unknown_word(first))
    flags = [word for word in words if word.startswith("-")]
    if not flags or {"-m", "--multirun"} & set(flags):
        starting()
    return _verb("multirun" if flags else "train").main(words)


def _unknown_word(word: str) -> str:
    from dlrun.config.compose import options

    for group in GROUPS:
        if word in options(group):
            return f"{word}: no such verb; did you mean {group}={word}?"
    if word == "train":
        return "train: no such verb; to train, type overrides alone, such as dlrun model=fc_64"
    return f"{word}: no such verb{did_you_mean(word, VERBS)}\nA field is set with KEY=VALUE; see dlrun --help"


def _verb(name: str) -> "importlib.types.ModuleType":  # type: ignore[name-defined]
    return importlib.import_module(f"dlrun.verbs.{name}")
