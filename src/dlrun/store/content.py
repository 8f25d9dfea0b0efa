"""Whether data are those that something was made on: judged by the fingerprint of their content, here alone."""

import re
from collections.abc import Callable

from dlrun.config.settled import Settled
from dlrun.store.result import Result

Contents = Callable[[Settled], str | None]
"""The fingerprint of what the data hold now; None where they can't be read."""


def unread(_settled: Settled) -> None:
    """In place of `Contents` where the data are not read."""


def same_content(recorded: object, now: str | None) -> bool:
    """Whether the data are those with a recorded fingerprint; such as can't be read now say nothing against it."""
    return now is None or recorded == now


def same_data(settled: Settled, result: Result, contents: Contents) -> bool:
    """Whether a result of this hash was made on what the data hold now."""
    if settled.pinned and result.data.get("verified"):
        return True
    return same_content(result.data.get("fingerprint"), contents(settled))


def incomparable(recorded: object) -> str:
    """Why nothing tells whether the data are those that something was made on; empty where a fingerprint does."""
    if re.fullmatch("[0-9a-f]{16}", str(recorded)):
        return ""
    return (
        f"made before dlrun took fingerprints itself of one's own data (they said {str(recorded)[:40]!r}), "
        "so that nothing tells if they are still the same"
    )
