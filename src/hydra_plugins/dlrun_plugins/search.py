"""Hydra's sweeper for `hydra/sweeper=search`: Optuna picks the points."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_plugins.dlrun_plugins.launcher import LocalLauncher
from hydra_plugins.dlrun_plugins.rows import PointSweeper, overrides_of

if TYPE_CHECKING:
    from dlrun.sweeps.fingerprints import Fingerprints
    from dlrun.sweeps.search import Search


class SearchSweeper(PointSweeper):
    """Trials one after the other as slots get free; with other launchers in batches, and without pruning."""

    def sweep(self, arguments: list[str]) -> Any:
        """Search over what was typed with several values.

        Raises:
            RunFailed: At least one run has no result.
        """
        from dlrun.runs.on_end import followed_by
        from dlrun.sweeps.fingerprints import reading_data
        from dlrun.sweeps.folder import note_typed
        from dlrun.sweeps.found import sentences
        from dlrun.sweeps.points import on_end_of, settings_of
        from dlrun.sweeps.search import open_search
        from dlrun.sweeps.session import demand_success

        assert self.config is not None
        folder, settings = Path(self.config.hydra.sweep.dir), settings_of(arguments)
        with reading_data() as data:
            search = open_search(arguments, settings, folder, data.now)
            note_typed(folder, arguments)
            with followed_by(on_end_of(arguments), folder, search.folders):
                try:
                    if isinstance(self.launcher, LocalLauncher):
                        outcomes = self.launcher.run(search.jobs(), settings, folder, [search], settings.trials)
                        demand_success(outcomes, folder)
                    else:
                        self._in_batches(search, settings.slots or 1, data)
                finally:
                    for sentence in sentences(search.write_summary()):
                        print(sentence)

    def _in_batches(self, search: "Search", size: int, data: "Fingerprints") -> None:
        from dlrun.store.status import Status
        from dlrun.sweeps.jobs import Job, Outcome

        assert self.launcher is not None
        source = search.jobs()
        while batch := list(itertools.islice(source, size)):
            missing: Sequence[Job] = [job for job in batch if data.complete(job) is None]
            if missing:
                self.launcher.launch([overrides_of(job) for job in missing], initial_job_idx=0)
            for job in batch:
                result = data.complete(job)
                search.ended(Outcome(job, Status.COMPLETED if result else Status.FAILED, result))
