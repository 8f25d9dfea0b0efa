"""Hydra's launchers that run jobs themselves: on this machine, a process a job, and on workers of Dask."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.dlrun_plugins.ours import refuse_misread_fields, refuse_others

if TYPE_CHECKING:
    from dlrun.config.schema import Sweep
    from dlrun.lab.workers import Workers
    from dlrun.sweeps.jobs import Job, Outcome
    from dlrun.sweeps.launch import Watcher


class LocalLauncher(Launcher):
    """Runs each job's overrides in a process of its own; the task function is not used."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `launch`."""
        refuse_others(type(self).__name__, task_function)
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; one that fails does not keep the others from running."""
        from dlrun.sweeps.points import settings_of

        folder = Path(self.config.hydra.sweep.dir)
        jobs = jobs_from(job_overrides, folder)
        outcomes = self.run(jobs, settings_of(self.config.hydra.overrides.task), folder)
        return [returned_by(outcome) for outcome in outcomes]

    def run(
        self,
        jobs: "Iterable[Job]",
        settings: "Sweep",
        folder: Path,
        watchers: "Sequence[Watcher]" = (),
        total: int | None = None,
    ) -> "list[Outcome]":
        """As `dlrun.sweeps.session.run_sweep`: what dlrun's sweepers call, without the way through texts."""
        from dlrun.sweeps.session import run_sweep

        with self.workers(folder, settings) as there:
            return run_sweep(jobs, settings, folder, watchers, total, there, there.places if there else None)

    def workers(self, _folder: Path, _settings: "Sweep") -> "contextlib.AbstractContextManager[Workers | None]":
        """Where the jobs run, for as long as the sweep lasts; None: on this machine."""
        return contextlib.nullcontext()


class DaskLauncher(LocalLauncher):
    """For several machines that share a folder: a job at a time on each worker.

    It takes the fields of `configs/hydra/launcher/dask.yaml`. It stands in one module with the class above, since Hydra
    loads each module of a plugin anew, and a class of another module's would not be that class.
    """

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `launch`; looks at its file, too."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        refuse_misread_fields(config)

    def workers(self, folder: Path, settings: "Sweep") -> "contextlib.AbstractContextManager[Workers | None]":
        """Those of the cluster."""
        from omegaconf import OmegaConf

        from dlrun.lab.settings import settings_from
        from dlrun.lab.workers import Workers

        fields: Any = OmegaConf.to_container(OmegaConf.create(self.fields), resolve=True)
        return contextlib.closing(Workers(settings_from(fields), folder, settings.slots))


def jobs_from(listed: Sequence[Sequence[str]], folder: Path) -> "list[Job]":
    """The jobs of overrides as sweepers make them; `hydra.sweep.subdir` among them names a job's folder.

    Of those without one, several that come to the same run are one job.
    """
    from dlrun.config.overrides import bare, typed_for
    from dlrun.sweeps.fingerprints import reading_data
    from dlrun.sweeps.folder import jobs_of
    from dlrun.sweeps.jobs import Job
    from dlrun.sweeps.points import Point

    named, points = [], []
    for texts in listed:
        overrides = tuple(bare(text) for text in texts if not text.startswith("hydra."))
        given = typed_for(texts, "hydra.sweep.subdir")
        if given:
            named.append(Job.of(overrides, folder / given[-1]))
        else:
            points.append(Point(overrides, overrides))
    with reading_data() as data:
        return [*named, *jobs_of(points, folder, data.now)]


def returned_by(outcome: "Outcome") -> JobReturn:
    """What a launcher of Hydra's returns for a job: its test accuracy, or a `RunFailed` to be raised."""
    from dlrun.errors import RunFailed

    value: Any = outcome.result.test["accuracy"] if outcome.result and outcome.result.test else None
    returned = JobReturn(overrides=outcome.job.overrides, working_dir=str(outcome.job.run_dir))
    returned.status = JobStatus.COMPLETED if outcome.good else JobStatus.FAILED
    returned.return_value = value if outcome.good else RunFailed(f"{outcome.job.run_dir}: {outcome.reason}")
    return returned
