"""docs/design.md says where to add a thing: five things are added to a copy of dlrun by its table alone, and used."""

import gzip
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
COUNTS = {"train": 40, "t10k": 20}

GREET = '''"""Say hello."""


def main(arguments: list[str]) -> int:
    """Print a greeting."""
    print("hello", *arguments)
    return 0
'''


class House:
    """A copy of dlrun's sources and configs, and what was added to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("src", "configs"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.touched: set[str] = set()

    def add(self, path: str, text: str, before: str = "") -> None:
        """Put `text` before the one line that begins so; without one it is a new file."""
        place = self.folder / path if path.startswith("configs/") else self.folder / "src" / "dlrun" / path
        self.touched.add(path if before else f"{path.rpartition('/')[0]}/")
        if not before:
            place.write_text(text)
            return
        lines = place.read_text().splitlines(keepends=True)
        (at,) = [number for number, line in enumerate(lines) if line.startswith(before)]
        place.write_text("".join([*lines[:at], text, *lines[at:]]))

    def run(self, *calls: list[str], cwd: Path) -> list[str]:
        """What each call of the command prints, all in one process of the copy."""
        code = (
            "import sys; from dlrun.cli import main\n"
            f"for words in {list(calls)!r}:\n    assert main(words) == 0, words\n    print('\\f', end='')"
        )
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "src"), "DLRUN_DATA": str(cwd), "COLUMNS": "120"}
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\f")


def add_data_set(house: House, folder: Path) -> None:
    files = write_idx(folder / "dots")
    entry = f'DOTS = CatalogueEntry(title="Dots", format="idx", classes=("few", "many"), files={{{files}}})\n\n'
    house.add("data/catalogue.py", entry, before="ENTRIES: ")
    house.add("data/catalogue.py", '    "dots": DOTS,\n', before='    "kmnist": KMNIST')
    house.add("config/groups.py", '    "dots": Data,\n', before='    "kmnist": Data')
    house.add("configs/data/dots.yaml", "name: dots\n")


def write_idx(folder: Path) -> str:
    """Four tiny files as MNIST's, and what the catalogue says of them."""
    folder.mkdir()
    numbers = np.random.RandomState(0)
    said = []
    for split, count in COUNTS.items():
        labels = np.arange(count, dtype=np.uint8) % 2
        images = numbers.randint(0, 100, (count, 28, 28), dtype=np.uint8) + 100 * labels[:, None, None]
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = folder / f"{split}-{kind}-ubyte.gz"
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            path.write_bytes(gzip.compress(head + array.tobytes()))
            said.append(f'"{path.name}": File("{hashlib.md5(path.read_bytes()).hexdigest()}")')
    return ", ".join(said)


def add_optimizer(house: House, _folder: Path) -> None:
    fields = (
        '@dataclass\nclass Asgd(Optimizer):\n    """An average of the weights."""\n\n'
        '    decay: float = option(0.0001, "decay of the weights", low=0)\n\n\n'
    )
    house.add("config/groups.py", fields, before="OPTIMIZERS: ")
    house.add("config/groups.py", '    "asgd": Asgd,\n', before='    "rmsprop": Rmsprop')
    house.add("configs/optimizer/asgd.yaml", "name: asgd\nlr: 0.002\n")
    house.add("optim/build.py", "from dlrun.config.groups import Asgd\n", before="from dlrun.config.targets")
    case = (
        "        case Asgd():\n            return torch.optim.ASGD(\n                trained, optimizer.lr, "
        "weight_decay=optimizer.weight_decay, lambd=optimizer.decay\n            )\n"
    )
    house.add("optim/build.py", case, before="        case Adadelta():")


def add_activation(house: House, _folder: Path) -> None:
    groups = house.folder / "src/dlrun/config/groups.py"
    assert groups.read_text().count('"mish", "none"') == 1
    groups.write_text(groups.read_text().replace('"mish", "none"', '"mish", "hardswish", "none"'))
    house.touched.add("config/groups.py")
    house.add("models/build.py", '    "hardswish": nn.Hardswish,\n', before='    "mish": nn.Mish')


def add_field_of_the_loop(house: House, _folder: Path) -> None:
    line = '    repeats: int = option(1, "how often each batch is trained on", low=1)\n'
    house.add("config/schema.py", line, before="    shuffle: bool")
    house.add("training/step.py", "    repeats: int = 1\n", before="    shuffle: bool")
    house.add("runs/parts.py", "        repeats=config.repeats,\n", before="        shuffle=config.shuffle")
    house.add(
        "training/loop.py",
        "        for _ in range(settings.repeats - 1):\n            step(*batch)\n",
        before="        step(*batch)",
    )


def add_verb(house: House, _folder: Path) -> None:
    house.add("verbs/greet.py", GREET)
    house.add("verbs/__init__.py", '    "greet": "NAME: say hello",\n', before='    "show": ')


ADDED: dict[str, Callable[[House, Path], None]] = {
    "a data set": add_data_set,
    "an optimizer": add_optimizer,
    "an activation": add_activation,
    "a field of the loop": add_field_of_the_loop,
    "a verb": add_verb,
}


def said_by_the_page() -> dict[str, set[str]]:
    """The files and folders that each row of the table names."""
    page = (ROOT / "docs" / "design.md").read_text().partition("## Where to add a thing")[2]
    rows = re.findall(r"^\| (an? [^|]+?) \| (.+) \|$", page, re.MULTILINE)
    return {name: set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", text)) for name, text in rows}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[House, Path]:
    """dlrun with all five things added, and a folder with the data of one."""
    folder = tmp_path_factory.mktemp("work")
    house, page = House(tmp_path_factory.mktemp("house")), said_by_the_page()
    for name, add in ADDED.items():
        house.touched.clear()
        add(house, folder)
        assert house.touched == page[name], name
    return house, folder


def test_five_things_are_added_where_the_page_says_and_stand_in_the_help(grown: tuple[House, Path]) -> None:
    house, folder = grown
    greeting, first, known, *_ = house.run(["greet", "Ada"], ["--help"], ["--help", "all"], cwd=folder)
    assert greeting == "hello Ada\n"
    assert "greet" in first
    for text in ("asgd", "hardswish", "dots", "how often each batch is trained on"):
        assert text in known


@pytest.mark.slow
def test_what_was_added_trains_and_goes_on(grown: tuple[House, Path]) -> None:
    house, folder = grown
    small = ["model=fc_64", "model.activation=hardswish", "data=dots", "optimizer=asgd", "threads=1", "device=cpu"]
    small += ["batch_size=8", "epochs=2", "tensorboard=off"]
    house.run(
        [*small, "hydra.run.dir=once"],
        [*small, "repeats=3", "hydra.run.dir=thrice"],
        ["resume", "once", "epochs=3"],
        cwd=folder,
    )
    once, thrice = (json.loads((folder / name / "result.json").read_text()) for name in ("once", "thrice"))
    assert (once["status"], once["epochs"], once["data"]["name"]) == ("completed", 3, "dots")
    assert thrice["status"] == "completed"
    assert thrice["hash"] != once["origin"]["hash"]
    assert thrice["train"] != once["train"]
