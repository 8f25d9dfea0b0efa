"""A real Slurm cluster of one node, or two, in a temporary folder, with its own munge and ports, for this session."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import daemon, wait_for

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,sched_interval=2
KillWait=10
GresTypes=gpu
EnforcePartLimits=ALL
MaxArraySize=9
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
PartitionName=short Nodes=ALL MaxTime=30
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=16000 Gres=gpu:2"


class Cluster:
    """The running cluster; its commands find it by `SLURM_CONF`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pending_since: dict[str, float] = {}

    def run(self, *command: str) -> str:
        """Standard output of one of Slurm's commands."""
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def states(self) -> dict[str, str]:
        """State of every job that is waiting or running, by its id (`12_3` in an array)."""
        lines = self.run("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return {name: state for name, _, state in (line.partition(" ") for line in lines)}

    def start_requeued_now(self) -> None:
        """Slurm makes a requeued job wait for two minutes; a few seconds do for its old processes to end.

        Their end would be taken for that of the new turn if this came at once.
        """
        pending = [job for job, state in self.states().items() if state == "PENDING"]
        now = time.monotonic()
        self.pending_since = {job: self.pending_since.get(job, now) for job in pending}
        for job in pending:
            if now - self.pending_since[job] > 4:
                command = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
                subprocess.run(command, capture_output=True, check=False)

    def wait_until_idle(self, timeout: float = 120) -> None:
        """Return when no job waits or runs."""

        def idle() -> bool:
            self.start_requeued_now()
            return not self.states()

        wait_for(idle, timeout)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster, started once a session; `SLURM_CONF` names it for everything started meanwhile."""
    with _cluster([socket.gethostname()]) as made:
        yield made


@pytest.fixture
def two_nodes() -> Iterator[Cluster]:
    """A cluster of two nodes, both on this machine, in the place of the one of the session."""
    with _cluster(["node1", "node2"]) as made:
        yield made


@contextlib.contextmanager
def _cluster(names: list[str]) -> Iterator[Cluster]:
    # Not below pytest's folder: a socket's path may have 108 bytes only.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _write_conf(folder, names)
        environment = pytest.MonkeyPatch()
        stack.callback(environment.undo)
        environment.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        _start(folder, names, stack)
        made = Cluster(folder)
        stack.callback(_end_jobs, made)
        yield made


def _write_conf(folder: Path, names: list[str]) -> None:
    for name in ("munge", "state", *(f"spool-{name}" for name in names)):
        (folder / name).mkdir(mode=0o700)
    folder.chmod(0o755)
    (folder / "munge" / "key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge" / "key").chmod(0o600)
    controller_port, *ports = _free_ports(1 + len(names))
    host = socket.gethostname()
    nodes = "\n".join(NODE.format(name=name, host=host, port=port) for name, port in zip(names, ports, strict=True))
    text = CONF.format(folder=folder, host=host, user=_user(), controller_port=controller_port, nodes=nodes)
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _start(folder: Path, names: list[str], stack: contextlib.ExitStack) -> None:
    munge = folder / "munge"
    munged = ["munged", "--foreground", "--force", f"--socket={munge}/socket", f"--key-file={munge}/key"]
    munged += [f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"]
    daemon(munged, folder, stack)
    wait_for((munge / "socket").exists, 10)
    daemon(["slurmctld", "-D"], folder, stack)
    for name in names:
        daemon(["slurmd", "-D", "-N", name], folder, stack)

    def ready() -> bool:
        command = ["sinfo", "--noheader", "--Node", "--partition=main", "--format=%T"]
        seen = subprocess.run(command, capture_output=True, text=True, check=False)
        return seen.stdout.split() == ["idle"] * len(names)

    wait_for(ready, 30)


def _end_jobs(cluster: Cluster) -> None:
    subprocess.run(["scancel", f"--user={_user()}"], check=False)
    with contextlib.suppress(AssertionError):
        wait_for(lambda: not cluster.states(), 20)
