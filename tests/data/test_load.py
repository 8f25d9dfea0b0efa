import logging
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from dlrun.config.groups import Cifar100, Data, ImageFolder, Synthetic, Target
from dlrun.data import catalogue
from dlrun.data.load import load
from dlrun.errors import ConfigError, DataError


def unverified(name, root, **fields):
    return Data(name, root=str(root), verify=False, **fields)


def test_bytes_and_labels(tmp_path, write_idx, digits):
    dataset = load(unverified("mnist", write_idx(tmp_path)))
    assert torch.equal(dataset.train.images[:, 0], torch.from_numpy(digits.train_images))
    assert dataset.train.images.dtype == torch.uint8
    assert dataset.test.labels.dtype == torch.int64
    assert dataset.classes == catalogue.DIGITS
    assert (dataset.mean, dataset.std) == ((0.1307,), (0.3081,))


def test_the_fingerprint_is_the_same_however_the_files_are_wrapped(tmp_path, write_idx):
    prints = {
        load(unverified("mnist", write_idx(tmp_path / "packed"))).fingerprint,
        load(unverified("mnist", write_idx(tmp_path / "unpacked", packed=False))).fingerprint,
        load(unverified("mnist", write_idx(tmp_path / "repacked", level=1))).fingerprint,
        load(unverified("mnist", write_idx(tmp_path / "packed"), size=14)).fingerprint,
    }
    assert len(prints) == 1


def test_verified_is_what_was_demanded(official, caplog):
    root = str(official("mnist"))
    assert load(Data("mnist", root=root)).verified
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert not load(Data("mnist", root=root, verify=False)).verified
    assert caplog.messages == [f"data.verify=false: the checksums of mnist in {root} are not checked"]


def test_an_unverified_cache_does_not_pass_for_verified(official, write_idx):
    root = official("mnist")
    damaged = root / "t10k-labels-idx1-ubyte.gz"
    (root / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x14" + bytes(20))
    damaged.unlink()
    assert load(unverified("mnist", root)).test.labels.tolist() == [0] * 20
    with pytest.raises(DataError, match="checksum mismatch"):
        load(Data("mnist", root=str(root)))


def test_resized_with_antialiasing(tmp_path, write_idx):
    root = write_idx(tmp_path)
    stored, small = load(unverified("mnist", root)), load(unverified("mnist", root, size=12))
    expected = interpolate(stored.train.images.float(), size=(12, 12), mode="bilinear", antialias=True)
    assert small.train.images.shape == (30, 1, 12, 12)
    assert (small.train.images.float() - expected).abs().max() <= 0.5
    assert load(unverified("mnist", root, size=40)).test.images.shape == (20, 1, 40, 40)


def test_cifar10_archive(tmp_path, write_tar, cifar10_members):
    write_tar(tmp_path / "cifar10" / "subset.tar.xz", cifar10_members)
    dataset = load(unverified("cifar10", tmp_path))
    assert dataset.train.images.shape == (20, 3, 32, 32)
    with pytest.raises(DataError, match=r"subset\.tar\.xz:.*checksum mismatch"):
        load(Data("cifar10", root=str(tmp_path)))


def test_cifar100_fine_and_coarse(tmp_path, write_tar, cifar_batch):
    pixels = np.zeros((2, 3072), dtype=np.uint8)
    batch = cifar_batch(pixels, fine_labels=[99, 0], coarse_labels=[19, 3])
    write_tar(tmp_path / "cifar100" / "a.tar.gz", {"cifar-100-python/train": batch, "cifar-100-python/test": batch})
    fine = load(Cifar100("cifar100", root=str(tmp_path), verify=False))
    coarse = load(Cifar100("cifar100", root=str(tmp_path), verify=False, labels="coarse"))
    assert (fine.train.labels.tolist(), fine.classes[99]) == ([99, 0], "worm")
    assert (coarse.train.labels.tolist(), coarse.classes[19]) == ([19, 3], "vehicles_2")


def test_asl(tmp_path, asl_text):
    (tmp_path / "asl").mkdir()
    for split in ("train", "test"):
        (tmp_path / "asl" / f"sign_mnist_{split}.csv").write_bytes(asl_text())
    dataset = load(unverified("asl", tmp_path))
    assert dataset.train.labels.tolist() == list(range(24)) * 2


def test_pictures_and_their_moments(tmp_path):
    for name, level in (("dark", 51), ("light", 153)):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (9, 9), (level, 102, 0)).save(tmp_path / name / f"{number}.png")
    dataset = load(ImageFolder("image_folder", root=str(tmp_path), test_fraction=0.25))
    assert dataset.classes == ("dark", "light")
    assert dataset.mean == pytest.approx((0.4, 0.4, 0))
    assert dataset.std == pytest.approx((0.2, 1, 1))
    assert (len(dataset.train), len(dataset.test)) == (6, 2)
    Image.new("RGB", (9, 9)).save(tmp_path / "dark" / "new.png")
    assert len(load(ImageFolder("image_folder", root=str(tmp_path), test_fraction=0.25)).train) == 7


def test_synthetic_is_never_cached(folders):
    dataset = load(Synthetic("synthetic", size=16))
    assert dataset.train.images.shape == (2000, 1, 16, 16)
    assert dataset.verified
    assert not folders.exists()


def own(images=None, labels=None, classes=3):
    from dlrun.data.dataset import Dataset, Split

    images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8) if images is None else images
    labels = torch.arange(3) if labels is None else labels
    split = Split(images, labels)
    return Dataset("own", split, split, tuple("abcdef"[:classes]), (0.5,), (0.5,), "f", True)


def test_a_data_set_of_ones_own(monkeypatch):
    monkeypatch.setattr("dlrun.data.synthetic.own", own, raising=False)
    target = "dlrun.data.synthetic.own"
    assert load(Target(target, {})).classes == ("a", "b", "c")
    with pytest.raises(ConfigError, match=rf"data\.colour: {target} takes no such argument; there are: classes"):
        load(Target(target, {"colour": 1}))
    with pytest.raises(DataError, match=r"as many labels as images, at least one, each 0-1"):
        load(Target(target, {"classes": 2}))
    with pytest.raises(DataError, match=r"found torch.float32 \(3, 1, 4, 4\)"):
        load(Target(target, {"images": torch.zeros(3, 1, 4, 4)}))
    with pytest.raises(ConfigError, match=r"returned float; expected dlrun\.data\.dataset\.Dataset"):
        load(Target("math.hypot", {}))


def test_the_fingerprint_of_ones_own_data_is_that_of_their_content(monkeypatch):
    monkeypatch.setattr("dlrun.data.synthetic.own", own, raising=False)
    fingerprints = [
        load(Target("dlrun.data.synthetic.own", arguments)).fingerprint
        for arguments in (
            {},
            {"classes": 4},
            {"labels": torch.tensor([0, 0, 2])},
            {"images": torch.ones(3, 1, 4, 4, dtype=torch.uint8)},
        )
    ]
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 3


REAL = {
    "mnist": ("e0130f111822ed58", (60_000, 1, 28, 28), 10_000),
    "fashion_mnist": ("a06d3266794aa014", (60_000, 1, 28, 28), 10_000),
    "asl": ("fd2eae87a97b5295", (27_455, 1, 28, 28), 7_172),
}


REAL_ROOT = os.environ.get("DLRUN_DATA", "")


@pytest.fixture
def real(monkeypatch):
    monkeypatch.setenv("DLRUN_DATA", REAL_ROOT)


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_the_real_data(name, real):
    dataset = load(Data(name))
    fingerprint, shape, tests = REAL[name]
    assert (dataset.fingerprint, tuple(dataset.train.images.shape), len(dataset.test)) == (
        fingerprint,
        shape,
        tests,
    )
    assert dataset.verified
    pixels = dataset.train.images.float() / 255
    assert dataset.mean == pytest.approx((pixels.mean().item(),), abs=1e-4)
    assert dataset.std == pytest.approx((pixels.std().item(),), abs=1e-4)
    assert set(dataset.test.labels.tolist()) == set(range(len(dataset.classes)))


@pytest.mark.real_data
@pytest.mark.parametrize("config", [Data("cifar10"), Cifar100("cifar100"), Cifar100("cifar100", labels="coarse")])
def test_the_real_subsets(config, real):
    with pytest.raises(DataError, match="checksum mismatch"):
        load(config)
    config.verify = False
    dataset = load(config)
    assert dataset.train.images.shape == (10_000, 3, 32, 32)
    assert dataset.test.labels.bincount().tolist() == [2000 // len(dataset.classes)] * len(dataset.classes)
    pixels = dataset.train.images.float() / 255
    assert dataset.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=0.01)
    assert dataset.std == pytest.approx(pixels.std((0, 2, 3)).tolist(), abs=0.01)


@pytest.mark.real_data
def test_the_second_start_is_quick(real):
    load(Data("mnist"))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        load(Data("mnist"))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.3


def test_nothing_is_said_on_the_second_start(tmp_path, write_idx):
    """Mapped arrays give tensors without a warning, also outside pytest."""
    write_idx(tmp_path / "data" / "mnist")
    code = (
        "from dlrun.config.groups import Data; from dlrun.data.load import load; "
        f"[load(Data('mnist', root={str(tmp_path / 'data')!r}, verify=False)) for _ in range(2)]"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert "Warning" not in done.stderr
