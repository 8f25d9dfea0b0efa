"""Text that was read from anywhere, made fit for a terminal."""

import logging
import re
import shlex

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""The text with control characters (terminal escapes, line breaks, direction marks) spelt out.

    >>> visible("a\x1b[31m")
    'a\\x1b[31m'
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def typeable(path: object) -> str:
    """A path as a shell takes it, in quotes where it needs them.

    >>> typeable("out/a b"), typeable("out/ünï=1")
    ("'out/a b'", "'out/ünï=1'")
    """
    return shlex.quote(visible(str(path)))


def visible_lines(text: str) -> str:
    """As `visible`, but line breaks stay."""
    return "\n".join(map(visible, text.split("\n")))


class VisibleFormatter(logging.Formatter):
    """For a log that is read on a terminal, which would obey what names of files and their texts may hold."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, control characters but line breaks spelt out."""
        return visible_lines(super().format(record))
