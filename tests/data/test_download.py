import hashlib
import http.server
import threading
from types import SimpleNamespace

import pytest

from dlrun.data.download import download, progress
from dlrun.errors import DataError

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT in the manner that the path names."""

    def do_GET(self):
        wanted = self.headers["Range"]
        self.server.requests.append((self.path, wanted))
        manner = self.path.split("/")[1]
        content = b"wrong" + CONTENT[5:] if manner == "wrong" else CONTENT
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if manner == "missing":
            self.send_error(404)
            return
        if start >= len(content) and manner != "plain":
            self.send_error(416)
            return
        if manner == "plain" or not wanted:
            start = 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", "nonsense" if manner == "nonsense" else str(len(content) - start))
        self.end_headers()
        end = start + 300_000 if manner in ("breaks", "once") else len(content)
        if manner == "once" and len(self.server.requests) > 1:
            end = len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A mirror on this machine: `url`, and the `requests` it has seen."""
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.requests = []
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{served.server_port}", requests=served.requests)
    served.shutdown()
    thread.join()
    served.server_close()


def get(target, *addresses):
    with progress() as bars:
        download(addresses, target, MD5, bars)
    assert target.read_bytes() == CONTENT
    assert not target.with_name(f"{target.name}.part").exists()


def test_whole(server, tmp_path):
    get(tmp_path / "file", f"{server.url}/good/file")
    assert len(server.requests) == 1


@pytest.mark.parametrize("manner", ["good", "plain"])
def test_a_partial_download_is_used_or_replaced(server, tmp_path, manner):
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    get(tmp_path / "file", f"{server.url}/{manner}/file")
    assert server.requests == [(f"/{manner}/file", "bytes=1000-")]


def test_a_connection_that_breaks_off_is_resumed(server, tmp_path):
    get(tmp_path / "file", f"{server.url}/once/file")
    assert [wanted for _, wanted in server.requests] == [None, "bytes=300000-"]


def test_what_one_mirror_left_the_next_one_completes(server, tmp_path):
    get(tmp_path / "file", f"{server.url}/breaks/file", f"{server.url}/good/file")
    assert server.requests[-1] == ("/good/file", "bytes=900000-")


@pytest.mark.parametrize("left", [b"rubbish", CONTENT + b"too long", CONTENT[:-1] + b"x"])
def test_a_wrong_partial_download_is_thrown_away(server, tmp_path, left):
    (tmp_path / "file.part").write_bytes(left)
    get(tmp_path / "file", f"{server.url}/good/file")
    assert server.requests[-1] == ("/good/file", None)


def test_mirrors_in_order(server, tmp_path):
    get(
        tmp_path / "file",
        *(f"{server.url}/{manner}/file" for manner in ("missing", "wrong", "nonsense", "good", "x")),
    )
    assert [path.split("/")[1] for path, _ in server.requests] == ["missing", "wrong", "nonsense", "good"]


def test_every_reason_is_given(server, tmp_path):
    with progress() as bars, pytest.raises(DataError) as caught:
        download(
            [f"{server.url}/missing/f", f"{server.url}/wrong/f", "http://127.0.0.1:9/f", "nonsense"],
            tmp_path / "file",
            MD5,
            bars,
        )
    said = str(caught.value)
    assert said.startswith(
        f"file could not be downloaded: {server.url}/missing/f: 404 Not Found; {server.url}/wrong/f: "
    )
    assert f"checksum mismatch: expected md5 {MD5}, found " in said
    assert "Connection refused" in said
    assert "unknown url type" in said
    assert list(tmp_path.iterdir()) == []
