"""The command line: verbs, mistakes in one or two lines, nothing slow for what needs nothing slow."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Dlrun = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimzer=adam"], "optimzer: no such field; did you mean optimizer?"),
        (["model=resnet34"], "no such option; torchvision has it: model=torchvision model.name=resnet34"),
        (["model=resnet99"], "model=resnet99: no such option; did you mean resnet9?"),
        (["optimizer=adan"], "optimizer=adan: no such option; did you mean adam?"),
        (["optimizer.lrr=1"], "optimizer.lrr: no such field; did you mean lr?"),
        (["+model.bogus=1"], "model.bogus: no such field"),
        (["model=nope"], "model=nope: no such option; there are: asl_cnn, cnn_1layer"),
        (["lr=0.1"], "lr: no such field; did you mean optimizer.lr?"),
        (["model=fc_64,fc_512"], "dlrun -m runs every combination"),
        (["fc_64"], "fc_64: no such verb; did you mean model=fc_64?"),
        (["epoch=4"], "epoch: no such field; did you mean epochs?"),
        (["epochs=four"], "epochs=four: expected a whole number >= 1"),
        (["epochs=0"], "epochs=0: expected a whole number >= 1"),
        (["batch_size=-1"], "batch_size=-1: expected a whole number >= 1"),
        (["data=synthetic", "model.conv_dropout=1.5"], "dropout 1.5"),
        (["data=synthetic", "model.layers=[cnov 3]"], "cnov 3"),
        (["data=synthetic", "model.layers=[conv 3 40x40, flatten]"], "conv 3 40x40"),
        (["data=synthetic", "device=cuda:99"], "device=cuda:99"),
        (["data=synthetic", "device=gpu"], "device=gpu: expected auto, cpu, cuda, cuda:N or mps"),
        (["data=mnist", "data.root=nowhere"], "nowhere"),
        (["reprodcue"], "reprodcue: no such verb; did you mean reproduce?"),
        (
            ["model.layers=[conv 3", "epochs=1"],
            "dlrun: model.layers=[conv 3: can't be read as KEY=VALUE; missing at the end: ]\n",
        ),
        (["++name=[a, 'b]"], "dlrun: ++name=[a, 'b]: can't be read as KEY=VALUE; missing at the end: ' ]\n"),
        (["model.layers=[flatten)]"], "model.layers=[flatten)]: can't be read as KEY=VALUE; ) closes nothing"),
        (["epochs=a:="], "epochs=a:=: can't be read as KEY=VALUE; text with special signs needs quotes twice: "),
        (["--epochs", "3"], "dlrun: --epochs: fields are typed without dashes: epochs=3\n"),
        (["--optimizer.lr=0.1"], "dlrun: --optimizer.lr=0.1: fields are typed without dashes: optimizer.lr=0.1\n"),
        (["reproduce", "psc_mnist", "--batch-size", "3"], "--batch-size: fields are typed without dashes: batch_size="),
        (["model", "=", "fc_64"], "dlrun: model = fc_64: no blanks around the sign: model=fc_64\n"),
        (["data=null"], "dlrun: data=null: expected the name of an option; there are: asl, "),
        (["hydra.run.dir=r/${nothing}"], "dlrun: hydra.run.dir=r/${nothing}: Interpolation key 'nothing' not found\n"),
        (["model.layers=[flatten, 'dense ${..nope}']"], "model.layers[1]: Interpolation key 'nope' not found"),
        (["hydra.run.dir=/dev/null"], "hydra.run.dir=/dev/null: /dev/null is a file; expected the name of a folder"),
        (
            ["-m", "hydra.sweep.dir=/dev/null/s", "seed=0,1"],
            "hydra.sweep.dir=/dev/null/s: /dev/null is a file; expected",
        ),
        (["~epochs", "epochs=1"], "dlrun: ~epochs: a field can't be deleted; without epochs=… it has its default\n"),
        (
            ["~optimizer.lr"],
            "dlrun: ~optimizer.lr: no option says it, so that there is nothing to delete; it has its default\n",
        ),
        (["plan", "psc_mnist", "--foo"], "dlrun: plan: --foo: no such option; there are: --all"),
        (["--help=epoch"], "dlrun: --help epoch: no such verb, group or field; did you mean epochs?"),
        (["hydra.sweep.dir=x"], "hydra.sweep.dir=x: has no effect here; one run has hydra.run.dir"),
        (["hydra.job.chdir=true"], "hydra.job.chdir=true: has no effect here; runs stay in the working directory"),
        (
            ["-m", "hydra.launcher.time=30"],
            "hydra.launcher.time: hydra/launcher=local has no such field; hydra/launcher=slurm",
        ),
        (["-m", "hydra/launcher=dask", "hydra.launcher.adress=x"], "no such field; did you mean address?"),
        (["-m", "hydra.sweep.dri=x"], "hydra.sweep.dri: no such field"),
        (["-m", "hydra.run.dir=x", "seed=0,1"], "hydra.run.dir=x: has no effect here; a sweep has hydra.sweep.dir"),
        (["-m", "hydra.sweep.dir=s/${seed}", "seed=0,1"], "hydra.sweep.dir=s/${seed}: Interpolation key 'seed' not"),
        (["--cfg", "job", "tags=[a"], "dlrun: tags=[a: can't be read as KEY=VALUE; missing at the end: ]\n"),
        (["-m", "epochs=0", "data=synthetic"], "epochs=0: expected a whole number >= 1"),
        (["--hlep"], "dlrun: --hlep: no such option; did you mean --help?"),
        (["--quick"], "dlrun: --quick belongs to dlrun reproduce; see dlrun reproduce --help"),
        (["model=fc_64", "--dry-run"], "dlrun: --dry-run belongs to dlrun reproduce; see dlrun reproduce --help"),
        (["--best"], "--best belongs to dlrun evaluate, dlrun predict, dlrun export; see dlrun evaluate --help"),
        (["--fron=a"], "--fron: no such option; did you mean --from of dlrun data?"),
        (["--zzzz"], "--zzzz: no such option; see dlrun --help and dlrun --hydra-help"),
        (["--info", "nope"], "dlrun: --info/-i: invalid choice: 'nope'"),
        (["--config", "nope"], "dlrun: ambiguous option: --config could match"),
        (["epochs=1", "-m", "seed=0,1"], "dlrun: seed=0,1: overrides stand together; put flags such as -m in front"),
        (["-m", "seed=1", "--cfg", "job"], "only one of --run, --multirun (-m), --cfg and --info"),
    ],
)
def test_a_mistake_is_answered_in_words(dlrun: Dlrun, tmp_path: Path, words: list[str], said: str) -> None:
    done = dlrun(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert not list(tmp_path.rglob("*.yaml")), "nothing has been started"


WITHOUT_TORCH = """
import sys
from dlrun.cli import main
print(main({words!r}), 'torch' in sys.modules)
"""


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["optimzer=adam"], 2),
        (["model=nope"], 2),
        (["data.root=nowhere"], 2),
        (["--quick"], 2),
    ],
)
def test_what_needs_no_torch_does_not_import_it(tmp_path: Path, words: list[str], status: int) -> None:
    code = WITHOUT_TORCH.format(words=words)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{status} False"


@pytest.mark.slow
def test_hydras_own_flags_go_on_working(dlrun: Dlrun, tmp_path: Path) -> None:
    done = dlrun("epochs=7", "seed=3", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert "epochs: 7" in done.stdout
    assert "seed: 3" in done.stdout
    (tmp_path / "elsewhere" / "model").mkdir(parents=True)
    (tmp_path / "elsewhere" / "model" / "mine.yaml").write_text("layers: [flatten, dense 7]\n")
    found = dlrun("--config-dir", "elsewhere", "model=mine", "-c", "job", "--package", "model")
    assert "dense 7" in found.stdout, found.stderr
    assert "Config search path" in dlrun("--info", "searchpath").stdout
    swept = ("-m", "--config-dir=elsewhere", "model=fc_64", "data=synthetic", "limit=64", "epochs=1", "seed=0,1")
    done = dlrun(*swept)
    assert done.returncode == 0, done.stderr
    assert "2 runs in" in done.stdout


def test_help_names_every_verb_option_and_field(dlrun: Dlrun) -> None:
    assert {"reproduce", "resume", "clean"} <= set(dlrun("--help").stdout.split())
    text = dlrun("--help", "all").stdout
    for word in ("cnn_dropout", "fashion_mnist", "nesterov", "one_cycle", "shift_flip"):
        assert word in text
    for field in ("epochs", "label_smoothing", "checkpoint.every_steps", "sweep.slots", "data.root", "optimizer.lr"):
        assert field in text


def test_a_users_configs_and_modules_are_found_in_the_working_directory(dlrun: Dlrun, tmp_path: Path) -> None:
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "configs" / "experiment").mkdir()
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n"
        "    def __init__(self, num_classes, width=8):\n"
        "        super().__init__(nn.Flatten(), nn.LazyLinear(width), nn.ReLU(), nn.Linear(width, num_classes))\n"
    )
    (tmp_path / "configs" / "model" / "mine.yaml").write_text("_target_: mynet.Net\nwidth: 9\n")
    (tmp_path / "configs" / "experiment" / "quick.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: fc_64\n  - override /data: synthetic\nepochs: 1\n"
    )
    own = dlrun("model=mine", "data=synthetic", "epochs=1", "limit=64", "hydra.run.dir=a")
    assert own.returncode == 0, own.stderr
    assert "7,165 parameters" in own.stdout, "784*9 + 9 in the first layer, 9*10 + 10 in the second"
    overlay = dlrun("experiment=quick", "limit=64", "hydra.run.dir=b")
    assert overlay.returncode == 0, overlay.stderr
    assert "fc_64" in overlay.stdout


def test_a_run_from_a_script(tmp_path: Path) -> None:
    code = "from dlrun import run; r = run('data=synthetic', 'model=fc_64', 'epochs=1', 'limit=64'); print(r.status)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "completed"
