"""Files of records: merged in one order, each run once, whatever the order they came in."""

import random
from dataclasses import replace

import pytest
from helpers import record_of_a_run

from dlrun.config.compose import compose
from dlrun.errors import Damaged, UsageError
from dlrun.records.files import Merged, own, read, record_files

TYPED = ["data=mnist", "model=fc_64", "precision=float32", "epochs=2"]


@pytest.fixture(scope="module")
def config():
    return compose(TYPED)


def write(path, records, end=b"\n"):
    path.write_bytes(b"".join(record.line() + end for record in records))
    return path


def merge(paths, to):
    merged = Merged()
    for line in read(paths):
        merged.add(line)
    merged.write(to)
    return merged


def test_overlapping_files_merge_to_the_same_bytes_in_any_order(tmp_path, config):
    records = [
        record_of_a_run(replace(config, seed=seed, batch_size=size), [0.5, seed / 100])
        for seed in range(20)
        for size in (32, 64)
    ]
    shuffled = random.Random(0).sample(records, len(records))
    files = [write(tmp_path / f"{n}.jsonl", shuffled[n * 10 : n * 10 + 20]) for n in range(3)]
    merge(files, tmp_path / "forward")
    merge(files[::-1], tmp_path / "backward")
    assert (tmp_path / "forward").read_bytes() == (tmp_path / "backward").read_bytes()
    found = [line.record for line in read([tmp_path / "forward"])]
    assert len(found) == len(records)
    order = [(record.experiment, record.result.seed) for record in found]
    assert order == sorted(order)


def test_a_run_counts_once_and_results_that_disagree_are_all_kept(tmp_path, config):
    first = record_of_a_run(config, [0.5, 0.6])
    slower = record_of_a_run(config, [0.5, 0.6], seconds={"total": 99.0})
    elsewhere = record_of_a_run(config, [0.5, 0.6], cpu_capability="AVX512")
    others = record_of_a_run(config, [0.5, 0.61], versions={"dlrun": "0.2.0"})
    other_data = record_of_a_run(config, [0.5, 0.62], data={"name": "mnist", "fingerprint": "f0", "verified": False})
    write(tmp_path / "a", [first, slower, elsewhere])
    write(tmp_path / "b", [others, first, other_data])
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "ab")
    assert (len(merged), len(merged.disagreeing)) == (4, 1)
    again = merge([tmp_path / "b", tmp_path / "a", tmp_path / "ab"], tmp_path / "ba")
    assert len(again) == 4
    assert (tmp_path / "ab").read_bytes() == (tmp_path / "ba").read_bytes()


def test_line_breaks_of_windows_and_empty_lines_are_no_damage(tmp_path, config):
    records = [record_of_a_run(replace(config, seed=seed)) for seed in range(3)]
    plain = write(tmp_path / "plain", records)
    mailed = write(tmp_path / "mailed", records, b"\r\n\r\n")
    merge([mailed], tmp_path / "merged")
    merge([plain], tmp_path / "same")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "same").read_bytes()


def test_the_last_line_needs_no_line_break_and_two_in_one_are_refused(tmp_path, config):
    lines = [record_of_a_run(replace(config, seed=seed)).line() for seed in range(2)]
    (tmp_path / "a").write_bytes(b"\n".join(lines))
    assert len(list(read([tmp_path / "a"]))) == 2
    (tmp_path / "b").write_bytes(b"".join(lines))
    with pytest.raises(UsageError, match="b: line 1: damaged"):
        list(read([tmp_path / "b"]))


def test_a_damaged_line_is_named_by_its_number(tmp_path, config):
    path = write(tmp_path / "class.jsonl", [record_of_a_run(replace(config, seed=seed)) for seed in range(5)])
    lines = path.read_bytes().splitlines()
    lines[3] = lines[3].replace(b"0.9,", b"0.8,", 1) if b"0.9," in lines[3] else lines[3].replace(b"0.9", b"0.8", 1)
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(Damaged, match=r"class\.jsonl: line 4: damaged \(its checksum does not match its content\)"):
        list(read([path]))


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "endless"
    with path.open("wb") as file:
        file.write(b'{"record":1,')
        file.truncate(50_000_000)
    with pytest.raises(UsageError, match="line 1: longer than 4,000,000 bytes"):
        list(read([path]))


def test_merging_keeps_no_lines_in_memory(tmp_path, config):
    import tracemalloc

    long = record_of_a_run(replace(config, epochs=200), [0.1234567890123456] * 200)
    path = write(tmp_path / "a", [replace(long, result=replace(long.result, threads=n + 1)) for n in range(200)])
    assert path.stat().st_size > 3_000_000
    tracemalloc.start()
    merge([path], tmp_path / "b")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_folders_stand_for_their_files_and_what_is_missing_is_named(tmp_path, config, monkeypatch):
    folder = tmp_path / "records"
    folder.mkdir()
    with pytest.raises(UsageError, match="a folder without files of records"):
        record_files([folder])
    first, second = write(folder / "a.jsonl", []), write(folder / "b.jsonl", [])
    (folder / "notes.txt").touch()
    assert record_files([folder, first]) == [first, second]
    with pytest.raises(UsageError, match=r"nope\.jsonl: no such file of records"):
        record_files([folder / "nope.jsonl"])
    monkeypatch.chdir(tmp_path)
    assert [path.as_posix() for path in own()] == ["records/a.jsonl", "records/b.jsonl"]
