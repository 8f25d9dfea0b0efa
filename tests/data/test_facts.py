import subprocess
import sys

import pytest
from PIL import Image

from dlrun.config.groups import Cifar100, Data, ImageFolder, Synthetic, Target
from dlrun.data.facts import facts
from dlrun.errors import ConfigError, DataError


def test_of_the_catalogue():
    known = facts(Data("mnist"))
    assert (known.shape, known.classes[9], known.mean, known.std) == ((1, 28, 28), "9", (0.1307,), (0.3081,))
    assert facts(Data("cifar10", size=64)).shape == (3, 64, 64)
    assert facts(Cifar100("cifar100")).classes[0] == "apple"
    assert len(facts(Cifar100("cifar100", labels="coarse")).classes) == 20


def test_of_synthetic():
    known = facts(Synthetic("synthetic", shape=[3, 8, 9], classes=4))
    assert (known.shape, known.classes, known.mean) == ((3, 8, 9), ("0", "1", "2", "3"), None)
    with pytest.raises(ConfigError):
        facts(Synthetic("synthetic", shape=[1]))


def test_of_pictures(tmp_path):
    with pytest.raises(DataError):
        facts(ImageFolder("image_folder", root=str(tmp_path)))
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (30, 20)).save(tmp_path / name / "x.png")
    known = facts(ImageFolder("image_folder", root=str(tmp_path), color="grey"))
    assert (known.shape, known.classes) == ((1, 32, 32), ("a", "b"))
    assert facts(ImageFolder("image_folder", root=str(tmp_path), size=None)).shape == (3, 20, 30)


def test_of_a_data_set_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine_for_facts.py").write_text(
        "import torch\n"
        "from dlrun.data.dataset import Dataset, Split\n"
        "def make(count):\n"
        "    split = Split(torch.zeros(count, 2, 5, 6, dtype=torch.uint8), torch.arange(count))\n"
        "    return Dataset('mine', split, split, tuple('abc'), (0.5,) * 2, (1.0,) * 2, 'x', True)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert facts(Target("mine_for_facts.make", {"count": 3})).shape == (2, 5, 6)


def test_neither_torch_nor_numpy_is_imported():
    code = (
        "import sys; from dlrun.config.groups import Data; from dlrun.data.facts import facts; "
        "from dlrun.data.places import locate; "
        "facts(Data('mnist')); import dlrun.verbs.data; "
        "print([name for name in ('torch', 'numpy', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
