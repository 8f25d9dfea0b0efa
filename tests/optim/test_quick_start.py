"""A run does not import PyTorch's compiler, which takes 0.7 s."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_a_run_leaves_the_compiler_alone(tmp_path: Path, optimizer: str) -> None:
    code = (
        f"from dlrun import run; run('data=synthetic', 'model=fc_64', 'epochs=1', 'limit=32', 'optimizer={optimizer}');"
        "import sys; print(sorted({'torch._dynamo', 'torch._inductor'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
