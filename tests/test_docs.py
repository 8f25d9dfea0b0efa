"""What the documents say is so: commands run, links resolve, the reference is that of the code.

A ```console block is run: each line after `$ `, in a folder of its own that has the examples and the files that
earlier ```yaml, ```python and ```markdown blocks of the page begin with the names of. Runs are shortened, run on
synthetic data, and folders named after times and hashes stand for the latest of their kind. What is printed below a
command must have the words, if not the numbers, of its output; a command whose printed output begins with
`dlrun: ` must fail with just these words. Of commands in ```text blocks and in sentences verb, options, groups and
fields are looked up.
"""

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlrun.config import schema as config
from dlrun.config.compose import configs_dir, options
from dlrun.data.catalogue import ENTRIES
from dlrun.lab.settings import DaskSettings
from dlrun.slurm.settings import SlurmSettings
from dlrun.verbs import VERBS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs/llms.txt",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
FILES = {name for name, entry in ENTRIES.items() if entry.mirrors or entry.page}
SHORT = {"epochs": "1", "limit": "256", "tensorboard": "off", "data": "synthetic", "validation": None}

# What a page prints and a shortened run does not.
NOT_SHORT = FILES | {"tensorboard", "logdir", "min", "reproduced", "i", "better", "page", "html"}  # "i" of is
NOT_SHORT |= {"tied", "below"}  # by how far seeds happen to lie apart


@dataclasses.dataclass
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(page, text[: found.start()].count("\n") + 1, found[1], found[2])


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Every command with the output that is printed below it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


# --- running a page ---------------------------------------------------------------------------------------


def shortened(words: list[str]) -> list[str]:
    """A dlrun command as the test runs it: short, and on synthetic data."""
    verb = words[1] if words[1:] and words[1] in VERBS else ""
    if verb == "resume":
        return [re.sub(r"^epochs=.*", "epochs=2", word) for word in words]
    if verb in ("reproduce", "plan") or not (verb or "--version" in words or "--help" in words):
        return _short_run(words)
    return words


def _short_run(words: list[str]) -> list[str]:
    if "--quick" in words:
        words.remove("--quick")
    own = {word.partition("=")[2] for word in words if word.startswith("data=")} - FILES
    kept = [word for word in words if word.partition("=")[0] not in SHORT]
    # What differs in what is shortened stays two experiments: a sweep takes the runs of another one.
    removed = " ".join(sorted(word for word in words if word.partition("=")[0] in ("epochs", "limit")))
    limit = 4 * (64 + zlib.crc32(removed.encode()) % 25)  # leaves no batch of one
    short = SHORT | {"limit": str(limit)} | ({"data": own.pop()} if own else {})
    if any(word.startswith("validation=") for word in words):
        short["validation"] = "0.2"
    experiments = [word.partition("=")[2] for word in words if word.startswith("experiment=")]
    if any(not (configs_dir() / "experiment" / f"{name}.yaml").exists() for name in experiments):
        del short["data"]  # the page's own, which brings its data along
    return [*kept, *(f"{key}={value}" for key, value in short.items() if value)]


def existing(word: str, folder: Path) -> str:
    """A word of a command; the folder of a run becomes that of the latest run."""
    if re.match(r"outputs/\d{4}-\d\d-\d\d/", word):
        runs = [path.parent for path in folder.glob("outputs/2*/*/result.json")]
        return str(max(runs, key=lambda run: run.stat().st_mtime).relative_to(folder)) + word[27:]
    return word


def run_page(page: Path, folder: Path) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples")
    start = folder / page.parent.relative_to(ROOT) if ROOT / "examples" in page.parents else folder
    for block in blocks(page):
        here = start
        if block.language == "console":
            for command, output in commands(block):
                words = shlex.split(command)
                if words[0] == "cd":
                    here = here / words[1]
                else:
                    run_command(words, output, here, f"{page.name}:{block.line}: {command}")
        elif block.language in ("yaml", "python", "markdown"):
            write_file(block, folder)


def write_file(block: Block, folder: Path) -> None:
    named = re.match(r"# (\S+\.(?:yaml|py|md))\n", block.text)
    assert named, f"{block.page.name}:{block.line}: the first line does not name the file"
    path = folder / named[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    # The comment that @package asks for must come first.
    content = block.text.removeprefix(named[0])
    path.write_text(re.sub(r"data: (fashion_)?mnist\b", "data: synthetic", content), encoding="utf-8")


def run_command(words: list[str], output: str, here: Path, where: str) -> None:
    words = [existing(word, here) for word in words]
    if words[0] == "dlrun":
        words = [sys.executable, "-m", *shortened(words)]
    elif words[0] == "python":
        words = [sys.executable, *words[1:]]
    if needs_files(words):
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    done = subprocess.run(words, cwd=here, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if output.startswith("dlrun: "):
        assert done.returncode == 2, where
        assert done.stderr == output.rstrip() + "\n", where
    else:
        assert done.returncode == 0, f"{where}\n{shlex.join(words)}\n{done.stdout}{done.stderr}"
        if "fetch" not in words:  # which tells where the files came from, here or there
            assert vocabulary(output) - vocabulary(done.stdout + done.stderr) - NOT_SHORT == set(), where


def vocabulary(text: str) -> set[str]:
    """The words of an output, without the s of a plural; paths and hashes are none."""
    return {word.rstrip("s") for word in re.findall(r"(?<![\w/])[A-Za-z]{2,}(?![\w/])", text)}


def needs_files(words: list[str]) -> bool:
    """Whether the command wants a real data set and there is none."""
    return "data" in words[:4] and not FILES.isdisjoint(words) and not os.environ.get("DLRUN_DATA")


@pytest.mark.slow
def test_readme_runs(tmp_path: Path) -> None:
    run_page(ROOT / "README.md", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES[1:] if "```console" in page.read_text()], ids=lambda page: page.stem
)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


# --- commands that are only shown ---------------------------------------------------------------------------


def shown(page: Path) -> Iterator[str]:
    """Commands of dlrun in ```text blocks and between backticks."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        if block.language == "text":
            yield from re.findall(r"^dlrun .*", block.text, re.MULTILINE)
    for found in re.finditer(r"`(dlrun [^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)):
        yield found[1]


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "reference"], ids=lambda page: page.stem)
def test_commands_that_are_only_shown_are_right(page: Path) -> None:
    reference = (ROOT / "docs/reference.md").read_text("utf-8")
    for command in shown(page):
        words = shlex.split(command, comments=True)[1:]
        verb = words.pop(0) if words and re.fullmatch("[a-z]+", words[0]) else ""
        assert verb in (*VERBS, ""), command
        section = reference.partition(f"### dlrun {verb}\n")[2].partition("\n### ")[0]
        for word in words:
            key, equals, value = word.partition("=")
            if word.startswith("--") and verb:
                assert f"`{word} " in section or f"`{word}`" in section, command
            elif equals and key not in own_words(section):
                assert_known(key, value, command)


def own_words(section: str) -> list[str]:
    """What a verb takes as KEY=VALUE, as its part of the reference lists it: `split` is no field of a config."""
    listed = re.search(r"^\| `FIELD=VALUE …` \| (.+) \|$", section, re.MULTILINE)
    return listed[1].split(", ") if listed else []


def assert_known(key: str, value: str, command: str) -> None:
    if (configs_dir() / key).is_dir():
        assert set(re.findall(r"\w+", value)) <= {*options(key), "mine"}, command
    elif not key.startswith("hydra."):
        assert key in {prefix + name for name, prefix in every_field()}, command


# --- links ------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:docs|scripts|configs|src|tests|benchmarks|examples)/[\w./-]+)`", page.read_text("utf-8"))
    missing = [name for name in named if not (ROOT / name).exists() and not (page.parent / name).exists()]
    assert [name for name in missing if not re.search(r"NAME|/mine\.|configs/$|docs/results/$", name)] == []


@pytest.mark.parametrize(
    "results",
    sorted((ROOT / "benchmarks" / "results").glob("*/*.md")),
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_the_tables_of_the_performance_page_are_those_of_the_benchmarks(results: Path) -> None:
    page = (ROOT / "docs" / "performance.md").read_text("utf-8").splitlines()
    rows = [line for line in results.read_text("utf-8").splitlines() if line.startswith("|")]
    assert rows
    assert [line for line in rows if line not in page] == []


# --- reference --------------------------------------------------------------------------------------------


def test_reference_is_up_to_date() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts/reference"], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert made.stdout == (ROOT / "docs/reference.md").read_text("utf-8"), "run: scripts/reference > docs/reference.md"


def test_everything_is_in_the_reference() -> None:
    text = (ROOT / "docs/reference.md").read_text("utf-8")
    assert [verb for verb in VERBS if f"### dlrun {verb}\n" not in text] == []
    shipped = [path.stem for group in config.GROUPS for path in (configs_dir() / group).glob("*.yaml")]
    assert [name for name in shipped if f"| `{name}` | " not in text or f"| `{name}` |  |" in text] == []
    assert [name for name, prefix in every_field() if f"| `{prefix}{name}` | " not in text] == []
    assert not re.search(r"^\| `[^|]+` \|  \|$", text, re.MULTILINE), "something has no meaning beside it"


def every_field() -> Iterator[tuple[str, str]]:
    """Every field that can be typed, with the prefix it is typed with."""
    specs = [("", config.Config), ("checkpoint.", config.Checkpoint), ("sweep.", config.Sweep)]
    specs += [("data.", spec) for spec in config.DATA.values()] + [("model.", config.Layers)]
    specs += [("optimizer.", spec) for spec in config.OPTIMIZERS.values()]
    specs += [("scheduler.", spec) for spec in config.SCHEDULERS.values()]
    specs += [("augment.", config.Augment), ("hydra.launcher.", SlurmSettings), ("hydra.launcher.", DaskSettings)]
    for prefix, spec in specs:
        for name, item in config.fields_of(spec).items():
            chosen = name == "name" and prefix not in ("", "sweep.")
            if "help" in item.metadata and not chosen and name not in ("choices", "named"):
                assert item.metadata["help"], name
                yield name, prefix


def test_variables_of_the_environment_are_in_the_reference() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py")]
    named = {name for text in sources for name in re.findall(r"environ[^\n]*?\"(DLRUN_\w+)\"", text)}
    assert {"DLRUN_DATA", "DLRUN_OFFLINE"} <= named
    text = (ROOT / "docs/reference.md").read_text("utf-8")
    assert [name for name in named if f"`{name}`" not in text] == []


def test_files_of_a_run_are_in_the_reference(tmp_path: Path) -> None:
    words = [
        "model=cnn_1layer",
        "data=synthetic",
        "epochs=2",
        "limit=64",
        "profile=true",
        "checkpoint.keep_every=1",
        f"hydra.run.dir={tmp_path}/run",
    ]
    (tmp_path / "new.txt").write_text("staged, not committed\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"], ["add", "new.txt"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    subprocess.run([sys.executable, "-m", "dlrun", *words], cwd=tmp_path, check=True, capture_output=True)
    text = (ROOT / "docs/reference.md").read_text("utf-8")
    table = text[text.index("### Its files") : text.index("### history.csv")]
    named = set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE))
    top = {path.name + "/" if path.is_dir() else path.name for path in (tmp_path / "run").iterdir()}
    checkpoints = {re.sub(r"\d+", "N", path.name) for path in (tmp_path / "run/checkpoints").iterdir()}
    found = (top - {"checkpoints/"}) | {f"checkpoints/{name}" for name in checkpoints}
    assert found == named
