"""Settings that can't have the effect typed, in sentences for before a run (no torch)."""

import logging
import math
from collections.abc import Iterable, Iterator

from dlrun.config.groups import Augment, Layers, OneCycle, Optimizer, Step, Steps, Synthetic, Target, trains_nothing
from dlrun.config.schema import Config, evaluated_on
from dlrun.data.facts import images_in
from dlrun.output import counted

log = logging.getLogger("dlrun")

SHARE = 3.0
"""An average over some n steps has left its beginning behind after about three times as many."""
MOST = 5
"""Sentences that are said of a sweep."""


def say_without_effect(configs: Iterable[Config]) -> None:
    """Warn of settings without effect, each sentence once."""
    sentences = list(dict.fromkeys(sentence for config in configs for sentence in without_effect(config)))
    for sentence in sentences[:MOST]:
        log.warning("%s", sentence)
    if len(sentences) > MOST:
        log.warning("… and %d more of this kind", len(sentences) - MOST)


def without_effect(config: Config) -> list[str]:
    """What in a config can't do what it says, a sentence each; see `dlrun help` for the fields."""
    if trains_nothing(config.model):
        return list(_of_training(config))
    return [
        *_of_rate(config),
        *_of_length(config),
        *_of_balance(config),
        *_of_start(config),
        *_of_layers(config),
        *_of_images(config),
        *_of_augment(config),
    ]


def _of_training(config: Config) -> Iterator[str]:
    typed = {
        f"optimizer={config.choices.get('optimizer')}": config.choices.get("optimizer", "sgd") != "sgd",
        f"optimizer.lr={getattr(config.optimizer, 'lr', 0.01):g}": getattr(config.optimizer, "lr", 0.01) != 0.01,
        f"scheduler={config.scheduler.name}": config.scheduler.name != "constant",
        f"label_smoothing={config.label_smoothing:g}": config.label_smoothing > 0,
        f"clip_norm={config.clip_norm}": config.clip_norm is not None,
        f"accumulate={config.accumulate}": config.accumulate > 1,
        f"data.sampling={config.data.sampling}": config.data.sampling != "once",
        "data.class_weights": config.data.class_weights is not None,
    }
    if there := [name for name, differs in typed.items() if differs]:
        yield f"{', '.join(there)}: model=knn trains nothing"


def _of_rate(config: Config) -> Iterator[str]:
    scheduler, length = config.scheduler, counted(config.epochs, "epoch")
    warm = f"scheduler.warmup={scheduler.warmup:g}"
    if scheduler.warmup and isinstance(scheduler, OneCycle):
        yield f"{warm}: one_cycle rises by itself, so that the rate rises twice; scheduler.rise says how long"
    if scheduler.warmup > config.epochs:
        reached = config.epochs / scheduler.warmup
        yield f"{warm}: longer than the run of {length}, in which the rate reaches {reached:.2g} of optimizer.lr"
    if isinstance(scheduler, Step) and scheduler.every >= config.epochs:
        yield f"scheduler.every={scheduler.every}: the rate is never cut in {length}"
    if isinstance(scheduler, Steps) and (late := [epoch for epoch in scheduler.at if epoch >= config.epochs]):
        yield f"scheduler.at={scheduler.at}: no cut after {', '.join(map(str, late))} in a run of {length}"


def _of_length(config: Config) -> Iterator[str]:
    if config.early_stopping and config.early_stopping >= config.epochs:
        yield f"early_stopping={config.early_stopping}: can't stop a run of {counted(config.epochs, 'epoch')}"
    if config.min_delta and not config.early_stopping:
        yield f"min_delta={config.min_delta:g}: says when early_stopping counts an epoch as better, which is not set"
    if (every := config.checkpoint.keep_every) and every > config.epochs:
        yield f"checkpoint.keep_every={every}: keeps no weights in a run of {counted(config.epochs, 'epoch')}"
    images = _images(config)
    if images is not None and config.accumulate > (batches := math.ceil(images / config.batch_size)):
        yield f"accumulate={config.accumulate}: more batches than an epoch has ({batches}), so that it is one update"
    step = config.batch_size * config.accumulate
    if config.scale_last and config.drop_last:
        yield "scale_last=true: drop_last=true leaves out the batch that it is about"
    elif config.scale_last and evaluated_on(config) == "test" and images is not None and images % step == 0:
        yield f"scale_last=true: {images:,} images make whole updates of {step}"
    steps = _steps(config)
    if config.average and steps and steps * (1 - config.average) < SHARE:
        fitting = math.floor((1 - SHARE / steps) * 100) / 100
        better = f"average={fitting:g} fits that" if fitting > 0 else "leave it out"
        yield (
            f"average={config.average:g}: an average over some {1 / (1 - config.average):,.0f} steps, and the run has "
            f"{steps:,}, so that the first weights still weigh much in it; {better}"
        )


def _of_augment(config: Config) -> Iterator[str]:
    augment = config.augment
    if augment.magnitude != Augment.magnitude and not augment.randaugment:
        yield f"augment.magnitude={augment.magnitude:g}: of augment.randaugment, which is 0"
    if augment.fill != Augment.fill and not augment.looks_outside:
        yield f"augment.fill={augment.fill}: of augment.shift, rotate, zoom and crop, which are all 0"
    if augment.mixes and config.batch_size == 1:
        yield "augment.mixup, augment.cutmix: with batch_size=1 there is no other picture to mix with"


def _of_start(config: Config) -> Iterator[str]:
    if config.model.freeze and not config.model.init_from:
        yield f"model.freeze=[{','.join(config.model.freeze)}]: frozen as it was drawn, as there is no model.init_from"


def _of_layers(config: Config) -> Iterator[str]:
    """Defaults for phrases, where no phrase asks for them."""
    model = config.model
    if not isinstance(model, Layers):
        return
    convolves = any(phrase.startswith("conv") for phrase in model.layers)
    if model.kernel != Layers.kernel and not convolves:
        yield f"model.kernel={model.kernel}: of convolutions, which this network has none of"
    if model.padding != Layers.padding and not convolves:
        yield f"model.padding={model.padding}: of convolutions, which this network has none of"
    if model.init_std != Layers.init_std and "normal" not in (model.init, model.bias_init):
        yield f"model.init_std={model.init_std:g}: of model.init=normal, which is {model.init}"


def _of_images(config: Config) -> Iterator[str]:
    data = config.data
    if not isinstance(data, Target) and data.normalize != "standard":
        given = [f"data.{name}" for name in ("mean", "std") if getattr(data, name)]
        if given:
            yield f"{', '.join(given)}: of data.normalize=standard, which is {data.normalize}"
    if config.validation_by != Config.validation_by and not config.validation:
        yield f"validation_by={config.validation_by}: nothing is held out, as validation is 0"


def _of_balance(config: Config) -> Iterator[str]:
    optimizer = config.optimizer
    if isinstance(optimizer, Optimizer) and optimizer.decay_on != "all" and not optimizer.weight_decay:
        yield f"optimizer.decay_on={optimizer.decay_on}: nothing decays, as optimizer.weight_decay is 0"
    if config.data.class_weights == "balanced" and config.data.sampling == "balanced":
        yield "data.class_weights=balanced, data.sampling=balanced: rare classes count twice; either would balance them"


def _steps(config: Config) -> int | None:
    """The steps of a run as far as they are known without reading the data; validation is left out of account."""
    images = _images(config)
    return None if images is None else math.ceil(images / (config.batch_size * config.accumulate)) * config.epochs


def _images(config: Config) -> int | None:
    data = config.data
    if isinstance(data, Target):
        return None
    drawn = data.train_images if isinstance(data, Synthetic) else None
    return images_in("train", data.name, config.train_limit or config.limit, drawn)
