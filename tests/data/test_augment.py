import dataclasses

import numpy as np
import pytest
import torch

from dlrun.config.groups import Augment
from dlrun.data.augment import augment


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def pictures(count=64, channels=1, height=28, width=28):
    return torch.rand(count, channels, height, width)


def spots(count=64, row=20, column=10, size=28):
    """A bright spot at one place of each picture."""
    images = torch.zeros(count, 1, size, size)
    images[:, :, row - 1 : row + 2, column - 1 : column + 2] = 1
    return images


def centres(images):
    """Where the light is, in pixels from the middle: (rows, columns)."""
    height, width = images.shape[-2:]
    light = images.sum((1, 2, 3))
    rows = (images.sum((1, 3)) * (torch.arange(height) - (height - 1) / 2)).sum(1) / light
    columns = (images.sum((1, 2)) * (torch.arange(width) - (width - 1) / 2)).sum(1) / light
    return rows, columns


ALL = [
    Augment(flip=True),
    Augment(shift=0.1, flip=True),
    Augment(rotate=10, zoom=0.1, shift=0.1, flip=True),
    Augment(shift=0.1, fill="nearest"),
    Augment(crop=4, flip=True),
    Augment(crop=4, fill="nearest"),
    Augment(noise=0.1),
    Augment(randaugment=2, magnitude=15),
    Augment(erase=0.7),
    Augment(flip=True, shift=0.2, rotate=30, zoom=0.2, crop=2, noise=0.1),
]


@pytest.mark.parametrize("config", ALL)
@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (3, 3, 20, 32), (1, 2, 1, 1)])
def test_shape_type_and_range_stay(config, shape):
    images = torch.rand(shape)
    before = images.clone()
    changed = augment(images, config)
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1 + 1e-6
    assert torch.equal(images, before)


def test_nothing_on_changes_and_draws_nothing():
    images = pictures()
    state = torch.get_rng_state()
    assert augment(images, Augment()) is images
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("config", ALL)
def test_the_seed_decides(config):
    images = pictures()
    torch.manual_seed(3)
    one = augment(images, config)
    torch.manual_seed(3)
    two = augment(images, config)
    assert torch.equal(one, two)
    assert not torch.equal(one, augment(images, config))


@pytest.mark.parametrize("config", [Augment(flip=True), Augment(flip=True, rotate=1e-9)])
def test_flip_mirrors_about_half(config):
    images = pictures(1000)
    changed = augment(images, config)
    mirrored = (changed - images.flip(-1)).abs().amax((1, 2, 3)) < 1e-4
    kept = (changed - images).abs().amax((1, 2, 3)) < 1e-4
    assert (mirrored ^ kept).all()
    assert 430 < mirrored.sum() < 570


def test_shift_moves_by_up_to_its_share_and_fills_with_zeros():
    rows, columns = centres(augment(spots(2000, 14, 14), Augment(shift=0.1)))
    for moved in (rows - 0.5, columns - 0.5):
        assert moved.abs().max() <= 2.8 + 1e-3
        assert moved.max() > 2.6
        assert moved.min() < -2.6
        assert abs(moved.mean()) < 0.15
    edge = augment(torch.ones(200, 1, 28, 28), Augment(shift=0.5))
    assert (edge.amin((1, 2, 3)) == 0).all()


def test_rotation_keeps_the_distance_also_in_oblong_pictures():
    images = torch.zeros(500, 1, 40, 80)
    images[:, :, 19:21, 54:56] = 1
    rows, columns = centres(augment(images, Augment(rotate=30)))
    radius = (rows**2 + columns**2).sqrt()
    angles = torch.rad2deg(torch.atan2(rows, columns))
    assert (radius - 15).abs().max() < 0.3
    assert angles.abs().max() <= 30.5
    assert angles.max() > 28
    assert angles.min() < -28


def test_zoom_scales_about_the_middle():
    rows, columns = centres(augment(spots(500, 20, 14, 29), Augment(zoom=0.2)))
    assert columns.abs().max() < 1e-3
    assert rows.max() == pytest.approx(6 * 1.2, abs=0.1)
    assert rows.min() == pytest.approx(6 * 0.8, abs=0.1)


def test_fill_nearest_repeats_the_border():
    """A picture that rises from left to right by one grey a column: wherever it was moved to, its ends go on level."""
    ramp = (torch.arange(28.0) / 27).expand(500, 1, 28, 28)
    changed = augment(ramp, Augment(shift=0.3, fill="nearest")) * 27
    moved = changed[:, 0, 14, 14] - 14
    assert moved.min() < -8
    assert moved.max() > 8
    expected = (torch.arange(28.0) + moved[:, None]).clamp(0, 27)
    assert torch.allclose(changed, expected[:, None, None, :].expand_as(changed), atol=1e-3)


@pytest.mark.parametrize(
    "config", [Augment(rotate=45, fill="nearest"), Augment(zoom=0.5, fill="nearest"), Augment(crop=9, fill="nearest")]
)
def test_with_fill_nearest_nothing_black_comes_in(config):
    assert augment(torch.full((50, 3, 20, 32), 0.5), config) == pytest.approx(0.5)
    black = dataclasses.replace(config, fill="zeros")
    assert augment(torch.full((50, 3, 20, 32), 0.5), black).min() == 0


@pytest.mark.parametrize(("fill", "mode"), [("zeros", "constant"), ("nearest", "edge")])
def test_crop_moves_whole_pixels(fill, mode):
    images = pictures(300, 3, 8, 10) + 1e-3
    changed = augment(images, Augment(crop=2, fill=fill))
    padded = torch.from_numpy(np.pad(images, [(0, 0), (0, 0), (2, 2), (2, 2)], mode=mode))
    seen = set()
    for before, after in zip(padded, changed, strict=True):
        fits = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if torch.equal(before[:, row : row + 8, column : column + 10], after)
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == 25


def test_noise_has_its_deviation_and_stays_in_range():
    changed = augment(torch.full((50, 1, 28, 28), 0.5), Augment(noise=0.1))
    assert (changed - 0.5).std() == pytest.approx(0.1, rel=0.02)
    assert augment(torch.ones(50, 1, 28, 28), Augment(noise=0.1)).max() == 1


def test_each_picture_has_its_own_draw():
    changed = augment(spots(100), Augment(shift=0.1, rotate=10))
    assert len({round(value, 4) for value in centres(changed)[0].tolist()}) > 90


@pytest.mark.cuda
@pytest.mark.parametrize("config", ALL)
def test_a_gpu_never_waits(config):
    images = pictures().cuda()
    augment(images, config)
    torch.cuda.set_sync_debug_mode("error")
    try:
        augment(images, config)
    finally:
        torch.cuda.set_sync_debug_mode("default")
