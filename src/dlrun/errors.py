"""The errors that end a command. Each carries its exit status; the message is all a user sees of it."""

import difflib
import errno
from collections.abc import Iterable


class DlrunError(Exception):
    """Base of the errors whose message is shown without a traceback."""

    exit_status = 1


class UsageError(DlrunError):
    """A mistake in what was typed, configured or supplied: nothing has been started."""

    exit_status = 2


class ConfigError(UsageError):
    """A field, an option or a layer phrase that does not exist, or a value it can't take."""


class DataError(UsageError):
    """Data that are missing, damaged or not what they should be."""


class Damaged(UsageError):
    """A file that dlrun wrote and whose content has changed since: a full disk, a bad copy, an editor."""


class RunFailed(DlrunError):
    """A run that started and could not finish; its log holds the details."""


SHORTAGES = [getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EMFILE", "ENFILE") if hasattr(errno, name)]
"""A full disk, a quota, a limit on files: what the machine lacks, which says nothing against a run."""


def is_shortage(error: BaseException | None) -> bool:
    """Whether the machine had no room for what it was to do; the same command goes on when there is."""
    return isinstance(error, OSError) and error.errno in SHORTAGES


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant; of `optimizer.lr` the last part is enough.

    >>> nearest("lrr", ["optimizer.lr", "seed"])
    'optimizer.lr'
    """
    names = sorted(known)
    for spellings in ({name: name for name in names}, {name.rpartition(".")[2]: name for name in names}):
        near = difflib.get_close_matches(word, spellings, n=1, cutoff=0.6)
        if near:
            return spellings[near[0]]
    return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that names what was probably meant, or else everything that is known.

    >>> did_you_mean("epoch", ["epochs", "seed"])
    '; did you mean epochs?'
    >>> did_you_mean("zzz", ["b", "a"])
    '; there are: a, b'
    """
    names = sorted(known)
    near = nearest(word, names)
    if near is not None:
        return f"; did you mean {near}?"
    return f"; there are: {', '.join(names)}" if names else ""


class Interrupted(DlrunError):
    """A signal ended the run; its state is saved."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal


def first_line(error: BaseException) -> str:
    """What an error of other people's code says, in one line; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was short, of the GPU or the CPU; PyTorch says so in several ways."""
    words = ("t allocate memory", "not allocate memory", "not enough memory", "bad_alloc", "create a memory object")
    out_of_memory = type(error).__name__ == "OutOfMemoryError"  # torch's, without importing torch
    return isinstance(error, MemoryError) or out_of_memory or any(word in str(error) for word in words)
