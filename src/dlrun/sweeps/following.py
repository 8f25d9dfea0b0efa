"""Complete runs of other sweeps, found by hash and data, that a sweep takes instead of training them again."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from dlrun.config.settled import Settled
from dlrun.output import counted
from dlrun.store.content import Contents, same_data
from dlrun.store.folders import is_held
from dlrun.store.follows import Followed, read_follows, write_follows
from dlrun.store.result import Result
from dlrun.store.scan import changed
from dlrun.store.standing import standing

PARENT = Path("outputs/sweeps")
"""The folder of sweeps that follow each other; where `hydra.sweep.dir` puts one, it stands alone."""


class Following:
    """The runs that the sweep in a folder follows, and those that it could."""

    def __init__(self, folder: Path, contents: Contents, say: Callable[[str], object] = print) -> None:
        self.folder, self.contents, self.say = folder, contents, say
        self.listed = read_follows(folder)
        self.refused: set[str] = set()
        """Hashes of what was followed and is not what it was: these are trained here."""
        self.others: dict[str, list[Path]] | None = None
        self.taken: Counter[Path] = Counter()
        """Sweeps, and how many of their runs are followed."""

    def run_dir(self, settled: Settled) -> Path | None:
        """The complete run of this experiment elsewhere; None if there is none.

        What was followed earlier and is not what it was is said, and this experiment trained here.
        """
        if not self._is_among_sweeps():
            return None
        found = self._listed(settled) or (None if settled.hash in self.refused else self._newest(settled))
        if found is not None:
            self.taken[found.parent] += 1
        return found

    def tell(self, runs: int) -> None:
        """Say how many of so many runs are followed, and where they lie."""
        for sweep, number in self.taken.items():
            self.say(
                f"{number} of {counted(runs, 'run')} {'is' if number == 1 else 'are'} complete in {sweep}: followed"
            )

    def _is_among_sweeps(self) -> bool:
        return self.folder.parent.resolve() == PARENT.resolve()

    def _listed(self, settled: Settled) -> Path | None:
        for one in (one for one in self.listed if one.hash == settled.hash):
            changed = one.changed()
            if not changed and self._is_done(one.run_dir, settled):
                return one.run_dir
            self.refused.add(one.hash)
            reason = changed or "is of other data than there are now"
            self.say(f"{one.run_dir}, which this sweep followed, {reason}: it is not taken")
        return None

    def _newest(self, settled: Settled) -> Path | None:
        done = [path for path in self._with_hash(settled.hash) if self._is_done(path, settled)]
        return max(done, key=changed, default=None)

    def _is_done(self, run_dir: Path, settled: Settled) -> bool:
        def on_these_data(result: Result) -> bool:
            # Here data that can't be read prove nothing: what lies in another sweep may be of others.
            readable = (settled.pinned and result.data.get("verified")) or self.contents(settled) is not None
            return bool(readable) and same_data(settled, result, self.contents)

        return not is_held(run_dir) and standing(run_dir, settled.hash, on_these_data).done is not None

    def _with_hash(self, hash: str) -> list[Path]:
        if self.others is None:
            self.others = {}
            home = self.folder.parent
            sweeps = [path for path in sorted(home.iterdir()) if path.is_dir()] if home.is_dir() else []
            for path in (run for sweep in sweeps if sweep != self.folder for run in sorted(sweep.iterdir())):
                if match := re.fullmatch(r".*-([0-9a-f]{8})", path.name):
                    self.others.setdefault(match[1], []).append(path)
        return self.others.get(hash, [])


def note_followed(folder: Path, run_dirs: Iterable[Path]) -> None:
    """List those of the runs of the sweep in a folder that lie elsewhere, beside those that it lists already.

    What is listed is kept as it was taken, so that it shows if it is trained again; what the sweep has itself now goes.
    """
    there = list(run_dirs)
    elsewhere = [path for path in there if path.parent != folder]
    before = read_follows(folder)
    if not elsewhere and not before:
        return
    own = {path.name.rpartition("-")[2] for path in there if path.parent == folder}
    kept = {one.run_dir: one for one in before if one.run_dir in elsewhere or one.hash not in own}
    taken = [Followed.of(path, Result.read(path)) for path in elsewhere if path not in kept]
    write_follows(folder, [*kept.values(), *taken])
