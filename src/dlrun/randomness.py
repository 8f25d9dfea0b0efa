"""Drawing random numbers without a trace."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def undisturbed_random(device: torch.device) -> Iterator[None]:
    """Random numbers drawn inside leave no trace in the default generators of CPU and `device`."""
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    if mps is not None:
        torch.mps.set_rng_state(mps)
