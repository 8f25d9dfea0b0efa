"""Names of sweeps and runs: stable for what was typed; every point is checked before the first one starts."""

from dataclasses import replace
from pathlib import Path

import pytest

from dlrun.config.schema import Sweep
from dlrun.errors import ConfigError, UsageError
from dlrun.store.result import Result
from dlrun.sweeps.folder import default_name, jobs_of, sweep_dir
from dlrun.sweeps.jobs import record_failure
from dlrun.sweeps.points import expand

WORDS = ["model=fc_64,fc_512", "seed=0,1", "epochs=3"]


def test_a_name_does_not_depend_on_order_or_on_how_the_sweep_is_run() -> None:
    name = default_name(WORDS)
    assert name == "model-seed-2570c0"
    assert default_name([*reversed(WORDS), "sweep.slots=3", "sweep.failed=retry", "sweep.fresh=true"]) == name
    assert default_name([f"++{word}" for word in WORDS]) == name
    assert default_name([*WORDS, "batch_size=64"]) != name
    assert default_name(["sweep.rows=['a=1']"]) != default_name(["sweep.rows=['a=2']"])
    assert default_name(["experiment=mine"]).startswith("mine-")


def test_fresh_takes_the_next_free_folder(tmp_path: Path) -> None:
    assert sweep_dir([], Sweep(name="x"), tmp_path) == tmp_path / "x"
    (tmp_path / "x").mkdir()
    (tmp_path / "x-2").mkdir()
    assert sweep_dir([], Sweep(name="x"), tmp_path) == tmp_path / "x"
    assert sweep_dir([], Sweep(name="x", fresh=True), tmp_path) == tmp_path / "x-3"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\nb"])
def test_bad_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        sweep_dir([], Sweep(name=name or "/"), tmp_path)


def test_runs_are_known_by_their_hash_whatever_their_folder_was_called(tmp_path: Path) -> None:
    jobs = jobs_of(expand(["data=synthetic", "model=fc_64", "seed=0,1", "device=cpu"]), tmp_path)
    hashes = [job.hash for job in jobs]
    assert [job.run_dir.name for job in jobs] == [f"seed0-{hashes[0]}", f"seed1-{hashes[1]}"]
    (tmp_path / f"other-{hashes[1]}").mkdir()
    again = jobs_of(expand(["data=synthetic", "model=fc_64", "seed=range(0,2)", "device=cpu"]), tmp_path)
    assert again[1].run_dir.name == f"other-{hashes[1]}"


def test_an_extended_run_is_another_run_and_left_alone(tmp_path: Path) -> None:
    words = ["data=synthetic", "model=fc_64", "seed=0", "device=cpu"]
    (job,) = jobs_of(expand(words), tmp_path)
    record_failure(job, "Killed", "for a result")
    replace(Result.read(job.run_dir), hash="01234567").write(job.run_dir)
    (again,) = jobs_of(expand(words), tmp_path)
    assert again.run_dir.name == f"{job.run_dir.name}-2"


def test_two_points_that_come_to_one_run_are_one_job(tmp_path: Path) -> None:
    words = [
        "data=synthetic",
        "model=fc_64",
        "device=cpu",
        "sweep.rows=['optimizer=sgd','optimizer=sgd optimizer.lr=0.01']",
    ]
    assert len(jobs_of(expand(words), tmp_path)) == 1


def test_bad_points_are_named_with_their_reason_before_anything_starts(tmp_path: Path) -> None:
    words = ["data=synthetic", "model=fc_64,cnn_dropout", "optimizer.lr=0.1,-1", "device=cpu"]
    with pytest.raises(ConfigError) as error:
        jobs_of(expand(words), tmp_path / "s")
    assert "point 2 of 4 (model=fc_64 optimizer.lr=-1): optimizer.lr=-1" in str(error.value)
    assert "Nothing was started." in str(error.value)
    assert not (tmp_path / "s").exists()
    with pytest.raises(ConfigError, match=r"point 1 of 1 .*conv 3 99x99"):
        jobs_of(expand(["data=synthetic", "model.layers=[conv 3 99x99, flatten]"]), tmp_path)
