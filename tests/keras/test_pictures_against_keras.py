"""Pictures that are moved, with the border repeated, against Keras' own preprocessing.

Needs what `test_against_keras` needs, and scipy, which Keras calls.
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import KERAS_PYTHON as PYTHON

from dlrun.config.groups import Augment
from dlrun.data.augment import augment

pytestmark = [
    pytest.mark.keras,
    pytest.mark.skipif(PYTHON is None, reason="set DLRUN_KERAS_PYTHON to a Python that has tensorflow and scipy"),
]

MOVE = """
import sys
import numpy as np
from keras.src.legacy.preprocessing.image import apply_affine_transform
given = np.load(sys.argv[1])
moved = [
    apply_affine_transform(
        image, tx=columns, ty=rows, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", order=1
    )
    for image, columns, rows in zip(given["images"], given["columns"], given["rows"])
]
np.save(sys.argv[2], moved)
"""


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 32)])
def test_a_moved_picture_is_that_of_keras(shape: tuple[int, int, int], tmp_path: Path) -> None:
    images = torch.rand(40, *shape)
    torch.manual_seed(0)
    ours = augment(images, Augment(shift=0.3, fill="nearest"))
    torch.manual_seed(0)
    columns, rows = (torch.empty(40).uniform_(-0.3, 0.3) * size for size in (shape[2], shape[1]))
    np.savez(tmp_path / "given.npz", images=images, columns=columns, rows=rows)
    command = [str(PYTHON), "-c", MOVE, str(tmp_path / "given.npz"), str(tmp_path / "moved.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(ours, np.load(tmp_path / "moved.npy"), atol=2e-5)
    assert columns.abs().max() > 0.25 * shape[2]
