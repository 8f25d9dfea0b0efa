"""Losses of a few runs at full precision, as they were: whoever changes a bit of training is told.

Equal where all that bits depend on is as in an entry of golden.json; elsewhere within 1e-4, and the same bits twice.
MKL and oneDNN choose by the CPU's vendor, model and caches, too, not by its instructions alone.
`python tests/test_golden.py` writes the entries of this machine anew, after a change that was meant.
"""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dlrun.environment import INSTRUCTIONS

GOLDEN = Path(__file__).parent / "golden.json"
COMMON = ["data=synthetic", "data.train_images=140", "data.test_images=50", "threads=1", "device=cpu", "epochs=2"]
# Small rates: rounding grows from step to step, and other CPUs must stay within 1e-4.
RUNS = {
    "fc_64": ["model=fc_64"],
    "cnn_dropout, adam, everything": [
        *("model=cnn_dropout", "optimizer=adam", "augment=shift_flip", "average=0.9", "scheduler=cosine"),
        *(
            "validation=40",
            "validation_by=random",
            "clip_norm=1",
            "label_smoothing=0.1",
            "data.normalize=standard",
            "optimizer.lr=1e-4",
        ),
    ],
    "cnn_batchnorm, rmsprop": ["model=cnn_batchnorm", "optimizer=rmsprop", "optimizer.lr=1e-6", "augment=affine"],
    "resnet9, nesterov, one cycle": [
        *("model=resnet9", "optimizer=nesterov", "scheduler=one_cycle", "augment=crop_flip"),
        *("data.shape=[3,16,16]", "limit=64", "optimizer.lr=1e-3"),
    ],
    "pytorch_mnist": ["model=pytorch_mnist", "scheduler=step", "optimizer=adadelta", "optimizer.lr=0.1"],
}
LIBRARIES = {"default": "SSE41", "avx2": "AVX2", "avx512": "AVX512_CORE"}
"""What oneDNN is held to under each capability of PyTorch: it looks at the CPU by itself."""
CODE = """
import json, sys, tempfile, torch
from pathlib import Path
from dlrun.config.compose import compose
from dlrun.environment import cpu
from dlrun.runs.run import run
from dlrun.config.settled import settle
from dlrun.store.history import read_history

losses = {}
for name, words in json.load(sys.stdin).items():
    with tempfile.TemporaryDirectory() as folder:
        run(settle(compose([*words, "tensorboard=off"])), Path(folder))
        rows = read_history(Path(folder))
    losses[name] = [[value for key, value in row.items() if key.endswith("_loss")] for row in rows]
capability = torch.backends.cpu.get_cpu_capability().lower()
print(json.dumps({"losses": losses, "capability": capability, "cpu": cpu()}), flush=True)
# Each library says on standard output which instructions it uses.
if torch.backends.mkl.is_available():
    with torch.backends.mkl.verbose(torch.backends.mkl.VERBOSE_ON):
        torch.ones(8, 8) @ torch.ones(8, 8)
if torch.backends.mkldnn.is_available():
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
        torch.nn.functional.conv2d(torch.ones(2, 1, 8, 8), torch.ones(4, 1, 3, 3))
"""


def measured(capability: str) -> dict[str, Any]:
    """`conditions`: what bits depend on, as it was; `losses`: per epoch [train, evaluated], of every run.

    In a process held to a CPU capability, whatever those who run the tests have set.
    """
    held = {"ATEN_CPU_CAPABILITY": capability, "ONEDNN_MAX_CPU_ISA": LIBRARIES[capability], "MKL_CBWR": "COMPATIBLE"}
    theirs = {name: value for name, value in os.environ.items() if name not in INSTRUCTIONS}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps({name: [*COMMON, *words] for name, words in RUNS.items()}),
        env={**theirs, **held, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"losses"')))
    conditions = {
        "torch": torch.__version__,
        "threads": 1,
        "capability": found["capability"],
        "mkl": said(r"^MKL_VERBOSE (oneMKL .*), \w+ [\d.]+GHz", done.stdout),
        "onednn": said(r"^onednn_verbose,.*,cpu,isa:(.*)", done.stdout),
        "cpu": found["cpu"],
        "caches": caches(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
    }
    return {"conditions": conditions, "losses": found["losses"]}


def said(pattern: str, output: str) -> str | None:
    found = re.search(pattern, output, re.MULTILINE)
    return found[1] if found else None


def caches() -> list[str]:
    """Sizes of the first core's caches, by which oneDNN cuts its blocks; none where the system does not tell."""
    folders = Path("/sys/devices/system/cpu/cpu0/cache")
    return [path.read_text().strip() for path in sorted(folders.glob("index*/size"))]


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("default", "avx512")]


@pytest.mark.parametrize("capability", ["avx2", *SLOW])
def test_losses_are_what_they_were(capability: str) -> None:
    entries = json.loads(GOLDEN.read_text())
    found = measured(capability)
    if found["conditions"]["capability"] != capability:
        pytest.skip(f"this CPU has no {capability}: {found['conditions']['capability']}")
    same = [entry for entry in entries if entry["conditions"] == found["conditions"]]
    if same:
        assert found == same[0]
    else:
        assert measured(capability) == found
        for name, losses in found["losses"].items():
            assert losses == [pytest.approx(row, abs=1e-4) for row in entries[0]["losses"][name]], name


def regenerate() -> None:
    """Replace the entries of this machine's conditions in golden.json."""
    made = [found for name in LIBRARIES if (found := measured(name))["conditions"]["capability"] == name]
    kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else []
    kept = [entry for entry in kept if entry["conditions"] not in [one["conditions"] for one in made]]
    GOLDEN.write_text(json.dumps([*made, *kept], indent=1) + "\n")


if __name__ == "__main__":
    regenerate()
