"""`dlrun report --serve`: the page to this machine alone, as the runs are now."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest
from helpers import hear_ctrl_c, said, wait_for, write_history

from dlrun.store.folders import hold

ROWS = [[1, 0.5, 0.8, 0.4, 0.85, 0.001, 30.0, 2000.0], [2, 0.4, 0.9, 0.3, 0.8765, 0.001, 30.0, 2000.0]]
"""Epochs as training writes them: losses and accuracies, rate, seconds, pictures a second."""


def asked(port: int, path: str, host: str = "localhost") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": f"{host}:{port}"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.slow
def test_the_page_follows_the_runs_until_ctrl_c(runs: Callable[..., Path]) -> None:
    Path("outputs").mkdir()
    command = [sys.executable, "-m", "dlrun", "report", "--serve", "--port", "0"]
    hears = {"preexec_fn": hear_ctrl_c} if os.name == "posix" else {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **hears)
        )
        stack.callback(server.kill)
        assert server.stdout is not None
        port = int(re.findall(r"http://127.0.0.1:(\d+)/", server.stdout.readline())[0])
        status, first = asked(port, "/")
        assert (status, "Nothing yet below <code>outputs</code>" in first) == (200, True)
        before = asked(port, "/state")[1]
        assert f'data-state="{before}"' in first
        assert asked(port, "/state", host="evil.example")[0] == 403
        assert asked(port, "/outputs/one/result.json")[0] == 404
        going = runs("one", "epochs=5", status=None)
        write_history(going, ROWS[:1], "test")
        with hold(going):
            wait_for(lambda: asked(port, "/state")[1] != before, 60)
            page = asked(port, "/")[1]
            assert "running" in page
            before = asked(port, "/state")[1]
            write_history(going, ROWS, "test")
            wait_for(lambda: asked(port, "/state")[1] != before, 60)
            assert "0.8765" in asked(port, "/")[1]
        server.send_signal(signal.SIGINT)
        assert (server.wait(60), server.stderr and server.stderr.read()) == (0, "")


def test_what_can_not_be_served_is_refused(runs: Callable[..., Path]) -> None:
    runs("one")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, sentence in (
            (["--serve", "--port", str(port)], f"--port {port}: another process has it; name another, or 0"),
            (["--serve", "--port", "65536"], "--port: 65536: expected a number from 0 to 65535"),
            (["--port", "6007"], "--port: goes with --serve"),
            (["--serve", "--md"], "--serve: shows the page of runs or of one --table, and writes nothing"),
            (["--serve", "--html", "x.html"], "--serve: shows the page"),
            (["--serve", "--tables"], "--serve: shows the page"),
            (["--serve", "--curves", "c"], "--serve: shows the page"),
            (["--serve", "--sort", "lr"], "--serve: --sort, --columns, --only-changed and --hide-failed are of what"),
            (["--serve", "--columns", "lr"], "--serve: --sort, --columns"),
            (["--serve", "--hide-failed"], "--serve: --sort, --columns"),
            (["--serve", "--table", "psc_mnist"], "outputs/runs: no runs of tables here yet"),
        ):
            status, text = said("report", *words)
            assert (status, sentence in text) == (2, True), text
    assert not Path("outputs/report.html").exists()
