"""Printed parameter counts against those of the networks that stand for them, before anything trains."""

from collections.abc import Iterable

from dlrun.config.groups import Layers
from dlrun.config.schema import Config
from dlrun.errors import ConfigError
from dlrun.tables.planned import Planned
from dlrun.tables.table import PublishedTable


def check_parameters(table: PublishedTable, planned: Iterable[Planned]) -> None:
    """Compare them for every row that prints one and is run as published.

    Raises:
        ConfigError: A network has another number of parameters than is printed.
        DataError: The data that its size depends on are missing.
    """
    configs = {one.row.number: one for one in planned if one.row.parameters and not one.changed}
    for one in configs.values():
        found = parameters(one.config)
        if found != one.row.parameters:
            raise ConfigError(
                f"{table.shown_path}: row {one.row.number} ({one.row.label}): parameters: {one.row.parameters:,} "
                f"are printed, the network has {found:,}"
            )


def parameters(config: Config) -> int:
    """All parameters of the network, running statistics included; without torch for a list of layers."""
    from dlrun.data.facts import facts

    known = facts(config.data)
    if isinstance(config.model, Layers):
        from dlrun.models.phrases import plan

        phrases = plan(config.model, known.shape, len(known.classes))
        return sum(phrase.parameters + phrase.statistics for phrase in phrases)
    from dlrun.models.build import build_network, count_parameters  # Imports torch.

    return count_parameters(build_network(config.model, known.shape, len(known.classes)))["total"]
