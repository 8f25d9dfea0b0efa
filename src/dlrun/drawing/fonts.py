"""Fonts for text in pictures: Pillow's own, which needs no files, or one of the system's for what it has not."""

import functools
import shutil
import subprocess
import unicodedata

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
FILES = ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf", "msyh.ttc")
"""Asked for where there is no fontconfig; Pillow knows where macOS and Windows keep them."""

_loaded: list[str] = []
"""Files of the system that have shown what an earlier text needed."""


@functools.cache
def font(size: float, file: str = "") -> Font:
    """A font by its file (empty: Pillow's own, which has ASCII) and size in pixels."""
    return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)


def printable(text: str, size: float) -> tuple[str, Font]:
    """The text as it can be shown on one line, and a font that has all of it.

    What no font of the system has becomes its letter without accents (é: e), or a question mark.
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    special = "".join(sorted({letter for letter in shown if not letter.isascii()}))
    file = _file_with(special)
    return (_in_ascii(shown) if file is None else shown), font(size, file or "")


def width(text: str, size: float) -> float:
    """Pixels that a line of text takes, also where it is shown by a program that has more fonts."""
    shown, letters = printable(text, size)
    broad = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text) if "?" in shown else 0
    return letters.getlength(shown) + 0.6 * size * broad


def cut(text: str, size: float, most: float) -> str:
    """The text, or its beginning and an ellipsis (three dots) where it is wider than `most` pixels."""
    if width(text, size) <= most:
        return text
    shown = text[: max(int(most), 0)]
    while shown and width(shown + "...", size) > most:
        shown = shown[:-1]
    return shown + "..."


def _in_ascii(text: str) -> str:
    plain = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() else "?" for letter in plain)


@functools.cache
def _file_with(letters: str) -> str | None:
    """A file that has all these letters: empty for none at all; None where there is none."""
    if not letters:
        return ""
    for file in _loaded:
        if _has(file, letters):
            return file
    for file in _candidates(letters):
        if _has(file, letters):
            _loaded.append(file)
            return file
    return None


def _candidates(letters: str) -> tuple[str, ...]:
    if shutil.which("fc-match") is None:
        return FILES
    wanted = " ".join(f"{ord(letter):x}" for letter in letters[:200])
    command = ["fc-match", "--format=%{file}", f"sans-serif:charset={wanted}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return FILES
    return (done.stdout,)


def _has(file: str, letters: str) -> bool:
    """Whether a font has them: what it has not, it shows as it shows a code that stands for no letter."""
    try:
        found = font(20, file)
    except OSError:
        return False
    missing = bytes(found.getmask("\ue123"))
    return all(bytes(found.getmask(letter)) != missing for letter in letters)
