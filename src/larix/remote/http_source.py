"""A pull from an archive repo behind HTTP."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import local
from urllib.parse import quote, urlsplit

from larix.errors import Corrupt, FetchFailed, Invalid, NotFound
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.keyfile import KeyFile
from larix.formats.objects import MAX_METADATA_SIZE, ObjectName, ObjectType
from larix.formats.sizes import Size
from larix.formats.summary import Summary, decode_summary
from larix.linux import writing
from larix.remote.http import DEFAULTS, Http, HttpOptions, Request, Spill, in_ascii, required
from larix.remote.source import Pulled
from larix.repo import refs
from larix.repo.archive import BEGINNING, find_size, longest
from larix.repo.layout import object_path
from larix.repo.repo import MAX_CONFIG_SIZE, Repo
from larix.repo.space import Space
from larix.repo.transaction import Transaction

ARCHIVE_MODES = ("archive", "archive-z2")
MIRROR_LIST = "mirrorlist="
MAX_LIST_SIZE = 1 << 20
# Of a list of mirrors.
MAX_PLACES = 64
# No object that was brought whole begins so, nor a config or summary, but by a rare chance.
GZIP = b"\x1f\x8b\x08"


class HttpSource:
    remote = True
    near = 0

    def __init__(
        self,
        repo: Repo,
        url: str,
        content_url: str | None = None,
        options: HttpOptions = DEFAULTS,
        *,
        listed: bool = False,
    ) -> None:
        """`content_url` has the objects where `url` has only the summary; large ones pass through `repo`'s tmp.

        Either may be `mirrorlist=URL`: of a list of places that all have the same. With `listed` only the summary is
        wanted.
        """
        spill = Spill(partial(writing.create_unnamed, "tmp", repo.fd), Space(repo.config, repo.fd).check)
        self._connect: Callable[..., Http] = partial(Http, spill, options)
        self._http = self._connect()
        # Those of each worker, which stay open for what it is asked next.
        self._own = local()
        self._opened: list[Http] = []
        self.collection: str | None = None
        self._mode = ARCHIVE_MODES[0]
        try:
            self._places = self._find_places(url)
            self._content_places = self._find_places(content_url) if content_url is not None else self._places
            self._summary = self._load_summary()
            if not listed:
                config = self._load_config()
                self.collection = config.find("core", "collection-id")
                self._mode = config.find("core", "mode") or ("bare" if config.groups() else "archive")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._http.close()
        for http in self._opened:
            http.close()

    @property
    def transferred(self) -> int:
        return self._http.transferred

    def _find_places(self, text: str) -> tuple[str, ...]:
        if not text.startswith(MIRROR_LIST):
            return (f"{text.rstrip('/')}/",)
        url = text.removeprefix(MIRROR_LIST)
        data = required(url, self._http.get(url, MAX_LIST_SIZE))
        try:
            lines = [line.strip() for line in data.decode().splitlines()]
        except UnicodeDecodeError:
            raise Invalid(f"{url} is no list of mirrors: it is not UTF-8 text") from None
        # Encrypted, where the list is: as with a redirect.
        schemes = ("https",) if url.startswith("https://") else ("http", "https")
        places = [place for line in lines if (place := _place(line, schemes)) is not None]
        if not places:
            raise Invalid(f"{url} lists no mirrors that can be asked, by {' or '.join(schemes)}")
        return tuple(places[:MAX_PLACES])

    def _get(self, path: str, limit: int) -> tuple[str, bytes | None]:
        """Fetch what is no object; return its first place, and what is there."""
        return f"{self._places[0]}{path}", self._http.get(path, limit, self._places)

    def _load_summary(self) -> tuple[bytes, Summary] | None:
        url, data = self._get("summary", MAX_METADATA_SIZE)
        if data is None:
            return None
        try:
            return data, decode_summary(data)
        except Corrupt as error:
            if data.startswith(GZIP):
                raise _packed(url) from None
            raise Corrupt(f"{url}: {error}") from None

    def _load_config(self) -> KeyFile:
        url, data = self._get("config", MAX_CONFIG_SIZE)
        if data is None:
            # Not every server has it: it tells nothing without which one could not do.
            return KeyFile()
        if data.startswith(GZIP):
            raise _packed(url)
        return KeyFile.decode(data, url)

    def find_ref(self, ref: str) -> Checksum:
        if self._summary is not None:
            found = self._summary[1].refs.get(ref)
            if found is None:
                raise NotFound(f"No such branch '{ref}' in the summary of {self._places[0]}")
            return found.commit
        url, data = self._get(quote(refs.ref_path(None, ref)), refs.MAX_SIZE)
        text = required(url, data).decode("ascii", "replace").strip()
        if not is_checksum(text):
            raise Corrupt(f"{url} does not hold a checksum")
        return Checksum(text)

    def refs(self) -> dict[str, Checksum]:
        if self._summary is None:
            raise NotFound(f"{self._places[0]} has no summary, which would say what refs it has; name them")
        return {name: ref.commit for name, ref in self._summary[1].refs.items()}

    def mirrors(self) -> dict[tuple[str, str], Checksum]:
        collections = self._summary[1].collections if self._summary is not None else {}
        return {(name, ref): about.commit for name, refs in collections.items() for ref, about in refs.items()}

    def summary(self) -> bytes | None:
        return self._summary[0] if self._summary is not None else None

    def locate(self, name: ObjectName) -> str:
        return self._content_places[0] + _path(name)

    def request(self, name: ObjectName) -> None:
        self._http.request(Request(_path(name), self._content_places, name, MAX_METADATA_SIZE, resumable=True))

    def _check_mode(self) -> None:
        """Refuse other modes: their files are no bytes that could be compared with a checksum, without their owner and
        mode."""
        if self._mode not in ARCHIVE_MODES:
            place = self._content_places[0]
            raise Invalid(f"{place} is a repo of mode {self._mode}; files come over HTTP only from mode archive")

    def arrivals(self) -> Iterator[tuple[ObjectName, bytes | None]]:
        for request, body in self._http.completed():
            assert request.name is not None
            data = None
            if body is not None:
                data = body.read_all()
                body.close()
                if data.startswith(GZIP) and hashlib.sha256(data).hexdigest() != request.name.checksum:
                    raise _packed(request.url)
            yield request.name, data

    def link(self, name: ObjectName, transaction: Transaction) -> bool:
        return False

    def _own_connections(self) -> Http:
        """Return the connections of this worker."""
        try:
            found: Http = self._own.http
        except AttributeError:
            # It need not find out again who does not answer.
            found = self._own.http = self._connect(like=self._http)
            self._opened.append(found)
        return found

    def bring(self, checksums: list[Checksum], transaction: Transaction) -> Pulled:
        http = self._own_connections()
        self._check_mode()
        before = http.transferred
        for checksum in checksums:
            name = ObjectName(checksum, ObjectType.FILE)
            http.request(Request(_path(name), self._content_places, name, find_limit=longest, resumable=True))
        size = 0
        for request, body in http.completed():
            assert request.name is not None
            if body is None:
                raise NotFound(f"Object {request.name} is missing: no {request.url}")
            try:
                size += transaction.receive_file(request.name.checksum, body.read, body.size)
            except Corrupt as error:
                body.rewind()
                if body.read(len(GZIP)) == GZIP:
                    raise _packed(request.url) from None
                raise Corrupt(f"{request.url}: {error}") from None
            finally:
                body.close()
        return Pulled(content=len(checksums), content_size=size, transferred=http.transferred - before)

    def measure(self, checksums: list[Checksum]) -> list[Size]:
        http = self._own_connections()
        self._check_mode()
        for checksum in checksums:
            name = ObjectName(checksum, ObjectType.FILE)
            http.request(Request(_path(name), self._content_places, name, first=BEGINNING))
        sizes = []
        for request, body in http.completed():
            assert request.name is not None
            if body is None:
                raise NotFound(f"Object {request.name} is missing: no {request.url}")
            try:
                unpacked = find_size(body.read_all())
            except Corrupt as error:
                raise Corrupt(f"{request.url}: {error}") from None
            finally:
                body.close()
            if body.total is None:
                raise FetchFailed(f"Fetching {request.url}: the server does not say how long it is")
            sizes.append(Size(request.name.checksum, body.total, unpacked, ObjectType.FILE))
        return sizes


def _place(line: str, schemes: Sequence[str]) -> str | None:
    """Return the beginning of URLs below it; None for what is none."""
    try:
        parts = urlsplit(line)
        is_place = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        in_ascii(line)
    except (ValueError, Invalid):
        return None
    if not is_place or parts.query or parts.fragment or not line.isprintable() or " " in line:
        return None
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/"


def _path(name: ObjectName) -> str:
    return f"objects/{object_path(name, 'filez')}"


def _packed(url: str) -> Corrupt:
    return Corrupt(f"{url}: the server sends what it has compressed with gzip, unasked; have it send files as they are")
