"""A config is settled once, and what it comes to is what every way of running it knows it by."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dlrun.arrays import work
from dlrun.arrays.submitted import SubmittedRun
from dlrun.cli import main
from dlrun.config.compose import compose
from dlrun.config.groups import Target
from dlrun.config.settled import settle
from dlrun.errors import ConfigError
from dlrun.store.result import Result

SMALL = ["data=synthetic", "data.train_images=64", "data.test_images=32", "model=fc_64", "epochs=1", "tensorboard=off"]
SMALL += ["threads=1", "device=cpu"]


def test_scale_lr_is_carried_out_for_the_number_of_ranks() -> None:
    plain = compose(["data=synthetic", "device=cpu"])
    assert settle(replace(plain, scale_lr=True)) == settle(plain)
    fourfold = settle(replace(plain, scale_lr=True), 4).config
    assert (fourfold.batch_size, fourfold.optimizer.lr) == (128, pytest.approx(0.04))
    assert settle(plain, 4) == settle(plain)
    own = replace(plain, scale_lr=True, optimizer=Target("torch.optim.LBFGS", {}))
    with pytest.raises(ConfigError, match="was given no lr"):
        settle(own, 2)


def test_only_fields_outside_the_identity_change_on_the_way() -> None:
    settled = settle(compose(["data=synthetic", "device=cpu"]))
    placed = settled.placed(threads=3, device="cuda")
    assert (placed.config.threads, placed.config.device, placed.hash) == (3, "cuda", settled.hash)
    with pytest.raises(ValueError, match="epochs: part of the identity"):
        settled.placed(epochs=3)


def test_settling_needs_no_torch() -> None:
    code = (
        "import sys; from dlrun.config.compose import compose; "
        "from dlrun.config.settled import settle; settle(compose(sys.argv[1:]))"
    )
    words = ["data=synthetic", "device=cpu", "scale_lr=true"]
    ended = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)", *words], check=False)
    assert ended.returncode == 0


TABLE = """
title: Mine
source: {document: A paper, heading: Table 1}
digits: 3
common: {data: synthetic, data.train_images: 64, data.test_images: 32, model: fc_64, epochs: 1, tensorboard: 'off'}
rows:
  - {label: A, overrides: {scale_lr: true}, published: {test_accuracy: 0.9}}
"""


def test_a_row_needs_no_precision_and_may_scale_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "configs/table").mkdir(parents=True)
    (tmp_path / "configs/table/mine.yaml").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "mine", "--seeds", "1", "device=cpu"]) == 0
    (path,) = Path("outputs/runs").glob("*/result.json")
    hash = settle(compose([*SMALL])).hash
    assert path.parent.name.endswith(hash)
    assert Result.read(path.parent).hash == hash
    capfd.readouterr()
    assert main(["plan", "mine", "--seeds", "1", "device=cpu"]) == 0
    assert "0 of 1 run" in capfd.readouterr().out


def test_what_was_submitted_with_scale_lr_is_the_same_run_on_the_node(tmp_path: Path) -> None:
    words = [*SMALL, "scale_lr=true", "precision=float32"]
    job = work._job(SubmittedRun(str(tmp_path / "r"), words, settle(compose(words)).hash), trust=True)
    assert job.config.scale_lr is False
