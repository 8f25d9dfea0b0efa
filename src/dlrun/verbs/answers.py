"""What a network answered, a row a picture: the same columns in `dlrun evaluate --csv` and `dlrun predict --csv`."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.output import Table, column

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def answers(
    named_by: str,
    names: Sequence[Path | int],
    truths: Sequence[str | None] | None,
    classes: Sequence[str],
    probabilities: "npt.NDArray[np.float32]",
    more: Sequence[Mapping[str, Any]] = (),
) -> Table:
    """A row a picture: `file` or `index`, `truth`, `prediction`, and `p_CLASS` for every class.

    Args:
        named_by: `file` or `index`, which `names` are.
        truths: The true classes, None where one is not known; without any there is no such column.
        classes: What the network knows.
        probabilities: (N, classes); empty cells stand for what is no number.
        more: Further columns behind the prediction, for each picture.
    """
    columns = [f"p_{name}" for name in classes]
    records = []
    # As texts, each is the shortest that is still the very number.
    for place, (name, row) in enumerate(zip(names, probabilities.astype(str).tolist(), strict=True)):
        shares = [float(text) for text in row]
        defined = all(map(math.isfinite, shares))
        records.append(
            {
                named_by: name if isinstance(name, int) else str(name),
                **({} if truths is None else {"truth": truths[place]}),
                "prediction": classes[shares.index(max(shares))] if defined else None,
                **(more[place] if more else {}),
                **dict(zip(columns, shares if defined else [None] * len(shares), strict=True)),
            }
        )
    return Table([column(title) for title in records[0]], records)
