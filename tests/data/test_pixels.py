"""Pictures as lines of pixels in a CSV file: what is read, what is asked, what is told with file and line."""

import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers import said

from dlrun.config.compose import compose, hydra_started
from dlrun.config.groups import PixelTable
from dlrun.config.settled import settle
from dlrun.data.facts import facts
from dlrun.data.load import load
from dlrun.data.pixels import parse
from dlrun.errors import ConfigError, DataError
from dlrun.sweeps.folder import jobs_of
from dlrun.sweeps.points import expand

NAMES = [f"pixel{number}" for number in range(16)]


def drawn(count: int, pixels: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels 3, 5 and 9 in turns, and pixels that tell them apart."""
    labels = np.array([3, 5, 9])[np.arange(count) % 3]
    noise = np.random.default_rng(seed).integers(0, 30, (count, pixels))
    return labels, (noise + 20 * labels[:, None]).astype(np.uint8)


def table(labels: Sequence[int], pixels: np.ndarray, header: Sequence[str] | None = ("label", *NAMES)) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header is not None:
        writer.writerow(header)
    writer.writerows([label, *row] for label, row in zip(labels, pixels.tolist(), strict=True))
    return text.getvalue().encode()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_bytes(table(*drawn(60)))
    (tmp_path / "test.csv").write_bytes(table(*drawn(12, seed=1)))
    return tmp_path


def own(**fields: object) -> PixelTable:
    return PixelTable(**{"name": "pixel_table", "table": "train.csv", **fields})  # type: ignore[arg-type]


def test_headers_ends_of_lines_and_archives_are_read_alike(here: Path) -> None:
    labels, pixels = drawn(60)
    plain = table(labels, pixels)
    last = io.StringIO()
    csv.writer(last, lineterminator="\n").writerows(
        [[*NAMES, "Label"], *([*row, label] for row, label in zip(pixels.tolist(), labels, strict=True))]
    )
    for text in (
        plain,
        b"\xef\xbb\xbf" + plain,
        plain.replace(b"\n", b"\r\n").rstrip(),
        plain.replace(b"label,pixel0", b'"label","pixel0"'),
        table(labels, pixels, ["class", *(f"{row}x{column}" for row in range(1, 5) for column in range(1, 5))]),
        table(labels, pixels, None),
        last.getvalue().encode(),
    ):
        found = parse(text, "x")
        assert np.array_equal(found.labels, labels)
        assert np.array_equal(found.pixels, pixels)
    reference = load(own())
    (here / "t.csv.gz").write_bytes(gzip.compress(plain))
    with zipfile.ZipFile(here / "t.zip", "w") as archive:
        archive.writestr("sub/train.csv", plain)
        archive.writestr("sub/test.csv", table(*drawn(12, seed=1)))
        archive.writestr("sample_submission.csv", "a,b\n")
    for name in ("t.csv.gz", "t.zip"):
        assert load(own(table=name)).fingerprint == reference.fingerprint
    assert load(own(table="t.zip", test_table="t.zip")).fingerprint == load(own(test_table="test.csv")).fingerprint


def test_classes_splits_and_shapes(here: Path) -> None:
    pixels = drawn(60)[1]
    whole = load(own())
    assert whole.classes == ("3", "5", "9")
    assert whole.test.labels.bincount().tolist() == [4, 4, 4], "a fifth of every class"
    assert len(whole.train) == 48
    two = load(own(test_table="test.csv"))
    assert (len(two.train), len(two.test)) == (60, 12)
    assert two.train.images[1, 0].flatten().tolist() == pixels[1].tolist()
    assert two.train.labels[:3].tolist() == [0, 1, 2]
    assert load(own(size=8)).train.images.shape[1:] == (1, 8, 8)
    assert facts(own(size=8)).shape == (1, 8, 8)
    assert facts(own()).classes == whole.classes
    assert load(own(shape=[2, 8])).train.images.shape[1:] == (1, 2, 8)
    colours = drawn(30, 12)[1]
    (here / "rgb.csv").write_bytes(table(drawn(30)[0], colours, ["label", *NAMES[:12]]))
    with pytest.raises(DataError, match=r"rgb.csv: 12 pixels a line are no square; .* may be data.shape=\[2,2,3\]"):
        load(own(table="rgb.csv"))
    behind = load(own(table="rgb.csv", test_table="rgb.csv", shape=[2, 2, 3])).train.images
    assert behind[0].permute(1, 2, 0).flatten().tolist() == colours[0].tolist()
    assert load(own(table="rgb.csv", test_table="rgb.csv", shape=[3, 2, 2])).train.images[0].flatten().tolist() == (
        colours[0].tolist()
    )
    with pytest.raises(DataError, match=r"data.shape=\[5,5\]: 25 pixels; train.csv has 16 a line"):
        load(own(shape=[5, 5]))
    for wrong in ("[4]", "[2,2,2]", "[0,4]"):
        with pytest.raises(ConfigError, match=r"data.shape=.*expected \[HEIGHT,WIDTH\]"):
            compose(["data=pixel_table", f"data.shape={wrong}"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: re.sub(rb"\n5,\d+,", b"\n5,300,", text, count=1), "line 3, field 2 (pixel0): expected 17 whole"),
        (lambda text: text + b"3,1,2\n", "line 62: expected 17 whole numbers .* found 3"),
        (lambda text: text.replace(b"\n5,", b"\n5,17,", 1), "line 3: expected 17 whole numbers .* found 18"),
        (lambda text: text.replace(b"label", b"\xfe" * 900, 1), "line 1: no column label.{,250}$"),
        (lambda text: text + b"3," + b",".join([b"0.5"] * 16) + b"\n", "line 62, field 2 (pixel0): .*found '0.5'"),
        (lambda text: text + b"\n" + text[-40:], "found an empty line"),
        (lambda text: text.replace(b"label", b"id", 1), "line 1: no column label, so .*found id, pixel0"),
        (lambda text: text.replace(b"pixel3,", b"id,", 1), "line 1, field 5: id: is no pixel; leave that column out"),
        (lambda text: b"," + text.replace(b"\n", b"\n0,"), "field 1: without a name, as pandas writes its index"),
        (lambda text: text.replace(b"pixel3,", b"pixel12,", 1), "line 1: pixel12 stands before pixel4: "),
        (lambda text: text.partition(b"\n")[0], "no lines below the names of the columns"),
        (lambda text: text.replace(b",", b";"), "separated by semicolons; save it with commas"),
        (lambda text: text.decode().encode("utf-16"), "line 1: "),
        (lambda text: b"", "line 1: expected a class and pixels, separated by commas; found an empty line"),
        (lambda text: b"label,a,b,c,d\n3,1,2,3,4\n3,1,2,3,4\n", "one class, 3; expected two or more"),
    ],
)  # fmt: skip
def test_a_mistake_has_file_and_line(change, told: str, here: Path) -> None:
    (here / "wrong.csv").write_bytes(change((here / "train.csv").read_bytes()))
    pattern = told.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(DataError, match=f"^wrong.csv.*{pattern}"):
        load(own(table="wrong.csv"))


def test_what_does_not_fit_together_is_told(here: Path) -> None:
    labels, pixels = drawn(12)
    (here / "kaggle.csv").write_bytes(
        b"\n".join(line.partition(b",")[2] for line in table(labels, pixels).split(b"\n"))
    )
    (here / "more.csv").write_bytes(table([*labels[:-1], 7], pixels))
    (here / "wide.csv").write_bytes(table(labels, np.tile(pixels, 2)[:, :25], None))
    (here / "damaged.zip").write_bytes(b"PK\x05\x06" + b"\0" * 18)
    for fields, told in (
        ({"test_table": "kaggle.csv"}, "kaggle.csv, line 1: no column label, .*leave data.test_table out"),
        ({"test_table": "more.csv"}, "more.csv: the classes 7 are not in train.csv"),
        ({"test_table": "wide.csv"}, "wide.csv: 25 pixels a line; train.csv has 16"),
        ({"test_table": "none.csv"}, "pixel_table: data.test_table=none.csv: no such file"),
        ({"root": "here"}, "pixel_table: data.root says nothing here"),
        ({"table": None}, "pixel_table: set data.table to a CSV file"),
        ({"table": "damaged.zip"}, "damaged.zip: expected one CSV file, .*found no CSV file"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=told):
            load(own(**fields))


def test_where_it_lies_is_no_part_of_a_run(here: Path) -> None:
    with hydra_started():
        _check_identity(here)


def _check_identity(here: Path) -> None:
    one, other = (settle(compose(["data=pixel_table", f"data.table={name}"])) for name in ("a.csv", "b.csv"))
    assert one.hash == other.hash
    assert not one.pinned
    assert one.place != other.place
    assert settle(compose(["data=pixel_table", "data.table=a.csv", "data.shape=[2,8]"])).hash != one.hash
    tested = settle(compose(["data=pixel_table", "data.table=a.csv", "data.test_table=b.csv"]))
    assert tested.place not in (one.place, other.place)
    jobs = jobs_of(
        expand(["data=pixel_table", "model=fc_64", "data.table=train.csv,test.csv"]), here, say=lambda _: None
    )
    assert len({job.run_dir for job in jobs}) == 2, "two tables are two experiments"


def test_a_table_is_trained_on_and_tested(here: Path) -> None:
    words = ["model=fc_64", "optimizer=adam", "epochs=1", "threads=1", "device=cpu", "tensorboard=off"]
    status, out = said(
        "data=pixel_table", "data.table=train.csv", "data.test_table=test.csv", *words, "hydra.run.dir=r"
    )
    assert status == 0, out
    assert "data: pixel_table, 60 train + 12 test, 1x4x4, 3 classes" in out
    shown = said(
        "data", "show", "pixel_table", "data.table=train.csv", "data.test_table=train.csv", "--output", "a.png"
    )[1]
    assert "WARNING: the test pictures are all 60 training pictures" in shown
    (here / "moved.csv").write_bytes((here / "test.csv").read_bytes())
    status, text = said("evaluate", "r", "--json", "data.test_table=moved.csv")
    assert status == 0, text
    assert json.loads(text)["pictures"] == 12
    (here / "other.csv").write_bytes(table(*drawn(9, seed=2)))
    status, text = said("evaluate", "r", "--json", "data.table=other.csv", "data.test_table=null")
    assert (json.loads(text)["split"], json.loads(text)["pictures"]) == ("all", 9), "none of it was trained on"
    assert "all of other.csv is tested: it is not the run's own data" in text
    assert said("data", "list")[1].count("set data.table") == 2
    status, text = said("data=pixel_table", "data.table=nowhere.csv", *words)
    assert (status, text) == (2, "dlrun: pixel_table: data.table=nowhere.csv: no such file\n")
