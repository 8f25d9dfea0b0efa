import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dlrun.cli import main
from dlrun.runs import exporting
from dlrun.runs.loading import load_run

pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("one_thread")


def test_onnx_takes_bytes_and_gives_probabilities_with_the_names_inside(
    drawn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    path = tmp_path / "model.onnx"
    assert main(["export", str(drawn_run), "--output", str(path)]) == 0
    assert capsys.readouterr().out.rstrip().endswith(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list("0123456789")
    (images,) = session.get_inputs()
    assert (images.name, images.type, images.shape[1:]) == ("images", "tensor(uint8)", [1, 28, 28])
    run = load_run(drawn_run)
    for count in (1, 3, 100):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 1, 28, 28), dtype=np.uint8)
        (shares,) = session.run(None, {"images": pixels})
        expected = run.probabilities(torch.from_numpy(pixels))
        assert np.abs(shares - expected.numpy()).max() < 1e-5
    assert list(tmp_path.iterdir()) == [path]


def test_pt2_needs_nothing_of_dlrun(drawn_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    assert main(["export", str(drawn_run), "--format", "pt2", "device=cpu", "--output", str(path), "--best"]) == 0
    extra = {"classes": ""}
    module = torch.export.load(path, extra_files=extra).module()
    pixels = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert json.loads(extra["classes"]) == list("0123456789")
    expected = load_run(drawn_run, best=True).probabilities(pixels)
    assert torch.allclose(module(pixels), expected, atol=1e-6)


def test_large_dense_layers_take_any_number_of_pictures(tmp_path: Path) -> None:
    import onnxruntime

    run_dir = tmp_path / "run"
    words = ["data=synthetic", "limit=100", "model=fc_512", "epochs=1", "tensorboard=off", f"hydra.run.dir={run_dir}"]
    assert main(words) == 0
    assert main(["export", str(run_dir)]) == 0
    assert main(["export", str(run_dir), "--format", "pt2"]) == 0
    session = onnxruntime.InferenceSession(str(run_dir / "model.onnx"), providers=["CPUExecutionProvider"])
    module = torch.export.load(run_dir / "model.pt2").module()
    run = load_run(run_dir)
    for count in (1, 31, 32, 100):
        pixels = torch.randint(0, 256, (count, *run.inputs.shape), dtype=torch.uint8)
        expected = run.probabilities(pixels)
        (shares,) = session.run(None, {"images": pixels.numpy()})
        assert np.abs(shares - expected.numpy()).max() < 1e-5
        assert torch.allclose(module(pixels), expected, atol=1e-5)


def test_a_file_that_computes_something_else_is_not_kept(
    drawn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exporting, "_read_pt2", lambda _: lambda images: torch.zeros(len(images), 10))
    path = tmp_path / "model.pt2"
    path.write_text("the one before")
    assert main(["export", str(drawn_run), "--format", "pt2", "--output", str(path)]) == 1
    assert "not written, since it differs" in capsys.readouterr().err
    assert path.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_a_mistake(drawn_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(drawn_run), "--output", "/nowhere/model.onnx"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_package_that_is_missing_is_named_with_what_to_type(
    drawn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", str(drawn_run), "--output", str(tmp_path / "model.onnx")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "dlrun: --format onnx needs the package onnx. To install it:"
    assert second.startswith(f'{sys.executable} -m pip install "onnx>=')
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.real_data
def test_onnx_equals_the_network_on_a_thousand_real_pictures(tmp_path: Path) -> None:
    import onnxruntime

    from dlrun.config.groups import Data
    from dlrun.data.load import load

    for model in ("cnn_batchnorm", "fc_64"):
        run_dir = tmp_path / model
        words = ["data=mnist", f"model={model}", "epochs=1", "limit=2000", "data.normalize=standard"]
        assert main([*words, f"hydra.run.dir={run_dir}", "tensorboard=off"]) == 0
        assert main(["export", str(run_dir)]) == 0
        pixels = load(Data(name="mnist")).test.images[:1000]
        session = onnxruntime.InferenceSession(str(run_dir / "model.onnx"), providers=["CPUExecutionProvider"])
        (shares,) = session.run(None, {"images": pixels.numpy()})
        assert np.abs(shares - load_run(run_dir).probabilities(pixels).numpy()).max() < 1e-5
