"""The folder of a sweep: its name, stable for what was typed, and the folders of its runs."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from omegaconf import DictConfig

from dlrun.compose import compose
from dlrun.config import Sweep
from dlrun.errors import ConfigError, UsageError
from dlrun.files import write_atomically
from dlrun.folders import slug
from dlrun.groups import Target
from dlrun.result import read_result
from dlrun.runs import check
from dlrun.settled import Settled, settle
from dlrun.sweeps.jobs import Job, numbered
from dlrun.sweeps.points import Point, parse, settings_of

SHAPING = ("sweep.rows", "sweep.zip", "sweep.exclude")
"""The fields of `sweep` that belong to a sweep's identity; the others say how it is run."""


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
    options = [str(one.value()) for one in typed if one.key_or_group == "experiment"]
    words = re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join([*options, *varied]))[:80] or "sweep"
    return f"{words}-{hashlib.sha256(chr(10).join(texts).encode()).hexdigest()[:6]}"


def _shapes(key: str) -> bool:
    return not key.startswith("sweep.") or key in SHAPING


def folder_from(composed: DictConfig) -> Path:
    """The sweep's folder: `hydra.sweep.dir` where it was typed, else by name."""
    if any(text.startswith("hydra.sweep.dir=") for text in composed.hydra.overrides.hydra):
        return Path(composed.hydra.sweep.dir)
    return sweep_dir(list(composed.hydra.overrides.task), settings_of(composed.hydra.overrides.task))


def typed_folder(words: Iterable[str]) -> Path | None:
    """The folder that `hydra.sweep.dir=…` names among words that Hydra has not read.

    >>> str(typed_folder(["seed=0,1", "hydra.sweep.dir='my sweep'"]))
    'my sweep'
    """
    typed = [text.partition("=")[2] for text in words if text.startswith("hydra.sweep.dir=")]
    return Path(typed[-1].strip("'\"")) if typed else None


def note_typed(folder: Path, arguments: Sequence[str]) -> None:
    """Keep what was typed as `sweep.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    typed = [text.lstrip("+") for text in arguments]
    write_atomically(folder / "sweep.yaml", yaml.safe_dump({"typed": typed}, allow_unicode=True))


def jobs_of(points: Sequence[Point], folder: Path) -> list[Job]:
    """The points as jobs, each composed and checked; two points that come to the same run are one job.

    Raises:
        UsageError: A point that can't be run; all that are wrong are named, the first few with reasons.
    """
    jobs: dict[str, Job] = {}
    wrong: list[str] = []
    checked: set[str] = set()
    there = _folders_by_hash(folder)
    for number, point in enumerate(points, start=1):
        try:
            settled = _settled(point, checked)
        except UsageError as error:
            wrong.append(f"point {number} of {len(points)} ({' '.join(point.varied or point.overrides)}): {error}")
            continue
        hash = settled.hash
        run_dir = _own(there.get(hash, folder / f"{slug(point.varied)}-{hash}"), hash)
        jobs.setdefault(hash, Job(point.overrides, run_dir, settled))
    if wrong:
        more = f"\n… and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ConfigError("\n".join(wrong[:3]) + more + "\nNothing was started.")
    return list(jobs.values())


def _own(run_dir: Path, hash: str) -> Path:
    """The folder, or one beside it if the run in it was extended and so is another run now."""
    results = ((path, read_result(path)) for path in numbered(run_dir))
    return next(path for path, result in results if result is None or result.hash == hash)


def _settled(point: Point, checked: set[str]) -> Settled:
    settled = settle(replace(compose(point.overrides), sweep=Sweep()))
    config = settled.config
    parts = repr((config.data, config.model))
    if parts not in checked and not isinstance(config.data, Target):
        check(config)
        checked.add(parts)
    return settled


def _folders_by_hash(folder: Path) -> dict[str, Path]:
    """Run folders that are there already; a run keeps its folder although it was typed otherwise."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = re.fullmatch(r".*-([0-9a-f]{8})", path.name)
        if match and path.is_dir():
            found[match[1]] = path
    return found
