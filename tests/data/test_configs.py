"""The shipped configs of the groups `data` and `augment`."""

import pytest

from dlrun.config.compose import compose
from dlrun.config.groups import DATA, Augment


@pytest.mark.parametrize("name", DATA)
def test_data(name):
    assert compose([f"data={name}"]).data == DATA[name](name=name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", Augment()),
        ("shift_flip", Augment(shift=0.1, flip=True)),
        ("affine", Augment(rotate=10, zoom=0.1, shift=0.1, flip=True)),
        ("crop_flip", Augment(crop=4, flip=True)),
        ("noise", Augment(noise=0.1)),
    ],
)
def test_augment(name, expected):
    assert compose([f"augment={name}"]).augment == expected
