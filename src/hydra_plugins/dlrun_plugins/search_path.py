"""`configs/` of the working directory joins Hydra's search path."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from dlrun.compose import config_folders


class WorkingDirectory(SearchPathPlugin):
    """Adds the user's own configs after the shipped ones; Hydra would warn of a folder that is not there."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra when it starts."""
        for folder in config_folders()[1:]:
            search_path.append("working-directory", f"file://{folder}")
