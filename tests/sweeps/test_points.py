"""From typed words to points: grids, rows, zips, exclusions, draws, and what is refused."""

from pathlib import Path

import pytest

from dlrun.config.compose import compose
from dlrun.errors import ConfigError
from dlrun.sweeps.points import expand


def varied(*arguments: str) -> list[str]:
    return [" ".join(point.varied) for point in expand(arguments)]


def test_a_grid_is_the_product_and_keeps_what_is_fixed() -> None:
    points = expand(["model=fc_64,fc_512", "++epochs=3", "seed=range(0,2)"])
    assert [point.overrides for point in points] == [
        ("epochs=3", "model=fc_64", "seed=0"),
        ("epochs=3", "model=fc_64", "seed=1"),
        ("epochs=3", "model=fc_512", "seed=0"),
        ("epochs=3", "model=fc_512", "seed=1"),
    ]
    assert points[0].varied == ("model=fc_64", "seed=0")


def test_one_point_without_any_sweep() -> None:
    assert [point.overrides for point in expand(["model=fc_64"])] == [("model=fc_64",)]


def test_rows_may_be_grids_and_cross_the_typed_grid() -> None:
    assert varied("sweep.rows=['model=fc_64 batch_size=8,16','model=fc_512']", "seed=0,1") == [
        *["model=fc_64 batch_size=8 seed=0", "model=fc_64 batch_size=8 seed=1"],
        *["model=fc_64 batch_size=16 seed=0", "model=fc_64 batch_size=16 seed=1"],
        *["model=fc_512 seed=0", "model=fc_512 seed=1"],
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["sweep.rows=['model=fc_64 seed=0','model=fc_512 seed=1']", "seed=3"],
        ["sweep.rows=['model=fc_64 seed=0','model=fc_512']", "seed=3,4"],
        ["sweep.zip=['seed=0,1 batch_size=8,16']", "seed=3"],
        ["sweep.zip=['seed=0,1 batch_size=8,16']", "sweep.rows=['seed=2']"],
    ],
)
def test_a_field_with_values_at_two_places_is_refused(words: list[str]) -> None:
    """One of them was dropped without a word."""
    with pytest.raises(ConfigError, match=r"^seed: typed on its own, and in sweep\.rows or"):
        expand(words)


def test_zipped_lists_go_in_step() -> None:
    assert varied("sweep.zip=['optimizer.lr=0.1,0.01 batch_size=128,32']") == [
        "optimizer.lr=0.1 batch_size=128",
        "optimizer.lr=0.01 batch_size=32",
    ]


def test_exclusions_name_all_of_a_points_overrides() -> None:
    grid = ("model=fc_64,fc_512", "seed=0,1")
    assert varied(*grid, "sweep.exclude=['model=fc_512 seed=1']") == [
        *["model=fc_64 seed=0", "model=fc_64 seed=1", "model=fc_512 seed=0"]
    ]
    assert varied(*grid, "sweep.exclude=['seed=0,1 model=fc_64']") == ["model=fc_512 seed=0", "model=fc_512 seed=1"]


def test_draws_are_repeatable_extend_and_cross_all_seeds() -> None:
    words = ("optimizer.lr=tag(log,interval(0.001,1))", "batch_size=int(interval(16,64))", "seed=0,1")
    three, five = (varied(*words, f"sweep.random={count}") for count in (3, 5))
    assert len(three) == 6
    assert five[:6] == three
    assert varied(*words, "sweep.random=3") == three
    for text in five:
        rate, size, _ = (float(word.partition("=")[2]) for word in text.split())
        assert 0.001 <= rate <= 1
        assert 16 <= size <= 64


def test_draws_from_a_small_grid_end() -> None:
    assert sorted(varied("model=fc_64,fc_512", "sweep.random=10")) == ["model=fc_512", "model=fc_64"]


def test_of_a_field_typed_twice_the_last_word_counts() -> None:
    assert varied("seed=5", "seed=0,1") == ["seed=0", "seed=1"]


def test_globs_are_the_options_of_a_group() -> None:
    assert varied("model=glob(fc_*)") == ["model=fc_512", "model=fc_512x3", "model=fc_64"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer.lr=interval(0.1,1)"], "add sweep.random=N or hydra/sweeper=search"),
        (["optimizer.lr=tag(log,interval(0,1))", "sweep.random=2"], "both above 0"),
        (["sweep.zip=['seed=0,1 batch_size=1,2,3']"], "equally long: seed has 2, batch_size has 3"),
        (["seed=0,1", "sweep.exclude=['seed=2']"], "'seed=2' fits no point"),
        (["seed=0,1", "sweep.exclude=['seed=0,1']"], "leaves no point"),
        (["seed=0,1", "sweep.slots=1,2"], "several values"),
        (["sweep.rows=['model=\"fc']"], "can't be split into words"),
        (["sweep.rowz=[]"], "did you mean rows"),
        (["seed=[0,1"], "can't be read as KEY=VALUE"),
    ],
)
def test_mistakes_are_named(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        expand(words)


@pytest.mark.parametrize("words", [["epochs=range(1,1000000000)"], ["epochs=range(1,1000)", "seed=range(0,1000)"]])
def test_sweeps_that_nobody_can_mean_are_refused_at_once(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"more than 100,000.*sweep\.random=N"):
        expand(words)


def test_the_ready_experiment_puts_batch_norm_before_and_after_the_activation():
    points = expand(["experiment=batch_norm_place", "seed=0,1"])
    layers = [compose(point.overrides).model.layers for point in points]
    before, after, none = layers[::2]
    assert layers[1::2] == [before, after, none]
    assert before[:3] == ["conv 32 nobias none", "bn", "relu"]
    assert after[:2] == ["conv 32", "bn"]
    assert [phrase.split()[:2] for phrase in before if phrase not in ("bn", "relu")] == [one.split() for one in none]
    assert [phrase for phrase in after if phrase != "bn"] == none


def test_experiments_can_be_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "configs" / "experiment"
    folder.mkdir(parents=True)
    for name, more in (("a", ""), ("b", ""), ("c", "sweep: {slots: 1}\n")):
        (folder / f"{name}.yaml").write_text(f"# @package _global_\nname: {name}\n{more}")
    points = expand(["experiment=a,b", "seed=0,1"])
    assert [point.varied for point in points] == [
        (f"experiment={name}", f"seed={seed}") for name in "ab" for seed in (0, 1)
    ]
    assert len(expand(["experiment=glob([a,b])"])) == 2
    with pytest.raises(ConfigError, match="have different fields of sweep"):
        expand(["experiment=a,c"])


def test_rows_may_hold_lists() -> None:
    rows = "sweep.rows=['model.layers=[flatten, dense 16] seed=0,1','model=fc_512']"
    points = expand([rows])
    assert [point.varied[1:] for point in points] == [("seed=0",), ("seed=1",), ()]
    assert compose(points[1].overrides).model.layers == ["flatten", "dense 16"]
