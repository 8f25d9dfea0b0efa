import logging
import os
import random
import subprocess
import sys

import pytest
import torch
from PIL import Image

from dlrun.config.groups import Data, ImageFolder
from dlrun.data import parsed
from dlrun.data.load import load

FAULTS = 200 if os.environ.get("DLRUN_FAULTS") == "all" else 30


@pytest.fixture
def config(tmp_path, write_idx):
    return Data("mnist", root=str(write_idx(tmp_path / "data")), verify=False)


@pytest.fixture
def builds(monkeypatch):
    """Counts how often the files are parsed."""
    from dlrun.data import load as module

    counted = []
    build = module._build
    monkeypatch.setattr(module, "_build", lambda *given: counted.append(1) or build(*given))
    return counted


def place(folders):
    (found,) = (path for path in (folders / "parsed").iterdir() if path.is_dir())
    return found


def test_the_second_start_parses_nothing(config, builds):
    first, second = load(config), load(config)
    assert len(builds) == 1
    assert torch.equal(first.train.images, second.train.images)
    assert first.fingerprint == second.fingerprint
    assert (first.classes, first.mean) == (second.classes, second.mean)


def test_pictures_that_were_read_in_another_way_are_read_again_and_no_others(config, builds, tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGBA", (4, 4), (0, 0, 0, 100 * number)).save(tmp_path / "own" / name / f"{number}.png")
    own = ImageFolder("image_folder", root=str(tmp_path / "own"), size=None)
    for known in (config, own):
        load(known)
        load(known)
    assert len(builds) == 2
    monkeypatch.setattr("dlrun.data.picture.READING", 1)
    for known in (config, own):
        load(known)
    assert len(builds) == 3


def test_writing_to_the_tensors_does_not_reach_the_cache(config):
    images = load(config).train.images
    images.zero_()
    assert load(config).train.images.any()


def test_changed_files_are_parsed_again_in_the_same_place(config, builds, folders):
    load(config)
    path = next((folders.parents[1] / "data").iterdir())
    os.utime(path, ns=(0, 0))
    load(config)
    assert len(builds) == 2
    assert place(folders)
    load(config)
    assert len(builds) == 2


def test_another_size_and_other_labels_are_kept_apart(config, builds):
    load(config)
    config.size = 14
    assert load(config).train.images.shape[-1] == 14
    config.size = None
    assert load(config).train.images.shape[-1] == 28
    assert len(builds) == 2


def test_damage_anywhere_is_noticed_and_repaired(config, folders, caplog):
    """Bits flipped, files cut, emptied or removed: never trusted, never an error."""
    expected = load(config)
    numbers = random.Random(0)
    for _ in range(FAULTS):
        files = sorted(place(folders).iterdir())
        assert len(files) == 5
        victim = numbers.choice(files)
        content = bytearray(victim.read_bytes())
        position = numbers.randrange(min(len(content), 2000))
        match numbers.randrange(4):
            case 0:
                content[position] ^= 1 << numbers.randrange(8)
                victim.write_bytes(content)
            case 1:
                victim.write_bytes(content[:position])
            case 2:
                victim.write_bytes(b"")
            case 3:
                victim.unlink()
        again = load(config)
        for mine, theirs in ((again.train, expected.train), (again.test, expected.test)):
            assert torch.equal(mine.images, theirs.images)
            assert torch.equal(mine.labels, theirs.labels)
        assert again.classes == expected.classes
    assert any("is damaged" in message for message in caplog.messages)


def test_a_header_of_another_kind_is_damage(config, folders):
    import zlib

    load(config)
    for body in (b"[]", b"{}", b'{"state": 1, "verified": true}', b"null", b"\xff"):
        (place(folders) / parsed.HEADER).write_bytes(b"%08x\n" % zlib.crc32(body) + body)
        assert len(load(config).train) == 30


def test_a_cache_that_cannot_be_written_is_no_error(config, tmp_path, monkeypatch, caplog):
    (tmp_path / "occupied").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "occupied"))
    with caplog.at_level(logging.INFO):
        assert len(load(config).train) == 30
    assert "occupied is no folder, so parsed data are not cached" in caplog.text


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_is_no_error(config, folders, monkeypatch, caplog):
    save = parsed.np.save

    def to_a_full_disk(path, array, allow_pickle):
        with open("/dev/full", "wb") as file:  # noqa: PTH123
            save(file, array, allow_pickle=allow_pickle)

    monkeypatch.setattr(parsed.np, "save", to_a_full_disk)
    with caplog.at_level(logging.INFO):
        assert len(load(config).train) == 30
    assert "No space left" in caplog.text or "not cached" in caplog.text
    assert [path for path in (folders / "parsed").iterdir() if path.suffix != ".lock"] == []


def test_a_broken_data_set_fails_the_same_every_time(config, tmp_path):
    from dlrun.errors import DataError

    path = tmp_path / "data" / "train-images-idx3-ubyte.gz"
    path.write_bytes(b"no idx")
    for _ in range(2):
        with pytest.raises(DataError, match="not an idx file"):
            load(config)


def test_processes_at_once(config, folders):
    """One parses, the others wait and find it parsed; all see the same."""
    code = f"""
from dlrun.config.groups import Data, ImageFolder
from dlrun.data.parsed import Parsed, cached
from dlrun.data.places import locate
from dlrun.data.read import read
config = Data("mnist", root={config.root!r}, verify=False)
def build():
    print("built")
    return Parsed(read(config, source), "fingerprint", (0.5,), (0.5,), False)
source = locate(config)
print(cached(config, source, build).decoded.train.images.sum())
"""
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=100)[0].split() for process in running]
    assert sorted(map(len, said)) == [1, 1, 2]
    assert {words[-1] for words in said} == {str(load(config).train.images.sum().item())}
    assert not [path for path in (folders / "parsed").iterdir() if path.name.startswith(".")]
