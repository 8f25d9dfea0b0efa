"""A real Grid Engine of one host in a temporary folder, with its own ports, for this session's tests."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import daemon, wait_for

PROGRAMS = Path("/usr/lib/gridengine")
SHARED = Path("/usr/share/gridengine")
BOOTSTRAP = """\
admin_user              none
default_domain          none
ignore_fqdn             true
spooling_method         classic
spooling_lib            libspoolc
spooling_params         {folder}/root/default/common;{folder}/spool
binary_path             /usr/sbin
qmaster_spool_dir       {folder}/master
security_mode           none
listener_threads        1
worker_threads          2
scheduler_threads       1
jvm_threads             0
"""
QUEUE = {"qname": "main", "hostlist": "{host}", "load_thresholds": "NONE", "slots": "4", "notify": "00:00:05"}
SCHEDULER = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}


class Cell:
    """The running Grid Engine; its commands find it by `SGE_ROOT`."""

    def run(self, *command: str, **options: object) -> str:
        """Standard output of one of its commands."""
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload]
        return str(done.stdout)

    def states(self) -> dict[str, str]:
        """State (`qw`, `r`, `Eqw` …) of every job that waits or runs, by id and task (`3.1`)."""
        rows = [line.split() for line in self.run("qstat", "-g", "d").splitlines()[2:]]
        return {f"{row[0]}.{row[-1]}": row[4] for row in rows}

    def wait_until_idle(self, timeout: float = 300) -> None:
        """Return when no job waits or runs; fail if one can't be started."""

        def idle() -> bool:
            states = self.states()
            assert not [job for job, state in states.items() if "E" in state], self.run("qstat", "-j", "*")
            return not states

        wait_for(idle, timeout)


@pytest.fixture(scope="session")
def cell() -> Iterator[Cell]:
    """The Grid Engine, started once a session; variables name it for everything started meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="sge-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        environment = pytest.MonkeyPatch()
        stack.callback(environment.undo)
        master, node = _free_ports(2)
        for name, value in (
            ("SGE_ROOT", folder / "root"),
            ("SGE_CELL", "default"),
            ("SGE_QMASTER_PORT", master),
            ("SGE_EXECD_PORT", node),
            ("SGE_ND", 1),  # daemons stay in the foreground
        ):
            environment.setenv(name, str(value))
        host = socket.gethostname()
        _write_cell(folder, host)
        _start(folder, host, stack)
        made = Cell()
        stack.callback(_end_jobs, made)
        yield made


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _write_cell(folder: Path, host: str) -> None:
    common = folder / "root" / "default" / "common"
    for path in (common, folder / "master" / "job_scripts", folder / "spool", folder / "execd"):
        path.mkdir(parents=True)
    folder.chmod(0o755)
    for name in ("bin", "lib", "util", "utilbin"):
        (folder / "root" / name).symlink_to(f"/var/lib/gridengine/{name}")
    (common / "act_qmaster").write_text(f"{host}\n")
    # The host's address may be 127.0.0.1, which is everybody's: a name for both.
    (common / "host_aliases").write_text(f"{host} localhost\n")
    (common / "bootstrap").write_text(BOOTSTRAP.format(folder=folder))
    text = (SHARED / "default-configuration").read_text()
    changes = {"execd_spool_dir": str(folder / "execd"), "min_uid": "0", "min_gid": "0", "mailer": "/bin/true"}
    changes |= {"load_report_time": "00:00:01"}  # or what goes back into the queue waits for the next report
    configuration = folder / "configuration"
    configuration.write_text(_changed(text, changes))
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    for program, *arguments in (
        ("spoolinit", "classic", "libspoolc", f"{common};{folder / 'spool'}", "init"),
        ("spooldefaults", "configuration", str(configuration)),
        ("spooldefaults", "complexes", str(SHARED / "util" / "resources" / "centry")),
        ("spooldefaults", "usersets", str(SHARED / "util" / "resources" / "usersets")),
        ("spooldefaults", "managers", user),
    ):
        subprocess.run([PROGRAMS / program, *arguments], check=True, capture_output=True)


def _changed(text: str, values: dict[str, str]) -> str:
    """A file of Grid Engine's (a name and a value a line) with other values."""
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return "".join(f"{name} {values.get(name, value)}\n" for name, value in lines)


def _start(folder: Path, host: str, stack: contextlib.ExitStack) -> None:
    daemon(["sge_qmaster"], folder, stack, own_session=True)
    wait_for(lambda: _answers("qconf", "-sh"), 30)
    _answers("qconf", "-as", host)
    _configure(folder / "scheduler", "-ssconf", SCHEDULER, "-Msconf")
    daemon(["sge_execd"], folder, stack, own_session=True)
    wait_for(lambda: _answers("qconf", "-se", host), 30)
    _configure(folder / "queue", "-sq", {name: value.format(host=host) for name, value in QUEUE.items()}, "-Aq")


def _answers(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def _configure(file: Path, show: str, values: dict[str, str], take: str) -> None:
    shown = subprocess.run(["qconf", show], capture_output=True, text=True, check=True, timeout=60).stdout
    file.write_text(_changed(shown, {**values, "pe_list": "NONE"}))
    subprocess.run(["qconf", take, str(file)], capture_output=True, check=True, timeout=60)


def _end_jobs(cell: Cell) -> None:
    subprocess.run(["qdel", "-u", "*"], check=False, capture_output=True, timeout=60)
    with contextlib.suppress(AssertionError):
        wait_for(lambda: not cell.states(), 20)
