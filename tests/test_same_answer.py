"""The same picture, the same answer: training, `evaluate`, `predict` and an exported file agree on every picture."""

import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from dlrun.config.compose import compose
from dlrun.config.settled import settle
from dlrun.data.picture import picture
from dlrun.runs.run import run
from dlrun.verbs import evaluate, export, predict

ORIENTATION = 0x0112


def noise(shape: tuple[int, ...], seed: int, white: int = 255) -> np.ndarray:
    """Values over the whole range, some of them white."""
    values = np.random.default_rng(seed).integers(0, white + 1, shape)
    values.flat[0] = white
    return values


def image(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    bands = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,), "CMYK": (4,)}[mode]
    return Image.fromarray(noise((size[1], size[0], *bands), seed).astype(np.uint8), mode)


def floats(size: tuple[int, int], seed: int) -> Image.Image:
    return Image.fromarray((noise((size[1], size[0]), seed) / 255).astype(np.float32))


def deep(dtype: type, white: int) -> Callable[[tuple[int, int], int], Image.Image]:
    return lambda size, seed: Image.fromarray(noise((size[1], size[0]), seed, white).astype(dtype))


def clear(size: tuple[int, int], seed: int) -> Image.Image:
    page = image("RGBA", size, seed)
    page.putalpha(0)
    return page


FORMS: dict[str, tuple[str, Callable[[tuple[int, int], int], Image.Image], dict[str, Any]]] = {
    "grey": ("png", lambda size, seed: image("L", size, seed), {}),
    "colour": ("png", lambda size, seed: image("RGB", size, seed), {}),
    "alpha": ("png", lambda size, seed: image("RGBA", size, seed), {}),
    "grey with alpha": ("png", lambda size, seed: image("LA", size, seed), {}),
    "nothing": ("png", clear, {}),
    "grey, one clear": ("png", lambda size, seed: image("L", size, seed), {"transparency": 255}),
    "colour, one clear": ("png", lambda size, seed: image("RGB", size, seed), {"transparency": (255, 255, 255)}),
    "palette": ("png", lambda size, seed: image("RGB", size, seed).convert("P"), {}),
    "palette, one clear": ("png", lambda size, seed: image("RGB", size, seed).quantize(8), {"transparency": 0}),
    "gif": ("gif", lambda size, seed: image("RGB", size, seed).quantize(8), {}),
    "gif, one clear": ("gif", lambda size, seed: image("RGB", size, seed).quantize(8), {"transparency": 0}),
    "bits": ("png", lambda size, seed: image("L", size, seed).convert("1"), {}),
    "jpeg": ("jpg", lambda size, seed: image("RGB", size, seed), {}),
    "grey jpeg": ("jpg", lambda size, seed: image("L", size, seed), {}),
    "cmyk": ("jpg", lambda size, seed: image("CMYK", size, seed), {}),
    "webp": ("webp", lambda size, seed: image("RGBA", size, seed), {"lossless": True, "exact": True}),
    "tiff with alpha": ("tif", lambda size, seed: image("RGBA", size, seed), {}),
    "16 bits": ("png", deep(np.uint16, 65535), {}),
    "16 bits, one clear": ("png", deep(np.uint16, 65535), {"transparency": 65535}),
    "16-bit tiff": ("tif", deep(np.uint16, 65535), {}),
    "32-bit tiff": ("tif", deep(np.int32, 65535), {}),
    "12-bit tiff": ("tif", deep(np.uint16, 4095), {"tiffinfo": {281: 4095}}),
    "floats to 1": (
        "tif",
        lambda size, seed: Image.fromarray((noise((size[1], size[0]), seed) / 255).astype("f4")),
        {},
    ),
    "floats to 255": ("tif", deep(np.float32, 255), {}),
    "12-bit pgm": ("pgm", deep(np.int32, 4095), {}),
    "bmp": ("bmp", lambda size, seed: image("RGB", size, seed), {}),
}
TURNED = {"png", "jpg", "webp"}

Drawn = tuple[str, int, int, int, int]
"""Form, width, height, orientation, seed."""


def save(drawn: Drawn, folder: Path, number: int) -> Path:
    form, width, height, orientation, seed = drawn
    suffix, make, options = FORMS[form]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number} {form}.{suffix}"
    made = make((width, height), seed)
    if suffix == "pgm":
        body = np.asarray(made).astype(">u2").tobytes()
        path.write_bytes(b"P5 %d %d 4095\n" % made.size + body)
        return path
    if suffix in TURNED:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options = {**options, "exif": exif}
    made.save(path, **options)
    return path


def trained(drawn: list[Drawn], color: str, size: int, folder: Path) -> tuple[Path, Path]:
    """The folder of pictures and that of a run on them: the first four to train on, the others to test on."""
    for number, one in enumerate(drawn):
        save(one, folder / "pictures" / ("train" if number < 4 else "test") / "ab"[number % 2], number)
    words = [f"data.root='{folder / 'pictures'}'", f"data.color={color}", f"data.size={size}", "optimizer.lr=0.01"]
    fixed = ["model.layers=[flatten]", "epochs=2", "threads=1", "device=cpu", "tensorboard=off", "seed=1"]
    run(settle(compose(["data=image_folder", *words, *fixed])), folder / "run")
    return folder / "pictures", folder / "run"


def check(drawn: list[Drawn], color: str, size: int, folder: Path, capsys: Any, thorough: bool) -> None:
    """Every way to an answer gives the same one for the test pictures.

    Args:
        thorough: Also each picture alone, and by an exported file, which takes seconds.
    """
    pictures, run_dir = trained(drawn, color, size, folder)
    recorded = json.loads((run_dir / "result.json").read_text())["test"]
    capsys.readouterr()
    assert evaluate.main([str(run_dir), "--json"]) == 0
    tested = json.loads(capsys.readouterr().out)
    assert predict.main([str(run_dir), str(pictures / "test"), "--json"]) == 0
    answers = {Path(one["file"]): one for one in json.loads(capsys.readouterr().out)}
    shares = {path: {top["class"]: top["probability"] for top in one["top"]} for path, one in answers.items()}
    losses = [-math.log(max(shares[path][path.parent.name], 1e-30)) for path in shares]
    assert len(shares) == tested["pictures"] == len(drawn) - 4
    assert not any(one["inverted"] for one in answers.values())
    assert tested["loss"] == pytest.approx(recorded["loss"], rel=1e-4, abs=1e-6)
    assert tested["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4, abs=1e-6)
    confusion = np.zeros((2, 2), int)
    for path, one in answers.items():
        confusion["ab".index(path.parent.name), "ab".index(one["top"][0]["class"])] += 1
    assert confusion.tolist() == tested["confusion"]
    if thorough:
        each = {path: alone(path, run_dir, folder, capsys) for path in shares}
        assert each == pytest.approx(dict(zip(shares, losses, strict=True)), rel=1e-4, abs=1e-6)
        classify = session(run_dir, capsys)
        channels = 1 if color == "grey" else 3
        for path, share in shares.items():
            found = classify(picture(path, channels, (size, size)))
            assert found == pytest.approx([share["a"], share["b"]], abs=1e-5), path


def alone(path: Path, run_dir: Path, folder: Path, capsys: Any) -> float:
    """The loss of one picture, in a folder where there is no other."""
    with tempfile.TemporaryDirectory(dir=folder) as root:
        (Path(root) / path.parent.name).mkdir()
        (Path(root) / path.parent.name / path.name).symlink_to(path)
        assert evaluate.main([str(run_dir), f"data.root={root}", "--json"]) == 0
    return float(json.loads(capsys.readouterr().out)["loss"])


def session(run_dir: Path, capsys: Any) -> Callable[[np.ndarray], list[float]]:
    onnxruntime = pytest.importorskip("onnxruntime")
    assert export.main([str(run_dir)]) == 0
    capsys.readouterr()
    loaded = onnxruntime.InferenceSession(str(run_dir / "model.onnx"), providers=["CPUExecutionProvider"])
    return lambda pixels: list(loaded.run(None, {"images": pixels[None]})[0][0].tolist())


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this process they stay as they are."""
    monkeypatch.setattr("dlrun.runs.parts.set_threads", lambda _: 1)
    monkeypatch.setattr("dlrun.runs.loading.set_threads", lambda _: 1)


@pytest.mark.parametrize("color", ["grey", "rgb"])
def test_every_form_of_picture(color: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start: list[Drawn] = [("grey", 9, 7, 1, 1), ("colour", 7, 9, 6, 2), ("alpha", 8, 8, 1, 3), ("jpeg", 30, 20, 3, 4)]
    forms: list[Drawn] = [(form, 11, 6, 1 + number % 8, number) for number, form in enumerate(FORMS)]
    check([*start, *forms], color, 8, tmp_path, capsys, thorough=color == "grey")


folders = st.lists(
    st.tuples(
        st.sampled_from(sorted(FORMS)), st.integers(1, 40), st.integers(1, 40), st.integers(1, 8), st.integers(0, 999)
    ),
    min_size=6,
    max_size=12,
)
usual = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=3, derandomize=True, **usual)
@given(drawn=folders, color=st.sampled_from(["grey", "rgb"]), size=st.integers(1, 20))
def test_random_folders(drawn: list[Drawn], color: str, size: int, capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(drawn, color, size, Path(folder), capsys, thorough=False)


@pytest.mark.long
@settings(max_examples=30, phases=[Phase.generate], **usual)
@given(drawn=folders, color=st.sampled_from(["grey", "rgb"]), size=st.integers(1, 40))
def test_many_random_folders(drawn: list[Drawn], color: str, size: int, capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(drawn, color, size, Path(folder), capsys, thorough=True)
