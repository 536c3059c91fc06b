"""The server, by what it says to any client."""

import http.client
import os
import socket
import struct
from pathlib import Path
from urllib.parse import urlsplit

from tests.judge import fails, ostree
from tests.pulls import refs
from tests.servers import serve

# The server itself


def test_the_server_keeps_to_http(origin: Path) -> None:
    data = (origin / "summary").read_bytes()
    with serve(origin) as url:
        at = urlsplit(url)
        assert at.hostname
        connection = http.client.HTTPConnection(at.hostname, at.port)

        def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
            connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

        code, body, headers = ask("/summary")
        kept = connection.sock
        assert (code, body) == (200, data)
        tag = headers["ETag"]
        assert ask("/summary", "HEAD")[:2] == (200, b"")
        for wanted, part in ("0-9", data[:10]), ("10-", data[10:]), ("-5", data[-5:]), ("5-999999", data[5:]):
            code, body, headers = ask("/summary", Range=f"bytes={wanted}")
            assert (code, body) == (206, part)
            assert headers["Content-Range"].endswith(f"/{len(data)}")
        assert ask("/summary", Range="bytes=999999-")[0] == 416
        assert ask("/summary", Range=f"bytes={'9' * 5000}-")[:2] == (200, data)
        assert ask("/summary", Range="bytes=5-", If_Range=tag)[0] == 206
        assert ask("/summary", Range="bytes=5-", If_Range='"other"')[:2] == (200, data)
        assert ask("/summary", Range="apples=5-")[:2] == (200, data)
        assert ask("/summary", If_None_Match=tag)[:2] == (304, b"")
        for path in (
            "/",
            "/objects",
            "/nothing",
            "/.lock",
            "/tmp/cache",
            "/objects/../.lock",
            "/refs/%2e%2e/.lock",
            "/%00",
        ):
            assert ask(path)[0] == 404, path
        assert ask("/refs/heads/other")[1].decode().strip() == refs(origin)["other"]
        assert connection.sock is kept, "the connection was not kept"
        assert ask("/summary", "POST")[0] == 501
        with socket.create_connection((at.hostname, at.port or 0)) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.sendall(b"GET /summary HTTP/1.1\r\n")
        assert ask("/summary")[0] == 200


def test_the_server_waits_for_a_slow_client(tmp_path: Path) -> None:
    """More than fits into the buffers of a connection."""
    repo = tmp_path / "repo"
    ostree(repo, "init", "--mode=archive")
    data = os.urandom(1 << 20) * 48
    (repo / "deltas").mkdir()
    (repo / "deltas/large").write_bytes(data)
    with serve(repo) as url:
        at = urlsplit(url)
        with socket.create_connection((at.hostname or "", at.port or 0)) as slow:
            slow.sendall(b"GET /deltas/large HTTP/1.1\r\nConnection: close\r\n\r\n")
            # The server must come to a halt before the first byte is read.
            other = http.client.HTTPConnection(at.hostname or "", at.port)
            for _ in range(20):
                other.request("GET", "/config")
                assert other.getresponse().read() == (repo / "config").read_bytes()
            with slow.makefile("rb") as answer:
                assert answer.read().partition(b"\r\n\r\n")[2] == data


def test_no_port(tmp_path: Path) -> None:
    ostree(tmp_path, "init", "--mode=archive")
    for port in "-1", "65536", "http":
        assert port in fails("serve", f"--repo={tmp_path}", f"--port={port}")
