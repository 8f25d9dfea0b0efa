import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from dlrun.cli import main
from dlrun.drawing.fonts import font

pytestmark = pytest.mark.usefixtures("one_thread")


def digit(number: int, size: int, paper: int, ink: int, path: Path) -> Path:
    page = Image.new("L", (size, size), paper)
    ImageDraw.Draw(page).text((size / 2, size / 2), str(number), ink, font(round(size * 0.82)), anchor="mm")
    page.save(path)
    return path


def predicted(run: Path, *words: str | Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    assert main(["predict", str(run), *map(str, words), "--json"]) == 0
    return list(json.loads(capsys.readouterr().out))


def test_digits_dark_on_white_and_light_on_black_are_recognised(
    drawn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(10):
        digit(number, 200, 255, 0, tmp_path / f"dark{number}.png")
        digit(number, 28, 0, 255, tmp_path / f"light{number}.png")
    found = predicted(drawn_run, tmp_path, capsys=capsys)
    assert [entry["inverted"] for entry in found] == [True] * 10 + [False] * 10
    right = [entry["top"][0]["class"] == Path(entry["file"]).stem[-1] for entry in found]  # type: ignore[index, arg-type]
    assert sum(right) >= 19


@pytest.mark.slow
@pytest.mark.real_data
def test_a_network_trained_on_mnist_recognises_drawn_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "run"
    words = ["data=mnist", "model=cnn_1layer", "optimizer=adam", "epochs=3", "limit=10000", "batch_size=64"]
    assert main([*words, f"hydra.run.dir={run_dir}", "tensorboard=off"]) == 0
    capsys.readouterr()
    (tmp_path / "pictures").mkdir()
    for number in range(10):
        digit(number, 200, 255, 0, tmp_path / "pictures" / f"dark{number}.png")
        digit(number, 28, 0, 255, tmp_path / "pictures" / f"light{number}.png")
    found = predicted(run_dir, tmp_path / "pictures", capsys=capsys)
    answers = {Path(str(entry["file"])).stem: entry["top"][0]["class"] for entry in found}  # type: ignore[index]
    assert len(answers) == 20
    # Printed digits are not handwriting: one of them may be taken for another.
    assert sum(answer == name[-1] for name, answer in answers.items()) >= 18
    for number in (1, 2, 3, 4, 5):
        assert answers[f"dark{number}"] == answers[f"light{number}"] == str(number)


def test_people_get_bars_and_hear_of_inversion(
    drawn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = digit(3, 90, 255, 0, tmp_path / "three.png")
    assert main(["predict", str(drawn_run), str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path} (dark on light: inverted)"
    assert lines[1].startswith("  3")
    assert "█" in lines[1]
    assert len(lines) == 4


def test_csv_is_safe_for_spreadsheets(
    drawn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    digit(3, 30, 0, 255, Path("=cmd.png"))
    digit(3, 30, 0, 255, Path("a=b.png"))
    assert main(["predict", str(drawn_run), "=cmd.png", "--csv", "a=b.png"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == ["'=cmd.png", "a=b.png"]
    assert rows[0]["class_1"] == "3"
    assert float(rows[0]["probability_1"]) > float(rows[0]["probability_2"]) >= float(rows[0]["probability_3"])


def test_unreadable_files_are_named_and_the_others_classified(
    drawn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digit(1, 50, 255, 0, tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no picture")
    (tmp_path / "esc\x1b[31m.png").write_text("")
    words = [str(tmp_path / name) for name in ("bad.png", "esc\x1b[31m.png", "good.png")]
    assert main(["predict", str(drawn_run), *words, "device=cpu"]) == 1
    out, error = capsys.readouterr()
    assert "good.png" in out
    assert error.count("\n") == 2
    assert "\x1b" not in error


def test_a_contact_sheet_shows_what_the_network_saw(
    drawn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(5):
        digit(number, 64, 255, 0, tmp_path / "in" / f"{number}.png")
    sheet = tmp_path / "sheet.png"
    assert main(["predict", str(drawn_run), str(tmp_path / "in"), "--sheet", str(sheet)]) == 0
    with Image.open(sheet) as page:
        assert page.size == (3 * 116, 2 * (116 + 2 * 13))
    for folder in ("a", "b"):
        (tmp_path / "of two" / folder).mkdir(parents=True)
        digit(3, 64, 255, 0, tmp_path / "of two" / folder / "3.png")
    assert main(["predict", str(drawn_run), str(tmp_path / "of two"), "--sheet", str(sheet)]) == 0
    with Image.open(sheet) as page:
        assert page.size == (2 * 116, 116 + 3 * 13), "a line more names the folder"
    assert main(["predict", str(drawn_run), str(tmp_path / "in"), "--sheet", str(sheet.with_suffix(".JPG"))]) == 0
    with Image.open(sheet.with_suffix(".JPG")) as page:
        assert page.format == "JPEG"
    for verb, option in (("predict", "--sheet"), ("evaluate", "--sheet"), ("data show", "--output")):
        assert main([*verb.split(), str(drawn_run), option, "sheet.gif"]) == 2
        assert "sheet.gif: expected a name that ends in .png or .jpg" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["no-such-folder-or-run"], ["device=cpu"]], ids=str)
def test_nothing_to_classify_is_a_mistake_in_the_command(
    words: list[str], drawn_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(drawn_run), *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_picture_that_is_not_there_is_found_before_the_network_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = digit(1, 50, 255, 0, tmp_path / "good.png")
    assert main(["predict", "no-run-at-all", str(good), "nope.png"]) == 2
    assert capsys.readouterr().err == "dlrun: nope.png: no such file or folder\n"


def test_an_output_without_blocks_gets_other_bars(
    drawn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = digit(3, 90, 255, 0, tmp_path / "three.png")
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    assert main(["predict", str(drawn_run), str(path)]) == 0
    assert b"###" in written.getvalue()
