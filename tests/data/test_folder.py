import unicodedata

import numpy as np
import pytest
from PIL import Image

from dlrun.config.groups import ImageFolder
from dlrun.data import folder
from dlrun.data.decoded import fingerprint
from dlrun.data.listing import classes_in, held_out
from dlrun.errors import DataError


def paint(path, size=(40, 30), color=(200, 100, 50), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).convert(mode).save(path, **options)
    return path


@pytest.fixture
def pets(tmp_path):
    for number in range(10):
        paint(tmp_path / "pets" / "cat" / f"{number}.png", (20 + number, 30), (250, number, 0))
        paint(tmp_path / "pets" / "Hünde" / "more" / f"{number}.JPG", (30, 20 + number), (0, number, 250))
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "pets" / ".hidden").mkdir()
    return tmp_path / "pets"


def config(**fields):
    return ImageFolder("image_folder", **{"size": 16, **fields})


def test_reads_any_size_and_holds_out_a_share(pets):
    decoded = folder.read(pets, config())
    assert decoded.classes == ("Hünde", "cat")
    assert decoded.train.images.shape == (16, 3, 16, 16)
    assert decoded.test.labels.tolist() == [0, 1, 0, 1], "the classes take turns"
    assert decoded.train.images[decoded.train.labels == 1, 0].min() > 245
    again = folder.read(pets, config())
    assert np.array_equal(decoded.test.images, again.test.images)


def test_grey(pets):
    assert folder.read(pets, config(color="grey")).train.images.shape == (16, 1, 16, 16)


def test_train_and_test_folders(tmp_path):
    paint(tmp_path / "train" / "a" / "1.png")
    paint(tmp_path / "train" / "b" / "1.png")
    paint(tmp_path / "test" / "b" / "2.png")
    decoded = folder.read(tmp_path, config())
    assert classes_in(tmp_path) == decoded.classes == ("a", "b")
    assert decoded.test.labels.tolist() == [1]
    paint(tmp_path / "test" / "c" / "2.png")
    with pytest.raises(DataError, match="classes that train/ has not: c"):
        folder.read(tmp_path, config())


def test_a_name_is_one_class_however_its_letters_are_composed(tmp_path):
    for form in ("NFC", "NFD"):
        for split, name in (("train", "Käse"), ("train", "Öl"), ("test", "Öl")):
            paint(tmp_path / form / split / unicodedata.normalize(form, name) / "1.png", mode="L")
            if form == "NFC":
                paint(tmp_path / "both" / split / unicodedata.normalize("NFD", name) / "2.png", mode="L")
                paint(tmp_path / "both" / split / name / "1.png", mode="L")
        paint(tmp_path / form / "train" / "cat" / "1.png", mode="L")
    composed, split = (folder.read(tmp_path / form, config()) for form in ("NFC", "NFD"))
    assert composed.classes == split.classes == ("Käse", "cat", "Öl")
    assert fingerprint(*composed[:2]) == fingerprint(*split[:2])
    both = folder.read(tmp_path / "both", config())
    assert both.classes == ("Käse", "Öl")
    assert (len(both.train.labels), len(both.test.labels)) == (4, 2)


def test_adding_a_picture_moves_no_other():
    paths = [folder.Path(f"{n}.png") for n in range(20)]
    before = set(held_out(paths, 0.25))
    assert len(before) == 5
    assert len(before - set(held_out([*paths, folder.Path("new.png")], 0.25))) <= 1


def test_size_null_wants_equal_pictures(tmp_path):
    paint(tmp_path / "a" / "1.png")
    paint(tmp_path / "a" / "2.png")
    assert folder.read(tmp_path, config(size=None)).train.images.shape == (1, 3, 30, 40)
    paint(tmp_path / "a" / "3.png", (10, 10))
    paint(tmp_path / "a" / "4.png", (11, 10))
    with pytest.raises(DataError, match=r"differ in size: .*png is \d+x\d+; .*Set data.size"):
        folder.read(tmp_path, config(size=None))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "LA"])
def test_modes(tmp_path, mode):
    suffix = "tif" if mode == "CMYK" else "png"
    path = tmp_path / f"x.{suffix}"
    if mode.startswith("I"):
        Image.fromarray(np.full((8, 8), 0x8000, np.uint16)).save(path)
    else:
        paint(path, color=(128, 128, 128), mode=mode)
    pixels = folder.picture(path, config())
    assert pixels.shape == (3, 16, 16)
    assert mode == "1" or abs(int(pixels.mean()) - 128) <= 1


def test_turned_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = paint(tmp_path / "x.jpg", (40, 20), exif=exif)
    assert folder.picture(path, config(size=None)).shape == (3, 40, 20)


def test_unreadable_pictures_are_named(tmp_path):
    whole = paint(tmp_path / "train" / "a" / "1.png").read_bytes()
    paint(tmp_path / "test" / "a" / "1.png")
    for name, content in {"2": whole[:60], "3": b"text", "4": b"", "5": b""}.items():
        (tmp_path / "train" / "a" / f"{name}.png").write_bytes(content)
    with pytest.raises(DataError, match=r"2\.png: not a readable picture.*3\.png: not a picture.*and 1 more"):
        folder.read(tmp_path, config())


def test_decompression_bombs_are_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (10_000, 10_000)).save(path)
    with pytest.raises(DataError, match=r"bomb\.png: .*10000"):
        folder.picture(path, config())
    Image.new("1", (9_000, 9_000)).save(path)
    with pytest.raises(DataError, match=r"bomb\.png: 9000x9000 pixels; at most 67108864"):
        folder.picture(path, config())
    Image.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(DataError, match=r"bomb\.png: .*decompression bomb"):
        folder.picture(path, config())
