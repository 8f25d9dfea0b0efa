"""Which device `auto` takes."""

import pytest
import torch

from dlrun.config.compose import compose
from dlrun.config.device import pick_device, settle_precision
from dlrun.errors import ConfigError


@pytest.mark.parametrize(
    ("cuda", "mps", "device"), [(True, True, "cuda:0"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_is_the_first_that_is_there(cuda: bool, mps: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr("sys.platform", "darwin")  # else nothing but the CPU is thought of
    assert str(pick_device("auto")) == device
    if device == "mps":
        assert settle_precision(compose(["precision=auto"])).precision == "float32"
        assert str(pick_device("mps")) == "mps"
    elif not mps:
        with pytest.raises(ConfigError, match="device=mps: not available here; try device=auto"):
            pick_device("mps")
