"""Many HTTP requests at once, over few connections: the only place that knows curl.

A body of any length takes bounded memory: beyond SPILL bytes it goes to an unnamed file. What fails and may pass is
tried again after a pause, each longer than the last; a body that was cut goes on from there, if the server still has
the same.
"""

import errno
import heapq
import io
import os
import random
import re
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import count
from urllib.parse import quote

import pycurl

from larix import __version__
from larix.errors import Error, FetchFailed, Invalid, NotFound
from larix.formats.objects import ObjectName
from larix.linux import writing
from larix.linux.failures import as_error

SPILL = 1 << 20
REQUESTS = 24
CONNECTIONS = 8
# What curl reads at once.
BUFFER_SIZE = 128 << 10
REDIRECTS = 5
# Of a URL that is kept as it is.
PRINTED = "".join(map(chr, range(33, 127)))
# What is before the host of a URL, the host, and what follows.
HOST = re.compile(r"((?:[^/]*//)?(?:[^/?#]*@)?)([^/?#:@\[\]]*)(.*)", re.DOTALL)
CONNECT_SECONDS = 30
# Before the second try, in the middle; twice that before the next.
PAUSE_SECONDS = 0.1
# The longest that a server may have us wait.
MAX_RETRY_AFTER = 60

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
SLOW = {pycurl.E_OPERATION_TIMEDOUT}
NOBODY_THERE = {pycurl.E_COULDNT_CONNECT, pycurl.E_COULDNT_RESOLVE_HOST}
PLAIN = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
# The server has not what should follow: ask for all of it.
NOT_RESUMED = {pycurl.E_RANGE_ERROR, pycurl.E_BAD_DOWNLOAD_RESUME}


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """`headers` are sent with each request. A request is tried 1 + `retries` times; without `retries_network` only
    where the server answers that it cannot now. At most `requests` are under way at once. A transfer of less than
    `low_speed` bytes in a second, for `low_speed_seconds`, is given up. `user_agent` is said besides larix's name.
    `proxy` goes before what the environment names. `ca_path` is a file with the authorities that are trusted in place
    of the system's; `client_cert` and `client_key`, files too, are what we show; `permissive` trusts any authority.
    """

    headers: tuple[str, ...] = ()
    retries: int = 5
    retries_network: bool = True
    requests: int = REQUESTS
    low_speed: int = 1000
    low_speed_seconds: int = 30
    user_agent: str | None = None
    proxy: str | None = None
    ca_path: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    permissive: bool = False
    http2: bool = True


DEFAULTS = HttpOptions()


@dataclass(frozen=True, slots=True)
class Spill:
    """Where large bodies go: `create` opens an unnamed file; `check` raises NoSpace where there is no room for more."""

    create: Callable[[], int]
    check: Callable[[int], None]


# From the beginning of a body, SPILL bytes or more, the most that all of it may have. It may raise an Error.
FindLimit = Callable[[bytes], int]


class Body:
    """What a request brought. First written by curl, then read once, from the start; close it."""

    def __init__(self, request: "Request", spill: Spill) -> None:
        self._limit = request.limit
        self._find_limit = request.find_limit
        self._first = request.first
        self._spill = spill
        self._memory = io.BytesIO()
        # An object, so that what is dropped half way is closed too.
        self._file: io.FileIO | None = None
        self.size = 0
        # Of all of it, where only its first bytes were asked for and the server said so.
        self.total: int | None = None
        self.problem: Error | None = None

    def write(self, data: bytes) -> int:
        """Take what arrived, for curl: any answer other than the length ends the transfer."""
        if self._first and self.size + len(data) > self._first:
            # From a server that sends all of it.
            self._memory.write(data[: self._first - self.size])
            self.size = self._first
            return -1
        self.size += len(data)
        if self._limit is not None and self.size > self._limit:
            self.problem = FetchFailed(f"longer than the {self._limit} bytes that are allowed")
            return -1
        try:
            if self._file is None and self.size > SPILL:
                if self._find_limit is not None:
                    self._limit = self._find_limit(self._memory.getvalue() + data)
                self._file = io.FileIO(self._spill.create(), "r+")
                writing.write_all(self._file.fileno(), self._memory.getvalue())
                self._memory = io.BytesIO()
            if self._file is not None:
                self._spill.check(len(data))
                writing.write_all(self._file.fileno(), data)
            else:
                self._memory.write(data)
        except Error as error:
            self.problem = error
            return -1
        except OSError as error:
            self.problem = as_error("Writing what arrived", error)
            return -1
        return len(data)

    def note_header(self, line: bytes) -> None:
        """Note how long all of it is, for curl: `Content-Range: bytes 0-15/TOTAL`, or `Content-Length: TOTAL` of a
        server that knows no ranges."""
        name, _, value = line.decode("latin-1").partition(":")
        if name.startswith("HTTP/"):
            # What came before was a redirect.
            self.total = None
        if name.lower() == "content-range":
            value = value.rpartition("/")[2]
        elif name.lower() != "content-length" or self.total is not None:
            return
        self.total = int(value) if re.fullmatch(r"[0-9]{1,18}", value.strip()) else None

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
    """`limit` is the most bytes its body may have; `find_limit` tells it where the body is large. `name` is that of the
    object, if it is one. One that is `resumable` names what does not change. With `first`, only so many bytes are
    wanted, and how long all of it is.

    `places` are the beginnings of URLs that end in `path`, of which each has the same: one is asked after the other.
    """

    path: str
    places: Sequence[str] = ("",)
    name: ObjectName | None = None
    limit: int | None = None
    find_limit: FindLimit | None = None
    resumable: bool = False
    first: int = 0
    # Rounds through the places, and in this one the numbers of those that are still to be asked, the one that is asked
    # now first, and of those that could not answer: they are asked again in the next.
    attempts: int = 0
    left: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    # Whether a place said that it has no such file; and whether one of this round may answer later.
    is_absent: bool = False
    may_come: bool = False
    # Whether one could not be reached, which is not waited for where another says that it has no such file.
    is_unreachable: bool = False
    # In seconds, what a place of this round wants.
    pause: int = 0
    # What came so far, and when the server says that it was made; where these are not to go on, None.
    body: Body | None = None
    modified: int | None = None

    @property
    def url(self) -> str:
        return self.places[self.left[0] if self.left else 0] + self.path


class Http:
    """Requests are made with `request` and come back, in any order, from `completed`. Close it. For one thread."""

    def __init__(self, spill: Spill, options: HttpOptions = DEFAULTS, like: "Http | None" = None) -> None:
        """Know of places what another knows, if one is given."""
        self._spill = spill
        self._options = options
        self._headers = [_as_bytes(header) for header in options.headers]
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, CONNECTIONS)
        self._idle = [self._handle() for _ in range(options.requests)]
        self._handles = list(self._idle)
        self._waiting: deque[Request] = deque()
        # When each is tried again; the number tells those of one time apart.
        self._paused: list[tuple[float, int, Request]] = []
        self._count = count()
        # Places that could not be reached; they are asked last, where others have the same. Of these, those that one
        # waits for in vain: to be refused costs nothing.
        self._unreachable: set[str] = set(like._unreachable) if like is not None else set()
        self._silent: set[str] = set(like._silent) if like is not None else set()
        # With what was there of each at its start.
        self._running: dict[pycurl.Curl, tuple[Request, int]] = {}
        self.transferred = 0

    def _handle(self) -> pycurl.Curl:
        handle, how = pycurl.Curl(), self._options
        agent = f"larix/{__version__}" + (f" {self._options.user_agent}" if self._options.user_agent else "")
        for option, value in (
            # Its timeouts of names would come by SIGALRM, which belongs to the program.
            (pycurl.NOSIGNAL, 1),
            # The page that a server sends with an error is nobody's object.
            (pycurl.FAILONERROR, 1),
            (pycurl.FOLLOWLOCATION, 1),
            (pycurl.BUFFERSIZE, BUFFER_SIZE),
            (pycurl.MAXREDIRS, REDIRECTS),
            (pycurl.PROTOCOLS, PLAIN),
            (pycurl.CONNECTTIMEOUT, CONNECT_SECONDS),
            (pycurl.LOW_SPEED_LIMIT, self._options.low_speed),
            (pycurl.LOW_SPEED_TIME, self._options.low_speed_seconds),
            (pycurl.USERAGENT, agent),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS if how.http2 else pycurl.CURL_HTTP_VERSION_1_1),
            (pycurl.HTTPHEADER, self._headers),
            # By which a transfer that was cut goes on only in the same file: If-Range.
            (pycurl.OPT_FILETIME, 1),
            (pycurl.PROXY, how.proxy),
            (pycurl.CAINFO, how.ca_path),
            (pycurl.SSLCERT, how.client_cert),
            (pycurl.SSLKEY, how.client_key),
            (pycurl.SSL_VERIFYPEER, 0 if how.permissive else 1),
        ):
            if value is not None:
                handle.setopt(option, _as_bytes(value) if isinstance(value, str) else value)
        return handle

    def close(self) -> None:
        for handle in self._running:
            self._multi.remove_handle(handle)
        for request in (*(request for request, _ in self._running.values()), *(paused[2] for paused in self._paused)):
            _drop_body(request)
        self._running.clear()
        self._waiting.clear()
        self._paused.clear()
        for handle in self._handles:
            handle.close()
        self._multi.close()

    def request(self, request: Request) -> None:
        self._waiting.append(request)

    def completed(self) -> Iterator[tuple[Request, Body | None]]:
        """Yield what is done, until nothing asked for is left; no body where the server has no such file.

        More may be asked for meanwhile. Raises FetchFailed.
        """
        while self._waiting or self._running or self._paused:
            pause = self._wake()
            while self._waiting and self._idle:
                self._start(self._idle.pop(), self._waiting.popleft())
            if not self._running:
                time.sleep(pause)
                continue
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
                self._multi.select(pause)

    def _wake(self) -> float:
        """Let those go on that have waited long enough; how many seconds there is nothing to do, at most 1."""
        now = time.monotonic()
        while self._paused and self._paused[0][0] <= now:
            self._waiting.append(heapq.heappop(self._paused)[2])
        return min(self._paused[0][0] - now, 1.0) if self._paused else 1.0

    def get(self, path: str, limit: int, places: Sequence[str] = ("",)) -> bytes | None:
        """Fetch one body, while nothing else is asked for; None where the server has no such file. Raises
        FetchFailed."""
        self.request(Request(path, places, limit=limit))
        data = None
        for _, body in self.completed():
            if body is not None:
                data = body.read_all()
                body.close()
        return data

    def _start(self, handle: pycurl.Curl, request: Request) -> None:
        if not request.left:
            order = request.again or range(len(request.places))
            request.left = sorted(order, key=lambda number: request.places[number] in self._unreachable)
            request.again, request.may_come, request.is_unreachable, request.pause = [], False, False, 0
            request.attempts += 1
        if request.body is None:
            request.body = Body(request, self._spill)
        start = request.body.size
        handle.setopt(pycurl.URL, in_ascii(request.url))
        # What was asked for under encryption, nobody on the way may answer without.
        handle.setopt(pycurl.REDIR_PROTOCOLS, PLAIN if request.url.startswith("http:") else pycurl.PROTO_HTTPS)
        handle.setopt(pycurl.WRITEFUNCTION, request.body.write)
        if start:
            handle.setopt(pycurl.RESUME_FROM_LARGE, start)
            condition = f"If-Range: {formatdate(request.modified, usegmt=True)}"
            handle.setopt(pycurl.HTTPHEADER, [*self._headers, condition.encode()])
        if request.first:
            handle.setopt(pycurl.RANGE, f"0-{request.first - 1}")
            handle.setopt(pycurl.HEADERFUNCTION, request.body.note_header)
        self._running[handle] = request, start
        self._multi.add_handle(handle)

    def _ask_next(self, request: Request) -> None:
        _drop_body(request)
        del request.left[0]
        self._waiting.append(request)

    def _finish(self, handle: pycurl.Curl, code: int, reason: str) -> tuple[Request, Body | None] | None:
        """End a transfer; return the request and its body, or None when it is tried again."""
        request, start = self._running.pop(handle)
        status = handle.getinfo(pycurl.RESPONSE_CODE)
        modified = handle.getinfo(pycurl.INFO_FILETIME)
        wanted_pause = handle.getinfo(pycurl.RETRY_AFTER)
        self._multi.remove_handle(handle)
        self._idle.append(handle)
        if start:
            handle.setopt(pycurl.RESUME_FROM_LARGE, 0)
            handle.setopt(pycurl.HTTPHEADER, self._headers)
        body = request.body
        assert body is not None
        if request.first:
            handle.unsetopt(pycurl.RANGE)
            handle.unsetopt(pycurl.HEADERFUNCTION)
            if code == pycurl.E_WRITE_ERROR and body.size == request.first:
                # It has all that was asked for, and ended the transfer.
                code = 0
        self.transferred += body.size - start
        place = request.places[request.left[0]]
        if status:
            # Whatever it says, it is there.
            self._unreachable.discard(place)
            self._silent.discard(place)
        if not code:
            request.body = None
            body.rewind()
            return request, body
        refused = code == pycurl.E_HTTP_RETURNED_ERROR
        missing = refused and status in MISSING
        problem = body.problem
        several = len(request.places) > 1
        if problem is not None and not (several and isinstance(problem, FetchFailed)):
            # What is wrong here, as a full disk, is wrong whoever is asked.
            url = request.url
            _drop_body(request)
            raise type(problem)(f"Fetching {url}: {problem}")
        # Nobody has answered before the transfer could begin.
        unreached = code in NOBODY_THERE or (code in SLOW and handle.getinfo(pycurl.REQUEST_SIZE) == 0)
        network = code in NOT_RESUMED or (self._options.retries_network and code in TRANSIENT_CURL)
        transient = problem is None and (status in TRANSIENT_STATUS if refused else network)
        request.is_absent |= missing
        request.may_come |= transient and not unreached
        request.is_unreachable |= transient and unreached
        request.pause = max(request.pause, min(wanted_pause, MAX_RETRY_AFTER))
        if transient:
            request.again.append(request.left[0])
        if unreached:
            self._unreachable.add(place)
            if code in SLOW:
                self._silent.add(place)
        if request.is_absent:
            # That is what is said of it; who may not answer at all is not waited for.
            rest = [number for number in request.left[1:] if request.places[number] not in self._silent]
            request.left[1:] = rest
        if len(request.left) > 1:
            self._ask_next(request)
            return None
        if body.size > start:
            request.modified = modified if modified >= 0 else None
        if several or not request.resumable or request.modified is None or code in NOT_RESUMED:
            _drop_body(request)
        retries = request.may_come or (request.is_unreachable and not request.is_absent)
        if retries and request.attempts <= self._options.retries:
            pause = PAUSE_SECONDS * 2 ** (request.attempts - 1) * random.uniform(0.5, 1.5)
            request.left = []
            heapq.heappush(self._paused, (time.monotonic() + max(pause, request.pause), next(self._count), request))
            return None
        if request.is_absent:
            _drop_body(request)
            return request, None
        _drop_body(request)
        if refused and not status:
            # To a proxy that was asked for a way through.
            reason, refused = f"the proxy answered HTTP {handle.getinfo(pycurl.HTTP_CONNECTCODE)}", False
        said = f"the server answered HTTP {status}" if refused else reason or os.strerror(errno.EIO)
        if problem is not None:
            said = str(problem)
        if code == pycurl.E_UNSUPPORTED_PROTOCOL and handle.getinfo(pycurl.REDIRECT_COUNT):
            said = "the server redirects to a protocol that is not followed: http after https, or none of the web"
        tries = f" (tried {request.attempts} times)" if request.attempts > 1 else ""
        raise FetchFailed(f"Fetching {request.url}: {said}{tries}")


def _as_bytes(text: str) -> bytes:
    """Return text as it was given on a command line, whatever it was encoded in."""
    return text.encode("utf-8", "surrogateescape")


def in_ascii(url: str) -> str:
    """Return a URL with what the web has for other characters: in the name of a host, and elsewhere.

    Raises Invalid for a host whose name today's rules and those of 2003 do not take for the same: it may be another's.
    """
    if url.isascii():
        return url
    found = HOST.fullmatch(url)
    assert found is not None
    before, host, after = found.groups()
    if not host.isascii():
        try:
            name = host.lower().encode("idna")
            is_same = name.decode("idna") == unicodedata.normalize("NFC", host.lower())
        except UnicodeError:
            is_same = False
        if not is_same:
            raise Invalid(f"{url}: the host {host!r} has no sure name in the DNS; write that itself, as xn--...")
        host = name.decode()
    return quote(_as_bytes(f"{before}{host}{after}"), safe=PRINTED)


def _drop_body(request: Request) -> None:
    if request.body is not None:
        request.body.close()
    request.body = request.modified = None


def required(url: str, data: bytes | None) -> bytes:
    if data is None:
        raise NotFound(f"Fetching {url}: the server has no such file")
    return data
