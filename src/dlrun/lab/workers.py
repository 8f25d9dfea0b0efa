"""A sweep's jobs on workers of Dask, one at a time on each: in place of the processes of this machine.

Dask carries lines of JSON and says which workers there are. Which job goes to which worker is decided here, so that
Dask never does one again by itself.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import secrets
import signal
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.errors import RunFailed, UsageError, first_line
from dlrun.extras import command
from dlrun.lab import worker
from dlrun.lab.settings import DaskSettings
from dlrun.linux import cores
from dlrun.locks import Lock, is_locked
from dlrun.output import say
from dlrun.store.folders import take
from dlrun.sweeps.child import Task
from dlrun.sweeps.fingerprints import Fingerprints
from dlrun.sweeps.processes import Process, make_processes
from dlrun.sweeps.slots import Slot

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

PATIENCE = 60.0
"""Seconds without any worker, or without an answer of the scheduler, after which a sweep gives up."""
CONNECT_SECONDS = 10.0
"""Seconds in which a scheduler must answer at first."""
LOOK_SECONDS = 1.0
"""Time between two questions to the scheduler for its workers."""
LOSSES = 3
"""So many workers a job may lose before it counts as killed: it may be what takes them down."""
MARKER = ".workers-"
"""Begins the name of a file in the sweep's folder by which workers see that it is theirs, too."""


class _Marker:
    """A file that workers must be able to read, locked while this sweep runs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{MARKER}*"):  # by a sweep that was killed
            if not is_locked(left):
                left.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(prefix=MARKER, dir=folder)
        self.path, self.token = Path(name), secrets.token_hex(8)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(self.token)
        self.lock: Lock | None = take(self.path)

    def remove(self) -> None:
        """Tell all workers that the sweep is over."""
        if self.lock is not None:
            self.lock.release()
        self.path.unlink(missing_ok=True)


@dataclass
class _Errand(Process):
    """A job's process on some worker; its `pid` is 0, since it means nothing here, and None while it waits for one."""

    task: Task = dataclasses.field(kw_only=True)
    name: str = ""
    """What its worker knows it by."""
    fingerprint: str | None = None
    """Of its data, here."""
    future: "Future | None" = None
    passed_on: int | None = None
    """The last signal that its worker was told of."""
    losses: int = 0
    """Workers that were lost with it."""

    def send(self, number: int) -> None:
        """Let the process get a signal, with the next poll."""
        self.wanted = number


class Workers:
    """What `dlrun.sweeps.launch.launch` takes as `processes`; `places` are theirs.

    Workers are asked once whether they can take this sweep's jobs. One that can't is left out, in a line; a sweep
    without any other is refused.
    """

    def __init__(self, settings: DaskSettings, folder: Path, most: int | None = None) -> None:
        """Find the workers.

        Args:
            folder: The sweep's.
            most: How many jobs run at once, if not one on each worker.

        Raises:
            UsageError: No Dask here, no scheduler at the address, no worker that can take the sweep's jobs.
        """
        self.address, self.most = settings.address, most
        self.here = make_processes()
        """Describe the data, with which those of workers are compared."""
        self.fingerprints = Fingerprints(self.here)
        self.threads: dict[str, int] = {}
        """Of each worker that takes jobs, by address."""
        self.asked: dict[str, tuple[Future, int]] = {}
        """Those that have not answered yet, and their threads."""
        self.unfit: dict[str, str] = {}
        """Why the others take none."""
        self.waiting: deque[_Errand] = deque()
        self.sent: dict[str, _Errand] = {}
        """The job of each worker that has one."""
        self.submitted = 0
        self.useful = False
        """Whether a job has run on any of them."""
        self.looked = -LOOK_SECONDS
        self.seen = time.monotonic()
        """When a worker was there last."""
        self.cluster: LocalCluster | None = None
        self.client: Client | None = None
        self.marker: _Marker | None = None
        self.terms: dict[str, Any] = {}
        self.environment = {name: os.environ.get(name) for name in ("PYTHONHASHSEED", "PYTHONSAFEPATH")}
        """What Dask overwrites in this process when it starts workers."""
        try:
            self._connect(settings)
            self.marker = _Marker(folder)
            self.terms = worker.terms(self.marker.path, self.marker.token)
            self._meet()
        except BaseException:
            self.close()
            raise

    def _connect(self, settings: DaskSettings) -> None:
        try:
            import dask
            from distributed import Client, LocalCluster
            from distributed.versions import VersionMismatchWarning
        except ImportError:
            needed = f"hydra/launcher=dask needs the package distributed. To install it:\n{command('dask')}"
            raise UsageError(needed) from None
        for name in ("distributed", "distributed.client"):  # what matters of it is told here
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if settings.address is None:
            # Not Dask's own, which hold OpenMP to one thread: jobs get the variables that they have elsewhere.
            variables = {"distributed.nanny.pre-spawn-environ": {"PYTHONSAFEPATH": "1"}}
            with dask.config.set(variables):
                self.cluster = LocalCluster(
                    n_workers=settings.workers,
                    threads_per_worker=max(1, cores() // settings.workers),
                    memory_limit=None,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                    preload=[worker.__name__],
                )
        with warnings.catch_warnings():
            # Other releases of Python or msgpack carry lines of text as well; dlrun's and torch's are asked for.
            warnings.simplefilter("ignore", VersionMismatchWarning)
            try:
                self.client = Client(settings.address or self.cluster, timeout=CONNECT_SECONDS, set_as_default=False)
            except OSError:
                raise UsageError(
                    f"hydra.launcher.address={settings.address}: no scheduler of Dask answers; start one there with: "
                    "dask scheduler"
                ) from None

    def _meet(self) -> None:
        """Ask all workers that are there; one that is busy with something else may answer later."""
        deadline = time.monotonic() + CONNECT_SECONDS
        self._look()
        while self.asked and time.monotonic() < deadline:
            time.sleep(0.05)
            self._look()
        if not self.threads:
            raise UsageError(self._why_none())

    def _why_none(self) -> str:
        if self.unfit:
            address, reason = next(iter(self.unfit.items()))
            return f"no worker can take this sweep: {address} {reason}"
        if self.asked:
            return f"hydra.launcher.address={self.address}: no worker answers; all are busy with something else"
        return (
            f"hydra.launcher.address={self.address}: no workers there; start one on each machine with: "
            f"dask worker {self.address}"
        )

    def places(self) -> list[Slot]:
        """A slot for each worker that takes jobs; which of them gets a job is decided when it is sent."""
        count = len(self.threads)
        return [Slot(number, None, None) for number in range(min(count, self.most or count))]

    def start(self, task: Task) -> Process:
        """Let a worker do the task as soon as one is free; data are described here."""
        if task.purpose == "data":
            return self.here.start(task)
        absolute = replace(task, run_dir=str(worker.as_called(Path(task.run_dir))))
        errand = _Errand(task=absolute, fingerprint=self.fingerprints.now(task.settled))
        self.waiting.append(errand)
        return errand

    def poll(self, seconds: float) -> None:
        """Wait so long, then see what has ended, who is there, and send what waits.

        Raises:
            UsageError: No worker can take the sweep's jobs.
            RunFailed: Workers or scheduler are gone for too long.
        """
        self.here.poll(seconds)
        if not self._reached():
            return  # nothing is known of anybody
        try:
            self._collect()
            self._look()
            self._demand_workers()
            self._pass_on_signals()
            self._send()
        except Exception:
            if self._reached():  # else the connection broke just now, for which Dask has errors of several kinds
                raise

    def _reached(self) -> bool:
        """Whether the scheduler is reached now; where it is not, Dask's client tries again for some time."""
        assert self.client is not None
        if self.client.status == "closed":
            raise RunFailed("the scheduler of Dask is gone; the same command goes on with what is left")
        return bool(self.client.status == "running")

    def _demand_workers(self) -> None:
        now = time.monotonic()
        if self.threads:
            self.seen = now
        elif self.unfit and not self.asked and not self.useful:
            raise UsageError(self._why_none())
        elif now - self.seen > PATIENCE:
            raise RunFailed(f"no worker of Dask for {PATIENCE:.0f} s; the same command goes on with what is left")

    # --- workers

    def _look(self) -> None:
        """Ask who is there, at most once in `LOOK_SECONDS`, and take in what was answered."""
        if time.monotonic() - self.looked >= LOOK_SECONDS:
            self.looked = time.monotonic()
            self._compare(self._ask())
        for address, (future, threads) in list(self.asked.items()):
            if future.status == "pending":
                continue
            del self.asked[address]
            answer = _answer(future)
            if answer is None:
                continue  # asked again, if it is still there
            if reason := answer["unfit"]:
                self._leave_out(address, reason)
            else:
                self.threads[address] = threads

    def _ask(self) -> dict[str, int] | None:
        """Threads of the workers that there are, by address; None while the scheduler does not answer."""
        assert self.client is not None
        try:
            return dict(self.client.nthreads())
        except (OSError, ValueError):
            return None

    def _compare(self, there: Mapping[str, int] | None) -> None:
        """Ask the new ones, and give up those that are gone."""
        if there is None:
            return
        known = [*self.threads, *self.asked, *self.unfit]
        for address in known:
            if address not in there:
                for those in (self.threads, self.asked, self.unfit):
                    those.pop(address, None)
                if errand := self.sent.pop(address, None):
                    self._again(errand, f"{address} is gone")
        for address in there.keys() - set(known):
            self.asked[address] = (self._submit(worker.examine, self.terms, address), there[address])

    def _leave_out(self, address: str, reason: str) -> None:
        self.threads.pop(address, None)
        self.unfit[address] = reason
        say(f"{address}: left out, since it {reason}")

    def _again(self, errand: _Errand, why: str) -> None:
        """Let a job whose worker is gone go on elsewhere, from its last checkpoint."""
        errand.future, errand.pid = None, None
        errand.losses += 1
        if errand.losses >= LOSSES or errand.wanted is not None:
            errand.status = -signal.SIGKILL
        else:
            say(f"{why}; {Path(errand.task.run_dir).name} goes on elsewhere")
            self.waiting.appendleft(errand)

    # --- jobs

    def _send(self) -> None:
        """Give each worker without a job one that waits."""
        for errand in [one for one in self.waiting if one.wanted is not None]:
            self.waiting.remove(errand)
            errand.status = -(errand.wanted or 0)
        for address in [one for one in self.threads if one not in self.sent]:
            if self.waiting:
                errand = self.waiting[0]
                errand.name = f"{self.terms['token']}-{self.submitted}"
                config = {**errand.task.config, "threads": errand.task.config["threads"] or self.threads[address]}
                task = dataclasses.asdict(replace(errand.task, config=config))
                order = worker.Order(errand.name, self.terms, task, errand.fingerprint)
                errand.future = self._submit(worker.train, dataclasses.asdict(order), address)
                errand.pid, errand.since = 0, time.monotonic()
                self.sent[address] = self.waiting.popleft()

    def _submit(self, function: Callable[[str], str], values: Mapping[str, Any], address: str) -> "Future":
        assert self.client is not None
        self.submitted += 1
        return self.client.submit(
            function,
            json.dumps(values),
            key=f"dlrun-{self.terms['token']}-{self.submitted}",
            workers=[address],
            allow_other_workers=False,
            pure=False,
        )

    def _collect(self) -> None:
        """See which jobs have ended, and how."""
        for address, errand in list(self.sent.items()):
            if errand.future is None or errand.future.status == "pending":
                continue
            del self.sent[address]
            answer = _answer(errand.future)
            if answer is None:
                self._again(errand, f"the connection to {address} broke")
            elif "unfit" in answer:
                self._leave_out(address, answer["unfit"])
                errand.future, errand.pid = None, None
                self.waiting.appendleft(errand)
            else:
                errand.status = answer["status"]
                self.useful = True

    def _pass_on_signals(self) -> None:
        for address, errand in self.sent.items():
            if errand.wanted is not None and errand.wanted != errand.passed_on:
                errand.passed_on = errand.wanted
                self._tell(worker.stop, errand.name, errand.wanted, workers=[address])

    def _tell(self, function: Callable[..., None], *values: Any, workers: list[str]) -> None:
        """Call a short function on workers, beside their jobs; whoever is not reached is found gone soon."""
        assert self.client is not None
        with contextlib.suppress(OSError, ValueError):
            self.client.run(function, *values, workers=workers, on_error="ignore")

    def close(self) -> None:
        """End what is left: workers see that the marker is gone, let their jobs save, and keep nothing."""
        if self.marker is not None:
            if self.terms and self.client is not None and self.client.status == "running":
                self._tell(worker.forget, self.terms["marker"], workers=list(self.threads))
            self.marker.remove()
        for one in (self.here, self.client, self.cluster):
            if one is not None:
                one.close()
        for name, value in self.environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _answer(future: "Future") -> dict[str, Any] | None:
    """What a worker answered; None if the answer got lost."""
    if future.status in ("cancelled", "lost"):
        return None
    try:
        return dict(json.loads(future.result(timeout=CONNECT_SECONDS)))
    except (OSError, asyncio.CancelledError):
        return None
    except Exception as error:  # of whatever kind a worker sends: it has no dlrun, or an older one
        return {"unfit": f"fails: {type(error).__name__}: {first_line(error)}"}
