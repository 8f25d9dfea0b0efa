"""Hydra's launcher for Slurm: submits the jobs of a sweep as an array and waits for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.dlrun_plugins.launcher import jobs_from, returned_by
from hydra_plugins.dlrun_plugins.ours import refuse_misread_fields, refuse_others


class SlurmLauncher(Launcher):
    """Takes the fields of `configs/hydra/launcher/slurm.yaml`; the task function is not used."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `launch`."""
        refuse_others("SlurmLauncher", task_function)
        refuse_misread_fields(config)
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the jobs and wait; one that fails does not keep the others from running."""
        from omegaconf import OmegaConf

        from dlrun.sinks.console import make_console
        from dlrun.slurm.settings import settings_from
        from dlrun.slurm.waiting import run_on_slurm
        from dlrun.sweeps.points import settings_of
        from dlrun.sweeps.session import print_answer

        folder = Path(self.config.hydra.sweep.dir)
        fields: Any = OmegaConf.to_container(OmegaConf.create(self.fields), resolve=True)
        jobs = jobs_from(job_overrides, folder)
        sweep = settings_of(self.config.hydra.overrides.task)
        outcomes = run_on_slurm(jobs, settings_from(fields), sweep, folder.name, f"sweep {folder.resolve()}")
        print_answer(make_console(), [outcome.job.run_dir for outcome in outcomes])
        return [returned_by(outcome) for outcome in outcomes]
