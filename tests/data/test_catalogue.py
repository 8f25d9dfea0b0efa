import ast
import importlib.util
from pathlib import Path

import pytest

from dlrun.config.groups import DATA
from dlrun.data import catalogue
from dlrun.data.catalogue import ENTRIES


def constants(module, name):
    """The literal class attributes in torchvision's source: not every torch can import it."""
    root = Path(importlib.util.find_spec("torchvision").origin).parent
    tree = ast.parse((root / "datasets" / f"{module}.py").read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    values = {}
    for node in found.body:
        if isinstance(node, ast.Assign):
            values[node.targets[0].id] = ast.literal_eval(node.value)
    return values


@pytest.mark.parametrize(
    ("name", "theirs"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_entries_are_torchvisions(name, theirs):
    known = constants("mnist", theirs)
    entry = ENTRIES[name]
    assert [(file, values.md5) for file, values in entry.files.items()] == known["resources"]
    assert list(entry.mirrors) == known["mirrors"]
    if name != "mnist":
        assert list(entry.classes) == known["classes"]


@pytest.mark.parametrize(("name", "theirs"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_cifar_entries_are_torchvisions(name, theirs):
    known = constants("cifar", theirs)
    entry = ENTRIES[name]
    assert {file: values.md5 for file, values in entry.files.items()} == {known["filename"]: known["tgz_md5"]}
    assert [mirror + known["filename"] for mirror in entry.mirrors] == [known["url"]]
    assert entry.folder == known["base_folder"]
    assert list(entry.members.items()) == [tuple(pair) for pair in known["train_list"] + known["test_list"]]


def test_every_configured_data_set_has_an_entry():
    assert ENTRIES.keys() == DATA.keys()
    for entry in ENTRIES.values():
        if entry.pictures:
            assert len(entry.mean) == len(entry.std) == entry.shape[0]
            assert len(set(entry.classes)) == len(entry.classes)
    assert [len(ENTRIES[name].classes) for name in ("mnist", "kmnist", "cifar10", "cifar100", "asl")] == [
        10,
        10,
        10,
        100,
        24,
    ]
    assert len(set(catalogue.CIFAR100_COARSE)) == 20
