"""mixup, CutMix, RandAugment and random erasing: drawn for each picture, as papers and torchvision compute them."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dlrun.config.compose import compose
from dlrun.config.groups import Augment
from dlrun.config.schema import Config
from dlrun.config.settled import settle
from dlrun.data.augment import augment
from dlrun.data.mixing import Mix, mixed
from dlrun.data.randaugment import OPERATIONS, operated
from dlrun.runs.no_effect import without_effect
from dlrun.runs.parts import build
from dlrun.training.loss import loss_of
from dlrun.training.step import TrainingStep
from tests.helpers import heard, same_bits

SMALL = ["data=synthetic", "data.shape=[1,8,8]", "data.train_images=96", "data.test_images=30", "data.classes=3"]
WORDS = [*SMALL, "device=cpu", "threads=1", "tensorboard=off", "batch_size=16", "model=fc_64", "epochs=2"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


# --- mixing -----------------------------------------------------------------------------------------------


def test_mixup_shares_pictures_and_labels_alike() -> None:
    images, labels = torch.rand(4000, 1, 3, 3), torch.randint(0, 3, (4000,))
    found, mix = mixed(images, Augment(mixup=0.4))
    share = mix.share[:, None, None, None]
    assert torch.allclose(found, images * share + images[mix.others] * (1 - share), atol=1e-6)
    assert sorted(mix.others.tolist()) == list(range(4000))
    assert mix.share.mean() == pytest.approx(0.5, abs=0.03)
    assert mix.share.var() == pytest.approx(0.25 / 1.8, abs=0.01)
    targets = mix.targets(labels, 3)
    assert torch.allclose(targets.sum(1), torch.ones(4000))
    same = labels == labels[mix.others]
    assert torch.allclose(targets.gather(1, labels[:, None])[:, 0][~same], mix.share[~same], atol=1e-6)
    assert torch.equal(targets.argmax(1)[~same], mix.larger(labels)[~same])


def test_cutmix_puts_a_rectangle_of_another_picture_into_each() -> None:
    images = torch.arange(600.0)[:, None, None, None].expand(600, 2, 12, 20)
    found, mix = mixed(images, Augment(cutmix=1))
    own = found == images
    other = found == images[mix.others]
    assert (own | other).all()
    inside = (found != images)[:, 0]
    for picture, share in zip(inside, mix.share, strict=True):
        places = picture.nonzero()
        height, width = (places.amax(0) - places.amin(0) + 1).tolist() if len(places) else (0, 0)
        assert height * width == len(places)
        assert len(places) in (0, round(float(1 - share) * 240))
    # 1 - share is uniform, less what reaches over the border.
    assert 0.55 < mix.share.mean() < 0.72


def test_beside_mixup_each_picture_gets_one_of_the_two() -> None:
    images = torch.arange(2000.0)[:, None, None, None].expand(2000, 1, 8, 8)
    found, _ = mixed(images, Augment(mixup=1, cutmix=1))
    even = (found == found[:, :, :1, :1]).flatten(1).all(1)
    assert 900 < even.sum() < 1250


def test_the_loss_of_mixed_labels_is_the_mixture_of_the_losses() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    mix = Mix(torch.tensor([1, 2, 0, 4, 5, 3]), torch.rand(6))
    weights = torch.tensor([1.0, 2.0, 5.0])
    for kind in ("cross_entropy", "squared_error", "binary_cross_entropy"):
        hard = loss_of(kind, logits, F.one_hot(labels, 3).float(), weights, reduction="sum")
        assert hard == pytest.approx(loss_of(kind, logits, labels, weights, reduction="sum").item(), rel=1e-6)
    soft = loss_of("cross_entropy", logits, mix.targets(labels, 3), reduction="mean")
    both = [F.cross_entropy(logits, some, reduction="none") for some in (labels, labels[mix.others])]
    assert soft == pytest.approx((both[0] * mix.share + both[1] * (1 - mix.share)).mean().item(), rel=1e-6)


def test_one_step_of_mixup_with_weights_is_as_written_out() -> None:
    words = [*WORDS, "augment=mixup", "data.class_weights=[1,2,5]", "label_smoothing=0.1"]
    one, other = (build(settle(compose(words))) for _ in range(2))
    images, labels = one.train.images[:16], one.train.labels[:16]
    torch.manual_seed(1)
    step = TrainingStep(one.state, one.settings, one.prepare)
    step(images, labels, 16)
    step.count()
    torch.manual_seed(1)
    pictures, mix = mixed(other.prepare(images), Augment(mixup=0.2))
    logits, targets, weights = other.state.model(pictures), mix.targets(labels, 3), torch.tensor([1.0, 2.0, 5.0])
    loss = F.cross_entropy(logits, targets, weights, label_smoothing=0.1, reduction="sum") / (targets @ weights).sum()
    loss.backward()
    other.state.optimizer.step()
    for mine, its in zip(one.state.model.parameters(), other.state.model.parameters(), strict=True):
        assert torch.allclose(mine, its, rtol=1e-5, atol=1e-7)
    assert one.state.totals.loss.item() / 16 == pytest.approx(loss.item(), rel=1e-5)
    assert one.state.totals.correct == (logits.argmax(1) == mix.larger(labels)).sum()


def test_every_augmentation_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*WORDS, "augment=cutmix", "augment.mixup=0.2", "augment.erase=0.5", "augment.randaugment=1"]
    words += ["accumulate=2"]
    assert heard(*words, "hydra.run.dir=whole")[0] == 0
    assert heard(*words, "epochs=1", "hydra.run.dir=parts")[0] == 0
    assert heard("resume", "parts", "epochs=2")[0] == 0
    assert same_bits(Path("whole"), Path("parts"))
    assert heard("data", "show", "synthetic", *SMALL[1:], "augment=mixup", "--output", "sheet.png")[0] == 0


def test_magnitude_and_fill_count_where_something_has_them() -> None:
    plain = compose(WORDS)

    def config(**changes: object) -> Config:
        return replace(plain, augment=replace(plain.augment, **changes))

    none, alone, both, further = (
        settle(config(**changes)).hash
        for changes in ({}, {"magnitude": 5.0}, {"randaugment": 2}, {"randaugment": 2, "magnitude": 5.0})
    )
    assert none == alone
    assert len({none, both, further}) == 3
    (said,) = without_effect(config(magnitude=5.0))
    assert said == "augment.magnitude=5: of augment.randaugment, which is 0"
    assert settle(config(fill="nearest")).hash == none
    assert len({settle(config(crop=2, fill=fill)).hash for fill in ("zeros", "nearest")}) == 2
    assert not without_effect(config(crop=2, fill="nearest"))
    (said,) = without_effect(config(fill="nearest"))
    assert said == "augment.fill=nearest: of augment.shift, rotate, zoom and crop, which are all 0"
    (said,) = without_effect(replace(config(mixup=0.2), batch_size=1))
    assert "no other picture to mix with" in said


# --- pictures ---------------------------------------------------------------------------------------------


def test_erased_rectangles_have_the_sizes_and_places_of_the_paper() -> None:
    gone = augment(torch.ones(3000, 1, 40, 40), Augment(erase=0.5))[:, 0] == 0
    sizes = gone.sum((1, 2))
    assert 1400 < (sizes > 0).sum() < 1600
    heights, widths = gone.any(2).sum(1), gone.any(1).sum(1)
    assert torch.equal(heights * widths, sizes)
    areas = sizes[sizes > 0] / 1600
    assert areas.min() > 0.015
    assert areas.max() < 0.36
    assert areas.mean() == pytest.approx(0.175, abs=0.01)
    logs = (heights[sizes > 0] / widths[sizes > 0]).log()
    assert logs.abs().max() < math.log(3.3) + 0.2
    assert logs.mean().abs() < 0.06
    assert gone.any(0).all()


def test_each_picture_draws_its_own_operations() -> None:
    images = torch.rand(1, 3, 16, 16).expand(400, 3, 16, 16)
    changed = augment(images, Augment(randaugment=1))
    assert len(changed.flatten(1).unique(dim=0)) == 1 + 2 * 9 + 4, "the identity, nine to either side, four with none"


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_operations_are_those_of_torchvision(channels: int) -> None:
    from dlrun.models import torchvision_ops

    torchvision_ops.prepare()
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as T

    linear, magnitude = InterpolationMode.BILINEAR, 12
    reach = magnitude / 30
    bytes_ = (torch.rand(6, channels, 24, 17) * 200 + 20).to(torch.uint8)
    bytes_[0] = bytes_[0].div(8, rounding_mode="floor") + 60
    bytes_[1, :, :12] = 30
    images = bytes_ / 255
    for sign in (1, -1):
        shear = math.degrees(math.atan(0.3 * reach * sign))

        def sheared(x: float, y: float) -> torch.Tensor:
            return T.affine(images, 0.0, [0, 0], 1.0, [x, y], linear, center=[0.0, 0.0])

        factor = 1 + 0.9 * reach * sign
        expected = {
            "identity": images,
            "shear_x": sheared(shear, 0.0),
            "shear_y": sheared(0.0, shear),
            "translate_x": T.affine(images, 0.0, [int(sign * reach * 150 / 331 * 17), 0], 1.0, [0.0, 0.0], linear),
            "translate_y": T.affine(images, 0.0, [0, int(sign * reach * 150 / 331 * 24)], 1.0, [0.0, 0.0], linear),
            "rotate": T.rotate(images, 30.0 * reach * sign, linear),
            "brightness": T.adjust_brightness(images, factor),
            "color": T.adjust_saturation(images, factor),
            "contrast": T.adjust_contrast(images, factor),
            "sharpness": T.adjust_sharpness(images, factor),
            "posterize": T.posterize(bytes_, 8 - round(4 * reach)) / 255,
            "solarize": T.solarize(images, 1 - reach),
            "autocontrast": T.autocontrast(images),
            "equalize": T.equalize(bytes_) / 255,
        }
        assert tuple(expected) == OPERATIONS
        for place, (name, other) in enumerate(expected.items()):
            found = operated(images, torch.full((6,), place), torch.full((6,), float(sign)), magnitude)
            assert (found - other).abs().max() < 2e-5, (name, sign)
