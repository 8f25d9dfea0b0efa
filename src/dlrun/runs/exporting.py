"""A finished run as one file for other programs: pictures in, probabilities out, checked before it is kept."""

import contextlib
import io
import json
import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.errors import RunFailed, UsageError, is_out_of_memory
from dlrun.extras import command
from dlrun.models.neighbours import Neighbours
from dlrun.runs.loading import Loaded
from dlrun.training.loss import CROSS_ENTROPY, probabilities

OPSET = 18
TOLERANCE = 1e-5
BATCHES = (1, 2, 7)
"""Sizes of the batches that the file is tried with."""

Classify = Callable[[Tensor], Tensor]


class Classifier(nn.Module):
    """uint8 pictures (N, C, H, W) to probabilities, float32 (N, classes), all preparation included."""

    shift: Tensor | None
    scale: Tensor | None

    def __init__(self, run: Loaded) -> None:
        super().__init__()
        self.network = run.model
        self.loss = run.config.loss
        self.register_buffer("shift", run.prepare.shift)
        self.register_buffer("scale", run.prepare.scale)

    def forward(self, images: Tensor) -> Tensor:
        """The probabilities, which sum to 1 for each picture, or not where the loss took each class by itself."""
        scaled = images.float() / 255
        if self.shift is not None and self.scale is not None:
            scaled = (scaled - self.shift) / self.scale
        return probabilities(self.loss, self.network(scaled))


def export(run: Loaded, form: str, path: Path) -> float:
    """Write `path` as `onnx` or `pt2` and return the largest difference from the network that was found.

    The file is written beside `path`, read back, tried on random pictures, and only then given its name.

    Raises:
        UsageError: A package is missing, or the folder is not there.
        RunFailed: The network can't be exported, or the file computes something else.
        OSError: The file can't be written.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder")
    if isinstance(run.model, Neighbours):
        raise UsageError("model=knn can't be exported: its file would be the training pictures; use dlrun predict")
    writers = {"onnx": (_write_onnx, _read_onnx), "pt2": (_write_pt2, _read_pt2)}
    write, read = writers[form]
    classifier = Classifier(run).eval().cpu()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        draft = Path(folder) / path.name
        with _quiet(), _one_line(form):
            write(classifier, _about(run), run.inputs.shape, draft)
            difference = _difference(classifier, read(draft), run.inputs.shape)
        if math.isnan(difference):
            raise RunFailed(f"{path}: not written, since the network gives no numbers (NaN) for some pictures")
        if difference > TOLERANCE:
            raise RunFailed(f"{path}: not written, since it differs from the network by {difference:.1e}")
        draft.replace(path)
    return difference


def _about(run: Loaded) -> dict[str, str]:
    """What the file says of itself."""
    of_all, of_each = "which sum to 1", "each by itself"
    return {
        "classes": json.dumps(run.inputs.classes),
        "input": f"images: uint8 (N, {', '.join(map(str, run.inputs.shape))})",
        "output": f"probabilities: float32 (N, classes), {of_all if run.config.loss == CROSS_ENTROPY else of_each}",
        "weights": run.weights,
    }


def _write_onnx(classifier: Classifier, about: Mapping[str, str], shape: tuple[int, ...], path: Path) -> None:
    import onnx

    program = torch.onnx.export(
        classifier,
        (_pictures(2, shape),),
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _read_onnx(path: Path) -> Classify:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def classify(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["probabilities"], {"images": images.numpy()})[0])

    return classify


def _write_pt2(classifier: Classifier, about: Mapping[str, str], shape: tuple[int, ...], path: Path) -> None:
    dynamic = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(classifier, (_pictures(2, shape),), dynamic_shapes=dynamic)
    torch.export.save(program, path, extra_files=dict(about))


def _read_pt2(path: Path) -> Classify:
    module: Any = torch.export.load(path).module()
    return lambda images: module(images)


def _difference(classifier: Classifier, classify: Classify, shape: tuple[int, ...]) -> float:
    """The largest difference; not a number where one of the two is none."""
    with torch.inference_mode():
        pairs = [(classifier(images), classify(images)) for images in (_pictures(count, shape) for count in BATCHES)]
        return torch.stack([(ours - theirs).abs().max() for ours, theirs in pairs]).max().item()


def _pictures(count: int, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the exporters say of themselves is not shown."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _one_line(form: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--format {form} needs the package {error.name}. To install it:\n{command('export')}"
        ) from None
    except OSError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        text = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise RunFailed(f"this network can't be exported as {form}: {type(error).__name__}: {text}") from error
