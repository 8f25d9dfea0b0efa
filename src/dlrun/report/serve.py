"""The page while runs go on: served to this machine alone, made anew when something has changed."""

import errno
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dlrun.errors import UsageError
from dlrun.report.page import filled, page
from dlrun.store.scan import Run
from dlrun.store.watched import Watched

HOST = "127.0.0.1"
LOOK_SECONDS = 2.0
"""Between two looks at the runs, however many pages ask."""


class Live:
    """The page of the runs below some folders, made once for each of their states.

    Args:
        content: What of the runs is on the page, as of `page`; nothing as long as there is none.
    """

    def __init__(self, watched: Watched, content: Callable[[Sequence[Run], Sequence[str]], dict[str, Any]]) -> None:
        self._watched, self._content = watched, content
        self._looked, self._runs, self._state = float("-inf"), list[Run](), ""
        self._made = ("", "")
        self._turn = threading.Lock()

    def state(self) -> str:
        """What the page would be made of now, in a word.

        Raises:
            UsageError: A folder is gone.
        """
        with self._turn:
            self._look()
            return self._state

    def html(self) -> str:
        """The page as it is now.

        Raises:
            UsageError: A folder is gone.
        """
        with self._turn:
            self._look()
            if self._made[0] != self._state:
                self._made = self._state, self._page()
            return self._made[1]

    def _look(self) -> None:
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._runs = self._watched.look()
        seen = [(run.folder, run.status, run.epoch, run.changed) for run in self._runs]
        self._state = hashlib.sha256(repr((seen, self._watched.damaged)).encode()).hexdigest()[:16]
        self._looked = time.monotonic()

    def _page(self) -> str:
        content = self._content(self._runs, self._watched.damaged)
        if content.get("runs"):
            return page(**content, state=self._state)
        place = " ".join(map(str, self._watched.paths))
        return filled("waiting.html", ("tables.js",), state=self._state, title="No runs yet", tiles=[], place=place)


def serve(live: Live, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        port: 0 takes any that is free.
        ready: Gets the address.

    Raises:
        UsageError: Another process has the port, or it may not be had.
    """
    try:
        server = ThreadingHTTPServer((HOST, port), _handler(live))
    except OSError as error:
        why = "another process has it" if error.errno == errno.EADDRINUSE else error.strerror
        raise UsageError(f"--port {port}: {why}; name another, or 0 for any that is free") from None
    server.daemon_threads = True
    with server:
        ready(f"http://{HOST}:{server.server_port}/")
        server.serve_forever()


def _handler(live: Live) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made = {"/": (live.html, "text/html"), "/state": (live.state, "text/plain")}.get(self.path)
            # A page of another site may have its name lead here; it would still ask for its own name.
            if self.headers.get("Host", "").partition(":")[0] not in (HOST, "localhost"):
                self._answer(HTTPStatus.FORBIDDEN, "text/plain", "only for this machine")
            elif made is None:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is / alone")
            else:
                try:
                    self._answer(HTTPStatus.OK, made[1], made[0]())
                except UsageError as error:
                    self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", str(error))

        def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing: a line for every look would fill the terminal."""

    return Handler
