"""Files below configs/ and words: a slip has a file and a line, and what is typed and what is written mean the same."""

from pathlib import Path

import pytest

import dlrun
from dlrun.cli import main
from dlrun.config.compose import compose
from dlrun.errors import ConfigError

HEAD = "# @package _global_\n"
MISTAKES = {
    "a tab": (HEAD + "epochs:\t1\n", "line 2: a tab; YAML wants blanks there"),
    "a bracket": (HEAD + "epochs: 1\ntags: [a\n", "line 4: "),
    "a key twice": (HEAD + "epochs: 1\nepochs: 2\n", "line 3: epochs: given twice"),
    "no blank": (HEAD + "epochs:1\n", "line 2: expected lines of KEY: VALUE"),
    "no header": ("epochs: 1\n", "line 1: an experiment begins with the line `# @package _global_`"),
    "empty": ("", "is empty; an experiment begins with"),
    "a hidden header": ("\ufeff" + HEAD + "epochs: 1\n", "line 1: a byte order mark hides the header"),
    "no override": (HEAD + "defaults:\n  - model: fc_512\n", "line 3: expected `- override /model: fc_512`"),
    "relative": (HEAD + "defaults:\n  - override model: fc_64\n", "line 3: expected `- override /model: fc_64`"),
    "octal": (HEAD + "epochs: 010\n", "line 2: epochs: 010 is 8 to YAML; write '010' in quotes, or a plain number"),
    "minutes": (HEAD + "checkpoint:\n  every_minutes: 1:30\n", "line 3: every_minutes: 1:30 is 90 to YAML"),
    "hexadecimal": (HEAD + "seed: 0x10\n", "line 2: seed: 0x10 is 16 to YAML"),
    "in a list": (HEAD + "data:\n  mean: [0.5, 1:30.5]\n", "line 3: 1: 1:30.5 is 90.5 to YAML"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "experiment").mkdir(parents=True)
    return tmp_path


def written(folder: Path, text: str | bytes, name: str = "experiment/own") -> None:
    path = folder / "configs" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("case", MISTAKES)
def test_a_slip_in_a_file_is_told_with_file_and_line(case: str, here: Path) -> None:
    text, said = MISTAKES[case]
    written(here, text)
    with pytest.raises(ConfigError) as caught:
        compose(["experiment=own", "data=synthetic"])
    assert str(caught.value).startswith("configs/experiment/own.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize("group", ["data", "model", "optimizer", "hydra/launcher"])
def test_files_of_every_group_are_read_so(group: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(here, "name: x\nlr: [1\n", f"{group}/own")
    for words in ([f"{group}=own"], ["-m", f"{group}=own", "seed=0,1"], ["plan", "-m", f"{group}=own", "seed=0,1"]):
        if group == "hydra/launcher" and words[0] != "-m":
            continue
        assert main([*words]) == 2
        assert f"configs/{group}/own.yaml, line 3: " in capsys.readouterr().err


def test_run_of_a_notebook_raises_what_the_command_says(here: Path) -> None:
    written(here, MISTAKES["a tab"][0])
    with pytest.raises(ConfigError, match="line 2: a tab"):
        dlrun.run("experiment=own", "data=synthetic")


def test_a_file_in_another_encoding_is_named(here: Path) -> None:
    written(here, (HEAD + "name: bücher\n").encode("latin-1"))
    with pytest.raises(ConfigError, match=r"configs/experiment/own\.yaml, line 2: not UTF-8"):
        compose(["experiment=own"])
    written(here, HEAD + "defaults:\n  - override /optimizer: own\n")
    written(here, "name: sgd # für\n".encode("latin-1"), "optimizer/own")
    with pytest.raises(ConfigError, match=r"configs/optimizer/own\.yaml, line 1: not UTF-8"):
        compose(["experiment=own"])


def test_windows_line_ends_and_a_mark_before_no_header_are_read(here: Path) -> None:
    written(here, HEAD.replace("\n", "\r\n") + "epochs: 3\r\n")
    written(here, "\ufeffname: sgd\nlr: 0.5\n", "optimizer/own")
    config = compose(["experiment=own", "optimizer=own"])
    assert (config.epochs, config.optimizer.lr) == (3, 0.5)


def test_what_only_fits_as_text_is_text(here: Path) -> None:
    written(here, HEAD + "name: 2024\ntensorboard: off\ntags: [1e3, 007, on]\ndata: {root: 0x10}\n")
    config = compose(["experiment=own", "data=mnist"])
    assert (config.name, config.tensorboard, config.tags, config.data.root) == (
        "2024",
        "off",
        ["1e3", "007", "on"],
        "0x10",
    )
    # What is typed goes before the file.
    assert compose(["experiment=own", "name=7"]).name == "7"


def test_yes_fits_a_field_of_truth_alone(here: Path) -> None:
    written(here, HEAD + "deterministic: yes\n")
    assert compose(["experiment=own"]).deterministic is True


def test_an_argument_of_ones_own_has_one_meaning_or_is_refused(here: Path) -> None:
    written(here, "_target_: torch.nn.Linear\nin_features: 4\nout_features: 0o10\nbias: no\n", "model/own")
    with pytest.raises(ConfigError, match=r"configs/model/own\.yaml, line 4: bias: no is false to YAML"):
        compose(["model=own"])


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("name=20260101", "20260101"),
        ("name=1e3", "1e3"),
        ("name=3.0", "3.0"),
        ("name=True", "True"),
        ("name=bücher", "bücher"),
        ("name=it's", "it's"),
        ("name=a(1)", "a(1)"),
        ("name='a, b'", "a, b"),
        ("data.root=2024", "2024"),
        ("data.root=v1.0+2;3", "v1.0+2;3"),
        ("sweep.name=2026", "2026"),
        ("tags=[2026, a, 1e3]", ["2026", "a", "1e3"]),
        ("name=null", None),
    ],
)
def test_fields_of_text_get_what_was_typed(typed: str, found: object, here: Path) -> None:
    value: object = compose([typed, "data=mnist"])
    for name in typed.partition("=")[0].split("."):
        value = getattr(value, name)
    assert value == found


def test_doctor_looks_at_the_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dlrun.verbs.doctor import SECTIONS

    written(here, HEAD + "epochs: 1\n")
    assert [found.state for found in SECTIONS["Folders"]() if found.name == "./configs"] == ["ok"]
    written(here, MISTAKES["a tab"][0], "experiment/other")
    (found,) = [found for found in SECTIONS["Folders"]() if found.name == "./configs"]
    assert (found.state, found.what) == (
        "broken",
        "configs/experiment/other.yaml, line 2: a tab; YAML wants blanks there",
    )
