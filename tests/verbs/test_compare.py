import csv
import functools
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import heard, result_of_a_run, said
from PIL import Image

from dlrun.config.compose import compose
from dlrun.config.schema import Config
from dlrun.config.settled import settle
from dlrun.store.folders import write_config

RUN = ("model.layers=[flatten]", "epochs=1", "threads=1", "device=cpu", "tensorboard=off")
FC, WIDE = ("data=mnist", "model=fc_64", "precision=float32"), ("data=mnist", "model=fc_512", "precision=float32")


@functools.cache
def composed(words: tuple[str, ...]) -> Config:
    return compose(list(words))


def put(folder: str, words: Sequence[str], accuracy: float, seed: int = 0, **changes: Any) -> None:
    """The folder of a complete run with this test accuracy."""
    settled = settle(replace(composed(tuple(words)), seed=seed))
    Path(folder).mkdir(parents=True)
    write_config(Path(folder), settled.config, [*words, f"seed={seed}"])
    values = {"hash": settled.hash, "seed": seed, "test": {"loss": 1 - accuracy, "accuracy": accuracy}}
    result_of_a_run(**{**values, **changes}).write(Path(folder))


def compared(*words: str) -> dict[str, Any]:
    status, out, error = heard("compare", *words, "--json")
    assert status == 0, error
    return dict(json.loads(out))


def test_the_difference_is_judged_by_the_rule_of_verdicts(here: Path) -> None:
    for seed in range(3):
        put(f"sw/wide-{seed}", WIDE, 0.98 + 0.001 * seed, seed)
        put(f"sw/fc-{seed}", FC, 0.978 + 0.0005 * seed, seed, threads=2)
    # By hand: v = (8 err/2N + 2 s^2)/10 is 9.6e-7 and 9.1e-7, on 19 degrees of freedom, t(.975) = 2.0930.
    error = math.sqrt(9.6e-7 / 3 + 9.1e-7 / 3)
    found = compared("sw/wide-*", "sw/fc-*")
    assert found["difference"] == pytest.approx(0.0025)
    assert found["interval"] == pytest.approx([0.0025 - 2.0930 * error, 0.0025 + 2.0930 * error], rel=1e-4)
    assert found["p"] == pytest.approx(0.00508, abs=1e-4)
    assert found["chance"] == pytest.approx(0.935, abs=1e-3)
    assert found["settings"] == {"model": {"a": "fc_512", "b": "fc_64"}}
    assert found["made"] == {"threads": {"a": "1", "b": "2"}}
    assert (found["verdict"], found["a"]["seeds"], found["pictures"]) == ("A is better", [0, 1, 2], None)
    # The other way round, as all the words that a shell makes of patterns; the oldest run is one of A's.
    words = ["compare", *sorted(map(str, Path("sw").iterdir()))]
    code = f"import sys\nfrom dlrun.cli import main\nprint(main({words!r}), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "A: model=fc_512",
        "B: model=fc_64",
        "",
        "setting  A       B",
        "model    fc_512  fc_64",
        "",
        "               A                 B",
        "test accuracy  0.9810 ± 0.0010   0.9785 ± 0.0005",
        "runs           3, seeds 0, 1, 2  3, seeds 0, 1, 2",
        "parameters     55,050            55,050",
        "time           12.0 s            12.0 s",
        "threads        1                 2",
        "",
        "A - B: +0.25 points, 95 % interval +0.08 to +0.42, p = 0.0051: A is better",
        "P(A > B) = 0.94: the chance that the next run of A beats the next run of B",
        "0 False",
    ]
    assert "p = 0.0051: B is better" in said("compare", "sw/fc-*", "sw/wide-*")[1]
    # Single short runs say nothing of others, however far they lie apart.
    status, text = said("compare", "sw/wide-0", "sw/fc-0")
    assert status == 0
    assert "not told apart" in text
    assert "A single run of fewer than ten epochs says nothing" in text
    assert "p = 0.013: undecided\n" in said("compare", "sw/wide-2", "sw/fc-0")[1]
    assert "No setting but the seed differs" in said("compare", "sw/fc-0", "sw/fc-2")[1]


@pytest.mark.slow
def test_rows_of_tables_and_the_last_run_have_names(here: Path) -> None:
    from dlrun.tables import table
    from dlrun.tables.planned import in_precision, plan

    published = table.load("psc_mnist")
    for one, accuracy in zip(plan(published, published.rows[:2], {4}), (0.97, 0.98), strict=True):
        put(str(one.folder), [word for word in one.overrides if word != "seed=4"], accuracy, 4)
    found = compared("psc_mnist:FC (64,64)", "psc_mnist:2")
    assert found["difference"] == pytest.approx(-0.01)
    assert said("compare", "psc_mnist:1", "psc_mnist:nine")[1].startswith(
        "dlrun: psc_mnist:nine: no such row; there are 1 ("
    )
    assert said("compare", "psc_mnist:1", "psc_mnist:3")[1] == "dlrun: psc_mnist:3: no complete run (no runs there)\n"
    put("outputs/zzz", FC, 0.975)
    assert compared("psc_mnist:1", "last")["b"]["seeds"] == [0]
    exercise = table.load("psc_fashion_changes")
    for one in plan(exercise, exercise.rows[8:9], {0}):
        there = in_precision(one, "bfloat16")
        put(str(there.folder), [word for word in there.overrides if word != "seed=0"], 0.9)
    assert compared("psc_mnist:1", "psc_fashion_changes:9")["b"]["seeds"] == [0]


def test_what_can_not_be_compared_is_refused_in_a_line(here: Path) -> None:
    put("a", FC, 0.97)
    put("b", WIDE, 0.98)
    put("c", [*WIDE, "epochs=3"], 0.98)
    put("short", [*FC, "limit=500"], 0.9)
    put(
        "kmnist",
        ["data=kmnist", "model=fc_64"],
        0.9,
        data={"name": "kmnist", "fingerprint": "cd" * 8, "verified": True},
    )
    put("several/one", FC, 0.97)
    put("several/two", WIDE, 0.97)
    put("failed", FC, 0.97, status="failed")
    cases = {
        ("a", "kmnist"): "compare: tested on different data (mnist abababab and kmnist cdcdcdcd)",
        ("a", "short"): "compare: limit=null and limit=500: not the same test pictures; train_limit",
        ("a", "several"): "several: 2 configurations (differing in model), not one; a pattern in quotes",
        ("a", "b", "c"): "compare: these runs are of 3 configurations (differing in model, epochs); two are compared",
        ("a",): "compare: these runs are of one configuration; two are compared",
        ("a", "./a"): "compare: a is on both sides",
        ("a", "failed"): "failed: no complete run (failed: failed)",
        ("a", "nowhere-*"): "nowhere-*: no folder has such a name",
        ("a", "nowhere"): "nowhere: no such folder",
        ("a", "b", "device=cpu"): "compare: device=… goes with --pictures",
        ("a", "b", "data.root=x", "--pictures", "--csv", "no/x"): "no/x: no such folder: no",
    }
    for words, sentence in cases.items():
        status, text = said("compare", *words)
        assert (status, text.count("\n")) == (2, 1), text
        assert text.startswith(f"dlrun: {sentence}"), text
    (here / "b2").mkdir()
    put("group/0", WIDE, 0.98)
    put("group/1", WIDE, 0.98, 1)
    put("group/2", WIDE, 0.98, 2, status="interrupted")
    (here / "group" / "1" / "result.json").write_text("{}")
    status, _, error = heard("compare", "a", "group")
    assert status == 1
    assert error.count("left out: ") == 2
    assert "group/2: interrupted" in error


def draw(folder: Path, counts: Sequence[int]) -> None:
    random = np.random.default_rng(0)
    for name, count in zip(("Käse, Öl", "=x", "esc\x1b[31m"), counts, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(random.integers(0, 256, (6, 6), dtype=np.uint8)).save(folder / name / f"{number}.png")


def rows(path: str) -> list[dict[str, str]]:
    text = Path(path).read_text("utf-8")
    assert "\x1b" not in text
    return list(csv.DictReader(text.splitlines()))


def test_pictures_that_only_one_gets_right_are_found(here: Path) -> None:
    draw(here / "own" / "train", (9, 9, 9))
    draw(here / "own" / "test", (12, 12, 12))
    words = ["data=image_folder", "data.root=own", "data.color=grey"]
    runs = {"a": "seed=0", "b0": "optimizer.lr=1", "b1": "optimizer.lr=1 seed=1", "big": "seed=0 data.size=12"}
    for name, changes in runs.items():
        size = [] if "size" in changes else ["data.size=6"]
        assert said(*RUN, *words, *size, *changes.split(), f"hydra.run.dir={name}")[0] == 0
    answers = {}
    for name in runs:
        assert heard("evaluate", name, "--csv", "all.csv")[0] == 0
        answers[name] = {row["file"]: row for row in rows("all.csv")}
    right = {
        name: {file for file, row in found.items() if row["truth"] == row["prediction"]}
        for name, found in answers.items()
    }
    for other in ("b0", "big"):
        status, out, error = heard(
            "compare", "a", other, "--pictures", "--json", "--csv", "some.csv", "--sheet", "some.png"
        )
        assert status == 0, error
        found = json.loads(out)["pictures"]
        only = (right["a"] - right[other], right[other] - right["a"])
        assert (found["only_a_right"], found["only_b_right"]) == tuple(map(len, only))
        assert found["both_right"] + found["both_wrong"] + sum(map(len, only)) == 36
        n, k = sum(map(len, only)), min(map(len, only))
        assert n, "nothing to see"
        assert found["p"] == pytest.approx(min(1, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n))
        listed = {row["file"]: row for row in rows("some.csv")}
        assert listed.keys() == only[0] | only[1]
        for file, row in listed.items():
            assert (row["a_right"], row["b_right"]) == (("1", "0") if file in only[0] else ("0", "1"))
            assert row["b_prediction"] == answers[other][file]["prediction"]
            assert row["truth"] == answers["a"][file]["truth"]
        assert error.splitlines()[-2:] == [f"some.csv: {n} pictures", "some.png"]
    assert "another size" in json.loads(out)["notes"][0], "the files are known to be the same by their names alone"
    # Of two runs more than half are both.
    status, out, _ = heard("compare", "a", "b?", "--pictures")
    both = right["b0"] & right["b1"]
    assert f"Only A gets {len(right['a'] - both)} right, only B {len(both - right['a'])}\n" in out
    assert status == 0
    # Elsewhere, renamed, gone.
    (here / "own").rename(here / "moved")
    assert said("compare", "a", "b0", "--pictures")[0] == 2
    assert (
        json.loads(heard("compare", "a", "b0", "--pictures", "--json", "data.root=moved")[1])["pictures"]["p"]
        is not None
    )
    (here / "moved").rename(here / "own")
    (here / "own" / "test" / "=x" / "3.png").rename(here / "own" / "test" / "=x" / "99.png")
    assert "fingerprint" in said("compare", "a", "b0", "--pictures")[1], "the data have changed since"
    shutil.rmtree(here / "b0" / "checkpoints")
    assert said("compare", "a", "b0")[0] == 0
    assert said("compare", "a", "b0", "--pictures") == (
        2,
        "dlrun: b0/checkpoints/last.pt: not there, so this run has no weights yet\n",
    )


def test_a_strangers_network_is_built_with_trust_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(here))
    text = "from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    (here / "strange_net.py").write_text(text)
    (here / "configs" / "model").mkdir(parents=True)
    (here / "configs" / "model" / "strange.yaml").write_text("_target_: strange_net.net\n")
    words = ["data=synthetic", "data.shape=[1,8,8]", "data.train_images=40", "data.test_images=20", *RUN[1:]]
    for name, model in (("a", "model.layers=[flatten]"), ("b", "model=strange")):
        assert said(*words, model, f"hydra.run.dir={name}")[0] == 0
    assert said("compare", "a", "b")[0] == 0
    status, text = said("compare", "a", "b", "--pictures")
    assert status == 2
    assert "add trust=true" in text
    assert said("compare", "a", "b", "--pictures", "trust=true")[0] == 0
