"""A table of labels beside a folder of pictures, through the functions and the command."""

import json

import pytest
from PIL import Image

from dlrun.cli import main
from dlrun.config.groups import ImageTable
from dlrun.data.labels import read_table
from dlrun.data.load import load
from dlrun.errors import DataError


@pytest.fixture
def photos(tmp_path):
    """Twelve pictures in one folder: even numbers are dark, odd ones light."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        value = 200 * (number % 2) + 2 * number
        Image.new("RGB", (10, 8), (value, value, value)).save(folder / f"{number}.png")
    return folder


def table(photos, text):
    path = photos.parent / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def lines(separator=",", suffix=".png", split=False):
    for number in range(12):
        cells = [f"{number}{suffix}", ("night", "day")[number % 2]]
        cells += [("train", "valid", "Testing")[number // 4]] if split else []
        yield separator.join(cells) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "file,label\n" + "".join(lines()),
        "\ufeffFile;Label\n" + "".join(lines(";")),
        "id\tspecies\r\n" + "".join(lines("\t", "")).replace("\n", "\r\n"),
        "".join(lines()),
        "label,image\n" + "".join('"{1}","{0}"\n'.format(*line.strip().split(",")) for line in lines()),
    ],
    ids=["named", "BOM and semicolons", "tabs, CRLF and no suffix", "no names", "quotes and another order"],
)
def test_tables_as_people_have_them(photos, text):
    found = read_table(table(photos, text), photos)
    assert found.classes == ("day", "night")
    assert [path.name for path in found.train["day"]] == ["1.png", "11.png", "3.png", "5.png", "7.png", "9.png"]
    assert not any(found.test.values())
    assert not any(found.val.values())


def test_splits_are_spelt_in_many_ways(photos):
    found = read_table(table(photos, "file,label,split\n" + "".join(lines(split=True))), photos)
    assert [len(split["day"]) for split in found] == [2, 2, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no lines"),
        ("file,label\n", "no lines"),
        ("x,y\n1,2\n", "labels.csv: line 1: .*|no line"),
        ("picture,colour\n0.png,red\n", "no column label; found picture, colour"),
        ("a,b,c,d\n", "found 4 columns without names in line 1"),
        ("file,label\n0.png,\n,day\n", "line 2: no label; line 3: no file"),
        ("file,label\n0.png,day\n\n0.png,night\n", r"line 4: 0\.png is day in an earlier line and night here"),
        (
            "file,label,split\n0.png,day,dev\n1.png,day,\n",
            "line 2: split dev; expected train, test or val; line 3: split",
        ),
    ],
)
def test_mistakes_are_named_by_their_lines(photos, text, said):
    if text.startswith("x,y"):
        assert read_table(table(photos, text), photos).classes == ("2", "y")
        return
    with pytest.raises(DataError, match=said):
        read_table(table(photos, text), photos)


def test_other_mistakes_are_a_sentence(photos):
    with pytest.raises(DataError, match=r"set data\.table to a CSV file"):
        load(ImageTable("image_table"))
    with pytest.raises(DataError, match=r"nowhere\.csv: No such file"):
        load(ImageTable("image_table", table="nowhere.csv"))
    path = table(photos, "")
    path.write_bytes("file,label\n0.png,Käse\n".encode("latin-1"))
    with pytest.raises(DataError, match="not text in UTF-8"):
        load(ImageTable("image_table", table=str(path)))
    table(photos, "file,label\n0.png,day\n1.png,day\n")
    with pytest.raises(DataError, match=r"image_table: one class, day, in .*labels\.csv; expected two"):
        load(ImageTable("image_table", table=str(path), root=str(photos)))


def test_files_that_are_missing_and_pictures_without_a_line_are_said(photos, caplog):
    path = table(photos, "file,label\n" + "".join(lines()).replace("3.png", "30.png"))
    (photos / "notes.txt").write_text("")
    config = ImageTable("image_table", table=str(path), root=str(photos), size=8)
    with pytest.raises(DataError, match=r"30\.png: No such file.*damaged=skip"):
        load(config)
    left = load(ImageTable("image_table", table=str(path), root=str(photos), size=8, damaged="skip"))
    assert len(left.damaged) == 1
    assert "not used: 1 picture that labels.csv does not name" in caplog.text


def test_train_and_test_from_a_table(photos, capsys, monkeypatch):
    monkeypatch.chdir(photos.parent)
    path = table(photos, "file,label,split\n" + "".join(lines(split=True)))
    words = [f"data.table={path}", f"data.root={photos}"]
    small = [
        "model=fc_64",
        "optimizer=adam",
        "epochs=20",
        "batch_size=2",
        "data.normalize=standard",
        "device=cpu",
        "threads=1",
        "data.size=8",
    ]
    assert main(["data=image_table", *words, *small, "validation=own", "tensorboard=off", "hydra.run.dir=r"]) == 0
    assert "4 train + 4 held out + 4 test, 3x8x8, 2 classes" in capsys.readouterr().out
    assert main(["evaluate", "r", "--json"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert own["accuracy"] == 1
    moved = photos.rename(photos.with_name("elsewhere"))
    assert main(["evaluate", "r", "--json", f"data.root={moved}"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == own["accuracy"]
    other = moved.parent / "other.csv"
    other.write_text("file,label\n0.png,night\n1.png,day\n2.png,day\n")
    assert main(["evaluate", "r", "--json", "data=image_table", f"data.table={other}", f"data.root={moved}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pictures"], round(found["accuracy"], 4)) == (3, 0.6667)
