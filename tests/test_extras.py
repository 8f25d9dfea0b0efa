"""The commands that install an extra: in the Python that runs, with the versions that pyproject.toml asks for."""

import sys

from dlrun.extras import command, package_of, pip_install, requirements


def test_the_command_of_an_extra_names_its_packages_and_versions() -> None:
    assert command("asl") == f'{sys.executable} -m pip install "kagglehub>=0.3"'
    assert [package_of(text) for text in requirements("dask")] == ["distributed"]
    assert {package_of(text) for text in requirements("export")} == {"onnx", "onnxscript", "onnxruntime"}


def test_what_is_required_always() -> None:
    (torch,) = requirements("", "torch")
    assert pip_install("--force-reinstall", torch) == f'{sys.executable} -m pip install --force-reinstall "{torch}"'
