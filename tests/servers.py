"""Web servers to pull from: nginx, larix's own, and one that damages what it sends."""

import os
import select
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NGINX = """\
daemon off;
pid {work}/pid;
error_log {work}/error.log;
{user}
events {{}}
http {{
    access_log {work}/access.log;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    server {{ listen unix:{work}/socket; listen 127.0.0.1:{listen}; root {root}; {more} }}
}}
"""
PROXY = """\
Port {port}
Listen 127.0.0.1
LogFile "{work}/log"
PidFile "{work}/pid"
LogLevel Connect
MaxClients 50
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(process: "subprocess.Popen[str]", port: int) -> None:
    """Until the process listens."""
    while True:
        assert process.poll() is None, "the server ended"
        with socket.socket() as client:
            client.settimeout(0.1)
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return


@contextmanager
def nginx(root: Path, work: Path, more: str = "", *, tls: bool = False) -> Iterator[str]:
    """The URL of a directory, served by nginx with more settings; with TLS, they say with what certificate."""
    work.mkdir()
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    listen = f"{port} ssl http2" if tls else str(port)
    (work / "nginx.conf").write_text(NGINX.format(work=work, root=root, listen=listen, user=user, more=more))
    with subprocess.Popen(["/usr/sbin/nginx", "-c", work / "nginx.conf", "-p", work], text=True) as process:
        try:
            wait_for(process, port)
            yield f"http{'s' if tls else ''}://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def proxy(work: Path) -> Iterator[str]:
    """The URL of a proxy, tinyproxy, which notes in `work/log` what it was asked for."""
    work.mkdir()
    port = free_port()
    (work / "config").write_text(PROXY.format(work=work, port=port))
    with subprocess.Popen(["tinyproxy", "-d", "-c", work / "config"], stdout=subprocess.DEVNULL, text=True) as process:
        try:
            wait_for(process, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def serve(repo: Path) -> Iterator[str]:
    """The URL of a repo, served by `larix serve`."""
    command = [sys.executable, "-m", "larix", "serve", f"--repo={repo}", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1].rstrip("/")
        finally:
            process.terminate()


class Cutter:
    """A line to a server, on which each connection breaks after `size` bytes came back, as long as `left` is not 0."""

    def __init__(self, server: str, size: int, left: int) -> None:
        self._server = int(server.rpartition(":")[2])
        self._size, self.left = size, left
        # What came back on all connections.
        self.total = 0
        self.on_cut: Callable[[], None] = lambda: None

    def answer(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server)) as server:
            passed = 0
            for source, data in self._parts(client, server):
                if source is client:
                    server.sendall(data)
                    continue
                if self.left and passed + len(data) >= self._size:
                    self.left -= 1
                    client.sendall(data[: self._size - passed])
                    self.total += self._size - passed
                    self.on_cut()
                    return
                passed += len(data)
                self.total += len(data)
                client.sendall(data)

    @staticmethod
    def _parts(*sockets: socket.socket) -> Iterator[tuple[socket.socket, bytes]]:
        while True:
            for source in select.select(sockets, [], [])[0]:
                data = source.recv(1 << 16)
                if not data:
                    return
                yield source, data


class Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class Left(ThreadingHTTPServer):
    """Whose clients may go at any time, when they have had enough; what they say is what is tested."""

    daemon_threads = True

    def handle_error(self, *about: object) -> None:
        pass


@contextmanager
def listening(server: socketserver.TCPServer) -> Iterator[str]:
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def cutting(server: str, size: int, times: int) -> Iterator[tuple[str, Cutter]]:
    cutter = Cutter(server, size, times)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            cutter.answer(self.request)

    class Line(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with listening(Line(("127.0.0.1", 0), Handler)) as url:
        yield url, cutter


# Path and content of a file -> what is sent of it, and how long it is said to be; or an HTTP status.
Damage = Callable[[str, bytes], "tuple[bytes, int] | int"]


@contextmanager
def hostile(repo: Path, damage: Damage) -> Iterator[str]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            try:
                found = damage(self.path, (repo / self.path.lstrip("/")).read_bytes())
            except FileNotFoundError:
                found = 404
            body, length = (b"", 0) if isinstance(found, int) else found
            self.send_response(found if isinstance(found, int) else 200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = len(body) != length

    with listening(Left(("127.0.0.1", 0), Handler)) as url:
        yield url
