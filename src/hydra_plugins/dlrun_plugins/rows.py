"""Hydra's sweeper for explicit points: grids, rows, zipped lists, exclusions and random draws."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from hydra_plugins.dlrun_plugins.launcher import LocalLauncher
from hydra_plugins.dlrun_plugins.ours import refuse_others

if TYPE_CHECKING:
    from dlrun.sweeps.jobs import Job


class PointSweeper(Sweeper):
    """Checks every point, then hands those without a result to the configured launcher."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`; settles the sweep's folder, which the launcher needs."""
        refuse_others(type(self).__name__, task_function)
        from dlrun.sweeps.folder import folder_from

        self.config = config
        with read_write(config.hydra), open_dict(config.hydra):  # Hydra 1.4 hands it over read-only
            config.hydra.sweep.dir = str(folder_from(config))
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the points of what was typed.

        Raises:
            RunFailed: At least one run has no result.
        """
        from dlrun.runs.on_end import followed_by
        from dlrun.sweeps.fingerprints import reading_data
        from dlrun.sweeps.folder import noted
        from dlrun.sweeps.session import demand_success
        from dlrun.sweeps.words import typed_sweep

        assert self.config is not None
        with reading_data() as data:
            sweep = typed_sweep(arguments, data.now, Path(self.config.hydra.sweep.dir))
        folders = [job.run_dir for job in sweep.jobs]
        noting = noted(sweep.folder, arguments, sweep.jobs)
        with noting, followed_by(sweep.on_end, sweep.folder, lambda: folders):
            if not isinstance(self.launcher, LocalLauncher):
                return self._launch_elsewhere(sweep.jobs, sweep.folder)
            demand_success(self.launcher.run(sweep.jobs, sweep.settings, sweep.folder), sweep.folder)
            return None

    def _launch_elsewhere(self, jobs: Sequence["Job"], folder: Path) -> Sequence[JobReturn]:
        from dlrun.errors import RunFailed
        from dlrun.output import counted
        from dlrun.sweeps.fingerprints import reading_data

        assert self.launcher is not None
        with reading_data() as data:
            missing = [job for job in jobs if data.complete(job) is None]
        returned = self.launcher.launch([overrides_of(job) for job in missing], initial_job_idx=0)
        failed = [one for one in returned if one.status != JobStatus.COMPLETED]
        if failed:
            raise RunFailed(f"{len(failed)} of {counted(len(missing), 'run')} failed ({folder})")
        return returned


def overrides_of(job: "Job") -> list[str]:
    """A job's overrides for any launcher of Hydra's, its folder included."""
    from dlrun.config.compose import permit
    from dlrun.config.overrides import hydra_value

    parent, name = hydra_value(str(job.run_dir.parent)), hydra_value(job.run_dir.name)
    return [*permit(job.overrides), f"hydra.sweep.dir={parent}", f"hydra.sweep.subdir={name}"]
