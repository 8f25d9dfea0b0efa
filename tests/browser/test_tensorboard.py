"""TensorBoard itself on a folder of runs, as people see it."""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlrun.config.compose import compose
from dlrun.config.settled import settle
from dlrun.report.aggregate import aggregate
from dlrun.runs.run import run

pytestmark = pytest.mark.browser

SMALL = (
    "data=synthetic",
    "data.train_images=300",
    "data.test_images=100",
    "model.layers=[conv 4, pool 2, flatten, dense 16]",
    "augment=affine",
    "epochs=3",
    "threads=1",
    "device=cpu",
)
RUNS = 18
WORDS = """
const words = [], pictures = [];
function walk(node) {
  if (node.shadowRoot) walk(node.shadowRoot);
  if (node.nodeType === 3) words.push(node.textContent.trim());
  if (node.nodeName === 'IMG' && node.complete && node.naturalWidth > 0) pictures.push(node.src);
  for (const child of node.childNodes) if (!['STYLE', 'SCRIPT'].includes(child.nodeName)) walk(child);
}
walk(document.body);
return [words.filter(Boolean).join(' '), pictures.length];
"""
"""All text that stands in the page, shadow roots included, and the number of pictures that were loaded."""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    run(settle(compose([*SMALL, "optimizer.lr=0.01"])), folder / "seed0")
    other = ["seed=1", "optimizer.lr=0.02", "model.activation=tanh", "clip_norm=1"]
    run(settle(compose([*SMALL, *other])), folder / "seed1")
    for number in range(2, RUNS):
        shutil.copytree(folder / "seed1" / "tensorboard", folder / f"seed{number}" / "tensorboard")
    return folder


@pytest.fixture(scope="module")
def means(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("means")
    aggregate({"conv 4": [sweep / "seed0", sweep / "seed1"]}, folder)
    return folder


@pytest.fixture(scope="module")
def address(sweep: Path, means: Path) -> Iterator[str]:
    """Of a TensorBoard that has read the sweep and its means."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        f"--logdir_spec=sweep:{sweep},means:{means}",
        "--port",
        str(port),
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(20)


def seen(browser: Any, address: str, expected: str, pictures: int = 0) -> str:
    """The text of a tab once it matches and so many pictures are there; after a minute, whatever is there."""
    browser.look(1400, 1000)
    browser.open(address)
    browser.driver.refresh()
    deadline = time.monotonic() + 60
    text, loaded = "", 0
    while time.monotonic() < deadline:
        text, loaded = browser.run(WORDS)
        if re.search(expected, text) and loaded >= pictures:
            return text
        time.sleep(0.3)
    raise AssertionError(f"{address}: {loaded} pictures, no {expected!r} in: {text[:2000]}")


TICKED = """
let ticked = 0, boxes = 0;
function walk(node) {
  if (node.shadowRoot) walk(node.shadowRoot);
  if (node.nodeName === 'INPUT' && node.type === 'checkbox' && node.closest('runs-data-table')) {
    boxes += 1;
    ticked += node.checked;
  }
  for (const child of node.childNodes) walk(child);
}
walk(document.body);
return [ticked, boxes];
"""
"""How many boxes in the list of runs are ticked, and how many there are."""


def test_every_run_is_one_entry_ticked_with_its_curves(browser: Any, address: str) -> None:
    text = seen(browser, address + "#timeseries", r"accuracy /step(?s:.*)accuracy /test(?s:.*)accuracy /train")
    for name in ("sweep/seed0/tensorboard", "means/conv 4, 2 seeds/mean"):
        assert name in text
    assert not re.search(r"tensorboard/(train|test|val)", text)
    # The runs, three curves of their mean, and the box that ticks all.
    assert browser.run(TICKED) == [RUNS + 4, RUNS + 4]


def test_distributions_and_histograms_show_weights_biases_and_gradients(browser: Any, address: str) -> None:
    for tab in ("distributions", "histograms"):
        text = seen(browser, f"{address}#{tab}", "biases/conv1")
        assert "weights" in text
        assert "gradients" in text


def test_pictures_are_loaded(browser: Any, address: str) -> None:
    text = seen(browser, address + "#images", "augmented_samples", pictures=2)
    assert "confusion_matrix" in text


def test_the_graph_is_drawn(browser: Any, address: str) -> None:
    seen(browser, address + "#graphs", r"dense1.*conv1|conv1.*dense1")


def test_the_text_page_shows_the_config(browser: Any, address: str) -> None:
    seen(browser, address + "#text", r"batch_size: 32")


def test_a_run_is_one_row_of_hparams_with_its_numbers(browser: Any, address: str) -> None:
    text = seen(browser, address + "#hparams", r"Trial ID.*seed0.*seed1.*accuracy/test")
    table = text[text.index("Trial ID") :]
    assert len(re.findall(r"\bseed\d+/", table)) == RUNS
    heading = table[: table.index("seed0")]
    fields = ("clip_norm", "model.activation", "optimizer.lr", "seed")
    assert all(re.search(rf"(?<!\S){re.escape(name)}(?!\S)", heading) for name in (*fields, "accuracy/test"))
    first = sorted(heading.index(f" {name} ") for name in fields)
    assert not re.search(r"batch_size|epochs", heading[: first[-1]]), "those that differ stand in front"
    for value in ("0.010000", "0.020000", "tanh", "relu", "null"):
        assert value in table


LINES = """
let lines = 0;
function walk(node) {
  if (node.shadowRoot) walk(node.shadowRoot);
  if (node.nodeName.toLowerCase() === 'path' && node.closest('g.foreground') && node.getAttribute('d')) lines += 1;
  if (arguments_[0] && node.nodeType === 1 && /^paper-tab$/i.test(node.nodeName)
      && /parallel/i.test(node.textContent)) node.click();
  for (const child of node.childNodes) walk(child);
}
const arguments_ = arguments;
walk(document.body);
return lines;
"""
"""Chooses the view (if told to) and counts the lines in it."""


def test_every_run_is_a_line_of_the_parallel_coordinates(browser: Any, address: str) -> None:
    seen(browser, address + "#hparams", r"Trial ID.*seed0.*seed1")
    browser.run(LINES, True)
    deadline = time.monotonic() + 30
    while browser.run(LINES, False) != RUNS and time.monotonic() < deadline:
        time.sleep(0.3)
    assert browser.run(LINES, False) == RUNS
