"""Checkpoints: whole, proven, never unpickling code."""

import logging
import pickle
from pathlib import Path

import pytest
import torch

from dlrun.store.checkpoint import CheckpointError, load, load_last, save, save_last


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("executed",))


def test_what_was_saved_is_loaded_also_by_torch_itself(tmp_path: Path) -> None:
    content = {"a": torch.arange(3), "n": 7, "list": [1.5, "x", None]}
    save(tmp_path / "x.pt", content)
    assert str(load(tmp_path / "x.pt")) == str(content)
    assert str(torch.load(tmp_path / "x.pt", weights_only=True)) == str(content)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for number in range(3):
        save_last(tmp_path, {"n": number})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]
    assert load_last(tmp_path) == {"n": 2}
    assert load(tmp_path / "previous.pt") == {"n": 1}


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "text"])
def test_a_damaged_last_falls_back_to_the_previous_and_says_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save_last(tmp_path, {"n": 1, "t": torch.ones(100)})
    save_last(tmp_path, {"n": 2, "t": torch.ones(100)})
    last = tmp_path / "last.pt"
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    changed = {"truncate": data[: len(data) // 2], "flip": data, "empty": b"", "text": b"hello"}[damage]
    last.write_bytes(changed)
    with caplog.at_level(logging.WARNING, "dlrun"):
        assert load_last(tmp_path)["n"] == 1
    assert "last.pt: damaged" in caplog.text
    assert "going on from previous.pt" in caplog.text


def test_no_checkpoint_and_no_good_checkpoint_are_different(tmp_path: Path) -> None:
    assert load_last(tmp_path) is None
    (tmp_path / "last.pt").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"last\.pt"):
        load_last(tmp_path)


def test_code_is_never_unpickled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "evil.pt", {"x": Evil()})
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load(tmp_path / "evil.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="damaged"):
        load(tmp_path / "raw.pt")
    assert capsys.readouterr().out == ""
