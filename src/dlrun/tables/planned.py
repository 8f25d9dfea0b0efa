"""Which runs stand for a table: a config, a hash and a folder for every row and seed (no torch, no data)."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlrun.config.compose import compose, composing
from dlrun.config.groups import Target
from dlrun.config.overrides import key_of, merged
from dlrun.config.schema import Config
from dlrun.config.settled import OfOneRun, Settled, settle
from dlrun.errors import ConfigError, UsageError
from dlrun.records.record import Record
from dlrun.store.content import Contents, same_content, unread
from dlrun.store.folders import slug
from dlrun.store.history import history_of
from dlrun.store.result import Result
from dlrun.store.shelf import Shelf
from dlrun.store.standing import on_any_data, standing
from dlrun.store.status import Status
from dlrun.tables.table import PublishedTable, Row

RUNS = Path("outputs/runs")
MOST_SEEDS = 1000
QUICK = ("epochs=2",)
"""What `--quick` puts over every row."""
COMPUTED = ("precision", "deterministic", "compile", "profile", "eval_batch_size")
"""Fields of a run's hash that say how it is computed; a source prints what is computed."""


@dataclass(frozen=True)
class Planned(OfOneRun):
    """One run that a table asks for."""

    row: Row
    seed: int
    overrides: tuple[str, ...]
    """All of them, `seed=…` included."""
    settled: Settled
    folder: Path
    changed: bool
    """Whether the user's overrides make it another experiment than the published one."""
    shelf: Shelf = field(compare=False, repr=False)
    """The folders among which its own is."""

    @property
    def name(self) -> str:
        """What people know it by: `FC (64,64) seed 0`."""
        return f"{self.row.label} seed {self.seed}"

    def command(self) -> str:
        """The line to type for this run."""
        return shlex.join(["dlrun", *self.overrides, f"hydra.run.dir={self.folder.as_posix()}"])


def seeds_typed(text: str) -> tuple[int, ...]:
    """The seeds that `--seeds` means: of a number those below it, else those listed.

    >>> seeds_typed("3"), seeds_typed("30-32"), seeds_typed("7,0,5-6")
    ((0, 1, 2), (30, 31, 32), (0, 5, 6, 7))

    Raises:
        ValueError: It can't be read, or means none or more than a thousand.
    """
    if re.fullmatch(r"\d{1,4}", text, re.ASCII):
        found = set(range(min(int(text), MOST_SEEDS + 1)))
    else:
        found = set()
        for part in text.removesuffix(",").split(","):
            ends = re.fullmatch(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", part, re.ASCII)
            if not ends or not 0 <= int(ends[2] or ends[1]) - int(ends[1]) <= MOST_SEEDS:
                raise ValueError(text)
            found.update(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    if not 1 <= len(found) <= MOST_SEEDS:
        raise ValueError(text)
    return tuple(sorted(found))


def plan(
    table: PublishedTable,
    rows: Sequence[Row],
    seeds: int | Collection[int],
    own: Sequence[str] = (),
    contents: Contents = unread,
    runs: Path = RUNS,
) -> list[Planned]:
    """The runs of some rows of a table, the user's `own` overrides last.

    Args:
        seeds: So many, from 0 on; or which ones. A row without chance takes the first of them alone.
        contents: Tells whether data that lie elsewhere now are those of a run that is there.
        runs: Where their folders are.

    Raises:
        ConfigError: A row is not filled in or does not compose; the message names file, row and key.
        UsageError: The user's overrides set the seed, or something of Hydra's.
    """
    for key in map(key_of, own):
        if key == "seed":
            raise UsageError("seed: a table runs the seeds 0 … n-1; --seeds N says how many, --seeds 30-32 which")
        if re.match(r"hydra\b", key):
            raise UsageError(
                f"{key}: a table runs here or with hydra/launcher=slurm or dask, each run in its own folder"
            )
    wanted = range(seeds) if isinstance(seeds, int) else sorted(seeds)
    planned = []
    shelf = Shelf(runs, contents)
    with composing():
        for row in rows:
            overrides = merged(row.overrides, own)
            try:
                if not row.overrides:
                    raise ConfigError(f"overrides: missing; dlrun table check {table.name} says what else is")
                config = compose(overrides)
                changed = bool(own) and _differ(config, compose(row.overrides))
                of_row = wanted[:1] if row.deterministic else wanted
                planned += [_planned(row, seed, overrides, config, changed, shelf) for seed in of_row]
            except ConfigError as error:
                raise ConfigError(f"{table.shown_path}: row {row.number} ({row.label}): {error}") from None
    return planned


def _differ(config: Config, published: Config) -> bool:
    """Whether two configs are different experiments: `epochs` makes one, `device` and `precision` do not."""
    computed = {name: getattr(config, name) for name in COMPUTED}
    return settle(config).hash != settle(replace(published, **computed)).hash


def _planned(row: Row, seed: int, overrides: Sequence[str], config: Config, changed: bool, shelf: Shelf) -> Planned:
    settled = settle(replace(config, seed=seed))
    every = merged(overrides, [f"seed={seed}"])
    return Planned(row, seed, every, settled, folder(settled, shelf), changed, shelf)


def with_seed(planned: Planned, seed: int) -> Planned:
    """The same row with another seed."""
    return _changed(replace(planned, seed=seed), "seed", seed)


def in_precision(planned: Planned, precision: str) -> Planned:
    """The same row and seed in another precision."""
    return _changed(planned, "precision", precision)


def _changed(planned: Planned, field: str, value: Any) -> Planned:
    settled = settle(replace(planned.config, **{field: value}))
    every = merged(planned.overrides, [f"{field}={value}"])
    return replace(planned, overrides=every, settled=settled, folder=folder(settled, planned.shelf))


def folder(settled: Settled, shelf: Shelf) -> Path:
    """Where a row's run lies. It depends on config and data alone, so that tables share their runs."""
    config = settled.config
    words = [config.data, config.model, config.optimizer]
    named = [f"{group}={_word(part)}" for group, part in zip(("data", "model", "optimizer"), words, strict=True)]
    return shelf.folder(
        settled, slug([*named, f"epochs={config.epochs}", f"seed={config.seed}"]), exact=not settled.place
    )


def _word(part: object) -> str:
    if isinstance(part, Target):
        return str(part.arguments.get("name") or part.target.rpartition(".")[2])
    layers = getattr(part, "layers", None)
    if layers is None:
        return str(getattr(part, "name", ""))
    return "cnn" if any(phrase.startswith("conv") for phrase in layers) else "fc"


@dataclass(frozen=True)
class Found:
    """What is there for one planned run: a folder on the disk, or a record (see `dlrun.tables.evidence`)."""

    planned: Planned
    status: Status
    """`completed`, `failed`, `interrupted`, `missing`, or `other data` (completed on another content)."""
    result: Result | None
    folder: Path | None = None
    """Of the run, where it lies on the disk."""
    record: Record | None = None
    """In place of a folder; shortened to the planned epochs where it is of a longer run."""
    source: str = ""
    """The file of the record."""
    longer: int | None = None
    """Epochs of the longer run whose first ones these are."""

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        """Its epochs, as of `dlrun.store.history.read_history`."""
        if self.record is not None:
            return self.record.rows
        return history_of(self.folder) if self.folder is not None else ()


def find(planned: Sequence[Planned]) -> list[Found]:
    """Look up planned runs in their folders.

    Runs on one data set must agree on its content: that of the latest result counts, so that results on data
    that have changed since are not mixed in.

    Raises:
        UsageError: A `result.json` or a history is damaged.
    """
    found = [_find(one) for one in planned]
    contents: dict[str, tuple[float, str]] = {}
    for one in found:
        if one.status == Status.COMPLETED and one.result is not None:
            written = (one.planned.folder / "result.json").stat().st_mtime
            latest = (written, one.result.data["fingerprint"])
            key = repr(one.planned.config.data)
            contents[key] = max(latest, contents.get(key, latest))
    return [_on_same_data(one, contents) for one in found]


def _find(planned: Planned) -> Found:
    folder = planned.folder
    there = standing(folder, planned.hash, on_any_data)
    if there.damage:
        raise there.damage
    if there.result:
        return Found(planned, there.status, there.result, folder)
    if there.status == Status.MISSING and (folder / "config.yaml").is_file():
        return Found(planned, Status.INTERRUPTED, None, folder)
    return Found(planned, Status.MISSING, None)


def _on_same_data(found: Found, contents: Mapping[str, tuple[float, str]]) -> Found:
    if found.status != Status.COMPLETED or found.result is None:
        return found
    latest = contents[repr(found.planned.config.data)][1]
    return found if same_content(found.result.data["fingerprint"], latest) else replace(found, status=Status.OTHER_DATA)
