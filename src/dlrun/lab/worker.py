"""What a worker of Dask is asked to do. It gets and gives lines of JSON: nothing of dlrun's is ever pickled."""

import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlrun.environment import versions
from dlrun.errors import RunFailed, first_line
from dlrun.linux import bound_spinning
from dlrun.locks import is_locked
from dlrun.sweeps.child import Task
from dlrun.sweeps.fingerprints import Fingerprints
from dlrun.sweeps.processes import KILL, make_processes

LOOK_SECONDS = 1.0
"""Time between two looks at whether the sweep is still there."""
SAVE_SECONDS = 30.0
"""What a job gets for saving when its sweep is gone, before it is killed."""
CARRIED = ("DLRUN_DATA",)
"""Environment variables that workers take over from the sweep where they have none of their own."""

_busy = threading.Lock()
"""Held while a job runs here: one at a time, of whatever sweep."""
_stops: dict[str, list[int]] = {}
"""The signals that each job is to get, by its name."""
_kept: "dict[str, _Kept]" = {}
"""The processes of the sweep that was here last, by its marker; those of one at most."""


@dataclass(frozen=True)
class Order:
    """One job for a worker."""

    name: str
    terms: dict[str, Any]
    """What `unfit_for` asks for."""
    task: dict[str, Any]
    """The fields of `dlrun.sweeps.child.Task`."""
    fingerprint: str | None
    """Of the data, where the sweep was started; None if they can't be read there."""


def terms(marker: Path, token: str) -> dict[str, Any]:
    """What must hold on a worker, plain values.

    Args:
        marker: A file in the sweep's folder, locked for as long as the sweep runs.
        token: What stands in it.
    """
    carried = {name: os.environ[name] for name in CARRIED if name in os.environ}
    return {
        "installed": installed(),
        "marker": str(as_called(marker)),
        "token": token,
        "folder": str(as_called(Path())),
        "environment": carried,
    }


def as_called(path: Path) -> Path:
    """An absolute path by the name that the shell has for the working directory.

    Where a home is a link on the machine that has the disk, its target is not there on the others.
    """
    called = Path(os.environ.get("PWD", ""))
    return (called if called.is_absolute() and called.exists() and called.samefile(Path()) else Path.cwd()) / path


def installed() -> dict[str, str]:
    """Releases on which the numbers of a run depend; builds for the CPU and for CUDA are one release."""
    found = versions()
    return {name: found[name].partition("+")[0] for name in ("dlrun", "torch") if name in found}


def examine(text: str) -> str:
    """Whether this worker can take jobs of a sweep.

    Args:
        text: What `terms` gives, as JSON.

    Returns:
        JSON: `unfit`, why it can't, in words that follow its name; empty where it can.
    """
    return json.dumps({"unfit": unfit_for(json.loads(text))})


def unfit_for(asked: Mapping[str, Any]) -> str:
    """As `examine`, without JSON."""
    for name, version in asked["installed"].items():
        here = installed().get(name, "none")
        if here != version:
            return f"has {name} {here}, and the sweep {version}"
    marker = Path(asked["marker"])
    try:
        read = marker.read_text(encoding="utf-8")
    except OSError:
        read = ""
    if read != asked["token"]:
        return f"does not see {marker.parent}, which all machines must share"
    if not is_locked(marker):
        return f"does not see locks in {marker.parent}; mount that file system with locks (NFS: without nolock)"
    if not Path(asked["folder"]).is_dir():
        return f"does not see the working directory {asked['folder']}, which all machines must share"
    return ""


def train(text: str) -> str:
    """Do an `Order`, given as JSON.

    Returns:
        JSON: `status`, that of the job's process (-N after signal N); or `unfit`, why it can't be done here.
    """
    order = Order(**json.loads(text))
    try:
        return json.dumps(_in_turn(order))
    except (OSError, RunFailed) as error:
        return json.dumps({"unfit": f"fails: {first_line(error)}"})
    finally:
        _stops.pop(order.name, None)


def stop(name: str, number: int) -> None:
    """Let a job get a signal, at the next look."""
    _stops.setdefault(name, []).append(number)


def forget(marker: str) -> None:
    """End the processes that were kept for a sweep."""
    if _busy.acquire(blocking=False):
        try:
            if marker in _kept:
                _end_kept()
        finally:
            _busy.release()


def dask_setup(_worker: Any) -> None:
    """Called in workers of this machine's own cluster: Ctrl-C in the terminal is for the sweep, which tells them."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)


def _in_turn(order: Order) -> dict[str, Any]:
    while not _busy.acquire(timeout=LOOK_SECONDS):  # it has a job of another sweep
        if number := _asked_to_stop(order):
            return {"status": -number}
    try:
        return _done(order)
    finally:
        _busy.release()


def _done(order: Order) -> dict[str, Any]:
    if reason := unfit_for(order.terms):
        return {"unfit": reason}
    kept = _kept_for(order.terms)
    task = Task(**order.task)
    found = kept.fingerprint(task, order)
    if number := _asked_to_stop(order):
        return {"status": -number}
    if order.fingerprint is not None and found != order.fingerprint:
        held = f"with fingerprint {found}" if found else "that can't be read"
        return {"unfit": f"has data {held}, and the sweep {order.fingerprint} (data={_named(task)})"}
    run_lock = Path(task.run_dir) / ".lock"
    while is_locked(run_lock):  # by the job of a worker that was lost, which may still be saving
        if number := _asked_to_stop(order):
            return {"status": -number}
        time.sleep(LOOK_SECONDS / 10)
    status = kept.run(task, order)
    if not is_locked(Path(order.terms["marker"])):
        _end_kept()
    return {"status": status}


def _asked_to_stop(order: Order) -> int | None:
    """The signal that the job is to get: the last one sent, or TERM where the sweep is gone."""
    sent = _stops.get(order.name)
    if sent:
        return sent[-1]
    return None if is_locked(Path(order.terms["marker"])) else signal.SIGTERM


def _kept_for(asked: Mapping[str, Any]) -> "_Kept":
    if asked["marker"] not in _kept:
        _end_kept()
        _kept[asked["marker"]] = _Kept(asked)
    return _kept[asked["marker"]]


def _end_kept() -> None:
    while _kept:
        _kept.popitem()[1].processes.close()


def _named(task: Task) -> str:
    return str(task.config["data"].get("name") or task.config["data"].get("_target_"))


class _Kept:
    """The processes for the jobs of one sweep: torch is imported once, the data are described once."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        bound_spinning()
        environment = {name: value for name, value in asked["environment"].items() if name not in os.environ}
        self.processes = make_processes(Path(asked["folder"]), environment)
        self.fingerprints = Fingerprints(self.processes)

    def fingerprint(self, task: Task, order: Order) -> str | None:
        """Of the job's data here; None if they can't be read, or the job is to stop meanwhile."""
        self.fingerprints.stopped = lambda: _asked_to_stop(order) is not None
        found = self.fingerprints.now(task.settled)
        if found is None:
            self.fingerprints.known.clear()  # asked again
        return found

    def run(self, task: Task, order: Order) -> int:
        """Run the job in a process of its own, and pass on what signals come for it; its status."""
        process = self.processes.start(task)
        last, since, looked = None, 0.0, time.monotonic()
        while process.status is None:
            self.processes.poll(0.1)
            now = time.monotonic()
            if order.name not in _stops and now - looked < LOOK_SECONDS:
                continue
            looked = now
            wanted = _asked_to_stop(order)
            if wanted is not None and wanted != last:
                process.send(wanted)
                last, since = wanted, now
            if last is not None and now - since > SAVE_SECONDS:
                process.send(KILL)
        return process.status
