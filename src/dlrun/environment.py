"""What a result says of the place it was made in: versions of software, the CPU."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path

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
    return ", ".join([_cpu_model(), *held])


def _cpu_model() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    first = dict(re.findall(r"^(.+?)\s*: (.+)$", told.partition("\n\n")[0], re.MULTILINE))
    if "vendor_id" in first:
        return f"{first['vendor_id']} family {first.get('cpu family')} model {first.get('model')}"
    if "CPU implementer" in first:
        return f"implementer {first['CPU implementer']} part {first.get('CPU part')}"
    return platform.processor() or platform.machine()
