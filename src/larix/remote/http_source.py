"""A pull from an archive repo behind HTTP."""

from collections.abc import Callable, Iterator
from functools import partial
from threading import local
from urllib.parse import quote

from larix.errors import Corrupt, FetchFailed, Invalid, NotFound
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.keyfile import KeyFile
from larix.formats.objects import MAX_METADATA_SIZE, ObjectName, ObjectType
from larix.formats.sizes import Size
from larix.formats.summary import Summary, decode_summary
from larix.linux import files
from larix.remote.http import DEFAULTS, Http, HttpOptions, Request, Spill, required
from larix.remote.source import Pulled
from larix.repo import refs
from larix.repo.archive import BEGINNING, find_size, longest
from larix.repo.layout import object_path
from larix.repo.repo import MAX_CONFIG_SIZE, Repo
from larix.repo.space import Space
from larix.repo.transaction import Transaction

ARCHIVE_MODES = ("archive", "archive-z2")


class HttpSource:
    remote = True

    def __init__(
        self,
        repo: Repo,
        url: str,
        content_url: str | None = None,
        options: HttpOptions = DEFAULTS,
    ) -> None:
        """`content_url` has the objects where `url` has only the summary; large ones pass through `repo`'s tmp."""
        self._url = url.rstrip("/")
        self._content_url = (content_url or url).rstrip("/")
        spill = Spill(partial(files.create_unnamed, "tmp", repo.fd), Space(repo.config, repo.fd).check)
        self._connect: Callable[[], Http] = partial(Http, spill, options)
        self._http = self._connect()
        # Those of each worker, which stay open for what it is asked next.
        self._own = local()
        self._opened: list[Http] = []
        try:
            self._summary = self._load_summary()
            self.collection = self._load_config().find("core", "collection-id")
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

    def _load_summary(self) -> tuple[bytes, Summary] | None:
        url = f"{self._url}/summary"
        data = self._http.get(url, MAX_METADATA_SIZE)
        if data is None:
            return None
        try:
            return data, decode_summary(data)
        except Corrupt as error:
            raise Corrupt(f"{url}: {error}") from None

    def _load_config(self) -> KeyFile:
        url = f"{self._url}/config"
        data = required(url, self._http.get(url, MAX_CONFIG_SIZE))
        config = KeyFile.decode(data, url)
        mode = config.find("core", "mode") or "bare"
        if mode not in ARCHIVE_MODES:
            raise Invalid(f"{self._url} is a repo of mode {mode}; over HTTP only mode archive can be pulled from")
        return config

    def find_ref(self, ref: str) -> Checksum:
        if self._summary is not None:
            found = self._summary[1].refs.get(ref)
            if found is None:
                raise NotFound(f"No such branch '{ref}' in the summary of {self._url}")
            return found.commit
        url = f"{self._url}/{quote(refs.ref_path(None, ref))}"
        text = required(url, self._http.get(url, refs.MAX_SIZE)).decode("ascii", "replace").strip()
        if not is_checksum(text):
            raise Corrupt(f"{url} does not hold a checksum")
        return Checksum(text)

    def refs(self) -> dict[str, Checksum]:
        if self._summary is None:
            raise NotFound(f"{self._url} has no summary, which would say what refs it has; name them")
        return {name: ref.commit for name, ref in self._summary[1].refs.items()}

    def mirrors(self) -> dict[tuple[str, str], Checksum]:
        collections = self._summary[1].collections if self._summary is not None else {}
        return {(name, ref): about.commit for name, refs in collections.items() for ref, about in refs.items()}

    def summary(self) -> bytes | None:
        return self._summary[0] if self._summary is not None else None

    def locate(self, name: ObjectName) -> str:
        return f"{self._content_url}/objects/{object_path(name, 'filez')}"

    def request(self, name: ObjectName) -> None:
        self._http.request(Request(self.locate(name), name, MAX_METADATA_SIZE, resumable=True))

    def arrivals(self) -> Iterator[tuple[ObjectName, bytes | None]]:
        for request, body in self._http.completed():
            data = None
            if body is not None:
                data = body.read_all()
                body.close()
            assert request.name is not None
            yield request.name, data

    def link(self, name: ObjectName, transaction: Transaction) -> bool:
        return False

    def _own_connections(self) -> Http:
        """In a worker."""
        try:
            found: Http = self._own.http
        except AttributeError:
            found = self._own.http = self._connect()
            self._opened.append(found)
        return found

    def bring(self, checksums: list[Checksum], transaction: Transaction) -> Pulled:
        http = self._own_connections()
        before = http.transferred
        for checksum in checksums:
            name = ObjectName(checksum, ObjectType.FILE)
            http.request(Request(self.locate(name), name, find_limit=longest, resumable=True))
        size = 0
        for request, body in http.completed():
            assert request.name is not None
            if body is None:
                raise NotFound(f"Object {request.name} is missing: no {request.url}")
            try:
                size += transaction.receive_file(request.name.checksum, body.read, body.size)
            except Corrupt as error:
                raise Corrupt(f"{request.url}: {error}") from None
            finally:
                body.close()
        return Pulled(content=len(checksums), content_size=size, transferred=http.transferred - before)

    def measure(self, checksums: list[Checksum]) -> list[Size]:
        http = self._own_connections()
        for checksum in checksums:
            name = ObjectName(checksum, ObjectType.FILE)
            http.request(Request(self.locate(name), name, first=BEGINNING))
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
