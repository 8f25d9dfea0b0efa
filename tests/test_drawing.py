import io

import numpy as np
import pytest
from PIL import Image

from dlrun import drawing as sheets


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


@pytest.mark.parametrize("count", [2, 10, 24, 40, 100, 1000])
def test_a_matrix_of_any_number_of_classes_stays_a_picture_of_moderate_size(count: int) -> None:
    counts = np.eye(count, dtype=np.int64) * 90
    counts[0, 1] = 10
    page = sheets.matrix(counts, [f"class {number}" for number in range(count)])
    assert max(page.size) <= 1030
    again = Image.open(io.BytesIO(sheets.png(page)))
    assert again.size == page.size


def test_right_is_green_and_wrong_is_red() -> None:
    page = sheets.matrix(np.array([[3, 0], [3, 0]]), ["a", "b"])
    right, wrong = (page.getpixel((104 + 30, 96 + row * 34 + 3)) for row in (0, 1))
    assert right[1] > right[0]
    assert wrong[0] > wrong[1]
