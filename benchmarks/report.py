"""What every benchmark says of its machine, and the two files that it leaves."""

import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from dlrun.environment import versions

RESULTS = Path(__file__).parent / "results"


def about() -> dict[str, Any]:
    """Date, processor, cores, GPU and versions."""
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {"date": date.today().isoformat(), "processor": processor(), "cores": os.cpu_count(), **gpu, **versions()}


def processor() -> str:
    """The processor's name and the instructions that PyTorch uses of it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {torch.backends.cpu.get_cpu_capability()}"


def vendor() -> str:
    """Who made the processor, a word in small letters."""
    found = re.match(r"[a-z]+", processor().lower())
    return found[0] if found else "other"


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, numbers on the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def save(name: str, figures: Mapping[str, Any], table: str, command: Sequence[str]) -> None:
    """Print a table, and write it and its figures to `results/VENDOR/NAME.md` and `NAME.json`."""
    facts = about()
    words = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *command])
    folder = RESULTS / vendor()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"about": facts, "command": words, **figures}, indent=2) + "\n")
    said = ", ".join(f"{key} {value}" for key, value in facts.items())
    (folder / f"{name}.md").write_text(f"`{words}`\n\n{table}\n\n{said}\n")
    print(table)
