import sys
from pathlib import Path

import pytest

from dlrun.config.groups import Target
from dlrun.config.targets import imported, unknown_argument
from dlrun.errors import ConfigError


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


def made(first: object, *, width: int = 1) -> object:
    """What a user's module could hold."""
    return first, width


def handed_on(**arguments: int) -> object:
    """Its own signature does not tell what it takes."""
    return made(None, **arguments)


def test_an_argument_that_a_target_does_not_take() -> None:
    said = unknown_argument(made, Target("mine.made", {"width": 2, "widht": 3}), "model", filled=1)
    assert said == "model.widht: mine.made takes no such argument; did you mean width?"
    said = unknown_argument(made, Target("mine.made", {"first": 2}), "optimizer", filled=1)
    assert said == "optimizer.first: mine.made takes no such argument; there are: width"
    assert unknown_argument(made, Target("mine.made", {"width": 2}), "model") is None
    assert unknown_argument(handed_on, Target("mine.handed_on", {"widht": 2}), "model") is None


def test_a_module_that_fails_to_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_module.py").write_text("import not_installed_here\n")
    (tmp_path / "failing_too.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="importing failing_module failed: No module named 'not_installed_here'"):
        imported("failing_module.Net", "model")
    with pytest.raises(ConfigError, match="importing failing_too failed: ZeroDivisionError"):
        imported("failing_too.Net", "model")


def test_the_working_directory_is_searched_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_of_ones_own.py").write_text("import beside_it\n\n\nclass Net:\n    width = beside_it.width\n")
    (tmp_path / "beside_it.py").write_text("width = 7\n")
    (tmp_path / "json.py").write_text("class Net: ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = list(sys.path)
    with pytest.raises(ConfigError, match=r"json has no 'Net' \(json is .*; the installed module goes before your "):
        imported("json.Net", "model")
    assert sys.path == before, "not asked for anything there"
    assert imported("module_of_ones_own.Net", "model").width == 7
    assert sys.path == [*before, str(tmp_path)]
    for name in ("module_of_ones_own", "beside_it"):
        monkeypatch.delitem(sys.modules, name)
