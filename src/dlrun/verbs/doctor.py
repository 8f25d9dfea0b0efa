"""What works on this machine and in this folder, and what to type for what does not.

Data sets are read and their checksums compared, as dlrun data verify does. The exit status is 0 whatever is found.
"""

import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from rich.cells import cell_len

from dlrun.config.compose import configs_dir
from dlrun.config.groups import DATA
from dlrun.config.own_files import check_file
from dlrun.data.catalogue import WITH_FILES
from dlrun.data.places import find, roots
from dlrun.errors import DlrunError, first_line
from dlrun.extras import command, package_of, pip_install, requirements
from dlrun.files import cache_home
from dlrun.output import counted, folded, terminal_width
from dlrun.text import visible
from dlrun.verbs.parser import Parser, add_json

INDENT = 26
"""Characters before what was found."""
SLURM_COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")


@dataclass(frozen=True)
class Finding:
    """One line of the answer: `ok`, `missing` (nothing breaks for want of it) or `broken`."""

    state: str
    name: str
    what: str
    advice: str = ""
    """What to type, where something is to be done."""


def main(arguments: list[str]) -> int:
    """Run the verb; always 0."""
    parser = Parser("dlrun doctor", description=__doc__)
    add_json(parser)
    if parser.parse_args(arguments).json:
        answer = [{"section": title, **asdict(one)} for title, look in SECTIONS.items() for one in _guarded(look)]
        print(json.dumps(answer, indent=2))
        return 0
    width = terminal_width()
    for title, look in SECTIONS.items():
        print(title)
        for found in _guarded(look):
            # A data set takes seconds to verify: each line is shown as soon as it is known.
            print(_shown(found, width), flush=True)
    return 0


def _guarded(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a section finds; whatever is wrong with the machine is an answer, not a crash."""
    try:
        yield from look()
    except Exception as error:
        yield Finding("broken", "this check", f"{type(error).__name__}: {first_line(error)}")


def _shown(found: Finding, width: int | None) -> str:
    lines = folded(f"  {found.state:<8}{found.name:<14}  {visible(found.what)}", width, INDENT)
    if not found.advice:
        return lines
    # A line to type is there to be copied: where there is no room for it, it begins at the left.
    advice = f"> {visible(found.advice)}"
    there = width is None or INDENT + cell_len(advice) <= width
    return f"{lines}\n{' ' * (INDENT if there else 2)}{advice}"


# --- program ----------------------------------------------------------------------------------------------


def _program() -> Iterator[Finding]:
    yield Finding("ok", "dlrun", f"{metadata.version('dlrun')}, configs in {configs_dir()}")
    yield Finding("ok", "python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("ok", "system", f"{platform.system()} {platform.machine()}, {counted(os.cpu_count() or 1, 'core')}")
    yield _torch()
    yield _torchvision()
    for name in ("hydra-core", "tensorboard", "pillow"):
        yield _package(name)


def _torch() -> Finding:
    try:
        import torch
    except Exception as error:
        advice = pip_install("--force-reinstall", *requirements("", "torch"))
        return Finding("broken", "torch", f"can't be imported: {first_line(error)}", advice)
    capability = torch.backends.cpu.get_cpu_capability()
    return Finding("ok", "torch", f"{torch.__version__}, {counted(torch.get_num_threads(), 'thread')}, {capability}")


def _torchvision() -> Finding:
    """torchvision by its import, as a network from it would; its operators as a remark."""
    try:
        from dlrun.models import torchvision_ops

        torchvision_ops.prepare()
        import torchvision
    except Exception as error:
        advice = pip_install(*requirements("", "torchvision"))
        return Finding("broken", "torchvision", f"can't be imported: {first_line(error)}", advice)
    missing = (
        "; its compiled operators don't load beside this PyTorch, which no network here needs"
        if torchvision_ops.defined
        else ", with its compiled operators"
    )
    return Finding("ok", "torchvision", f"{torchvision.__version__}{missing}")


def _package(name: str) -> Finding:
    try:
        return Finding("ok", name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding("broken", name, "not installed", pip_install(*requirements("", name)))


# --- devices ----------------------------------------------------------------------------------------------


def _devices() -> Iterator[Finding]:
    import torch

    from dlrun.config.compose import compose
    from dlrun.config.device import pick_device, settle_precision

    device = pick_device("auto")
    torch.ones(2, 2, device=device).sum().item()  # A driver that is too old fails only here.
    precision = settle_precision(compose(["precision=auto"])).precision
    yield Finding("ok", "device=auto", f"{device}, precision=auto is {precision}")
    yield _bfloat16()
    for number in range(torch.cuda.device_count()):
        known = torch.cuda.get_device_properties(number)
        yield Finding("ok", f"cuda:{number}", f"{known.name}, {known.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.is_available():
        yield _no_cuda()


def _bfloat16() -> Finding:
    """What this CPU gains by `precision=bfloat16`: only some have instructions for it, others convert and lose."""
    import torch
    from torch.nn.functional import conv2d

    matrix, image, kernel = torch.randn(1024, 1024), torch.randn(32, 64, 28, 28), torch.randn(64, 64, 3, 3)

    def products(dtype: torch.dtype) -> Callable[[], object]:
        a = matrix.to(dtype)
        return lambda: a @ a

    def convolutions(dtype: torch.dtype) -> Callable[[], object]:
        images, weight = (one.to(dtype).to(memory_format=torch.channels_last) for one in (image, kernel))
        return lambda: conv2d(images, weight)

    times = [_shortest(make(torch.bfloat16)) / _shortest(make(torch.float32)) for make in (convolutions, products)]
    said = "on the CPU {:.1f} times float32's time in convolutions, {:.1f} times in matrix products".format(*times)
    if max(times) < 1:
        return Finding("ok", "bfloat16", said, "dlrun device=cpu precision=bfloat16 …")
    return Finding("missing", "bfloat16", f"{said}; float32 is the right one here")


def _shortest(compute: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of some calls, after one that prepares."""
    compute()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        compute()
        taken.append(time.perf_counter() - started)
    return min(taken)


def _no_cuda() -> Finding:
    """Why there is no CUDA: no GPU, or one that PyTorch does not see."""
    import torch

    if not list(Path("/dev").glob("nvidia[0-9]*")) and not shutil.which("nvidia-smi"):
        return Finding("missing", "cuda", "no NVIDIA GPU here")
    if torch.version.cuda is None:
        advice = pip_install("--force-reinstall", *requirements("", "torch"))
        return Finding("broken", "cuda", f"a GPU, but PyTorch {torch.__version__} is a build without CUDA", advice)
    return Finding("broken", "cuda", f"PyTorch for CUDA {torch.version.cuda} can't use the GPU's driver", "nvidia-smi")


# --- data -------------------------------------------------------------------------------------------------


def _data() -> Iterator[Finding]:
    for name in WITH_FILES:
        yield _data_set(name)
    yield Finding("ok", "synthetic", "made on the spot, for trials without data")


def _data_set(name: str) -> Finding:
    from dlrun.data.load import load

    config = DATA[name](name=name)
    source = find(name, roots(config), explicit=False)
    if source is None:
        return Finding("missing", name, "not fetched", f"dlrun data fetch {name}")
    try:
        dataset = load(config)
    except DlrunError as error:
        return Finding("broken", name, first_line(error), f"dlrun data={name} data.verify=false …")
    counts = f"{len(dataset.train):,} + {len(dataset.test):,} pictures"
    return Finding("ok", name, f"{counts}, checksums right, in {source.folder}")


# --- extras and Slurm -------------------------------------------------------------------------------------


def _extras() -> Iterator[Finding]:
    purposes = {
        "search": "dlrun -m hydra/sweeper=search …",
        "slurm": "dlrun slurm, hydra/launcher=slurm",
        "dask": "hydra/launcher=dask",
        "mlflow": "sinks=[mlflow]",
        "wandb": "sinks=[wandb]",
        "trackio": "sinks=[trackio]",
        "export": "dlrun export --format onnx",
        "asl": "dlrun data fetch asl from Kaggle",
    }
    for extra, purpose in purposes.items():
        wanted = requirements(extra)
        if any(_version(text) is None for text in wanted):
            yield Finding("missing", extra, f"for {purpose}", command(extra))
        else:
            yield Finding("ok", extra, ", ".join(f"{package_of(text)} {_version(text)}" for text in wanted))


def _version(requirement: str) -> str | None:
    try:
        return metadata.version(package_of(requirement))
    except metadata.PackageNotFoundError:
        return None


def _slurm() -> Iterator[Finding]:
    from dlrun.slurm.queue import queue

    lacking = [name for name in SLURM_COMMANDS if shutil.which(name) is None]
    if lacking:
        yield Finding("missing", "commands", f"no {', '.join(lacking)} here; a cluster has them on its login nodes")
        return
    yield Finding("ok", "commands", ", ".join(SLURM_COMMANDS))
    try:
        jobs = queue()
    except DlrunError as error:
        yield Finding("broken", "controller", first_line(error), "sinfo")
    else:
        yield Finding("ok", "controller", f"answers; {counted(len(jobs), 'job')} of yours")


# --- folders ----------------------------------------------------------------------------------------------


def _folders() -> Iterator[Finding]:
    yield _writable("outputs", Path.cwd() / "outputs", "dlrun hydra.run.dir=FOLDER …")
    yield _writable("cache", cache_home(), "export XDG_CACHE_HOME=FOLDER")
    data = os.environ.get("DLRUN_DATA")
    if data is None:
        yield Finding("missing", "$DLRUN_DATA", f"not set; data are fetched to {cache_home() / 'data'}")
    elif not Path(data).is_dir():
        yield Finding("broken", "$DLRUN_DATA", f"{data}: no such folder", f"mkdir -p {data}")
    else:
        yield Finding("ok", "$DLRUN_DATA", data)
    yield _own_configs(Path.cwd() / "configs")


def _own_configs(folder: Path) -> Finding:
    files = sorted(folder.rglob("*.yaml")) if folder.is_dir() else []
    if not files:
        return Finding("ok", "./configs", "none of your own; they would join here")
    wrong = []
    for path in files:
        try:
            check_file(path)
        except DlrunError as error:
            wrong.append(first_line(error))
    if wrong:
        more = f"; {len(wrong)} of {len(files)} files are like this" if len(wrong) > 1 else ""
        return Finding("broken", "./configs", f"{wrong[0]}{more}")
    return Finding("ok", "./configs", f"{counted(len(files), 'YAML file')} of yours")


def _writable(name: str, folder: Path, advice: str) -> Finding:
    """Whether something can be written there, tried in the nearest folder that exists; nothing is left."""
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free / 1e9
    except OSError as error:
        return Finding("broken", name, f"can't write to {there}: {error.strerror}", advice)
    return Finding("ok", name, f"{folder}, {free:,.0f} GB free")


SECTIONS: dict[str, Callable[[], Iterator[Finding]]] = {
    "Program": _program,
    "Devices": _devices,
    "Data": _data,
    "Extras": _extras,
    "Slurm": _slurm,
    "Folders": _folders,
}
