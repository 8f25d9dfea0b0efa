"""The one function that reads a picture file: transparency, depths, orientation."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from dlrun.data.picture import picture
from dlrun.errors import DataError

RAMP = np.linspace(0, 1, 256).reshape(16, 16)
"""From black to white."""


def grey(path: Path) -> np.ndarray:
    return picture(path, 1, None)[0]


def shape_in_alpha(ink: int, clear: int) -> Image.Image:
    """A disc of `ink`, opaque, on transparent pixels of a hidden colour."""
    alpha = Image.new("L", (20, 20), 0)
    ImageDraw.Draw(alpha).ellipse((5, 5, 14, 14), fill=255)
    page = Image.composite(Image.new("L", (20, 20), ink), Image.new("L", (20, 20), clear), alpha)
    return Image.merge("LA", [page, alpha])


def palette(image: Image.Image) -> Image.Image:
    """With entry 0 transparent."""
    alpha = np.asarray(image.getchannel("A")) > 0
    made = Image.fromarray(alpha.astype(np.uint8))
    made = Image.frombytes("P", made.size, made.tobytes())
    ink = image.getpixel((10, 10))[0]
    made.putpalette([90, 90, 90, ink, ink, ink])
    return made


def save_forms(image: Image.Image, folder: Path) -> dict[str, Path]:
    """The same transparent picture in every form a file can hold it."""
    folder.mkdir()
    paths = {name: folder / name for name in ("rgba.png", "la.png", "p.png", "p.gif", "l.png", "rgb.png", "rgba.tif")}
    paths |= {name: folder / name for name in ("rgba.webp", "l16.png", "la_all.png")}
    image.convert("RGBA").save(paths["rgba.png"])
    image.convert("RGBA").save(paths["rgba.tif"])
    image.convert("RGBA").save(paths["rgba.webp"], lossless=True, exact=True)
    image.save(paths["la.png"])
    palette(image).save(paths["p.png"], transparency=0)
    palette(image).save(paths["p.gif"], transparency=0)
    clear = int(np.asarray(image.getchannel("L"))[0, 0])
    image.getchannel("L").save(paths["l.png"], transparency=clear)
    image.getchannel("L").convert("RGB").save(paths["rgb.png"], transparency=(clear,) * 3)
    deep = Image.fromarray(np.asarray(image.getchannel("L")).astype(np.uint16) * 257)
    deep.save(paths["l16.png"], transparency=clear * 257)
    return {name: path for name, path in paths.items() if path.exists()}


@pytest.mark.parametrize(("ink", "hidden", "page"), [(0, 1, 255), (40, 0, 255), (250, 255, 0)])
def test_what_is_transparent_gets_a_page_that_the_rest_stands_out_from(
    ink: int, hidden: int, page: int, tmp_path: Path
) -> None:
    for name, path in save_forms(shape_in_alpha(ink, hidden), tmp_path / "forms").items():
        for channels in (1, 3):
            pixels = picture(path, channels, None)
            assert (pixels[:, 0, 0] == page).all(), name
            assert (pixels[:, 10, 10] == ink).all(), name


def test_a_picture_without_anything_on_it_is_white_and_an_opaque_one_keeps_its_bits(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(tmp_path / "nothing.png")
    assert (grey(tmp_path / "nothing.png") == 255).all()
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "opaque.png")
    Image.fromarray(colours).convert("RGBA").save(tmp_path / "alpha.png")
    for channels in (1, 3):
        pixels = [picture(tmp_path / f"{name}.png", channels, None) for name in ("opaque", "alpha")]
        assert np.array_equal(*pixels)


def png(values: np.ndarray, significant: int | None, path: Path) -> None:
    """A grey PNG of 16 bits, written by hand for its sBIT chunk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape
    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    told = chunk(b"sBIT", bytes([significant])) if significant else b""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + told + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def tiff(values: np.ndarray, path: Path, **tags: int) -> None:
    directory = ImageFileDirectory_v2()
    for name, value in tags.items():
        directory[int(name.removeprefix("t"))] = value
    Image.fromarray(values).save(path, tiffinfo=directory)


def levels(most: int, dtype: type = np.uint16) -> np.ndarray:
    return (RAMP * most).round().astype(dtype)


def pgm(most: int, white: int) -> Callable[[Path], None]:
    body = levels(most).astype(">u2").tobytes()
    return lambda path: path.write_bytes(b"P5 16 16 %d\n" % white + body) and None


DEEP: dict[str, Callable[[Path], None]] = {
    "sixteen.png": lambda path: png(levels(65535), None, path),
    "sixteen_told.png": lambda path: png(levels(65535), 16, path),
    "twelve_lower.png": lambda path: png(levels(4095), 12, path),
    "twelve_upper.png": lambda path: png(levels(4095) << 4, 12, path),
    "ten_lower.png": lambda path: png(levels(1023), 10, path),
    "sixteen.tif": lambda path: tiff(levels(65535), path),
    "big_endian.tif": lambda path: Image.fromarray(levels(65535)).convert("I").convert("I;16B").save(path),
    "twelve_told.tif": lambda path: tiff(levels(4095), path, t281=4095),
    "signed.tif": lambda path: tiff(levels(32767, np.int32), path),
    "thirty_two.tif": lambda path: tiff(levels(65535, np.int32), path),
    "ones.tif": lambda path: tiff(RAMP.astype(np.float32), path),
    "floats.tif": lambda path: tiff((RAMP * 255).astype(np.float32), path),
    "twelve.pgm": pgm(4095, 4095),
    "sixteen.pgm": pgm(65535, 65535),
}


@pytest.mark.parametrize("name", [name for name in DEEP if name != "signed.tif"])
def test_more_than_eight_bits_are_scaled_by_what_the_file_says(name: str, tmp_path: Path) -> None:
    DEEP[name](tmp_path / name)
    assert np.abs(grey(tmp_path / name).astype(int) - (RAMP * 255)).max() <= 1.5
    assert np.abs(picture(tmp_path / name, 3, None).astype(int) - (RAMP * 255)).max() <= 1.5


DOUBTFUL: dict[str, Callable[[Path], None]] = {
    "twelve.png": lambda path: png(levels(4095), None, path),
    "dark_told.png": lambda path: png(levels(4095) & 0xFF0, 12, path),
    "twelve.tif": lambda path: tiff(levels(4095), path),
    "twelve_as_sixteen.pgm": pgm(4095, 65535),
    "bytes_in_words.tif": lambda path: tiff(levels(255, np.int32), path),
    "negative.tif": lambda path: tiff(levels(60000, np.int32) - 5, path),
    "large.tif": lambda path: tiff(levels(1_000_000, np.int32), path),
    "beyond_one.tif": lambda path: tiff((RAMP * 1.02).astype(np.float32), path),
    "below_zero.tif": lambda path: tiff((RAMP - 0.5).astype(np.float32), path),
    "nan.tif": lambda path: tiff(np.where(RAMP > 0.5, np.nan, RAMP).astype(np.float32), path),
    "colour.ppm": lambda path: (
        path.write_bytes(b"P6 16 16 65535\n" + np.repeat(levels(4095), 3).astype(">u2").tobytes()) and None
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_range_that_nothing_tells_is_refused_by_name(name: str, tmp_path: Path) -> None:
    DOUBTFUL[name](tmp_path / name)
    with pytest.raises(DataError, match=f"{name}: (no value above|has )") as refusal:
        grey(tmp_path / name)
    assert "\n" not in str(refusal.value)


def test_a_black_picture_is_black_in_every_depth(tmp_path: Path) -> None:
    for name, dtype in (("x.png", np.uint16), ("x.tif", np.uint16), ("i.tif", np.int32), ("f.tif", np.float32)):
        Image.fromarray(np.zeros((4, 4), dtype)).save(tmp_path / name)
        assert (grey(tmp_path / name) == 0).all()


def test_white_is_zero_where_a_tiff_says_so(tmp_path: Path) -> None:
    tiff(levels(65535), tmp_path / "x.tif", t262=0)
    with Image.open(tmp_path / "x.tif") as image:
        assert image.tag_v2[262] in (0, 1)
        white_is_zero = image.tag_v2[262] == 0
    expected = 255 - RAMP * 255 if white_is_zero else RAMP * 255
    assert np.abs(grey(tmp_path / "x.tif") - expected).max() <= 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_stands_upright_in_every_orientation_size_and_depth(orientation: int, tmp_path: Path) -> None:
    page = Image.new("L", (24, 16), 20)
    page.paste(220, (0, 0, 12, 16))  # left, as it is meant to be seen
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    undo |= {6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = page.transpose(Image.Transpose[undo[orientation]]) if orientation > 1 else page
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "x.jpg", exif=exif, quality=100)
    Image.fromarray(np.asarray(stored).astype(np.uint16) * 257).save(tmp_path / "x.png", exif=exif)
    Image.merge("LA", [stored, Image.new("L", stored.size, 255)]).save(tmp_path / "x.webp", exif=exif, lossless=True)
    for name in ("x.jpg", "x.png", "x.webp"):
        for size in (None, (12, 8)):
            pixels = picture(tmp_path / name, 1, size)[0]
            middle = pixels.shape[0] // 2
            assert pixels.shape == ((16, 24) if size is None else (8, 12))
            assert pixels[middle, 1] > 200, name
            assert pixels[middle, -2] < 40, name


@pytest.mark.parametrize("mode", ["LAB", "CMYK", "YCbCr", "PA", "LA", "1", "P"])
def test_every_mode_of_a_tiff_or_png_is_read_as_grey_and_in_colour(mode: str, tmp_path: Path) -> None:
    """Pillow has no direct way from LAB to grey."""
    colours = Image.new("RGB", (6, 4), (200, 40, 40))
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(colours, *profiles, outputMode="LAB")
    else:
        image = colours.convert("P").convert(mode) if mode == "PA" else colours.convert(mode)
    path = tmp_path / ("x.png" if mode == "PA" else "x.tiff")
    (image.convert("RGBA") if mode == "PA" else image).save(path)
    seen = picture(path, 3, None)
    expected = np.asarray(Image.fromarray(seen.transpose(1, 2, 0)).convert("L"))
    assert np.abs(picture(path, 1, None)[0].astype(int) - expected).max() <= 3
    if mode not in ("LA", "1"):
        assert np.abs(seen[:, 0, 0].astype(int) - [200, 40, 40]).max() <= 12
