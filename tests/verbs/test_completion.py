"""Completion: what a line can go on with, and the script in a bash that believes it has a terminal."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlrun.verbs import VERBS
from dlrun.verbs.completion import BASH, candidates, main


def test_first_word_is_a_verb_or_a_field() -> None:
    known = candidates("dlrun ")
    assert set(VERBS) <= set(known)
    assert {"model=", "model.", "epochs=", "hydra/launcher="} <= set(known)
    assert not [word for word in known if "choices" in word]


def test_options_of_groups() -> None:
    assert candidates("dlrun model=fc_5") == ["model=fc_512", "model=fc_512x3"]
    assert candidates("dlrun -m seed=1,2 model=fc_64,fc_5") == ["model=fc_64,fc_512", "model=fc_64,fc_512x3"]
    assert "hydra/launcher=slurm" in candidates("dlrun hydra/launcher=")


def test_fields_are_those_of_the_option_chosen() -> None:
    assert "optimizer.momentum=" in candidates("dlrun optimizer.")
    adam = candidates("dlrun optimizer=adam optimizer.")
    assert "optimizer.beta1=" in adam
    assert "optimizer.momentum=" not in adam
    assert candidates("dlrun scheduler=step scheduler.g") == ["scheduler.gamma="]
    assert candidates("dlrun model.conv_") == ["model.conv_dropout="]
    assert candidates("dlrun model=fc_64 model.conv_") == []
    assert candidates("dlrun model=resnet18 model.") == []


def test_what_the_choice_of_an_option_sets_is_not_typed() -> None:
    assert candidates("dlrun sweep.n") == ["sweep.name="]
    assert candidates("dlrun optimizer.n") == ["optimizer.nesterov="]
    assert candidates("dlrun model=fc_64 model.n") == ["model.norm="]


def test_values() -> None:
    assert candidates("dlrun precision=b") == ["precision=bfloat16"]
    assert candidates("dlrun deterministic=") == ["deterministic=false", "deterministic=true"]
    assert candidates("dlrun limit=") == ["limit=null"]
    assert candidates("dlrun ++device=cuda:") == ["++device=cuda:0"]
    assert candidates("dlrun epochs=") == []


def test_verbs() -> None:
    assert candidates("dlrun reproduce nvid") == ["nvidia_dli", "nvidia_readings"]
    assert candidates("dlrun reproduce psc_mnist --s") == ["--seeds"]
    assert candidates("dlrun data f") == ["fetch"]
    assert "mnist" in candidates("dlrun data fetch ")
    assert candidates("dlrun slurm col") == ["collect"]
    assert candidates("dlrun array ") == ["prepare", "run"]
    assert candidates("dlrun array prepare psc_mnist --t") == ["--tasks"]
    assert candidates("dlrun array prepare -m model=fc_5") == ["model=fc_512", "model=fc_512x3"]
    assert candidates("dlrun resume outputs/run ep") == ["epochs="]


@pytest.mark.parametrize(
    "line",
    [
        "dlrun show ",
        "dlrun resume ",
        "dlrun report out",
        "dlrun predict run ",
        "dlrun nonsense x=",
        "dlrun data.root=/",
    ],
)
def test_the_rest_is_left_to_file_names(line: str) -> None:
    assert candidates(line) == []


def test_own_configs_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "configs" / "model" / "mine.yaml").write_text("layers: [flatten]\nwidth: 3\n")
    (tmp_path / "configs" / "model" / "broken.yaml").write_text("layers: [")
    monkeypatch.chdir(tmp_path)
    assert candidates("dlrun model=m") == ["model=mine"]
    assert candidates("dlrun model=mine model.w") == ["model.width="]
    assert "model.kernel=" in candidates("dlrun model=broken model.")


def test_prints_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bash"]) == 0
    assert capsys.readouterr().out == BASH + "\n"


def test_torch_is_not_imported() -> None:
    code = "import sys; from dlrun.verbs.completion import candidates; candidates('dlrun resume x e'); "
    done = subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], check=False)
    assert done.returncode == 0


@pytest.mark.skipif(not shutil.which("bash") or os.name != "posix", reason="needs bash")
def test_tab_key_in_bash(tmp_path: Path) -> None:
    """What is typed here is completed by readline itself, `=` and `:` as its word breaks included."""
    typed = "dlrun repro\tnvidia_d\t--rows 1 precision=bf\tdevice=cuda:\toptimizer=ada\td\t"
    assert _typed_in_bash(typed, tmp_path) == (
        "dlrun reproduce nvidia_dli --rows 1 precision=bfloat16 device=cuda:0 optimizer=adadelta"
    )


def _typed_in_bash(typed: str, folder: Path) -> str:
    """The line that bash has in the end (Ctrl-A puts an echo in front of it)."""
    import pty

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "HOME": str(folder), "TERM": "dumb", "PS1": "", "INPUTRC": "/dev/null"}
    outer, inner = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"], stdin=inner, stdout=inner, stderr=inner, cwd=folder, env=variables
    )
    os.close(inner)
    written = folder / "typed"
    os.write(outer, b'bind "set enable-bracketed-paste off"; eval "$(dlrun completion bash)"\n')
    os.write(outer, typed.encode() + b"\x01echo \x05 > typed; exit\n")
    while True:
        try:
            if not os.read(outer, 1000):
                break
        except OSError:  # Linux' way to say that the other side has closed.
            break
    shell.wait(timeout=20)
    os.close(outer)
    return written.read_text().strip()
