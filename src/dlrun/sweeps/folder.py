"""The folder of a sweep: its name, stable for what was typed, and the folders of its runs."""

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from dlrun.config.compose import compose, folder_of
from dlrun.config.hydra_fields import OF_A_RUN, refuse_without_effect
from dlrun.config.overrides import bare, key_of, typed_for
from dlrun.config.schema import Sweep, plain
from dlrun.config.settled import Settled, settle
from dlrun.errors import ConfigError, UsageError
from dlrun.files import write_atomically
from dlrun.output import counted
from dlrun.report.leaderboard import UNHASHED
from dlrun.runs.check import check
from dlrun.runs.no_effect import say_without_effect
from dlrun.store.content import Contents, unread
from dlrun.store.folders import numbered, slug
from dlrun.store.follows import FOLLOWS
from dlrun.store.scan import flat
from dlrun.store.shelf import Shelf
from dlrun.sweeps.following import Following, note_followed
from dlrun.sweeps.jobs import Job
from dlrun.sweeps.points import Point, parse, settings_of

SHAPING = ("sweep.rows", "sweep.zip", "sweep.exclude")
"""The fields of `sweep` that belong to a sweep's identity; the others say how it is run."""
COMPUTED = ("threads", "device")
"""Fields outside a run's identity that are worth a run of their own: who compares speed wants both."""
PATHS = ("data.root", "data.table", "data.test_table")
"""Fields that say where pictures of one's own lie: they tell experiments apart if there are others."""


def sweep_dir(arguments: Sequence[str], settings: Sweep, parent: Path = Path("outputs/sweeps")) -> Path:
    """Where the sweep lies: the same arguments in any order give the same folder, `sweep.fresh` a new one.

    Raises:
        UsageError: `sweep.name` is no name of a folder.
    """
    name = settings.name or default_name(arguments)
    if not re.fullmatch(r"[^/\\\x00-\x1f]{1,200}", name) or name.startswith("."):
        raise UsageError(f"sweep.name={name}: not a name for a folder below {parent}")
    if not settings.fresh:
        return parent / name
    return next(path for path in numbered(parent / name) if not path.exists())


def default_name(arguments: Sequence[str]) -> str:
    """What varies, in words, and six hex digits of everything typed.

    >>> default_name(["seed=0,1", "model=fc_64,fc_512", "sweep.slots=2"])
    'model-seed-53aebb'
    """
    typed = [one for one in parse(arguments) if _shapes(str(one.key_or_group))]
    texts = sorted(one.input_line or "" for one in typed)
    varied = sorted(str(one.key_or_group).rpartition(".")[2] for one in typed if one.is_sweep_override())
    options = [str(one.value()) for one in typed if one.key_or_group == "experiment" and not one.is_sweep_override()]
    words = re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join([*options, *varied]))[:80] or "sweep"
    return f"{words}-{hashlib.sha256(chr(10).join(texts).encode()).hexdigest()[:6]}"


def _shapes(key: str) -> bool:
    return not key.startswith(("sweep.", "on_end")) or key in SHAPING


def folder_from(composed: DictConfig) -> Path:
    """The sweep's folder: `hydra.sweep.dir` where it was typed, else by name."""
    task = list(composed.hydra.overrides.task)
    # What was typed is a part of the config, too: read as it is, else ${seed} in it would be the first run's.
    of_hydra: Any = OmegaConf.to_container(composed.hydra.overrides.hydra, resolve=False)
    return typed_folder(of_hydra) or sweep_dir(task, settings_of(task))


def typed_folder(words: Sequence[str]) -> Path | None:
    """The folder that `hydra.sweep.dir=…` names; it is one for all runs, so that it knows no field of theirs.

    >>> str(typed_folder(["seed=0,1", "hydra.sweep.dir='my sweep'"]))
    'my sweep'

    Raises:
        ConfigError: It refers to what is not there.
    """
    refuse_without_effect(words, OF_A_RUN)
    typed = typed_for(words, "hydra.sweep.dir")
    return folder_of("hydra.sweep.dir", typed[-1], {}) if typed else None


def note_typed(folder: Path, arguments: Sequence[str], jobs: Sequence[Job] = ()) -> None:
    """Keep what was typed as `sweep.yaml`, and which of the jobs are runs of other sweeps as `follows.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    typed = [bare(text) for text in arguments]
    write_atomically(folder / "sweep.yaml", yaml.safe_dump({"typed": typed}, allow_unicode=True))
    note_followed(folder, [job.run_dir for job in jobs])


@contextlib.contextmanager
def noted(folder: Path, arguments: Sequence[str], jobs: Sequence[Job]) -> Iterator[None]:
    """`note_typed` for what is started inside; a mistake, with which nothing was started, leaves all as it was."""
    paths = [folder / "sweep.yaml", folder / FOLLOWS]
    before = {path: path.read_bytes() for path in paths if path.exists()}
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    note_typed(folder, arguments, jobs)
    try:
        yield
    except UsageError:
        for path, content in before.items():
            write_atomically(path, content)
        if not before and set(folder.iterdir()) <= set(paths):
            for path in paths:
                path.unlink(missing_ok=True)
        for one in made:
            with contextlib.suppress(OSError):  # there is something in it
                one.rmdir()
        raise


def jobs_of(
    points: Sequence[Point],
    folder: Path,
    contents: Contents = unread,
    say: Callable[[str], object] = print,
    follow: bool = False,
) -> list[Job]:
    """The points as jobs, each composed and checked; points that are equal are one job, and that is said.

    Points that differ only in `threads` or `device` run apart, in folders that name these.

    Args:
        contents: Tells whether data that lie elsewhere now are those of a run in the folder.
        follow: Take complete runs of other sweeps instead of training them again; their folders are then the jobs'.

    Raises:
        UsageError: A point that can't be run (all that are wrong are named, the first few with reasons), or several
            that differ only in fields which change no number.
    """
    jobs: dict[Any, list[Job]] = {}
    wrong: list[str] = []
    checked: set[str] = set()
    shelf, following = Shelf(folder, contents), Following(folder, contents, say) if follow else None
    for number, point in enumerate(points, start=1):
        try:
            settled = _settled(point, checked)
        except UsageError as error:
            wrong.append(f"point {number} of {len(points)} ({' '.join(point.varied or point.overrides)}): {error}")
            continue
        key = (settled.hash, settled.place, settled.config.threads, settled.config.device)
        run_dir = jobs[key][0].run_dir if key in jobs else _run_dir(point, settled, shelf, following)
        jobs.setdefault(key, []).append(Job(point.overrides, run_dir, settled, varied=point.varied))
    if wrong:
        more = f"\n… and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ConfigError("\n".join(wrong[:3]) + more + "\nNothing was started.")
    _refuse_without_effect(list(jobs.values()))
    equal = [several for several in jobs.values() if len(several) > 1]
    for several in equal[:3]:
        say(f"one run, since these are equal: {' = '.join(_told(several))}")
    if len(equal) > 3:
        say(f"… and so on: {len(points)} points are {counted(len(jobs), 'run')}")
    if following is not None:
        following.tell(len(jobs))
    say_without_effect(several[0].config for several in jobs.values())
    return [several[0] for several in jobs.values()]


def _run_dir(point: Point, settled: Settled, shelf: Shelf, following: Following | None) -> Path:
    computed = [text for text in point.varied if key_of(text) in COMPUTED]
    others = [text for text in point.varied if key_of(text) not in (*COMPUTED, *(PATHS if settled.place else ()))]
    words = [slug(others)] if others or not (computed or settled.place) else []
    words += [re.sub(r"[^A-Za-z0-9]+", "", text) for text in computed]
    own = shelf.folder(settled, "-".join(words), exact=bool(computed))
    # Who compares how runs are computed wants each run so.
    followed = following.run_dir(settled) if following is not None and not computed and not own.exists() else None
    return followed or own


def _told(several: Sequence[Job]) -> list[str]:
    """The points, as typed; of those typed alike the number."""
    counts = Counter(" ".join(job.varied or job.overrides) for job in several)
    return [text if count == 1 else f"{text} ({count} times)" for text, count in counts.items()][:5]


def _refuse_without_effect(jobs: Sequence[Sequence[Job]]) -> None:
    """Refuse points that differ, but in nothing that changes a number: one would run under the name of another.

    A path may differ where the pictures are what lies there; so may how a run is computed, which has a folder.
    """
    by_hash: dict[str, list[Sequence[Job]]] = {}
    for several in jobs:
        for other in several[1:]:
            _refuse_pair(several[0], other, _different(several[0], other))
        by_hash.setdefault(several[0].hash, []).append(several)
    for alike in by_hash.values():
        one = alike[0][0]
        for other, *_ in alike[1:]:
            fields = _different(one, other)
            apart = {*COMPUTED, *PATHS} if one.settled.place != other.settled.place else {*COMPUTED}
            _refuse_pair(one, other, fields if fields.isdisjoint(apart) else ())


def _refuse_pair(one: Job, other: Job, fields: Collection[str]) -> None:
    if fields:
        pair = " and ".join(" ".join(job.varied or job.overrides) for job in (one, other))
        raise ConfigError(
            f"{', '.join(sorted(fields))}: changes no number of a run, so that {pair} would be one run; "
            "give it one value"
        )


def _different(one: Job, other: Job) -> set[str]:
    """The fields that differ between two points of one hash."""
    first, second = (flat(plain(job.config)) for job in (one, other))
    fields = {name for name in {*first, *second} & UNHASHED if first.get(name) != second.get(name)}
    # One folder, spelt in two ways.
    return fields - {*PATHS} if one.settled.place == other.settled.place != "" else fields


def _settled(point: Point, checked: set[str]) -> Settled:
    settled = settle(replace(compose(point.overrides), sweep=Sweep()))
    config = settled.config
    parts = repr((config.data, config.model, config.sinks))
    if parts not in checked:
        check(config)
        checked.add(parts)
    return settled
