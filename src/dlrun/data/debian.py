"""Fashion-MNIST from Debian's or Ubuntu's package archive, without root: apt with folders of its own."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.progress import Progress, TaskID

from dlrun.data.places import DEBIAN
from dlrun.errors import DataError

PACKAGES = {"fashion_mnist": "dataset-fashion-mnist"}
"""By data set; where they install it is in `places.DEBIAN`."""

TIMEOUT = 600
"""Seconds for one command."""


def available() -> bool:
    """Whether this system has the tools."""
    return all(shutil.which(tool) for tool in ("apt-get", "dpkg-deb"))


@contextlib.contextmanager
def unpacked(name: str, bars: Progress) -> Iterator[Path]:
    """The folder of the files of a data set out of its package, for as long as the context lasts.

    Raises:
        DataError: apt or dpkg failed; the message holds the last line of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="dlrun-apt-") as space:
        folder = Path(space)
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        # Package lists of its own: the system's may be missing or old, and only root may update those.
        apt = ["apt-get", "-q", "-o", f"Dir::State::Lists={space}/lists", "-o", f"Dir::Cache={space}/cache"]
        package = PACKAGES[name]
        task = bars.add_task(f"package {package}", total=None)
        _call([*apt, "update"], folder, bars, task)
        _call([*apt, "download", package], folder, bars, task)
        _call(["dpkg-deb", "-x", *(path.name for path in folder.glob("*.deb")), "root"], folder, bars, task)
        yield folder / "root" / DEBIAN[name].relative_to("/")


def _call(command: list[str], folder: Path, bars: Progress, task: TaskID) -> None:
    """Run a command in `folder`; the bar shows how much lies there by now."""
    said = folder / "said.txt"
    with said.open("wb") as output:
        try:
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise DataError(f"{command[0]}: {error}") from error
        with process:
            _await(process, folder, bars, task)
    if process.returncode:
        lines = said.read_text(errors="replace").strip().splitlines()
        raise DataError(f"{command[0]}: {lines[-1] if lines else f'exit status {process.returncode}'}")


def _await(process: subprocess.Popen[bytes], folder: Path, bars: Progress, task: TaskID) -> None:
    started = time.monotonic()
    try:
        while process.poll() is None:
            if time.monotonic() - started > TIMEOUT:
                raise DataError(f"no end after {TIMEOUT} seconds")
            bars.update(task, completed=_bytes_in(folder))
            time.sleep(0.1)
    finally:
        process.kill()


def _bytes_in(folder: Path) -> int:
    # apt renames and removes files meanwhile.
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return 0
