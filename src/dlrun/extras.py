"""What the extras of dlrun install, and what to type for it: the same command in every message."""

import re
import sys
from importlib import metadata


def command(extra: str) -> str:
    """What to type so that an extra such as `export` is there, in a clone and everywhere else."""
    return pip_install(*requirements(extra))


def pip_install(*words: str) -> str:
    """A line for the shell that makes pip install these into the Python that runs now."""
    quoted = [f'"{word}"' if re.search(r"[<>=\[ ]", word) else word for word in words]
    return f"{sys.executable} -m pip install {' '.join(quoted)}"


def requirements(extra: str, package: str = "") -> list[str]:
    """What the installed dlrun requires for an extra ("": always), such as `optuna<6,>=4`."""
    parted = [text.partition(";")[::2] for text in metadata.requires("dlrun") or []]
    wanted = [text.strip() for text, when in parted if _extra(when) == extra]
    return [text for text in wanted if package in ("", package_of(text))]


def package_of(requirement: str) -> str:
    """The name without the versions.

    >>> package_of("optuna<6,>=4")
    'optuna'
    """
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _extra(condition: str) -> str:
    named = re.search(r"extra == ['\"](\w+)['\"]", condition)
    return named[1] if named else ""
