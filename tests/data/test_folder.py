import re
import unicodedata

import numpy as np
import pytest
from PIL import Image

from dlrun.config.groups import ImageFolder
from dlrun.data import folder
from dlrun.data.decoded import fingerprint
from dlrun.data.listing import SUFFIXES, below, held_out, listings
from dlrun.data.load import load
from dlrun.data.places import Source
from dlrun.data.strays import unused
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


def source(path):
    return Source(path, {}, listings(path))


def read(path, settings):
    return folder.read(source(path), settings)


def test_reads_any_size_and_holds_out_a_share(pets):
    decoded = read(pets, config())
    assert decoded.classes == ("Hünde", "cat")
    assert decoded.train.images.shape == (16, 3, 16, 16)
    assert decoded.test.labels.tolist() == [0, 1, 0, 1], "the classes take turns"
    assert decoded.train.images[decoded.train.labels == 1, 0].min() > 245
    again = read(pets, config())
    assert np.array_equal(decoded.test.images, again.test.images)


def test_grey(pets):
    assert read(pets, config(color="grey")).train.images.shape == (16, 1, 16, 16)


def test_train_and_test_folders(tmp_path):
    paint(tmp_path / "train" / "a" / "1.png")
    paint(tmp_path / "train" / "b" / "1.png")
    paint(tmp_path / "test" / "b" / "2.png")
    decoded = read(tmp_path, config())
    assert listings(tmp_path).classes == decoded.classes == ("a", "b")
    assert decoded.test.labels.tolist() == [1]
    paint(tmp_path / "test" / "c" / "2.png")
    with pytest.raises(DataError, match="classes that train/ has not: c"):
        load(config(root=str(tmp_path)))


def test_a_name_is_one_class_however_its_letters_are_composed(tmp_path):
    for form in ("NFC", "NFD"):
        for split, name in (("train", "Käse"), ("train", "Öl"), ("test", "Öl")):
            paint(tmp_path / form / split / unicodedata.normalize(form, name) / "1.png", mode="L")
            if form == "NFC":
                paint(tmp_path / "both" / split / unicodedata.normalize("NFD", name) / "2.png", mode="L")
                paint(tmp_path / "both" / split / name / "1.png", mode="L")
        paint(tmp_path / form / "train" / "cat" / "1.png", mode="L")
    composed, split = (read(tmp_path / form, config()) for form in ("NFC", "NFD"))
    assert composed.classes == split.classes == ("Käse", "cat", "Öl")
    assert fingerprint(*composed[:2]) == fingerprint(*split[:2])
    both = read(tmp_path / "both", config())
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
    assert read(tmp_path, config(size=None)).train.images.shape == (1, 3, 30, 40)
    paint(tmp_path / "a" / "3.png", (10, 10))
    paint(tmp_path / "a" / "4.png", (11, 10))
    with pytest.raises(DataError, match=r"differ in size: .*png is \d+x\d+; .*Set data.size"):
        read(tmp_path, config(size=None))


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
    said = r"2\.png: not a readable picture.*3\.png: not a picture.*4\.png.*5\.png.*Mend them.*data\.damaged=skip"
    with pytest.raises(DataError, match=said):
        read(tmp_path, config())


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


def pets_in(folder, names=("cat", "dog"), pictures=5, suffix="png"):
    """Classes that differ in colour and pictures that differ in size."""
    for place, name in enumerate(names):
        for number in range(pictures):
            paint(folder / name / f"{folder.name}-{number}.{suffix}", (20 + number, 30), (90 * place, 50, 40 * number))


@pytest.mark.parametrize(
    "litter",
    [
        "cat/.ipynb_checkpoints/0-checkpoint.png",
        "cat/@eaDir/0.png/SYNOPHOTO_THUMB_M.png",
        "@eaDir/cat/0.png",
        "__MACOSX/cat/0.png",
        "__MACOSX/cat/._0.png",
        ".thumbnails/0.png",
        "dog/.thumb/0.png",
        "#recycle/cat/0.png",
        "$RECYCLE.BIN/0.png",
        "cat/._0.png",
    ],
)
def test_what_tools_leave_behind_is_no_picture(tmp_path, litter):
    pets_in(tmp_path / "pets")
    before = fingerprint(*read(tmp_path / "pets", config())[:2])
    paint(tmp_path / "pets" / litter, color=(9, 9, 9))
    decoded = read(tmp_path / "pets", config())
    assert fingerprint(*decoded[:2]) == before
    assert listings(tmp_path / "pets").classes == decoded.classes == ("cat", "dog")
    assert not unused(source(tmp_path / "pets"))
    assert litter not in {str(path.relative_to(tmp_path / "pets")) for path in below(tmp_path / "pets")}


@pytest.mark.parametrize(
    ("train", "test", "val"),
    [("Train", "Test", "Val"), ("training", "testing", "validation"), ("TRAINING", "test", "valid")],
)
def test_splits_under_their_usual_names(tmp_path, train, test, val):
    for name, pictures in ((train, 5), (test, 2), (val, 3)):
        pets_in(tmp_path / name, pictures=pictures)
    decoded = read(tmp_path, config())
    assert decoded.classes == ("cat", "dog")
    assert {name: len(split.labels) for name, split in decoded.splits.items()} == {"train": 10, "test": 4, "val": 6}
    loaded = load(config(root=str(tmp_path)))
    assert (len(loaded.train), len(loaded.test), len(loaded.val)) == (10, 4, 6)
    assert loaded.fingerprint == fingerprint(*decoded.splits.values()) == load(config(root=str(tmp_path))).fingerprint


def test_two_folders_for_one_split_are_refused_and_a_class_may_be_called_train(tmp_path):
    pets_in(tmp_path / "twice" / "train")
    pets_in(tmp_path / "twice" / "Training")
    with pytest.raises(DataError, match="Training/ and train/ could both be the train split"):
        read(tmp_path / "twice", config())
    pets_in(tmp_path / "vehicles", ("bus", "train"))
    assert listings(tmp_path / "vehicles").classes == ("bus", "train")


def test_everything_that_pillow_reads_by_itself_is_a_picture():
    Image.init()
    decodable = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    # Stubs that can't decode alone, a program that would be started, or Windows' own.
    others = {".bufr", ".eps", ".ps", ".grib", ".h5", ".hdf", ".mpg", ".mpeg", ".iim", ".emf", ".wmf"}
    assert decodable - others <= SUFFIXES
    assert not SUFFIXES & others


def test_a_class_of_files_that_are_not_read_is_no_class_less_in_silence(tmp_path, caplog):
    pets = tmp_path / "pets"
    pets_in(pets)
    (pets / "fish").mkdir()
    load(config(root=str(pets)))
    assert "no picture in fish/" in caplog.text
    (pets / "fish" / "1.heic").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"the class fish has no picture that Pillow reads, but 1 other file \(\.heic\)"
    ):
        load(config(root=str(pets)))


def test_what_is_not_used_is_said_in_a_line(tmp_path, caplog):
    pets = tmp_path / "pets"
    pets_in(pets / "train")
    pets_in(pets / "test", ("cat",))
    paint(pets / "loose.png")
    paint(pets / "extra" / "1.png")
    (pets / "train" / "cat" / "notes.txt").write_text("")
    (pets / "train" / "labels.csv").write_text("")
    load(config(root=str(pets)))
    lines = [line for line in caplog.text.splitlines() if "not used" in line]
    assert len(lines) == 1
    assert "not used: 1 .csv, 1 .txt; 1 picture in extra/, 1 picture in no folder" in lines[0]
    assert "no test picture of dog" in caplog.text
    for kind in "abcdefg":
        (pets / f"1.{kind}").write_text("")
    caplog.clear()
    load(config(root=str(pets)))
    assert re.search(r"not used: (1 \.\w+, ){5}1 \.\w+ and 3 more; 1 picture in extra/", caplog.text)


def test_one_folder_too_many_and_one_picture_a_class_are_refused(tmp_path):
    pets_in(tmp_path / "a" / "pets")
    with pytest.raises(DataError, match=r"one class, pets, in .*did you mean data\.root=.*a/pets\?"):
        load(config(root=str(tmp_path / "a")))
    pets_in(tmp_path / "b", pictures=1)
    with pytest.raises(DataError, match=r"one picture a class leaves none to test; give it more, or a test/ folder"):
        read(tmp_path / "b", config())


def test_links_to_folders_are_followed_once(tmp_path):
    pets_in(tmp_path / "real")
    (tmp_path / "pets" / "dog").mkdir(parents=True)
    (tmp_path / "pets" / "cat").symlink_to(tmp_path / "real" / "cat")
    (tmp_path / "pets" / "dog" / "more").symlink_to(tmp_path / "real" / "dog")
    (tmp_path / "real" / "dog" / "round").symlink_to(tmp_path / "pets" / "dog")
    assert len(below(tmp_path / "pets")) == 10


def test_damaged_pictures_are_left_out_when_that_is_asked_for(tmp_path, caplog):
    pets = tmp_path / "pets"
    pets_in(pets / "train")
    pets_in(pets / "test")
    whole = load(config(root=str(pets))).fingerprint
    (pets / "train" / "cat" / "dangling.png").symlink_to("nowhere")
    (pets / "train" / "dog" / "text.jpg").write_text("text")
    (pets / "test" / "cat" / "empty.gif").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"dangling\.png: No such file.*text\.jpg: not a pict.*empty\.gif.*damaged=skip"
    ):
        load(config(root=str(pets)))
    for _ in range(2):  # read, and from the cache
        left = load(config(root=str(pets), damaged="skip"))
        assert left.fingerprint == whole
        assert [line.partition(": ")[0].rpartition("/")[2] for line in left.damaged] == [
            "dangling.png",
            "text.jpg",
            "empty.gif",
        ]
    assert "3 damaged pictures left out" in caplog.text


def test_a_class_of_damaged_pictures_alone_is_refused(tmp_path):
    pets_in(tmp_path)
    for number in range(3):
        paint(tmp_path / "fish" / f"{number}.png").write_bytes(b"x")
    with pytest.raises(DataError, match="no picture is left to train on of fish"):
        read(tmp_path, config(damaged="skip"))
