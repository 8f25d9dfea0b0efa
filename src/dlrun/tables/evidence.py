"""What fills the rows of a table: runs on the disk, records, longer runs, other precisions (no torch)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dlrun.config.settled import Settled
from dlrun.errors import UsageError
from dlrun.records.files import read
from dlrun.records.record import Record, any_length
from dlrun.store.content import Contents, same_content, same_data, unread
from dlrun.store.status import Status
from dlrun.tables.planned import Found, Planned, find, in_precision, with_seed


@dataclass(frozen=True)
class Kept:
    """A record that may stand for a row, and the file it is from."""

    record: Record
    source: str
    places: frozenset[str]
    """Those of `Settled.place` whose data it was made on, as far as they can be read now."""


Pool = Mapping[str, Sequence[Kept]]
"""Records by `dlrun.records.record.any_length`."""


def pool(
    files: Iterable[Path],
    tables: Iterable[tuple[Iterable[Planned], Sequence[str]]],
    contents: Contents = unread,
) -> Pool:
    """The records of some files that may stand for planned runs or for other seeds of their rows.

    Only these stay in memory; every line is checked, once for all tables.

    Args:
        tables: Of each its planned runs, and the precisions that `gather` is asked for.
        contents: As `dlrun.tables.planned.plan` takes it.

    Raises:
        Damaged: A line is not as it was written.
        UsageError: A line is no record, or a file can't be read.
    """
    found: dict[str, list[Kept]] = defaultdict(list)
    wanted: dict[str, dict[str, Settled]] = defaultdict(dict)
    for planned, precisions in tables:
        for row in {one.row.number: one for one in planned}.values():
            for one in _in_each(row, precisions):
                wanted[any_length(one.config)][one.settled.place] = one.settled
    for line in read(files):
        key = line.record.any_length
        if key in wanted:
            found[key].append(Kept(line.record, str(line.path), _fitting(line.record, wanted[key], contents)))
    return found


def _fitting(record: Record, places: Mapping[str, Settled], contents: Contents) -> frozenset[str]:
    """The places of data whose content a record was made on.

    Where rows differ in their place alone, one that can't be read now is none: the record may be of another row.
    """
    return frozenset(
        place
        for place, settled in places.items()
        if same_data(settled, record.result, contents) and (len(places) == 1 or contents(settled) is not None)
    )


def gather(
    planned: Sequence[Planned], records: Pool, precisions: Sequence[str] = (), more: bool = False
) -> list[Found]:
    """What is there for planned runs: at least one `Found` each, several where a seed has several results.

    A row takes the first of `precisions` that has a result, whatever `auto` comes to on this machine. A record
    of just so many epochs goes before the beginning of a longer one.

    Args:
        more: Also take results of seeds that are not planned from records.

    Raises:
        UsageError: A `result.json` is damaged.
    """
    further = [*planned, *(_more_seeds(planned, records, precisions) if more else ())]
    found: list[Found] = []
    empty: list[Found] = []
    for number in range(max(1, len(precisions))):
        rows = _filled(found)
        each = [_in_each(one, precisions) for one in further if one.row.number not in rows]
        looked = _look([several[number] for several in each if number < len(several)], records)
        rows = _filled(looked)
        found += [one for one in looked if one.planned.row.number in rows]
        empty += [one for one in looked if one.planned in further]
    rows = _filled(found)
    found += [one for one in empty if one.planned.row.number not in rows]
    places = {(one.row.number, one.seed): place for place, one in enumerate(further)}
    found.sort(key=lambda one: places[one.planned.row.number, one.planned.seed])
    asked = {(one.row.number, one.seed) for one in planned}
    return [
        one for one in found if one.status == Status.COMPLETED or (one.planned.row.number, one.planned.seed) in asked
    ]


def _in_each(planned: Planned, precisions: Sequence[str]) -> list[Planned]:
    """The run in each precision that may fill its row; where its own is none of them, that alone."""
    own = planned.config.precision
    if own not in precisions:
        return [planned]
    return [planned if name == own else in_precision(planned, name) for name in precisions]


def _more_seeds(planned: Sequence[Planned], records: Pool, precisions: Sequence[str]) -> Iterable[Planned]:
    asked = {(one.row.number, one.seed) for one in planned}
    for row in {one.row.number: one for one in planned}.values():
        kinds = [any_length(one.config) for one in _in_each(row, precisions)]
        seeds = {kept.record.result.seed for kind in kinds for kept in records.get(kind, ())}
        for seed in sorted(seeds):
            if (row.row.number, seed) not in asked:
                yield with_seed(row, seed)


def _filled(found: Iterable[Found]) -> set[int]:
    return {one.planned.row.number for one in found if one.status == Status.COMPLETED}


def _look(planned: Sequence[Planned], records: Pool) -> list[Found]:
    """Folders and records for planned runs, all of one content of the data."""
    on_disk = find(planned)
    seeds: dict[tuple[str, int], list[Kept]] = defaultdict(list)
    for key, several in records.items():
        for kept in several:
            seeds[key, kept.record.result.seed].append(kept)
    found = [(one, _standing(one.planned, seeds[any_length(one.planned.config), one.planned.seed])) for one in on_disk]
    contents = _contents(found)
    whole: list[Found] = []
    for one, standing in found:
        fitting = [_on_content(stand, contents) for stand in standing]
        whole += _together(one, fitting)
    return whole


def _standing(planned: Planned, kept: Sequence[Kept]) -> list[Found]:
    """The records that give the planned run, the beginnings of longer ones only where none is of just that run."""
    epochs = planned.config.epochs
    exact = [one for one in kept if one.record.config.epochs == epochs]
    several = exact or [one for one in kept if one.record.contains(epochs)]
    found: dict[tuple[str, str, str], Found] = {}
    for one in several:
        record = one.record.shortened(epochs)
        longer = None if exact else one.record.config.epochs
        run = (record.result.data["fingerprint"], record.environment, record.numbers)
        status = Status.COMPLETED if planned.settled.place in one.places else Status.OTHER_DATA
        found.setdefault(run, Found(planned, status, record.result, record=record, source=one.source, longer=longer))
    return list(found.values())


def _contents(found: Iterable[tuple[Found, Sequence[Found]]]) -> dict[str, str]:
    """By data set the fingerprint that counts: that on the disk, else that which most records were made on.

    Official files go first.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    official: set[str] = set()
    chosen: dict[str, str] = {}
    for one, standing in found:
        data = repr(one.planned.config.data)
        if one.status == Status.COMPLETED and one.result is not None:
            chosen[data] = one.result.data["fingerprint"]
        for stand in standing:
            assert stand.result is not None
            if stand.status != Status.COMPLETED:
                continue
            counts[data][stand.result.data["fingerprint"]] += 1
            if stand.result.data["verified"]:
                official.add(stand.result.data["fingerprint"])
    for data, several in counts.items():
        most = min(several, key=lambda one: (one not in official, -several[one], one))
        chosen.setdefault(data, most)
    return chosen


def _on_content(found: Found, contents: Mapping[str, str]) -> Found:
    assert found.result is not None
    chosen = contents.get(repr(found.planned.config.data))
    return found if same_content(found.result.data["fingerprint"], chosen) else replace(found, status=Status.OTHER_DATA)


def _together(on_disk: Found, records: Sequence[Found]) -> list[Found]:
    """A folder's result and those of records, without the record of the folder's own run."""
    good = [one for one in records if one.status == Status.COMPLETED]
    if on_disk.status == Status.COMPLETED:
        return [on_disk, *(one for one in good if not _same(one, on_disk))]
    if on_disk.status == Status.MISSING:
        return good or list(records) or [on_disk]
    return good or [on_disk]


def _same(one: Found, on_disk: Found) -> bool:
    """Whether a record is of the run in a folder (or has its bits)."""
    assert on_disk.folder is not None
    assert one.record is not None
    try:
        there = Record.of_run(on_disk.folder)
    except UsageError:
        return False
    return (there.environment, there.numbers) == (one.record.environment, one.record.numbers)
