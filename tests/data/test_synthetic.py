import numpy as np
import pytest

from dlrun.config.groups import Synthetic
from dlrun.data import synthetic
from dlrun.data.decoded import fingerprint
from dlrun.errors import ConfigError


def test_the_pictures_never_change():
    assert fingerprint(*synthetic.make(Synthetic("synthetic"))[:2]) == "986c08204e22c360"


@pytest.mark.parametrize(("shape", "classes"), [([3, 32, 32], 100), ([1, 1, 1], 2), ([4, 5, 60], 7)])
def test_any_shape_and_number_of_classes(shape, classes):
    made = synthetic.make(Synthetic("synthetic", shape=shape, classes=classes, train_images=300, test_images=30))
    assert made.train.images.shape == (300, *shape)
    assert made.train.images.dtype == np.uint8
    assert sorted(set(made.train.labels)) == list(range(classes))


def test_the_nearest_mean_tells_the_classes_apart():
    made = synthetic.make(Synthetic("synthetic"))
    train, test = (split.images.reshape(len(split.images), -1).astype(float) for split in (made.train, made.test))
    means = np.stack([train[made.train.labels == label].mean(0) for label in range(10)])
    guesses = ((test[:, None] - means) ** 2).sum(-1).argmin(1)
    assert (guesses == made.test.labels).mean() > 0.99


@pytest.mark.parametrize("shape", [[], [28, 28], [1, 0, 28], [1, 28, 5000]])
def test_impossible_shapes(shape):
    with pytest.raises(ConfigError, match=r"data\.shape=.*expected channels, height, width"):
        synthetic.make(Synthetic("synthetic", shape=shape))
