import numpy as np
import pytest

from dlrun.data.decoded import Decoded, Pictures, checked, fingerprint, moments
from dlrun.errors import DataError


def pictures(count=4, labels=None, shape=(1, 2, 2)):
    images = np.arange(count * np.prod(shape), dtype=np.uint8).reshape(count, *shape)
    return Pictures(images, np.array(range(count) if labels is None else labels, dtype=np.int64))


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (pictures(), pictures(labels=[0, 1]), "test set has 4 pictures but 2 labels"),
        (pictures(0), pictures(), "training set is empty"),
        (pictures(), pictures(labels=[0, 1, 4, 0]), "label 4 in the test set; expected 0-3"),
        (pictures(labels=[0, -1, 4, 0]), pictures(), "label -1 in the training set"),
        (
            pictures(),
            pictures(shape=(3, 2, 2)),
            r"training pictures are \(1, 2, 2\), test pictures \(3, 2, 2\)",
        ),
    ],
)
def test_inconsistent_data(train, test, said):
    with pytest.raises(DataError, match=f"here: .*{said}"):
        checked(Decoded(train, test, tuple("abcd")), "here")


def test_the_fingerprint_is_of_the_content():
    one = Decoded(pictures(), pictures(), ("a",))
    assert fingerprint(*one[:2]) == fingerprint(*one[:2]) != fingerprint(pictures(), pictures(labels=[0] * 4))
    assert fingerprint(pictures(shape=(1, 4, 1)), pictures(shape=(1, 4, 1))) != fingerprint(*one[:2])


def test_moments_are_numpys():
    images = np.random.RandomState(0).randint(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    images[:, 2] = 51
    mean, std = moments(images)
    assert mean == pytest.approx(images.mean((0, 2, 3)) / 255)
    assert std[:2] == pytest.approx(images.std((0, 2, 3))[:2] / 255)
    assert std[2] == 1
