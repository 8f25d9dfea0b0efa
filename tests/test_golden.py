"""Losses of a few runs at full precision, as they were: whoever changes a bit of training is told.

Equal where threads, CPU capability and PyTorch are those of an entry in golden.json, within 1e-4 elsewhere.
`python tests/test_golden.py` writes the entries of this machine anew, after a change that was meant.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

GOLDEN = Path(__file__).parent / "golden.json"
COMMON = ["data=synthetic", "data.train_images=140", "data.test_images=50", "threads=1", "device=cpu", "epochs=2"]
# Small rates: rounding grows from step to step, and other CPUs must stay within 1e-4.
RUNS = {
    "fc_64": ["model=fc_64"],
    "cnn_dropout, adam, everything": [
        *("model=cnn_dropout", "optimizer=adam", "augment=shift_flip", "average=0.9", "scheduler=cosine"),
        *("validation=40", "clip_norm=1", "label_smoothing=0.1", "data.normalize=standard", "optimizer.lr=1e-4"),
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
from dlrun.compose import compose
from dlrun.runs import run
from dlrun.result import read_history

losses = {}
for name, words in json.load(sys.stdin).items():
    with tempfile.TemporaryDirectory() as folder:
        run(compose([*words, "tensorboard=off"]), Path(folder))
        rows = read_history(Path(folder))
    losses[name] = [[value for key, value in row.items() if key.endswith("_loss")] for row in rows]
print(json.dumps({"capability": torch.backends.cpu.get_cpu_capability(), "losses": losses}))
"""


def measured(capability: str) -> dict[str, Any]:
    """Per-epoch losses [train, evaluated] of every run, in a process held to a CPU capability."""
    held = {"ATEN_CPU_CAPABILITY": capability, "ONEDNN_MAX_CPU_ISA": LIBRARIES[capability], "MKL_CBWR": "COMPATIBLE"}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps({name: [*COMMON, *words] for name, words in RUNS.items()}),
        env={**os.environ, **held, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def conditions(capability: str) -> dict[str, Any]:
    """What bits depend on."""
    return {"threads": 1, "capability": capability, "torch": torch.__version__, "machine": platform.machine()}


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("default", "avx512")]


@pytest.mark.parametrize("capability", ["avx2", *SLOW])
def test_losses_are_what_they_were(capability: str) -> None:
    entries = json.loads(GOLDEN.read_text())
    found = measured(capability)
    if found["capability"].lower() != capability:
        pytest.skip(f"this CPU has no {capability}: {found['capability']}")
    same = [entry["losses"] for entry in entries if entry["conditions"] == conditions(capability)]
    for name, losses in found["losses"].items():
        if same:
            assert losses == same[0][name], name
        else:
            assert losses == [pytest.approx(row, abs=1e-4) for row in entries[0]["losses"][name]], name


def regenerate() -> None:
    """Replace the entries of this machine's conditions in golden.json."""
    made = []
    for capability in LIBRARIES:
        found = measured(capability)
        if found["capability"].lower() == capability:
            made.append({"conditions": conditions(capability), "losses": found["losses"]})
    kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else []
    kept = [entry for entry in kept if entry["conditions"] not in [one["conditions"] for one in made]]
    GOLDEN.write_text(json.dumps([*made, *kept], indent=1) + "\n")


if __name__ == "__main__":
    regenerate()
