"""docs/results: its records are whole and tell nothing private, its pages are what they give."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlrun.cli import main
from dlrun.records.files import RecordLine, read, record_files

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "results" / "records"


def shipped() -> Iterator[RecordLine]:
    return read(record_files([RECORDS]))


@pytest.mark.slow
def test_pages_are_made_of_the_records() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/results", "--check"], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    assert "made by scripts/results" in (ROOT / "docs/results/psc_fashion_changes.md").read_text("utf-8")
    pages = {path.name for path in (ROOT / "docs/results").glob("*.md")} - {"index.md"}
    assert set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs/results/index.md").read_text("utf-8"))) == pages


def test_the_spread_found_is_the_one_expected() -> None:
    page = (ROOT / "docs/results/index.md").read_text("utf-8").replace("\\", "")
    found = re.search(r"over (\d+) experiments .* lie ([\d.]+) times as far apart .*, p = ([\d.e-]+)", page)
    assert found
    experiments, ratio, p = int(found[1]), float(found[2]), float(found[3])
    # Everything measured, not the rows that fit; a prior half or twice as large would fail with ten experiments.
    assert experiments >= 9
    assert 0.6 < ratio < 1.5
    assert p > 0.005


def test_every_record_is_whole_and_of_official_data() -> None:
    found = [line.record for line in shipped()]
    assert len(found) >= 80
    assert all(record.result.data["verified"] for record in found)


def test_records_stand_in_the_order_that_dlrun_gives_them() -> None:
    places = [(str(line.path), line.record.experiment, line.record.result.seed) for line in shipped()]
    assert places == sorted(places)


def test_nothing_private_is_in_them() -> None:
    for path in RECORDS.glob("*.jsonl"):
        texts = set(re.findall(r'"([^"]*)"', path.read_text("ascii")))
        assert [text for text in texts if "/" in text or "\\" in text or "@" in text or ".." in text] == []


def test_rows_of_the_records_are_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DLRUN_DATA", raising=False)
    assert main(["reproduce", "psc_fashion_changes", "--rows", "1-2", "--records", str(RECORDS)]) == 0
    assert "(6 runs of rows 1-2)" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
