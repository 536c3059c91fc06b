"""Many HTTP requests at once, over few connections: the only place that knows curl.

A body of any length takes bounded memory: beyond SPILL bytes it goes to an unnamed file.
"""

import errno
import io
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pycurl

from larix import __version__
from larix.errors import Error, FetchFailed, NotFound
from larix.linux import files

SPILL = 1 << 20
REQUESTS = 24
CONNECTIONS = 8
# What curl reads at once.
BUFFER_SIZE = 128 << 10
REDIRECTS = 5
CONNECT_SECONDS = 30

TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
TRANSIENT_CURL = {
    pycurl.E_COULDNT_CONNECT,
    pycurl.E_COULDNT_RESOLVE_HOST,
    pycurl.E_GOT_NOTHING,
    pycurl.E_HTTP2,
    pycurl.E_OPERATION_TIMEDOUT,
    pycurl.E_PARTIAL_FILE,
    pycurl.E_RECV_ERROR,
    pycurl.E_SEND_ERROR,
}
MISSING = {403, 404, 410}


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """`headers` are sent with each request. A request is tried 1 + `retries` times; without `retries_network` only
    where the server asks for it. At most `requests` are under way at once. A transfer of less than `low_speed` bytes
    in a second, for `low_speed_seconds`, is given up. `user_agent` is said besides larix's name."""

    headers: tuple[str, ...] = ()
    retries: int = 5
    retries_network: bool = True
    requests: int = REQUESTS
    low_speed: int = 1000
    low_speed_seconds: int = 30
    user_agent: str | None = None


DEFAULTS = HttpOptions()


class Body:
    """What a request brought. First written by curl, then read once, from the start; close it."""

    def __init__(self, limit: int | None, spill: Callable[[], int]) -> None:
        self._limit = limit
        self._spill = spill
        self._memory = io.BytesIO()
        # An object, so that what is dropped half way is closed too.
        self._file: io.FileIO | None = None
        self.size = 0
        self.problem: Error | None = None

    def write(self, data: bytes) -> int:
        """For curl: any answer other than the length ends the transfer."""
        self.size += len(data)
        if self._limit is not None and self.size > self._limit:
            self.problem = FetchFailed(f"longer than the {self._limit} bytes that are allowed")
            return -1
        try:
            if self._file is None and self.size > SPILL:
                self._file = io.FileIO(self._spill(), "r+")
                files.write_all(self._file.fileno(), self._memory.getvalue())
                self._memory = io.BytesIO()
            if self._file is not None:
                files.write_all(self._file.fileno(), data)
            else:
                self._memory.write(data)
        except OSError as error:
            self.problem = files.explained("Writing what arrived", error)
            return -1
        return len(data)

    def rewind(self) -> None:
        (self._file or self._memory).seek(0)

    def read(self, size: int) -> bytes:
        return (self._file or self._memory).read(size)

    def read_all(self) -> bytes:
        parts = []
        while part := self.read(SPILL):
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@dataclass(slots=True)
class Request:
    """`limit` is the most bytes its body may have; `key` is for whoever asked."""

    url: str
    key: Any = None
    limit: int | None = None
    body: Body = field(init=False)
    attempts: int = 0


class Http:
    """Requests are made with `request` and come back, in any order, from `completed`. Close it. For one thread."""

    def __init__(self, spill: Callable[[], int], options: HttpOptions = DEFAULTS) -> None:
        """`spill` opens an unnamed file."""
        self._spill = spill
        self._options = options
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, CONNECTIONS)
        self._idle = [self._handle() for _ in range(options.requests)]
        self._handles = list(self._idle)
        self._waiting: deque[Request] = deque()
        self._running: dict[pycurl.Curl, Request] = {}
        self.transferred = 0

    def _handle(self) -> pycurl.Curl:
        handle = pycurl.Curl()
        agent = f"larix/{__version__}" + (f" {self._options.user_agent}" if self._options.user_agent else "")
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.FAILONERROR, 1),
            (pycurl.FOLLOWLOCATION, 1),
            (pycurl.BUFFERSIZE, BUFFER_SIZE),
            (pycurl.MAXREDIRS, REDIRECTS),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.CONNECTTIMEOUT, CONNECT_SECONDS),
            (pycurl.LOW_SPEED_LIMIT, self._options.low_speed),
            (pycurl.LOW_SPEED_TIME, self._options.low_speed_seconds),
            (pycurl.USERAGENT, agent),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS),
            (pycurl.HTTPHEADER, list(self._options.headers)),
        ):
            handle.setopt(option, value)
        return handle

    def close(self) -> None:
        for handle, request in self._running.items():
            self._multi.remove_handle(handle)
            request.body.close()
        self._running.clear()
        self._waiting.clear()
        for handle in self._handles:
            handle.close()
        self._multi.close()

    def request(self, request: Request) -> None:
        self._waiting.append(request)

    def completed(self) -> Iterator[tuple[Request, Body | None]]:
        """What is done, until nothing asked for is left; no body where the server has no such file.

        More may be asked for meanwhile. Raises FetchFailed.
        """
        while self._waiting or self._running:
            while self._waiting and self._idle:
                self._start(self._idle.pop(), self._waiting.popleft())
            self._multi.perform()
            more = 1
            found = False
            while more:
                more, good, bad = self._multi.info_read()
                for handle, code, reason in [*((handle, 0, "") for handle in good), *bad]:
                    found = True
                    if (done := self._finish(handle, code, reason)) is not None:
                        yield done
            if not found:
                self._multi.select(1.0)

    def get(self, url: str, limit: int) -> bytes | None:
        """One body, while nothing else is asked for; None where the server has no such file. Raises FetchFailed."""
        self.request(Request(url, limit=limit))
        data = None
        for _, body in self.completed():
            if body is not None:
                data = body.read_all()
                body.close()
        return data

    def _start(self, handle: pycurl.Curl, request: Request) -> None:
        request.body = Body(request.limit, self._spill)
        request.attempts += 1
        handle.setopt(pycurl.URL, request.url)
        handle.setopt(pycurl.WRITEFUNCTION, request.body.write)
        self._running[handle] = request
        self._multi.add_handle(handle)

    def _finish(self, handle: pycurl.Curl, code: int, reason: str) -> tuple[Request, Body | None] | None:
        """The request and its body, or None when it is tried again."""
        request = self._running.pop(handle)
        status = handle.getinfo(pycurl.RESPONSE_CODE)
        self._multi.remove_handle(handle)
        self._idle.append(handle)
        body = request.body
        self.transferred += body.size
        if not code:
            body.rewind()
            return request, body
        body.close()
        if body.problem is not None:
            raise type(body.problem)(f"Fetching {request.url}: {body.problem}")
        refused = code == pycurl.E_HTTP_RETURNED_ERROR
        if refused and status in MISSING:
            return request, None
        transient = status in TRANSIENT_STATUS if refused else self._options.retries_network and code in TRANSIENT_CURL
        if transient and request.attempts <= self._options.retries:
            self._waiting.appendleft(request)
            return None
        said = f"the server answered HTTP {status}" if refused else reason or os.strerror(errno.EIO)
        raise FetchFailed(f"Fetching {request.url}: {said}")


def required(url: str, data: bytes | None) -> bytes:
    if data is None:
        raise NotFound(f"Fetching {url}: the server has no such file")
    return data
