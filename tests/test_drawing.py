import shutil
import subprocess
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dlrun.drawing import fonts, sheets
from dlrun.drawing.canvas import Canvas


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_sheet_shows_every_picture_at_its_place(channels: int) -> None:
    images = np.zeros((5, channels, 4, 6), np.uint8)
    images[4] = 200
    page = sheets.sheet(images, columns=2)
    assert page.size == (2 * 10, 3 * 8)
    assert page.getpixel((2, 2 + 2 * 8)) in (200, (200, 200, 200))
    assert page.getpixel((2, 2)) in (0, (0, 0, 0))
    assert page.mode == ("L" if channels < 3 else "RGB")


def test_small_pictures_are_enlarged_by_whole_factors_and_captions_are_below() -> None:
    images = np.full((2, 1, 10, 10), 7, np.uint8)
    page = sheets.sheet(images, ["a", "b\nc"], columns=2)
    assert page.size == (2 * 84, 84 + 2 * sheets.LINE)
    assert sheets.sheet(images, columns=1, tile=25).size == (34, 68)


@pytest.mark.parametrize("caption", ["", "é ß 日本 \x1b[31m", "x" * 5000, "\n\n"])
def test_any_caption_is_printed(caption: str) -> None:
    assert sheets.sheet(np.zeros((1, 1, 8, 8), np.uint8), [caption]).width > 0


def test_there_may_be_no_picture() -> None:
    assert sheets.sheet(np.zeros((0, 1, 8, 8), np.uint8)).width > 0


@pytest.mark.parametrize(
    "caption", ["Ankle boot, taken for Sneaker (100 %)", "a b\nc d", "x" * 300, "", "é 日本 (1 %)"]
)
def test_captions_are_broken_into_lines_that_fit(caption: str) -> None:
    lines = sheets.wrapped(caption, 72)
    assert all(fonts.width(line, sheets.SIZE) <= 72 for line in lines)
    assert " ".join(lines).split() == caption.split() or "..." in lines[0]
    assert not any(line.startswith("%") for line in lines)


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system without fonts."""
    monkeypatch.setattr(fonts, "_candidates", lambda _: ("no such font.ttf",))
    monkeypatch.setattr(fonts, "_loaded", [])
    fonts._file_with.cache_clear()
    yield
    fonts._file_with.cache_clear()


@pytest.mark.usefixtures("no_fonts")
def test_letters_are_those_of_a_font_of_the_system_or_the_nearest_ones() -> None:
    """Pillow's own font, the only one that is everywhere, has ASCII."""
    shown, letters = fonts.printable("plain", 10)
    assert (shown, letters) == ("plain", fonts.font(10, ""))
    assert [fonts.printable(text, 10)[0] for text in ("Schlüssel", "ñandú", "日本", "a\tb")] == [
        "Schlussel",
        "nandu",
        "??",
        "a?b",
    ]
    assert fonts.width("日本語", 10) >= 28, "an SVG shows them, and each is as wide as it is high"


@pytest.mark.skipif(shutil.which("fc-match") is None, reason="no fontconfig")
@pytest.mark.parametrize("text", ["Schlüssel", "Ключ", "日本", "한국", "\U000f1234"])
def test_what_the_system_has_is_shown_whole(text: str) -> None:
    listed = " ".join(f"{ord(letter):x}" for letter in text)
    command = ["fc-list", f":charset={listed}", "file"]
    some = any(line.split(":")[0].endswith(("ttf", "ttc", "otf")) for line in subprocess.run(
        command, capture_output=True, text=True, check=True).stdout.splitlines())  # fmt: skip
    shown, letters = fonts.printable(text, 30)
    assert (shown == text) == some or not text.isprintable()
    assert letters.getlength(shown) > 0


def drawn() -> Canvas:
    canvas = Canvas(100, 60)
    canvas.box((10, 10), (20, 20), "#ff0000")
    canvas.line([(0, 50), (100, 50)], "#0000ff", 4)
    canvas.line([(0, 40), (100, 40)], "#0000ff", 4, dashed=True)
    canvas.dot((70, 20), 8, "#00ff00")
    canvas.picture((40, 10), (10, 10), Image.new("L", (2, 2), 128))
    canvas.text((5, 5), "<日本> & more", 8)
    canvas.text((95, 30), "upwards", 8, upwards=True)
    return canvas


def test_a_canvas_is_the_same_as_picture_and_as_svg() -> None:
    canvas = drawn()
    image, svg = canvas.image(), canvas.svg()
    assert image.size == (150, 90)
    found = [image.getpixel((round(x * 1.5), round(y * 1.5))) for x, y in ((20, 20), (50, 50), (70, 20), (45, 15))]
    assert found == [(255, 0, 0), (0, 0, 255), (0, 255, 0), (128, 128, 128)]
    dashes = [image.getpixel((x, 60)) == (0, 0, 255) for x in range(150)]
    assert 0.5 < sum(dashes) / 150 < 0.75
    read = ElementTree.fromstring(svg)
    assert [element.text for element in read.iter("{http://www.w3.org/2000/svg}text")] == ["<日本> & more", "upwards"]
    kinds = [element.tag.rpartition("}")[2] for element in read]
    assert kinds == ["rect", "rect", "polyline", "polyline", "circle", "image", "text", "text"]
