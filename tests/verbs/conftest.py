"""What the tests of several verbs share."""

import pytest


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is loaded leaves the number of this process' threads alone."""
    monkeypatch.setattr("dlrun.runs.loading.set_threads", lambda _: 1)
