"""Table files: the shipped ones against the slides, and what is said about wrong ones."""

import functools
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from dlrun.cli import main
from dlrun.config.compose import configs_dir
from dlrun.config.overrides import hydra_value, merged
from dlrun.errors import ConfigError, UsageError
from dlrun.tables import table as tables
from dlrun.tables.parameters import check_parameters
from dlrun.tables.planned import plan

COUNTS = {
    "nvidia_dli": 4,
    "nvidia_readings": 8,
    "psc_fashion_baseline": 3,
    "psc_fashion_changes": 25,
    "psc_fashion_readings": 22,
    "psc_fashion_steps": 26,
    "psc_mnist": 7,
    "psc_mnist_readings": 6,
    "pytorch_mnist_example": 1,
    "lowres_kmnist_fashion": 30,
    "lowres_shortened": 1,
    "rasbt_mnist": 14,
    "rasbt_cifar10": 4,
    "d2l_berkeley": 5,
    "geron_optimizers": 12,
    "geron_networks": 4,
    "keras_cifar10": 2,
    "keras_examples": 4,
    "kmnist_benchmark": 4,
    "nielsen_overfitting": 2,
    "nielsen_validation": 13,
    "mnist_fast": 1,
    "chollet_mnist": 2,
    "pytorch_quickstart": 1,
    "pytorch_cifar10": 1,
    "tensorflow_quickstart": 2,
    "flax_mnist": 2,
    "theano_tutorials": 3,
}

MINE = """
title: Mine
source: {document: A paper, heading: Table 1}
digits: 3
common: {data: synthetic, model: fc_64, precision: float32}
rows:
  - label: narrow
    overrides: {model.layers: [flatten, dense 8]}
    published: {test_accuracy: 0.9}
  - label: wide
    overrides: ['model.layers=[flatten, dense 16]', epochs=2]
    published: null
    note: no number is printed
lessons:
  - {claim: wider helps, rows: [wide, narrow], direction: higher}
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Write `configs/table/mine.yaml` in the working directory, with some text of MINE replaced."""
    folder = tmp_path / "configs" / "table"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def write(old="", new="", name="mine"):
        assert old in MINE
        (folder / f"{name}.yaml").write_text(MINE.replace(old, new) if old else MINE)

    return write


# --- the shipped tables -----------------------------------------------------------------------------------


@functools.cache
def planned_runs(name):
    table = tables.load(name)
    return plan(table, table.rows, range(2))


def test_shipped_tables_and_their_row_counts():
    assert {name: len(tables.load(name).rows) for name in tables.available()} == COUNTS


@pytest.mark.parametrize("name", COUNTS)
def test_every_row_of_every_table_composes_to_another_run_in_float32(name):
    planned = planned_runs(name)
    own = [one for one in planned if one.row.same_as is None]
    assert len({one.hash for one in own}) == len(own)
    assert {one.config.precision for one in planned} == {"float32"}


def test_rows_that_compute_the_same_share_their_runs():
    changes = {one.row.number: one.hash for one in planned_runs("psc_fashion_changes") if one.seed == 0}
    assert (changes[16], changes[17]) == (changes[15], changes[13])
    readings = {one.row.label: one.hash for one in planned_runs("psc_mnist_readings") if one.seed == 0}
    score = {one.row.label: one.hash for one in planned_runs("psc_mnist") if one.seed == 0}
    assert readings["CNN (2 Layer), as its log says"] == score["CNN (2 Layer)"]


def test_a_reading_is_held_against_the_number_of_the_row_that_it_reads():
    for name in ("psc_mnist_readings", "psc_fashion_readings", "nvidia_readings"):
        for row in tables.load(name).rows:
            main = {other.label: other for other in tables.load(row.reading_of.table).rows}[row.reading_of.label]
            assert row.published == main.published


@pytest.mark.parametrize("name", COUNTS)
def test_networks_have_the_printed_parameters(name):
    table = tables.load(name)
    check_parameters(table, planned_runs(name))
    assert name != "psc_mnist" or [row.parameters for row in table.rows] == [
        *(55_050, 669_706, 932_362, 542_230, 1_199_882, 1_199_882, 1_200_778)
    ]


def test_no_two_tables_use_a_folder_for_two_hashes():
    planned = [one for name in COUNTS for one in planned_runs(name)]
    assert len({one.folder for one in planned}) == len({one.hash for one in planned})


def published(name, key):
    return [getattr(row.published, key) for row in tables.load(name).rows]


def in_units_of_1e4(name, key):
    return [round(number * 10_000, 6) for number in published(name, key)]


def test_psc_mnist_numbers():
    assert published("psc_mnist", "test_accuracy") == [0.9755, 0.9821, 0.98, 0.9874, 0.9903, 0.9919, 0.9891]
    assert published("psc_mnist", "train_accuracy") == [None, 0.9977, 0.9967, 0.9989, 0.9985, 0.9935, 0.9993]


def settings(name):
    """Optimizer, batch size and epochs of every row."""
    configs = [one.config for one in planned_runs(name) if one.seed == 0]
    return [(config.optimizer.name, config.batch_size, config.epochs) for config in configs]


def test_psc_mnist_settings_follow_the_logs():
    fc = [("adam", 128, 40), ("adam", 128, 30), ("adam", 128, 30)]
    assert settings("psc_mnist") == [*fc, ("sgd", 32, 10), *[("adam", 128, 15)] * 3]
    assert settings("psc_mnist_readings") == [("adam", 128, 15), ("sgd", 32, 10)] * 3


def test_psc_mnist_losses():
    assert published("psc_mnist", "train_loss") == [None, 0.0083, 0.0119, 0.0051, 0.0052, 0.0187, 0.0027]
    assert published("psc_mnist", "test_loss") == [None, 0.1027, 0.1183, 0.0424, 0.0342, 0.0301, 0.0385]


def test_psc_fashion_baseline_has_both_readings():
    assert settings("psc_fashion_baseline") == [("adam", 128, 40), ("adam", 128, 15), ("sgd", 32, 10)]
    assert published("psc_fashion_baseline", "test_accuracy") == [0.8832, 0.9284, 0.9284]


def test_psc_fashion_changes_numbers():
    assert in_units_of_1e4("psc_fashion_changes", "test_accuracy") == [
        *(8927, 8896, 8790, 9223, 9217, 9322, 9338, 9279, 8678, 9252, 9256, 9301, 9364, 9372, 9362, 9359),
        *(9334, 9381, 9314, 9356, 9266, 9336, 9355, 9384, 9418),
    ]
    largest = {row.label: row.published.best_accuracy for row in tables.load("psc_fashion_changes").rows}
    assert {label: value for label, value in largest.items() if value} == {
        "Dropout (0.5,0.6), Epochs = 40": 0.9388,
        "Dropout (0.6,0.6), Epochs = 100": 0.9422,
    }


def test_psc_fashion_changes_carry_the_printed_epochs():
    found = settings("psc_fashion_changes")
    # Where none are printed (rows 4, 5, 8 to 12, 16, 17) those of the row above are carried over.
    assert [epochs for _, _, epochs in found] == [
        *(30, 30, 100, 100, 100, 100, 80, 80, 80, 80, 80, 80, 40, 80, 40, 40, 40, 120, 40, 40, 40, 40, 100, 100, 100)
    ]
    assert {batch for _, batch, _ in found} == {128}
    assert [optimizer for optimizer, _, _ in found] == ["adam"] * 2 + ["sgd"] * 23


def test_rows_that_print_no_epochs_say_so():
    unprinted = {
        name: [row.number for row in tables.load(name).rows if not row.epochs_printed]
        for name in ("psc_mnist", "psc_fashion_changes", "psc_fashion_steps")
    }
    assert unprinted == {
        "psc_mnist": [],
        "psc_fashion_changes": [1, 2, 4, 5, 8, 9, 10, 11, 12, 16, 17],
        "psc_fashion_steps": [*range(2, 19), *range(21, 27)],
    }


def test_rows_whose_meaning_is_open_name_their_readings():
    found = {row.printed_in: [] for row in tables.load("psc_fashion_readings").rows}
    for row in tables.load("psc_fashion_readings").rows:
        found[row.printed_in].append(row.reading)
    momentum = [["carried over", "script"]] * 3
    assert [*found.values()] == [[*momentum[0], "log"]] * 4 + momentum + [["batch 32", "batch 128"]] * 2
    assert [row.reading for row in tables.load("psc_mnist_readings").rows] == ["log", "script"] * 3
    assert [row.reading for row in tables.load("psc_fashion_baseline").rows] == ["", "log", "script"]


def test_psc_fashion_steps_numbers():
    assert in_units_of_1e4("psc_fashion_steps", "train_accuracy") == [
        *(9427, 9619, 9612, 9680, 9746, 9814, 9710, 9627, 9634, 9667, 9467, 9653, 9817, 9702, 9648, 9626),
        *(9655, 9677, 9688, 9691, 9733, 9749, 9691, 9520, 9480, 9654),
    ]
    assert in_units_of_1e4("psc_fashion_steps", "test_accuracy") == [
        *(9180, 9267, 9315, 9303, 9335, 9264, 9320, 9317, 9318, 9343, 9310, 9308, 9256, 9303, 9348, 9356),
        *(9320, 9293, 9338, 9303, 9331, 9357, 9316, 9342, 9335, 9368),
    ]


def test_psc_fashion_steps_resolve_their_reverts():
    layers = {one.row.number: one.config.model.layers for one in planned_runs("psc_fashion_steps")}
    assert layers[15] == [phrase.replace("192", "224") for phrase in layers[10]]
    assert layers[18] == [phrase.replace("256", "320") for phrase in layers[16]]
    assert layers[19] == layers[16]
    assert [phrase for phrase in layers[26] if phrase != "bn"] == layers[16]


def test_nvidia_numbers():
    assert published("nvidia_dli", "test_accuracy") == [0.979, 0.7759, 0.9484, 0.9869]
    more = [[one.test_accuracy for one in row.more] for row in tables.load("nvidia_dli").rows]
    assert more == [[0.9756], [], [0.9359], [0.9446]]
    assert published("nvidia_dli", "train_accuracy") == [0.9858, 0.981, 0.9997, 0.9859]
    assert settings("nvidia_dli") == [("rmsprop", 32, epochs) for epochs in (5, 20, 20, 20)]


def test_pytorch_example_prints_no_number():
    assert published("pytorch_mnist_example", "test_accuracy") == [None]
    assert settings("pytorch_mnist_example") == [("adadelta", 64, 14)]


def test_lowres_rows():
    """Epochs are one more than printed: the source counts from 0."""
    table = tables.load("lowres_kmnist_fashion")
    assert sum(row.label.startswith("kmnist") for row in table.rows) == 12
    assert published(table.name, "best_accuracy")[:2] == [0.98468, 0.98147]
    assert published(table.name, "best_epoch")[-2:] == [87, 96]
    assert published(table.name, "test_loss")[12] == 0.308
    assert settings(table.name)[0] == ("sgd", 256, 100)


@pytest.mark.parametrize("name", COUNTS)
def test_labels_notes_and_claims_are_sentences_a_page_can_show(name):
    table = tables.load(name)
    assert all(row.label.strip() == row.label for row in table.rows)
    assert all(row.note == "" or row.note.endswith(".") for row in table.rows)
    assert table.document
    assert table.heading


@pytest.mark.parametrize("name", COUNTS)
def test_lessons_are_what_the_printed_numbers_say(name):
    table = tables.load(name)
    rows = (*table.rows, *table.others)
    # A row of another table may print another metric.
    printed = {
        (row.table, row.label): getattr(row.published, table.metric) or row.published.test_accuracy for row in rows
    }
    for lesson in table.lessons:
        first, second = (printed[reference.table, reference.label] for reference in lesson.rows)
        if lesson.direction == "not better":
            assert first - second < lesson.margin, lesson.claim
        else:
            assert (first > second) == (lesson.direction == "higher"), lesson.claim


# --- a table of one's own ---------------------------------------------------------------------------------


def test_own_table_in_the_working_directory(mine):
    mine()
    table = tables.load("mine")
    assert (table.metric, table.seeds, table.shown_path) == ("test_accuracy", 3, "configs/table/mine.yaml")
    assert table.rows[0].overrides == (
        "data=synthetic",
        "model=fc_64",
        "precision=float32",
        "model.layers=[flatten, dense 8]",
    )
    assert [one.config.epochs for one in plan(table, table.rows, range(1))] == [10, 2]


def test_what_is_not_filled_in_is_no_table_yet(mine, caplog):
    mine("overrides: {model.layers: [flatten, dense 8]}", "overrides: {}")
    mine("common: {data: synthetic, model: fc_64, precision: float32}", "common: {}", name="begun")
    assert "mine" in [table.name for table in tables.load_all()]
    path = Path("configs/table/begun.yaml")
    path.write_text(path.read_text().replace("overrides: {model.layers: [flatten, dense 8]}", "overrides: {}"))
    assert "begun" not in [table.name for table in tables.load_all()]
    assert "begun.yaml: left out, as it is not filled in yet; dlrun table check begun" in caplog.text
    begun = tables.load("begun")
    with pytest.raises(ConfigError, match=r"row 1 \(narrow\): overrides: missing"):
        plan(begun, begun.rows, 1)


def test_all_that_a_source_may_print(mine):
    mine(
        "published: {test_accuracy: 0.9}",
        """digits: 5
    source: {document: Another paper, heading: Table 2}
    margin: {value: 0.004, reason: a user would notice}
    parameters: 6370
    published:
      - {test_error: 0.0749, n: 30, std: 0.0007, ddof: 0, cut: true, images: 9984, val_accuracy: 0.91}
      - {curve: [0.5, 0.8, 0.9], train_loss: 0.3, best_epoch: 3}""",
    )
    row = tables.load("mine").rows[0]
    assert row.published.test_accuracy == pytest.approx(0.9251)
    assert (row.published.n, row.published.std, row.published.ddof, row.published.cut) == (30, 0.0007, 0, True)
    assert (row.published.images, row.published.val_accuracy) == (9984, 0.91)
    assert (row.digits, row.margin, row.margin_reason, row.parameters) == (5, 0.004, "a user would notice", 6370)
    assert row.source == tables.Citation("Another paper", "Table 2")
    assert [(one.curve, one.test_accuracy) for one in row.more] == [((0.5, 0.8, 0.9), 0.9)]


def test_wrong_parameters_are_found_before_anything_trains(mine, capsys):
    mine("label: narrow", "label: narrow\n    parameters: 6371")
    assert main(["reproduce", "mine"]) == 2
    said = capsys.readouterr().err
    assert "row 1 (narrow): parameters: 6,371 are printed, the network has 6,370" in said
    assert not Path("outputs").exists()


def test_unknown_table_names_those_there_are(mine):
    mine()
    with pytest.raises(UsageError, match="nope: no such table; there are: chollet_mnist, d2l_berkeley, "):
        tables.load("nope")


def test_a_shipped_name_is_taken_unless_the_file_is_the_same(mine, tmp_path):
    mine(name="psc_mnist")
    with pytest.raises(ConfigError, match=r"psc_mnist\.yaml: dlrun ships another table of this name"):
        tables.load("psc_mnist")
    shipped = (configs_dir() / "table" / "psc_mnist.yaml").read_bytes()
    (tmp_path / "configs" / "table" / "psc_mnist.yaml").write_bytes(shipped)
    assert tables.load("psc_mnist").title


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title:", "titel:", "titel: no such key; did you mean title?"),
        ("digits: 3", "digits: 3\ndigits: 4", "line 5: digits: given twice"),
        ("digits: 3", "digits: true", "digits: expected a whole number, got True"),
        ("digits: 3", "digits: 30", "digits=30: expected a whole number from 0 to 8"),
        (
            "digits: 3",
            "metric: loss\ndigits: 3",
            "metric='loss': expected one of test_accuracy, best_accuracy",
        ),
        ("heading: Table 1", "headin: x", "source.headin: no such key; did you mean heading?"),
        ("published: null", "publishd: null", "row 2 (wide): publishd: no such key; did you mean published?"),
        ("    published: null\n", "", "row 2 (wide): published: missing"),
        ("label: wide", "label: 7", "row 2: label: expected text, got 7"),
        ("label: wide", "label: narrow", "row 2 (narrow): label: row 1 has it already"),
        (
            "test_accuracy: 0.9",
            "test_acuracy: 0.9",
            "row 1 (narrow): published.test_acuracy: no such key; did you mean test_accuracy?",
        ),
        ("0.9}", "90.5}", "published.test_accuracy=90.5: expected a number from 0 to 1; a fraction: 0.905"),
        (
            "0.9}",
            "'0.9'}",
            "row 1 (narrow): published.test_accuracy: expected a whole number or a number, got '0.9'",
        ),
        ("epochs=2]", "epochs]", "row 2 (wide): overrides: expected key=value, got 'epochs'"),
        ("model.layers: [", "'a b': [", "row 1 (narrow): overrides: 'a b' is no key of an override"),
        ("[wide, narrow]", "[wid, narrow]", "lesson 1: rows: no row is labelled 'wid'; did you mean wide?"),
        ("title: Mine", "title: Mine\nmargin: {value: 2, reason: x}", "margin.value=2: expected a number from 0 to 1"),
        ("title: Mine", "title: Mine\nmargin: {value: 0.01}", "margin.reason: missing"),
        ("title: Mine", "title: Mine\nprecisions: [float31]", "precisions='float31': expected one of float32, bfl"),
        ("title: Mine", "title: Mine\nprecisions: [float32, float32]", "precisions: one is given twice"),
        ("label: wide", "label: wide\n    digits: 9", "row 2 (wide): digits=9: expected a whole number from 0 to 8"),
        ("label: wide", "label: wide\n    parameters: 0", "row 2 (wide): parameters=0: expected a whole number from 1"),
        (
            "label: wide",
            "label: wide\n    deterministic: 1",
            "row 2 (wide): deterministic: expected true or false, got 1",
        ),
        ("label: wide", "label: wide\n    source: {heading: x}", "row 2 (wide): source.document: missing"),
        ("label: wide", "label: wide\n    same_as: narrow", "row 2 (wide): same_as: takes the place of overrides"),
        (
            "label: wide",
            "label: wide\n    reading_of: narrow",
            "row 2 (wide): reading_of: takes the place of published",
        ),
        (
            "published: null",
            "reading_of: wid",
            "row 2 (wide): reading_of: no row is labelled 'wid'; did you mean wide?",
        ),
        ("published: null", "reading_of: wide", "row 2 (wide): reading_of: wide: names another row itself; name that"),
        ("published: null", "reading_of: {table: x, row: y}", "row 2 (wide): reading_of: no table is called 'x'"),
        (
            "published: null",
            "reading_of: {tabel: x}",
            "row 2 (wide): reading_of.tabel: no such key; did you mean table?",
        ),
        ("published: null", "published: []", "row 2 (wide): published: expected keys with values, a list of them, or"),
        ("published: null", "published: [{n: 0}]", "row 2 (wide): published 1: n=0: expected a whole number from 1"),
        (
            "published: null",
            "published: {std: 0.1}",
            "row 2 (wide): published.std: of how many runs? Give n, 2 or more",
        ),
        ("published: null", "published: {n: 2, ddof: 2}", "published.ddof=2: expected a whole number from 0 to 1"),
        ("published: null", "published: {cut: 1}", "published.cut: expected true or false, got 1"),
        (
            "published: null",
            "published: {curve: [0.1, 2]}",
            "published.curve: number 2=2: expected a number from 0 to 1",
        ),
        ("published: null", "published: {shared: true}", "published.shared: with how many images? Give images"),
        ("published: null", "published: null\n    epochs_printed: 3", "epochs_printed: expected true or false, got 3"),
        (
            "published: null\n",
            "reading_of: narrow\n    reading: a\n"
            "  - {label: x, reading_of: narrow, overrides: [], reading: a}\n  - label: y\n"
            "    overrides: []\n    published: null\n",
            "row 3 (x): reading: row 2 reads the same number so",
        ),
        ("published: null", "published: {curve: [a]}", "published.curve: number 1: expected a number, got 'a'"),
        ("0.9}", "0.9, test_error: 0.1}", "published.test_error: test_accuracy is given, too"),
        ("direction: higher", "direction: not better", "lesson 1: margin: missing: not better by how much?"),
        ("direction: higher", "direction: higher, margin: 0.1", "lesson 1: margin: only of not better"),
        ("[wide, narrow]", "[wide, {table: psc_mnist, row: x}]", "lesson 1: rows: no row is labelled 'x'; there are"),
        ("direction: higher", "direction: up", "lesson 1: direction='up': expected one of higher, lower"),
        ("rows: [wide, narrow]", "rows: [wide]", "lesson 1: rows: expected two labels of rows"),
        ("rows: [wide, narrow]", "rows: [wide, wide]", "lesson 1: rows: wide stands against itself"),
        (
            "test_accuracy: 0.9}",
            "test_accuracy: 0.98765}",
            "published.test_accuracy=0.98765: 5 decimals, and digits says 3",
        ),
        ("test_accuracy: 0.9}", "test_error: 0.01234}", "published.test_error=0.01234: 5 decimals, and digits says 3"),
        ("published: null", "published: {curve: [0.9, 0.98765]}", "row 2 (wide): published.curve=0.98765: 5 decimals"),
        ("digits: 3", "digits: [", "no YAML"),
        ("digits: 3", "digits: !!python/object/apply:os.getcwd []", "no YAML"),
        (MINE, "rows", "content: expected keys with values, got 'rows'"),
        (MINE, "", "content: expected keys with values, got None"),
    ],
)
def test_a_wrong_file_is_named_with_row_and_key(mine, old, new, message):
    mine(old, new)
    with pytest.raises(ConfigError) as caught:
        tables.load("mine")
    assert str(caught.value).startswith("configs/table/mine.yaml: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs=2", "epoch=2", "row 2 (wide): epoch: no such field; did you mean epochs?"),
        ("epochs=2", "epochs=two", "row 2 (wide): epochs=two: expected a whole number >= 1"),
        ("epochs=2", "model=fc_65", "row 2 (wide): model=fc_65: no such option"),
    ],
)
def test_an_override_that_does_not_compose_is_named_with_file_and_row(mine, old, new, message):
    mine(old, new)
    table = tables.load("mine")
    with pytest.raises(ConfigError) as caught:
        plan(table, table.rows, range(1))
    assert str(caught.value).startswith(f"configs/table/mine.yaml: {message}")


def said_of(path):
    """The sentence about a wrong file; of a right one just what it would begin with."""
    try:
        tables.read(path)
    except ConfigError as error:
        return str(error)
    return f"{path}: row 1"


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    place=st.sampled_from(["title", "source", "metric", "digits", "seeds", "common", "rows", "lessons"]),
    value=yaml_values,
)
def test_any_yaml_is_read_or_refused_in_a_sentence(tmp_path_factory, place, value):
    path = tmp_path_factory.mktemp("table") / "any.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(MINE), place: value}), encoding="utf-8")
    assert said_of(path).startswith(str(path))


@given(row=st.dictionaries(st.sampled_from(["label", "overrides", "published", "note", "x"]), yaml_values, max_size=4))
def test_any_row_is_read_or_refused_in_a_sentence(tmp_path_factory, row):
    path = tmp_path_factory.mktemp("table") / "any.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(MINE), "rows": [row], "lessons": []}), encoding="utf-8")
    assert said_of(path).startswith(f"{path}: row 1")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("table") / "any.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        tables.read(path)


# --- overrides --------------------------------------------------------------------------------------------

scalars = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), max_size=12)


def same(parsed, value):
    """Hydra's own wrapper of a quoted text counts as text, a text that is a number as that number."""
    if isinstance(value, list):
        return all(same(*pair) for pair in zip(parsed, value, strict=True))
    return parsed == value or str(parsed) == str(value) or (isinstance(value, str) and parsed == float(value))


@given(st.none() | scalars | printable | st.lists(scalars | printable, max_size=4))
def test_values_survive_hydras_grammar(value):
    parsed = OverridesParser.create().parse_override(f"key={hydra_value(value)}").value()
    assert same(parsed, value)


def test_later_overrides_replace_earlier_ones():
    assert merged(["a=1", "+b=2"], ["a=3"]) == ("+b=2", "a=3")
    assert merged(["optimizer=sgd", "optimizer.momentum=0.9", "epochs=2"], ["optimizer=adam"]) == (
        "epochs=2",
        "optimizer=adam",
    )
    assert merged(["optimizer=sgd"], ["optimizer.lr=0.1"]) == ("optimizer=sgd", "optimizer.lr=0.1")


# --- rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (None, [1, 2, 3, 4, 5, 6, 7]),
        ("1-4,7", [1, 2, 3, 4, 7]),
        ("7, 2", [2, 7]),
        ("3-3,3", [3]),
        (" 1 - 2 ", [1, 2]),
    ],
)
def test_rows_are_chosen_in_the_order_of_the_table(text, numbers):
    assert [row.number for row in tables.choose(tables.load("psc_mnist"), text)] == numbers


@pytest.mark.parametrize("text", ["", "0", "8", "5-8", "4-1", "a", "1-", "1,,2", "-1", "1-2-3", "²", "99999999999"])
def test_rows_that_cannot_be_chosen(text):
    with pytest.raises(UsageError, match="--rows"):
        tables.choose(tables.load("psc_mnist"), text)


@given(st.text(st.sampled_from("0123456789-, x"), max_size=12))
def test_any_choice_of_rows_is_rows_or_a_sentence(text):
    try:
        numbers = [row.number for row in tables.choose(PSC_MNIST, text)]
    except UsageError:
        return
    assert numbers == sorted(set(numbers))
    assert numbers


PSC_MNIST = tables.load("psc_mnist")
