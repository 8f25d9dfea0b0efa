"""What the result in a folder is to an experiment: judged here alone, wherever a run counts as done."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dlrun.errors import Damaged, UsageError
from dlrun.store.history import check_history
from dlrun.store.result import Result
from dlrun.store.status import Status


@dataclass(frozen=True)
class Standing:
    """How an experiment stands in a folder."""

    status: Status
    """`completed` (on these data) or `other data`; `failed`, `interrupted`, `missing`, `another`, `damaged`,
    `unreadable`."""
    result: Result | None = None
    """The experiment's own, whatever its status; nothing is believed of a damaged one."""
    damage: UsageError | None = None
    """Why it is `damaged` or `unreadable`."""

    @property
    def done(self) -> Result | None:
        """The result of a run that needs none any more."""
        return self.result if self.status == Status.COMPLETED else None

    @property
    def may_be_replaced(self) -> bool:
        """Whether there is nothing that a new run would destroy."""
        return self.status in (Status.MISSING, Status.DAMAGED, Status.FAILED, Status.INTERRUPTED)


def on_any_data(_result: Result) -> bool:
    """In place of a comparison of data: they were compared before, or are no matter."""
    return True


def standing(run_dir: Path, hash: str, on_these_data: Callable[[Result], bool]) -> Standing:
    """How the experiment with this hash stands in a folder, by the result and the history there.

    Args:
        on_these_data: Whether a complete result was made on what the data hold now; see `dlrun.store.content`.
    """
    if not (run_dir / "result.json").is_file():
        return Standing(Status.MISSING)
    try:
        result = Result.read(run_dir)
        if result.hash != hash:
            return Standing(Status.ANOTHER)
        check_history(run_dir, result)
    except Damaged as error:
        return Standing(Status.DAMAGED, damage=error)
    except UsageError as error:
        return Standing(Status.UNREADABLE, damage=error)
    if result.status == Status.COMPLETED and not on_these_data(result):
        return Standing(Status.OTHER_DATA, result)
    return Standing(result.status, result)
