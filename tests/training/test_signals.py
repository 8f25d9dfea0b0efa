"""Ctrl-C when a command has said its last word: its status stands, and nothing can hold it up for long."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from helpers import hear_ctrl_c

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent")

COMMAND = "import sys; from dlrun.cli import main; sys.exit(main())"
IN_A_MODULE = """
import os, time
class Slow:
    def __del__(self, write=os.write, sleep=time.sleep):
        write(1, b"now")
        sleep({seconds})
slow = Slow()
"""
"""Goes away when Python has already given signals their defaults again."""
IN_A_THREAD = """
import os, threading, time
def linger():
    threading.main_thread().join()
    time.sleep(0.5)
    os.write(1, b"now")
    time.sleep({seconds})
threading.Thread(target=linger).start()
"""
"""It waits a moment: Python heeds a signal that comes just before it waits for a thread only with the next signal."""
AT_EXIT = """
import atexit, os, time
atexit.register(lambda: (os.write(1, b"now"), time.sleep({seconds})))
"""


def interrupted(before: str) -> tuple[int, str]:
    """Status and standard error of `dlrun trian`, a mistake, that gets Ctrl-C when `before` has written "now"."""
    process = subprocess.Popen(
        [sys.executable, "-c", before + COMMAND, "trian"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        preexec_fn=hear_ctrl_c,
    )
    assert process.stdout is not None
    assert process.stdout.read(3) == b"now"
    for _ in range(30):  # as somebody does whom nothing answers
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
            break
    process.kill()
    _, err = process.communicate()
    return process.returncode, err.decode()


@pytest.mark.parametrize("where", [IN_A_MODULE, IN_A_THREAD, AT_EXIT], ids=["module", "thread", "exit"])
def test_ctrl_c_as_python_ends_changes_no_status(where: str) -> None:
    status, err = interrupted(where.format(seconds=0.5))
    assert status == 2, err
    assert err.startswith("dlrun: trian: no such verb")
    assert err.count("\n") == 2, err


def test_ctrl_c_ends_what_lingers() -> None:
    status, err = interrupted(IN_A_THREAD.format(seconds=60))
    assert status == 130
    assert err.endswith("dlrun: stopped\n")
