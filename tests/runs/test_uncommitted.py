"""What no commit has is kept with a run: changes, one's own modules; and no program that a repository names is run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import said

from dlrun import git
from dlrun.runs.uncommitted import kept

RUN = ("data=synthetic", "data.train_images=64", "data.test_images=32", "epochs=1", "threads=1", "device=cpu")
QUICK = (*RUN, "tensorboard=off")
NETWORK = """
from torch import nn

from {helper} import WIDTH


class Net(nn.Sequential):
    def __init__(self, num_classes, in_channels, image_size):
        super().__init__(nn.Flatten(), nn.Linear(in_channels * image_size**2, WIDTH), nn.Linear(WIDTH, num_classes))
"""


def in_git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose subfolder `work` is the working directory; `notes.txt` is committed, `run*` is ignored."""
    folder = tmp_path / "project"
    (folder / "work").mkdir(parents=True)
    (folder / "notes.txt").write_text("one\n")
    (folder / ".gitignore").write_text("run*/\n*.hidden\noutputs/\n__pycache__/\n")
    in_git(folder, "init", "-q")
    in_git(folder, "add", "-A")
    in_git(folder, "commit", "-qm", "first")
    monkeypatch.chdir(folder / "work")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder


def test_a_commit_alone_leaves_nothing_beside_it(project: Path) -> None:
    assert said("hydra.run.dir=run", *QUICK)[0] == 0
    assert kept(Path("run")) == []
    assert result_of(Path("run"))["git"] == {"commit": in_git(project, "rev-parse", "HEAD").strip(), "dirty": False}


def test_a_run_keeps_what_git_apply_makes_its_code_of(project: Path, tmp_path: Path) -> None:
    """Changed, staged and deleted files, and modules of one's own that nobody has added, with what they import."""
    own = project / "work" / "mine_uncommitted.py"
    own.write_text(NETWORK.format(helper="its_helper_uncommitted"))
    (project / "work" / "its_helper_uncommitted.py").write_text("WIDTH = 5  # no newline at the end")
    (project / "work" / "unrelated.py").write_text("not loaded, not kept\n")
    (project / "notes.txt").write_text("two\n")
    (project / "staged.txt").write_text("three\n")
    in_git(project, "add", "staged.txt")
    status, text = said("hydra.run.dir=run", *QUICK, "~model", "+model._target_=mine_uncommitted.Net")
    assert status == 0, text
    assert result_of(Path("run"))["git"]["dirty"] is True
    copy = tmp_path / "copy"
    in_git(tmp_path, "clone", "-q", str(project), str(copy))
    in_git(copy, "apply", str(project / "work" / "run" / "uncommitted.diff"))
    assert (copy / "notes.txt").read_text() == "two\n"
    assert (copy / "staged.txt").read_text() == "three\n"
    for name in ("mine_uncommitted.py", "its_helper_uncommitted.py"):
        assert (copy / "work" / name).read_bytes() == (project / "work" / name).read_bytes()
    assert not (copy / "work" / "unrelated.py").exists()
    assert "uncommitted.diff" in said("show", "run")[1]


def test_without_a_repository_ones_own_modules_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "alone_uncommitted.py").write_text(NETWORK.format(helper="alone_helper"))
    (tmp_path / "alone_helper.py").write_text("WIDTH = 5\n" + "# long\n" * 60_000)
    status, text = said("hydra.run.dir=run", *QUICK, "~model", "+model._target_=alone_uncommitted.Net")
    assert status == 0, text
    diff = (tmp_path / "run" / "uncommitted.diff").read_text()
    assert diff.startswith(
        "# from epoch 1 on\n# not in any commit\ndiff --git a/alone_helper.py b/alone_helper.py\nnew file mode 100644\n"
    )
    assert diff.endswith("+# long\n# cut here: dlrun keeps 262,144 bytes of it\n")
    assert len(diff) < git.LIMIT + 200
    assert result_of(tmp_path / "run")["git"] is None


def test_what_a_run_goes_on_with_is_kept_beside_what_it_began_with(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = project / "notes.txt"
    for epochs, text in ((1, "first\n"), (2, "first\n"), (3, "third\n"), (4, "one\n")):
        notes.write_text(text)
        words = ["hydra.run.dir=run", *QUICK] if epochs == 1 else ["resume", "run", f"epochs={epochs}"]
        status, printed = said(*words)
        assert status == 0, printed
    names = [path.name for path in kept(Path("run"))]
    assert names == ["uncommitted.diff", "uncommitted-2.diff", "uncommitted-3.diff"]
    texts = [path.read_text() for path in kept(Path("run"))]
    assert ["+first" in text for text in texts] == [True, False, False]
    assert [text.splitlines()[0] for text in texts[:2]] == ["# from epoch 1 on", "# from epoch 3 on"]
    assert texts[2] == "# from epoch 4 on: nothing but the commit\n"
    assert result_of(Path("run"))["git"]["dirty"] is False
    monkeypatch.setenv("PATH", str(tmp_path / "without-git"))
    assert said("resume", "run", "epochs=5")[0] == 0
    assert len(kept(Path("run"))) == 3  # where there is no git, nothing is known


def test_no_program_that_the_repository_names_is_run(project: Path, tmp_path: Path) -> None:
    """Hooks, a file system monitor, external diffs, textconv, filters, a pager: each would leave a file."""
    traces = tmp_path / "traces"
    traces.mkdir()

    def tracing(name: str) -> str:
        program = tmp_path / f"{name}.sh"
        program.write_text(f"#!/bin/sh\ntouch {traces}/{name}\ncat 2>/dev/null\n")
        program.chmod(0o755)
        return str(program)

    (project / ".gitattributes").write_text("*.odd diff=odd filter=odd\n*.process filter=process\n")
    for name in ("a.odd", "b.process"):
        (project / name).write_text("before\n")
    in_git(project, "add", "-A")
    in_git(project, "commit", "-qm", "second")
    settings = {
        "core.fsmonitor": "fsmonitor",
        "core.pager": "pager",
        "pager.diff": "pager_diff",
        "diff.external": "external",
        "diff.odd.command": "command",
        "diff.odd.textconv": "textconv",
        "filter.odd.clean": "clean",
        "filter.process.process": "process",
        "core.alternateRefsCommand": "alternate",
    }
    for key, name in settings.items():
        in_git(project, "config", key, tracing(name))
    in_git(project, "config", "filter.process.required", "true")
    in_git(project, "config", "color.ui", "always")
    hook = project / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(Path(tracing("hook")).read_text())
    hook.chmod(0o755)
    for name in ("a.odd", "b.process", "notes.txt"):
        (project / name).write_text("after\n")
    index = project / ".git" / "index"
    before = (index.stat().st_ino, index.stat().st_mtime_ns)
    assert said("hydra.run.dir=run", *QUICK)[0] == 0
    assert list(traces.iterdir()) == []
    assert (index.stat().st_ino, index.stat().st_mtime_ns) == before
    assert Path("run/uncommitted.diff").read_text().count("\n+after\n") == 3
    for words in (
        ("status",),
        ("diff", "HEAD"),
        ("diff", "HEAD", "--", "notes.txt"),
    ):  # git itself runs them: the traps are real
        subprocess.run(["git", *words], cwd=project, capture_output=True, check=False)
    assert {path.name for path in traces.iterdir()} >= {"fsmonitor", "external", "clean", "process", "hook"}


@pytest.mark.parametrize("program", ["exec sleep 60", "exit 3", "kill -9 $$", "yes x", None])
def test_a_git_that_fails_or_hangs_costs_the_run_nothing(
    program: str | None, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for the commit; whatever it does with the diff, that the state is not known is said."""
    real = in_git(project, "--exec-path").strip() + "/git"
    monkeypatch.setattr(git, "PATIENCE", 0.5)
    folder = tmp_path / "bin"
    folder.mkdir()
    if program is not None:
        (folder / "git").write_text(f'#!/bin/sh\ncase "$*" in *" diff "*) {program};; esac\nexec {real} "$@"\n')
        (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder) + (os.pathsep + os.environ["PATH"] if program else ""))
    assert said("hydra.run.dir=run", *QUICK)[0] == 0
    found, files = result_of(Path("run"))["git"], kept(Path("run"))
    if program is None:
        assert (found, files) == (None, [])
        return
    assert found["dirty"] is True
    text = files[0].read_text()
    assert text.startswith(f"# from epoch 1 on\n# not in commit {found['commit']}\n")
    assert text.endswith(
        "# cut here: dlrun keeps 262,144 bytes of it\n" if program == "yes x" else "# git gave no diff\n"
    )


def test_a_folder_that_cannot_be_written_to_is_no_reason_to_fail(project: Path) -> None:
    (project / "notes.txt").write_text("two\n")
    Path("run/uncommitted.diff/in-its-place").mkdir(parents=True)
    assert said("hydra.run.dir=run", *QUICK)[0] == 0
    assert "uncommitted changes can't be kept" in Path("run/run.log").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every run is a process of its own, and asks by itself")
def test_a_sweep_asks_git_once_but_tells_what_each_run_loaded(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dlrun: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    own = project / "work" / "swept_uncommitted.py"
    own.write_text(NETWORK.format(helper="swept_helper"))
    (project / "work" / "swept_helper.py").write_text("WIDTH = 5\n")
    in_git(project, "add", "work")
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    real = in_git(project, "--exec-path").strip() + "/git"
    (folder / "git").write_text(f'#!/bin/sh\ncase "$*" in *" diff "*) echo asked >> {calls};; esac\nexec {real} "$@"\n')
    (folder / "git").chmod(0o755)
    words = ("-m", *QUICK, "~model", "+model._target_=swept_uncommitted.Net", "seed=0,1", "sweep.name=s")
    done = dlrun(*words, "sweep.slots=1", cwd=project / "work", PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    diffs = [path.read_text() for path in (project / "work" / "outputs").rglob("uncommitted.diff")]
    assert len(diffs) == 2
    assert all("+class Net(nn.Sequential):" in text and "+WIDTH = 5" in text for text in diffs)
    assert calls.read_text() == "asked\n"


def test_an_answer_is_not_older_than_the_code_that_was_loaded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = project / "notes.txt"
    monkeypatch.setattr(git, "_remembered", None)
    git.remember()
    first = git.changes([])
    notes.write_text("two\n")
    assert git.changes([]) is first
    os.utime(notes, (2e9, 2e9))
    later = git.changes([notes])
    assert first is not None
    assert later is not None
    assert (first.dirty, later.dirty) == (False, True)
    monkeypatch.chdir(project)
    found = git.changes([])
    assert found is not None
    assert found.dirty
