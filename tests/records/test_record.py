"""A run as one line: exact, without private text, and refused where it is damaged or contradicts itself."""

import csv
import hashlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import record_of_a_run, result_of_a_run

from dlrun.config.compose import compose
from dlrun.config.schema import contains_shorter, identity
from dlrun.errors import Damaged, UsageError
from dlrun.records.record import LONGEST, Record
from dlrun.store.folders import write_config
from dlrun.store.history import history_checksum
from dlrun.store.result import Result

TYPED = ["data=mnist", "model=cnn_dropout", "optimizer=adam", "precision=float32", "epochs=2", "seed=7"]
PRIVATE = ["name=secret-name", "tags=[secret-tag]", "data.root=/home/secret/mnist", "hydra.run.dir=/home/secret/run"]
HISTORY = """epoch,train_loss,train_accuracy,test_loss,test_accuracy,lr,seconds,images_per_second
1,0.7006161071777344,0.43993333333333334,1.594784326171875,0.7426,0.001,36.6327,1796.6
2,0.1,0.7483333333333333,0.560444677734375,0.7972,1.9116986630149334e-06,34.5075,1913.6
"""


def signed(values):
    """These values as a line with the checksum that fits."""
    body = json.dumps(values, separators=(",", ":")).encode()[:-1]
    return body + b',"checksum":"' + hashlib.sha256(body).hexdigest()[:16].encode() + b'"}'


def values_of(record):
    values = json.loads(record.line())
    del values["checksum"]
    return values


@pytest.fixture
def record():
    return record_of_a_run(compose(TYPED))


@pytest.fixture
def run(tmp_path):
    """The folder of a completed run as dlrun writes it."""
    config = compose([*TYPED, *PRIVATE[:3]])
    folder = tmp_path / "secret-folder"
    folder.mkdir()
    write_config(folder, config, [*TYPED, *PRIVATE])
    (folder / "history.csv").write_text(HISTORY)
    last = list(csv.DictReader(HISTORY.splitlines()))[-1]
    result_of_a_run(
        hash=identity(config),
        name="secret-name",
        seed=7,
        overrides=[*TYPED, *PRIVATE],
        model="cnn_dropout",
        data={"name": "mnist", "fingerprint": "e0130f111822ed58", "verified": True},
        epochs=2,
        train={"loss": float(last["train_loss"]), "accuracy": float(last["train_accuracy"])},
        test={"loss": float(last["test_loss"]), "accuracy": float(last["test_accuracy"])},
        best={"epoch": 2, "accuracy": 0.7972, "selected_on": "test"},
        history=history_checksum(folder),
        git={"commit": "ab" * 20, "dirty": True},
    ).write(folder)
    return folder


# --- packing ----------------------------------------------------------------------------------------------


def test_a_line_holds_every_number_as_it_stands_in_the_files(run):
    line = Record.of_run(run).line().decode()
    for row in csv.DictReader(HISTORY.splitlines()):
        assert all(re.search(rf"[\[,:]{re.escape(text)}[\],}}]", line) for name, text in row.items() if name != "epoch")
    kept = json.loads(line)["result"]
    whole = json.loads((run / "result.json").read_text())
    dropped = {"status", "name", "overrides", "error", "history", "checksum"}
    assert kept == {name: value for name, value in whole.items() if name not in dropped and value is not None}


def test_reading_a_line_gives_the_same_record_and_the_config_of_its_hash(run):
    record = Record.of_run(run)
    again = Record.of_line(record.line())
    assert again == record
    assert identity(again.config) == again.result.hash == identity(compose(TYPED))
    assert again.rows == [
        {name: float(text) for name, text in row.items()} for row in csv.DictReader(HISTORY.splitlines())
    ]


def test_nothing_private_is_in_a_line(run):
    line = Record.of_run(run).line().decode()
    assert "secret" not in line
    assert str(run.parent) not in line
    assert "/home" not in line


def test_settings_are_named_as_they_are_typed(record):
    own = {"data": "mnist", "optimizer": "adam", "epochs": 2, "model.conv_dropout": 0.25}
    assert own.items() <= values_of(record)["config"].items()
    assert "seed" not in record.settings
    assert record.config.seed == 7


@pytest.mark.parametrize(
    "typed",
    [
        ["model=fc_64"],
        ["model._target_=mine.Network", "model.name=x", "model.sizes=[1,2]", "model.more={a: 1}"],
        ["optimizer._target_=torch.optim.SGD", "optimizer.lr=0.1"],
        ["optimizer=nesterov", "scheduler=step", "scheduler.every=3", "augment=affine"],
        ["data=synthetic", "data.shape=[3,8,8]", "data.classes=4"],
        ["data=cifar100", "data.labels=coarse", "validation=0", "clip_norm=1"],
    ],
    ids=lambda typed: typed[0],
)
def test_every_kind_of_setting_survives(typed):
    config = compose(["precision=float32", "epochs=2", *typed])
    record = Record.of_line(record_of_a_run(config).line())
    assert identity(record.config) == identity(config) == record.result.hash


@pytest.mark.parametrize("path", ["/home/me/x", "~/x", "C:\\x", "\\\\host\\x", "file:///x", "see /home/me"])
def test_a_run_whose_settings_hold_a_path_is_not_packed(path):
    config = compose(["precision=float32", "epochs=2", "model._target_=mine.Network"])
    config.model.arguments["weights"] = path
    with pytest.raises(UsageError, match="no record holds a path"):
        record_of_a_run(config)


def test_a_run_extended_under_a_schedule_that_knows_its_end_is_not_packed():
    config = compose([*TYPED, "scheduler=cosine"])
    with pytest.raises(UsageError, match="extended"):
        record_of_a_run(config, origin={"hash": "12345678", "epochs": 1})
    assert record_of_a_run(compose(TYPED), origin={"hash": "12345678", "epochs": 1})


def test_a_changed_history_or_an_unfinished_run_is_not_packed(run):
    Result.read(run)
    replace(Result.read(run), status="interrupted").write(run)
    with pytest.raises(UsageError, match="interrupted"):
        Record.of_run(run)
    replace(Result.read(run), status="completed").write(run)
    (run / "history.csv").write_text(HISTORY.replace("0.7426", "0.8426"))
    with pytest.raises(Damaged, match="damaged"):
        Record.of_run(run)


# --- damaged and hostile lines ----------------------------------------------------------------------------


def test_a_flipped_digit_anywhere_is_noticed(record):
    line = record.line()
    places = [place for place, sign in enumerate(line) if chr(sign).isdigit()]
    assert len(places) > 100
    for place in places:
        flipped = bytearray(line)
        flipped[place] = ord("7") if line[place] != ord("7") else ord("8")
        with pytest.raises(UsageError):
            Record.of_line(bytes(flipped))


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_a_torn_line_is_noticed(record, cut):
    with pytest.raises(UsageError):
        Record.of_line(record.line()[:-cut])


def changed(record, path, value):
    values = values_of(record)
    *groups, last = path.split("/")
    inside = values
    for group in groups:
        inside = inside[group]
    inside[last] = value
    return signed(values)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("record", 2, "a record of format 2, and this dlrun reads format 1"),
        ("result/hash", "01234567", "its hash 01234567 is not that of its config"),
        ("config/model.conv_dropout", 0.5, "is not that of its config"),
        ("result/seed", 8, "is not that of its config"),
        ("config/epochs", 3, "is not that of its config"),
        ("config/optimizr.lr", 0.5, "its config is none of dlrun's: optimizr"),
        ("config/model", "x", "its config is none of dlrun's"),
        ("config/epochs.x", 1, "its config is none of dlrun's"),
        ("config/batch_size", 32, "its config is not written as dlrun writes it"),
        ("config/name", "me", "its config is not written as dlrun writes it"),
        ("config/data.root", "/home/me", "no record holds a path"),
        ("config", [], "config, result or history is missing"),
        ("result/test/accuracy", 0.95, "contradicts itself in: test"),
        ("result/train/loss", 0.0, "contradicts itself in: train"),
        ("result/best/epoch", 1, "contradicts itself in: best"),
        ("result/precision", "bfloat16", "contradicts itself in: precision"),
        ("result/data/name", "kmnist", "contradicts itself in: data"),
        ("result/test/accuracy", 1.5, "wrong or missing in it: train, test or best"),
        ("result/test/accuracy", "0.9", "damaged (missing or wrong"),
        ("result/test", None, "wrong or missing in it: train, test or best"),
        ("result/epochs", True, "damaged (missing or wrong"),
        ("result/epochs", 1000, "wrong or missing in it: history"),
        ("result/threads", 10**400, "wrong or missing in it: a number"),
        ("result/model", "\x1b]0;owned\x07", "no record holds control characters"),
        ("result/device", "right\u202eleft", "no record holds control characters"),
        ("result/versions/torch", "/home/me/torch", "no record holds a path"),
        ("result/versions/torch", 2, "wrong or missing in it: versions"),
        ("result/git", {"commit": "$(reboot)", "dirty": True}, "wrong or missing in it: git"),
        ("result/schema", 2, "not a result of schema 1"),
        ("result/user", "me", "not as dlrun writes a record"),
        ("user", "me", "not as dlrun writes a record"),
        ("history/test_accuracy", [0.8, 1e999], "no JSON|wrong or missing in it: history"),
        ("history/test_accuracy", [0.8, float("nan")], "no JSON"),
        ("history/lr", [10**400, 10**400], "wrong or missing in it: history"),
        ("config/optimizer.lr", float("nan"), "no JSON"),
        ("config/optimizer.lr", 1e999, "no JSON|its config is none of dlrun's|is not that of its config"),
        ("result/parameters/total", 10**400, "damaged (missing or wrong"),
        ("history/test_accuracy", [0.8], "wrong or missing in it: history"),
        ("history/lr", [[0.1], [0.1]], "wrong or missing in it: history"),
        ("history/lr", [1e300, 1e300], "wrong or missing in it: history"),
        ("history", {}, "wrong or missing in it: history"),
    ],
)
def test_a_hostile_line_is_refused_although_its_checksum_fits(record, path, value, said):
    with pytest.raises(UsageError) as caught:
        Record.of_line(changed(record, path, value))
    assert re.search(said.replace("(", r"\("), str(caught.value)), str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"record":1}',
        b"\xff\xfe{",
        b'{"record":1,"config":' + b"[" * 100_000,
        signed({"record": 1, "config": {}, "result": {}, "history": {}}),
        b'{"record":1,"checksum":"d3b7"}',
    ],
    ids=range(7),
)
def test_what_is_no_record_is_refused(line):
    with pytest.raises(UsageError):
        Record.of_line(line)


def test_a_line_in_another_spelling_is_refused(record):
    body = record.line().partition(b',"checksum"')[0]
    for spelling in (body.replace(b'"seed":7', b'"seed": 7'), body.replace(b'"seed":7', b'"seed":9,"seed":7')):
        line = spelling + b',"checksum":"' + hashlib.sha256(spelling).hexdigest()[:16].encode() + b'"}'
        with pytest.raises(UsageError, match="not as dlrun writes a record"):
            Record.of_line(line)


def test_what_a_record_names_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text("from pathlib import Path\nPath('ran').touch()\nclass Network: pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    config = compose(["precision=float32", "epochs=2", "model._target_=stranger.Network"])
    record = Record.of_line(record_of_a_run(config).line())
    assert record.config.model.target == "stranger.Network"
    assert "stranger" not in sys.modules
    assert not Path("ran").exists()


def test_the_longest_line_has_room_for_long_runs():
    record = record_of_a_run(compose([*TYPED, "epochs=2000"]), [0.1234567890123456] * 2000)
    assert 5 * len(record.line()) < LONGEST
    assert Record.of_line(record.line()) == record


# --- shorter runs -----------------------------------------------------------------------------------------


def test_a_longer_run_gives_the_record_of_a_shorter_one():
    long = record_of_a_run(compose([*TYPED, "epochs=4"]), [0.5, 0.7, 0.6, 0.9])
    short = long.shortened(3)
    assert short.result.hash == identity(compose([*TYPED, "epochs=3"]))
    assert short.result.test == {"loss": 2 / 3, "accuracy": 0.6}
    assert short.result.best == {"epoch": 2, "accuracy": 0.7, "selected_on": "test"}
    assert short.result.seconds == {"total": 4.5}
    assert Record.of_line(short.line()) == short
    assert long.shortened(4) is long
    assert not long.contains(5)


@pytest.mark.parametrize(
    ("typed", "contained"),
    [
        (["scheduler=constant"], True),
        (["scheduler.warmup=1"], True),
        (["scheduler=cosine"], False),
        (["scheduler=one_cycle"], False),
        (["scheduler=step"], False),
        (["early_stopping=2"], False),
        (["average=0.9"], False),
        (["validation=100"], True),
    ],
    ids=str,
)
def test_which_runs_contain_shorter_ones(typed, contained):
    config = compose([*TYPED, "epochs=4", *typed])
    assert contains_shorter(config) == contained
    split = "val" if config.validation else "test"
    record = record_of_a_run(config, [0.5, 0.6, 0.7, 0.8], split)
    assert record.contains(3) == (contained and split == "test")
    if not record.contains(3):
        with pytest.raises(ValueError, match="no run of 3 epochs"):
            record.shortened(3)
