"""Serving an archive repo over HTTP, for reading: keep-alive, ranges, validators."""

import io
import os
import re
import stat
import sys
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import unquote

from larix.errors import Invalid
from larix.linux import reading
from larix.linux.failures import doing
from larix.repo.repo import Repo

# What clients ask for; the rest of a repo is its own.
FILES = {"config", "summary", "summary.sig", "summary.idx", "summary.idx.sig"}
DIRECTORIES = {"objects", "refs", "deltas", "delta-indexes", "summaries"}
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
IDLE_SECONDS = 60
# Each has a thread.
CONNECTIONS = 512
FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Server(ThreadingHTTPServer):
    """Serves when `serve_forever` is called; `url` says where."""

    daemon_threads = True

    def __init__(self, repo: Repo, address: str, port: int) -> None:
        """Port 0 takes any that is free. Raises Invalid for a repo that is no archive."""
        if repo.layout.extension != "filez":
            raise Invalid(f"{repo.path} has mode {repo.layout.mode}; only mode archive can be served")
        self.repo = repo
        # Threads that answer; counted where they are started and ended.
        self._busy = 0
        self._counting = Lock()
        with doing(f"Listening on {address}:{port}"):
            super().__init__((address, port), _Handler)

    def is_full(self) -> bool:
        return self._busy >= CONNECTIONS

    def _count(self, change: int) -> None:
        with self._counting:
            self._busy += change

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.is_full():
            self._count(1)
            try:
                super().process_request(request, client_address)
            except BaseException:
                self._count(-1)
                raise
            return
        # Those who come for a repo try again.
        with suppress(OSError):
            request.sendall(FULL)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._count(-1)

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that goes away is nobody's mistake.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    # Headers are collected and go out in one packet; the body must not wait for its acknowledgement.
    disable_nagle_algorithm = True

    def version_string(self) -> str:
        return "larix"

    def log_message(self, format: str, *args: object) -> None:
        """Keep no log: a library prints nothing."""

    def end_headers(self) -> None:
        if self.server.is_full():
            # Nobody keeps a thread for what may come, while others wait.
            self.send_header("Connection", "close")
        super().end_headers()

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        file = self._open()
        if file is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with file:
            try:
                self._send(file, with_body=with_body)
            except (ConnectionError, TimeoutError):
                self.close_connection = True

    def _open(self) -> io.FileIO | None:
        """Return the file that is asked for, or None where it is none of those that are served."""
        parts = [part for part in unquote(self.path.partition("?")[0]).split("/") if part]
        path = "/".join(parts)
        if not (path in FILES or (parts[:1] and parts[0] in DIRECTORIES)) or ".." in parts or "\0" in path:
            return None
        try:
            fd = os.open(path, reading.READ, dir_fd=self.server.repo.fd)
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return None
        return io.FileIO(fd)

    def _send(self, file: io.FileIO, *, with_body: bool) -> None:
        found = os.fstat(file.fileno())
        tag = f'"{found.st_mtime_ns:x}-{found.st_ino:x}-{found.st_size:x}"'
        if self.headers.get("If-None-Match") == tag:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", tag)
            self.end_headers()
            return
        start, end = 0, found.st_size
        wanted = RANGE.fullmatch(self.headers.get("Range", ""))
        modified = formatdate(found.st_mtime, usegmt=True)
        same = self.headers.get("If-Range", tag) in (tag, modified)
        partial = wanted is not None and wanted[0] != "bytes=-" and same
        if partial and wanted is not None:
            start, end = _limits(wanted, found.st_size)
            if start >= end:
                self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, ("Content-Range", f"bytes */{found.st_size}"))
                return
        self.send_response(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK)
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{found.st_size}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", tag)
        self.send_header("Last-Modified", modified)
        self.end_headers()
        # Shorter than it was where it became so meanwhile: what was promised cannot be kept.
        if with_body and start < end and self.connection.sendfile(file, start, end - start) < end - start:
            self.close_connection = True

    def _refuse(self, status: HTTPStatus, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _limits(wanted: re.Match[str], size: int) -> tuple[int, int]:
    """First byte, and the one after the last."""
    first, last = wanted.groups()
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size
