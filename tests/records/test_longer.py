"""The first epochs of a longer run are the shorter run, bit for bit: both are trained."""

import pytest

from dlrun.config.compose import compose
from dlrun.config.settled import settle
from dlrun.records.record import Record
from dlrun.runs.run import run

SMALL = [
    "data=synthetic",
    "data.train_images=64",
    "data.test_images=32",
    "data.shape=[1,8,8]",
    "batch_size=24",
    "precision=float32",
    "device=cpu",
    "threads=1",
    "tensorboard=off",
]
CONTAINED = {
    "momentum": ["model.layers=[flatten, dense 8]", "optimizer.momentum=0.9"],
    "everything": [
        "model.layers=[conv 4, bn, pool 2, dropout 0.5, flatten, dense 8]",
        "optimizer=adam",
        "augment=affine",
        "scheduler.warmup=1.5",
        "label_smoothing=0.1",
        "clip_norm=1",
        "seed=3",
    ],
}


@pytest.mark.parametrize("kind", CONTAINED)
def test_a_longer_run_begins_with_the_shorter_one(tmp_path, kind):
    records = {}
    for epochs in (2, 5):
        config = compose([*SMALL, *CONTAINED[kind], f"epochs={epochs}"])
        run(settle(config), tmp_path / str(epochs))
        records[epochs] = Record.of_run(tmp_path / str(epochs))
    shortened = records[5].shortened(2)
    assert shortened.numbers == records[2].numbers
    assert shortened.result.hash == records[2].result.hash
    assert shortened.result.best == records[2].result.best
    assert shortened.settings == records[2].settings
    assert shortened.experiment == records[2].experiment


def test_where_the_schedule_knows_the_end_they_differ(tmp_path):
    """So that the test above could fail."""
    for epochs in (2, 5):
        config = compose([*SMALL, *CONTAINED["momentum"], "scheduler=cosine", f"epochs={epochs}"])
        run(settle(config), tmp_path / str(epochs))
    short, long = (Record.of_run(tmp_path / str(epochs)) for epochs in (2, 5))
    assert not long.contains(2)
    assert short.history["train_loss"] != long.history["train_loss"][:2]
