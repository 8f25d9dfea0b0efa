from pathlib import Path

import pytest
from PIL import Image

from dlrun.cli import main


def test_numbers_and_a_sheet_raw_and_augmented(
    drawn_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    words = [f"data.root={drawn_digits}", "data.verify=false", "augment=affine", "--output", str(sheet)]
    assert main(["data", "show", "mnist", *words]) == 0
    out = capsys.readouterr().out
    assert "600 train + 200 test, 1x28x28, 10 classes" in out
    assert "mean 0.1307; standard deviation 0.3081" in out
    assert "augmented (affine)" in out
    with Image.open(sheet) as page:
        assert page.size == (10 * 88, 2 * 4 * (84 + 4 + 13) + 12)
        half = (page.height - 12) // 2
        above = page.crop((0, 0, page.width, half))
        below = page.crop((0, half + 12, page.width, page.height))
    assert above.tobytes() != below.tobytes()
    words[2] = "augment.shift=0.2"
    assert main(["data", "show", "mnist", *words]) == 0
    assert "augmented (as typed)" in capsys.readouterr().out


def test_a_class_of_ones_own_folders_is_a_row(here: Path) -> None:
    """Of a few classes in turn nobody sees which is which; one has fewer pictures than the row is long."""
    for name, count, grey in (("cats", 12, 60), ("dogs", 2, 120), ("eels", 30, 180)):
        for split in ("train", "test"):
            (here / "own" / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("L", (80, 80), grey).save(here / "own" / split / name / f"{number}.png")
    words = ["--root", "own", "data.size=80", "data.color=grey", "--output", "sheet.png"]
    assert main(["data", "show", "image_folder", *words]) == 0
    with Image.open("sheet.png") as page:
        wide, high = 84, 84 + 13
        assert page.size == (10 * wide, 2 * 3 * high + 12)
        rows = [[page.getpixel((wide * column + 42, high * row + 42))[0] for column in range(10)] for row in range(3)]
    assert rows == [[60] * 10, [120] * 2 + [255] * 8, [180] * 10]


def test_root_is_where_the_data_are(
    drawn_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "o'dd, [one] = 1").symlink_to(drawn_digits)
    assert main(["data", "show", "mnist", "--root", "o'dd, [one] = 1", "data.verify=false"]) == 0
    assert "600 train + 200 test" in capsys.readouterr().out
    assert main(["data", "show", "mnist", "--root", "nowhere"]) == 2
    assert "mnist: no data in nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["nothing"], "no such option"), (["mnist", "epochs=3"], "epochs=3: expected data.FIELD=VALUE")],
)
def test_mistakes_are_one_line(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", *words]) == 2
    assert sentence in capsys.readouterr().err
