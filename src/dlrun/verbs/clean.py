"""Delete what no result needs: failed runs, previous checkpoints of finished runs, parsed data in the cache.

    dlrun clean                     says what there is below outputs and in the cache, and asks
    dlrun clean outputs/sweeps      only below a folder; the cache then only with --cache
    dlrun clean --failed --yes      only failed runs, without a question

Without --failed, --previous or --cache all three are meant. Where nobody can be asked, nothing is deleted unless --yes
is typed. Runs that a process works on, interrupted ones, results and runs that another sweep follows stay; so does a
failed run whose process was killed, if it has a checkpoint to go on from.

What it costs: without checkpoints/previous.pt nothing can stand in for a last.pt that is damaged later. A sweep that is
repeated trains again what failed. What was in the cache is parsed anew at the next start.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlrun.errors import UsageError
from dlrun.output import Table, column, counted, few, say, terminal_width, write
from dlrun.store import leftovers, scan
from dlrun.store.follows import FOLLOWS, read_follows
from dlrun.store.scan import Run
from dlrun.text import typeable
from dlrun.verbs.parser import OUTPUTS, Parser, run_folder

MOST = 5
"""Runs of a kind that are named."""


@dataclass(frozen=True)
class Kind:
    """Things of one kind, with what deletes one of them."""

    name: str
    things: Sequence[str]
    sizes: Sequence[int]
    """Bytes."""
    remove: Callable[[str], bool]
    """False: it is in use, or needed after all."""


def main(arguments: list[str]) -> int:
    """Run the verb: 0, also if nothing was deleted because nobody agreed; 1 if something could not be deleted.

    Raises:
        UsageError: There is no such folder.
    """
    options = _parser().parse_intermixed_args(arguments)
    if not options.path and not OUTPUTS.is_dir() and not options.cache:
        raise UsageError(f"clean: there is no folder {OUTPUTS} here; name a folder of runs")
    kinds = [kind for kind in _kinds(options) if kind.things]
    if not kinds:
        print("nothing to delete")
        return 0
    total = sum(sum(kind.sizes) for kind in kinds)
    _print(kinds)
    if not options.yes and not _agreed(total):
        return 0
    return _delete(kinds)


def _parser() -> Parser:
    parser = Parser("dlrun clean", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "path", nargs="*", type=run_folder, help="folders of runs, or folders above them (default: outputs)"
    )
    parser.add_argument("--failed", action="store_true", help="failed runs")
    parser.add_argument("--previous", action="store_true", help="checkpoints/previous.pt of finished runs")
    parser.add_argument("--cache", action="store_true", help="parsed data sets in the user's cache; no downloads")
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    return parser


def _kinds(options: argparse.Namespace) -> list[Kind]:
    everything = not (options.failed or options.previous or options.cache)
    paths = options.path or [OUTPUTS] * OUTPUTS.is_dir()
    found: list[Run] = []
    if options.failed or options.previous or everything:
        found, damaged = scan.read(scan.find(paths))
        for sentence in damaged:
            say(f"left as it is: {sentence}", sys.stderr)
    spared = _followed([*paths, OUTPUTS])
    found = [run for run in found if run.folder.resolve() not in spared]
    kinds = []
    if options.failed or everything:
        failed = [run.folder for run in found if leftovers.is_failed(run)]
        kinds.append(_of_paths("failed runs", failed, lambda text: leftovers.remove_failed(Path(text))))
        begun = [folder for path in paths for folder in leftovers.removed(path)]
        kinds.append(_of_paths("failed runs, half deleted", begun, lambda text: leftovers.remove_rest(Path(text))))
    if options.previous or everything:
        previous = [run.folder / "checkpoints" / "previous.pt" for run in found if leftovers.has_previous(run)]
        kinds.append(_of_paths("previous checkpoints of finished runs", previous, _remove_previous))
    if options.cache or (everything and not options.path):
        kinds.append(_cache())
    return kinds


def _followed(paths: Sequence[Path]) -> set[Path]:
    """The runs that sweeps at or below these folders follow: they are not only of the sweep in which they lie."""
    lists = (listed for path in paths for listed in path.rglob(FOLLOWS))
    return {one.run_dir.resolve() for listed in lists for one in read_follows(listed.parent)}


def _of_paths(name: str, paths: Sequence[Path], remove: Callable[[str], bool]) -> Kind:
    return Kind(name, [str(path) for path in paths], [leftovers.size(path) for path in paths], remove)


def _remove_previous(text: str) -> bool:
    from dlrun.store.checkpoint import is_whole  # imports torch

    return leftovers.remove_previous(Path(text).parents[1], is_whole)


def _cache() -> Kind:
    from dlrun.data import parsed  # imports numpy

    names = parsed.cached_names()
    sizes = [sum(map(leftovers.size, parsed.cache_folders(name))) for name in names]
    return Kind("parsed data in the cache", names, sizes, parsed.drop)


def _print(kinds: Sequence[Kind]) -> None:
    records = [{"what": kind.name, "number": len(kind.things), "bytes": f"{sum(kind.sizes):,}"} for kind in kinds]
    columns = [column("what"), column("number", right=True), column("bytes", right=True)]
    print(write(Table(columns, records), "text", terminal_width()), end="")
    for kind in kinds:
        say(f"{kind.name}: {few([typeable(thing) for thing in kind.things], MOST)}")


def _agreed(total: int) -> bool:
    if not _is_asked_of_a_person():
        print("nothing was deleted; --yes deletes it")
        return False
    try:
        answer = input(f"Delete these {total:,} bytes? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() in ("y", "yes"):
        return True
    print("nothing was deleted")
    return False


def _is_asked_of_a_person() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _delete(kinds: Sequence[Kind]) -> int:
    deleted, size, trouble = 0, 0, 0
    for kind in kinds:
        for thing, space in zip(kind.things, kind.sizes, strict=True):
            try:
                if kind.remove(thing):
                    deleted, size = deleted + 1, size + space
                else:
                    say(f"{thing}: stays; it is in use, gone or needed now", sys.stderr)
            except (UsageError, OSError) as error:
                trouble += 1
                say(f"{thing}: can't be deleted ({getattr(error, 'strerror', None) or error})", sys.stderr)
    print(f"deleted {counted(deleted, 'thing')}, {size:,} bytes")
    return 1 if trouble else 0
