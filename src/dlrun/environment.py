"""What a result says of the place it was made in: versions of software, the CPU."""

import os
import platform
from importlib import metadata

from dlrun.linux import cpu_model

PACKAGES = ("dlrun", "torch", "torchvision", "hydra-core", "omegaconf", "tensorboard")
INSTRUCTIONS = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    *(
        f"{prefix}_{name}"
        for prefix in ("DNNL", "ONEDNN")
        for name in ("CPU_ISA_HINTS", "DEFAULT_FPMATH_MODE", "MAX_CPU_ISA")
    ),
)
"""Environment variables that make PyTorch, MKL and oneDNN compute otherwise than they would choose for the CPU."""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter, without importing them."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu() -> str:
    """Vendor, family and model of the CPU, by which MKL and oneDNN choose; then what is set of `INSTRUCTIONS`.

    Two CPUs with the same vector instructions need not give the same last bits.
    """
    held = [f"{name}={os.environ[name]}" for name in INSTRUCTIONS if os.environ.get(name)]
    return ", ".join([cpu_model(), *held])
