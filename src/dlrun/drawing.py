"""Contact sheets and matrices as pictures, drawn with Pillow: cheap enough for every run."""

import functools
import importlib.util
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, RIGHT, WRONG = (255, 255, 255), (32, 32, 32), (0, 110, 60), (180, 30, 30)
LINE = 13
"""Pixels from one line of text to the next."""
MOST_NUMBERED = 20
"""Classes up to which a matrix has room for its numbers."""


def sheet(
    images: npt.NDArray[np.uint8],
    captions: Sequence[str] = (),
    columns: int | None = None,
    tile: int | None = None,
) -> Image.Image:
    """Pictures in rows, each with its caption of one or more lines below.

    Args:
        images: uint8 (N, C, H, W) with one or three channels; the first three of more.
        columns: Pictures in a row (None: about as many rows as columns).
        tile: Least width in pixels to which a picture is enlarged, by a whole factor (None: as it is, or
            wide enough for a caption).
    """
    count, _, height, width = images.shape
    columns = max(1, min(columns or math.ceil(math.sqrt(count)), count))
    wanted = tile if tile is not None else 72 if captions else 0
    factor = max(1, math.ceil(wanted / width))
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    cell = (width * factor + 4, height * factor + 4 + LINE * lines)
    # Grey pages are a third of the work to compress.
    size = (columns * cell[0], max(1, math.ceil(count / columns)) * cell[1])
    page = Image.new("L" if images.shape[1] < 3 else "RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for number in range(count):
        x, y = number % columns * cell[0] + 2, number // columns * cell[1] + 2
        picture = picture_of(images[number]).resize((width * factor, height * factor), Image.Resampling.NEAREST)
        page.paste(picture, (x, y))
        if captions:
            _write(draw, (x, y + height * factor), captions[number], cell[0] - 4)
    return page


def picture_of(image: npt.NDArray[np.uint8]) -> Image.Image:
    """uint8 (C, H, W) as a picture: grey, or red, green and blue from three channels on."""
    if len(image) < 3:
        return Image.fromarray(image[0])
    return Image.fromarray(np.ascontiguousarray(image[:3].transpose(1, 2, 0)))


def matrix(counts: npt.NDArray[np.int64], classes: Sequence[str]) -> Image.Image:
    """A confusion matrix, int64 (true class, predicted class), shaded by the share of each row.

    The numbers are written in where there is room, the names where they are not too many.
    """
    side = 34 if len(classes) <= MOST_NUMBERED else max(1, 680 // len(classes))
    names = side >= 11
    left, top = (104, 2 * LINE + 70) if names else (LINE, LINE)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = Image.fromarray(_shaded(shares, side))
    page = Image.new("RGB", (left + cells.width + 4, top + cells.height + 4), PAPER)
    page.paste(cells, (left, top))
    draw = ImageDraw.Draw(page)
    if len(classes) <= MOST_NUMBERED:
        for row, column in zip(*counts.nonzero(), strict=True):
            place = (left + int(column) * side + 2, top + int(row) * side + side // 2 - 7)
            ink = PAPER if shares[row, column] > 0.5 else INK
            draw.text(place, str(counts[row, column]), fill=ink, font=font(9))
    if names:
        _name_axes(page, draw, classes, side, (left, top))
    return page


def _shaded(shares: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.uint8]:
    """Squares from paper to green (right) or red (wrong), whose root lets rare mistakes be seen."""
    right = np.eye(len(shares), dtype=bool)
    depth = np.where(right, shares, np.sqrt(shares))[..., None]
    goal = np.where(right[..., None], RIGHT, WRONG)
    squares = (245 + (goal - 245) * depth).round().astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1)
    if side > 3:
        squares[side - 1 :: side] = squares[:, side - 1 :: side] = 255
    return squares


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


def _name_axes(
    page: Image.Image, draw: ImageDraw.ImageDraw, classes: Sequence[str], side: int, corner: tuple[int, int]
) -> None:
    left, top = corner
    _write(draw, (2, 2), "rows: true class, columns: predicted", page.width)
    for number, name in enumerate(classes):
        _write(draw, (2, top + number * side + side // 2 - 7), name, left - 6)
        label = Image.new("RGB", (top - LINE - 4, LINE), PAPER)
        _write(ImageDraw.Draw(label), (0, 0), name, label.width)
        page.paste(label.rotate(90, expand=True), (left + number * side + side // 2 - 7, LINE + 2))


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int) -> None:
    """Each line of `text`, cut to `width` pixels; what the font can't show becomes a question mark."""
    letters = font()
    for number, line in enumerate(text.split("\n")):
        shown = "".join(letter if letter.isprintable() else "?" for letter in line)[: width // 3]
        while shown and letters.getlength(shown) > width:
            shown = shown[:-1]
        draw.text((place[0], place[1] + number * LINE), shown, fill="#202020", font=letters)


@functools.cache
def font(size: int = 10) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that matplotlib brings along, found without importing it: Pillow's own has only ASCII."""
    package = importlib.util.find_spec("matplotlib")
    if package is not None and package.origin is not None:
        path = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)
