"""Makes `import torchvision` work beside a PyTorch that can't load torchvision's compiled operators.

torchvision on PyPI is built for CUDA. With a CPU build of PyTorch its library fails to load, and the import
then dies with "operator torchvision::nms does not exist". No classifier uses these operators.
"""

import functools
import importlib.util
from pathlib import Path

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
defined: list[torch.library.Library] = []
"""Kept alive: with the library object its operators would go."""


@functools.cache
def prepare() -> None:
    """Declare the operators that torchvision asks for at import, if its own library can't provide them."""
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None or _loads(Path(package.origin).parent):
        return
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    defined.append(library)


def _loads(folder: Path) -> bool:
    """Whether torchvision's operators are there once its library has been loaded, as its import will do."""
    for library in folder.glob("_C*.so"):
        try:
            torch.ops.load_library(library)
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")
