"""What the verbs say to words that they don't take: one line each, through the command."""

import pytest

from dlrun.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("export", "export: RUN is missing; see dlrun export --help"),
        ("export run --format foo", "export: --format foo is unknown; there are: onnx, pt2"),
        ("export run --format", "export: --format: expected one argument; see dlrun export --help"),
        ("evaluate", "evaluate: RUN is missing; see dlrun evaluate --help"),
        ("evaluate run --jsno", "evaluate: --jsno: no such option; did you mean --json?"),
        ("resume", "resume: RUN is missing; see dlrun resume --help"),
        ("predict", "predict: RUN, IMAGE|FOLDER are missing; see dlrun predict --help"),
        ("report --csv --md", "report: --md: not allowed with argument --csv; see dlrun report --help"),
        ("slurm colect", "slurm: colect is unknown; did you mean collect?"),
        ("doctor nobody", "doctor: nobody: not expected here; see dlrun doctor --help"),
        ("completion fish", "completion: fish is unknown; there are: bash"),
    ],
)
def test_a_mistake_behind_a_verb(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    assert capsys.readouterr().err == f"dlrun: {said}\n"


def test_help_is_still_argparses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["export", "--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("usage: dlrun export ")
