"""`configs/` of the working directory joins the search path of dlrun, and of no other application of Hydra's."""

import sys

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class WorkingDirectory(SearchPathPlugin):
    """Adds the user's own configs after the shipped ones; Hydra would warn of a folder that is not there."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra when it starts, in every application, dlrun's own or not."""
        # Where dlrun composes it is loaded already; importing it here would cost every other application time.
        compose = sys.modules.get("dlrun.config.compose")
        if compose is None:
            return
        mains = [element.path for element in search_path.get_path() if element.provider == "main"]
        shipped, *own = compose.config_folders()
        if mains == [str(shipped)]:
            for folder in own:
                search_path.append("working-directory", f"file://{folder}")
