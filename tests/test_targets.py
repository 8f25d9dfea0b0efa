from pathlib import Path

import pytest

from dlrun.errors import ConfigError
from dlrun.targets import imported


def test_classes_and_functions_by_their_dotted_names() -> None:
    assert imported("pathlib.Path", "data") is Path
    assert imported("pathlib.Path.cwd", "data") == Path.cwd


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere_at_all.Net", "model._target_=nowhere_at_all.Net: there is no module 'nowhere_at_all'"),
        ("json.nope", "json has no 'nope'"),
        ("json", "expected a dotted name"),
        ("json.a-b", "expected a dotted name"),
        ("math.pi", "is no class or function"),
    ],
)
def test_names_that_lead_nowhere(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        imported(name, "model")


def test_a_module_that_fails_to_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_module.py").write_text("import not_installed_here\n")
    (tmp_path / "failing_too.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="importing failing_module failed: No module named 'not_installed_here'"):
        imported("failing_module.Net", "model")
    with pytest.raises(ConfigError, match="importing failing_too failed: ZeroDivisionError"):
        imported("failing_too.Net", "model")
