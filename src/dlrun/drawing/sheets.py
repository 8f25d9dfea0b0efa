"""Contact sheets: pictures in rows with their captions, cheap enough for every run."""

import io
import math
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from dlrun.drawing.fonts import cut, printable, width

PAPER = (255, 255, 255)
LINE = 13
"""Pixels from one line of text to the next."""
SIZE = 10
"""Of the letters of a caption, in pixels."""


def sheet(
    images: npt.NDArray[np.uint8],
    captions: Sequence[str] = (),
    columns: int | None = None,
    tile: int | None = None,
) -> Image.Image:
    """Pictures in rows, each with its caption below; captions are broken into lines that fit.

    Args:
        images: uint8 (N, C, H, W) with one or three channels; the first three of more.
        columns: Pictures in a row (None: about as many rows as columns).
        tile: Least width in pixels to which a picture is enlarged, by a whole factor (None: as it is, or
            wide enough for a caption).
    """
    count, _, height, wide = images.shape
    columns = max(1, min(columns or math.ceil(math.sqrt(count)), count))
    wanted = tile if tile is not None else 72 if captions else 0
    factor = max(1, math.ceil(wanted / wide))
    texts = [wrapped(caption, wide * factor) for caption in captions]
    lines = max(map(len, texts), default=0)
    cell = (wide * factor + 4, height * factor + 4 + LINE * lines)
    # Grey pages are a third of the work to compress.
    size = (columns * cell[0], max(1, math.ceil(count / columns)) * cell[1])
    page = Image.new("L" if images.shape[1] < 3 else "RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for number in range(count):
        x, y = number % columns * cell[0] + 2, number // columns * cell[1] + 2
        picture = picture_of(images[number]).resize((wide * factor, height * factor), Image.Resampling.NEAREST)
        page.paste(picture, (x, y))
        for line, text in enumerate(texts[number] if captions else ()):
            shown, letters = printable(text, SIZE)
            draw.text((x, y + height * factor + line * LINE), shown, fill="#202020", font=letters)
    return page


def wrapped(text: str, most: float, size: float = SIZE) -> list[str]:
    """The lines of a text, broken at spaces to lines of `most` pixels; a longer word is cut."""
    lines: list[str] = []
    for given in text.split("\n"):
        line = ""
        for word in re.split(r" (?!%)", given):
            longer = f"{line} {word}" if line else word
            if line and width(longer, size) > most:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return [cut(line, size, most) for line in lines]


def picture_of(image: npt.NDArray[np.uint8]) -> Image.Image:
    """uint8 (C, H, W) as a picture: grey, or red, green and blue from three channels on."""
    if len(image) < 3:
        return Image.fromarray(image[0])
    return Image.fromarray(np.ascontiguousarray(image[:3].transpose(1, 2, 0)))


PICTURE_FILES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
"""Formats that a page can be written in, by the ending of the file's name."""


def png(page: Image.Image) -> bytes:
    """The picture as a PNG file."""
    return encoded(page, ".png")


def encoded(page: Image.Image, suffix: str) -> bytes:
    """The picture as a file of the format of a suffix, one of `PICTURE_FILES` in any case."""
    file = io.BytesIO()
    page.save(file, PICTURE_FILES[suffix.lower()], quality=95)
    return file.getvalue()
