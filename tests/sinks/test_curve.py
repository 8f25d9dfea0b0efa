"""The accuracy curve in characters."""

import math

import pytest

from dlrun.sinks.curve import HEIGHT, WIDTH, accuracy_curve


def history(*accuracies: float, split: str = "test") -> list[dict[str, float]]:
    return [
        {"epoch": number, "train_accuracy": accuracy / 2, f"{split}_accuracy": accuracy}
        for number, accuracy in enumerate(accuracies, start=1)
    ]


def drawn(*accuracies: float, encoding: str = "utf-8") -> list[str]:
    return [line.plain for line in accuracy_curve(history(*accuracies), encoding)]


def test_frame_names_extremes_and_epochs() -> None:
    lines = drawn(0.5, 0.8, 0.9)
    assert len(lines) == 1 + HEIGHT + 1
    assert lines[1].startswith("0.9000 |")
    assert lines[-2].startswith("0.2500 |")
    assert lines[-1].split() == ["1", "3"]
    assert {len(line) for line in lines[1:]} == {8 + WIDTH}


def test_rising_line_begins_low_and_ends_on_top() -> None:
    lines = drawn(0.2, 0.9, encoding="ascii")
    assert lines[1].endswith("*")
    assert lines[1].count("*") < WIDTH / 2
    assert "." in lines[-2]


def test_every_column_of_the_solid_line_is_drawn_even_when_it_is_steep() -> None:
    rows = [line[8:] for line in drawn(0.1, 0.9, 0.1, 0.9, encoding="ascii")[1:-1]]
    assert all(any(row[column] == "*" for row in rows) for column in range(WIDTH))


def test_held_out_images_are_named() -> None:
    assert "val" in accuracy_curve(history(0.5, 0.6, split="val"))[0].plain


@pytest.mark.parametrize("accuracies", [(), (0.5,), (0.5, math.nan)])
def test_nothing_to_draw(accuracies: tuple[float, ...]) -> None:
    assert drawn(*accuracies) == []


def test_constant_accuracy_is_a_flat_line() -> None:
    assert len(drawn(1.0, 1.0, 1.0)) == HEIGHT + 2


def test_terminal_without_braille_gets_ascii() -> None:
    assert "".join(drawn(0.5, 0.6, encoding="cp1252")).isascii()
    assert not "".join(drawn(0.5, 0.6)).isascii()
