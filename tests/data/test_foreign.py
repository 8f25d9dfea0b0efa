import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dlrun.data.foreign import Fitted, fitted, listed
from dlrun.errors import DataError, UsageError

DARK, LIGHT, MIDDLE = (0.01,) * 3, (0.98,) * 3, (0.5,) * 3


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def fit(path: Path, border: tuple[float, ...] = DARK, shape: tuple[int, int, int] = (1, 28, 28)) -> Fitted:
    return fitted(path, shape, border, squeeze=False)


def bar(mode: str, size: tuple[int, int], paper: object, ink: object) -> Image.Image:
    """A vertical bar in the middle."""
    page = Image.new(mode, size, paper)  # type: ignore[arg-type]
    width, height = size
    box = (width * 2 // 5, height // 5, width * 3 // 5, height * 4 // 5)
    ImageDraw.Draw(page).rectangle(box, fill=ink)  # type: ignore[arg-type]
    return page


FORMS = {
    "grey": bar("L", (200, 200), 255, 0),
    "colour": bar("RGB", (60, 60), (255, 255, 255), (0, 0, 40)),
    "light on dark": bar("L", (28, 28), 0, 255),
    "palette": bar("RGB", (100, 100), (255, 255, 255), (0, 0, 0)).convert("P"),
    "bits": bar("1", (100, 100), 1, 0),
    "16 bits": Image.fromarray(np.asarray(bar("L", (90, 90), 255, 0)).astype(np.uint16) * 257),
    "dark on nothing": bar("RGBA", (80, 80), (0, 0, 0, 0), (0, 0, 0, 255)),
    "light on nothing": bar("RGBA", (80, 80), (255, 255, 255, 0), (250, 250, 250, 255)),
    "grey with alpha": bar("LA", (80, 80), (0, 0), (20, 255)),
    "wide": bar("L", (300, 100), 255, 0),
    "one pixel high": Image.new("L", (50, 1), 255),
}


@pytest.mark.parametrize("name", [name for name in FORMS if name != "one pixel high"])
def test_every_form_of_picture_ends_as_light_on_dark(name: str, tmp_path: Path) -> None:
    picture = fit(saved(FORMS[name], tmp_path / "x.png"))
    assert picture.pixels.shape == (1, 28, 28)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels[0, 14, 14] > 200
    assert picture.pixels[0, 0, 0] < 40
    assert picture.inverted == (name not in ("light on dark", "light on nothing"))


def test_the_finding_is_said_and_colour_and_undecided_sets_are_left_alone(tmp_path: Path) -> None:
    path = saved(FORMS["grey"], tmp_path / "x.png")
    assert fit(path, DARK).found == "dark on light"
    assert fit(path, LIGHT).inverted is False
    assert fit(path, MIDDLE).found == ""
    colour = fit(path, (0.0, 0.0, 0.0), (3, 8, 8))
    assert colour.pixels.shape == (3, 8, 8)
    assert not colour.inverted


def test_proportions_are_kept_unless_training_squeezed_too(tmp_path: Path) -> None:
    path = saved(bar("L", (400, 100), 255, 0), tmp_path / "x.png")
    kept, squeezed = (fitted(path, (1, 40, 40), LIGHT, squeeze) for squeeze in (False, True))
    assert (kept.pixels[0, :, 20] < 128).sum() == pytest.approx(6, abs=1)
    assert (squeezed.pixels[0, :, 20] < 128).sum() == pytest.approx(24, abs=1)


def test_the_picture_is_turned_as_its_exif_data_say(tmp_path: Path) -> None:
    page = Image.new("L", (40, 40))
    page.paste(255, (0, 0, 40, 10))  # the top, which orientation 6 shows at the right
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = fitted(saved(page, tmp_path / "x.jpg", exif=exif, quality=95), (1, 8, 8), MIDDLE, False).pixels[0]
    assert turned[4, 7] > 200
    assert turned[0, 0] < 50


def test_the_thinnest_picture_can_be_shown(tmp_path: Path) -> None:
    assert fit(saved(FORMS["one pixel high"], tmp_path / "x.png")).pixels.shape == (1, 28, 28)


def bomb() -> bytes:
    """A PNG of a few bytes that says that it has 10^10 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99)))


def whole() -> bytes:
    file = io.BytesIO()
    FORMS["grey"].save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\x89PNG\r\n\x1a\n", whole()[:100], bomb(), b"GIF89a", b"%PDF-1.4", bytes(1000)],
    ids=["empty", "text", "signature", "cut", "bomb", "gif", "pdf", "zeros"],
)
def test_what_is_no_picture_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png: "):
        fit(path)


def test_large_pictures_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = saved(Image.new("1", (9000, 9000)), tmp_path / "large.png")
    with pytest.raises(DataError, match="9000x9000 pixels; at most"):
        fit(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.png: No such file"):
        fit(tmp_path / "no.png")


def test_folders_stand_for_the_pictures_below_them(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "a/1.jpg", "a/.hidden.png", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [path.name for path in listed([str(tmp_path), str(tmp_path / "a" / "notes.txt")])]
    assert names == ["1.jpg", "2.PNG", "notes.txt"]
    with pytest.raises(UsageError, match=r"elsewhere\.png: no such file or folder"):
        listed([str(tmp_path), "elsewhere.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no pictures"):
        listed([str(tmp_path / "empty")])
