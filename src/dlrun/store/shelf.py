"""Which folder a run has among those of a sweep or a table: known by its hash and by the content of its data."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from dlrun.config.settled import Settled, settle
from dlrun.errors import UsageError
from dlrun.store.content import Contents, same_content, unread
from dlrun.store.folders import numbered, read_config
from dlrun.store.result import Result
from dlrun.store.standing import on_any_data, standing
from dlrun.store.status import Status


class Shelf:
    """The run folders in one folder.

    Where data lie does not enter into the hash, so several folders may have one hash: a run keeps to that of its
    own path, and takes over one whose data have been moved if the content is the same.
    """

    def __init__(self, parent: Path, contents: Contents = unread) -> None:
        self.parent, self.contents = parent, contents
        self.there: dict[str, list[Path]] | None = None
        self.taken: dict[Path, str] = {}
        """Folders given away, and the place of their data."""
        self.given: dict[Path, Path] = {}
        """By the folder that a run would have if it were new, the one it has, where data have no place."""

    def folder(self, settled: Settled, name: str, exact: bool = False) -> Path:
        """The folder of a run, there or not yet.

        Args:
            name: What a new folder is called, less the hash; may be empty where data lie in a folder of their own.
            exact: Only a folder of that name will do.
        """
        if not settled.place:
            named = self.parent / f"{name}-{settled.hash}"
            return named if exact else self._by_hash(settled.hash, named)
        words = [name, _short(settled.place), settled.hash]
        new = self.parent / "-".join(word for word in words if word)
        found = _own(new if exact else self._found(settled) or new, settled.hash)
        self.taken[found] = settled.place
        return found

    def _by_hash(self, hash: str, named: Path) -> Path:
        """The folder of that name, else one of the run typed otherwise that no other point has been given."""
        if named not in self.given:
            others = [path for path in self._with_hash(hash) if path not in self.given.values()]
            self.given[named] = _own(named if named.exists() or not others else others[-1], hash)
        return self.given[named]

    def _found(self, settled: Settled) -> Path | None:
        others = []
        for path in self._with_hash(settled.hash):
            if self.taken.get(path, settled.place) != settled.place:
                continue
            if self.taken.get(path) == settled.place or _place_in(path) == settled.place:
                return path
            others.append(path)
        return next((path for path in others if standing(path, settled.hash, self._moved(settled)).done), None)

    def _moved(self, settled: Settled) -> Callable[[Result], bool]:
        """Whether a result's data are those at this place now, which must be readable for that."""

        def is_of_these(result: Result) -> bool:
            now = self.contents(settled)
            return now is not None and same_content(result.data.get("fingerprint"), now)

        return is_of_these

    def _with_hash(self, hash: str) -> list[Path]:
        """Run folders that are there already; a run keeps its folder although it was typed otherwise."""
        if self.there is None:
            self.there = {}
            for path in sorted(self.parent.iterdir()) if self.parent.is_dir() else []:
                match = re.fullmatch(r".*-([0-9a-f]{8})", path.name)
                if match and path.is_dir():
                    self.there.setdefault(match[1], []).append(path)
        return self.there.get(hash, [])


def _own(run_dir: Path, hash: str) -> Path:
    """The folder, or one beside it if the run in it was extended and so is another run now."""
    return next(path for path in numbered(run_dir) if standing(path, hash, on_any_data).status != Status.ANOTHER)


def _place_in(run_dir: Path) -> str | None:
    """Where the data of the run in a folder lay; None of a folder without a config that can be read."""
    try:
        return settle(read_config(run_dir)).place
    except UsageError:
        return None


def _short(place: str) -> str:
    """A path as part of a folder's name: its last part, and four hex digits of all of it."""
    last = re.sub(r"[^A-Za-z0-9_.]+", "_", Path(place).name)[:20].strip("._") or "root"
    return f"{last}.{hashlib.sha256(place.encode(errors='surrogateescape')).hexdigest()[:4]}"
