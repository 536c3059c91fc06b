"""A pull from an archive repo behind HTTP."""

from collections.abc import Iterator
from urllib.parse import quote

from larix.errors import Corrupt, Invalid, NotFound
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.keyfile import KeyFile
from larix.formats.objects import MAX_METADATA_SIZE, ObjectName, ObjectType
from larix.formats.summary import Summary, decode_summary
from larix.linux import files
from larix.remote.http import RETRIES, Body, Http, Request, required
from larix.remote.source import Arrival
from larix.repo import refs
from larix.repo.layout import object_path
from larix.repo.repo import MAX_CONFIG_SIZE, Repo
from larix.repo.transaction import Transaction

ARCHIVE_MODES = ("archive", "archive-z2")


class HttpSource:
    def __init__(
        self,
        repo: Repo,
        url: str,
        content_url: str | None = None,
        headers: tuple[str, ...] = (),
        retries: int = RETRIES,
    ) -> None:
        """`content_url` has the file objects where it is not `url`; large ones pass through `repo`'s tmp."""
        self._url = url.rstrip("/")
        self._content_url = (content_url or url).rstrip("/")
        self._http = Http(lambda: files.create_unnamed("tmp", repo.fd), headers, retries)
        try:
            self._summary = self._load_summary()
            self._check_config()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._http.close()

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

    def _check_config(self) -> None:
        url = f"{self._url}/config"
        data = required(url, self._http.get(url, MAX_CONFIG_SIZE))
        try:
            config = KeyFile(data.decode(), url)
        except UnicodeDecodeError:
            raise Corrupt(f"{url} is not UTF-8") from None
        mode = config.find("core", "mode") or "bare"
        if mode not in ARCHIVE_MODES:
            raise Invalid(f"{self._url} is a repo of mode {mode}; over HTTP only mode archive can be pulled from")

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

    def summary(self) -> bytes | None:
        return self._summary[0] if self._summary is not None else None

    def locate(self, name: ObjectName) -> str:
        base = self._content_url if name.type == ObjectType.FILE else self._url
        return f"{base}/objects/{object_path(name, 'filez')}"

    def request(self, name: ObjectName) -> None:
        limit = None if name.type == ObjectType.FILE else MAX_METADATA_SIZE
        self._http.request(Request(self.locate(name), name, limit))

    def arrivals(self) -> Iterator[tuple[ObjectName, Arrival | None]]:
        for request, body in self._http.completed():
            yield request.key, FetchedObject(request, body) if body is not None else None


class FetchedObject:
    def __init__(self, request: Request, body: Body) -> None:
        self._url = request.url
        self._name: ObjectName = request.key
        self._body = body

    def load(self) -> bytes:
        return self._body.read_all()

    def place(self, transaction: Transaction) -> int:
        try:
            return transaction.receive_file(self._name.checksum, self._body.read, self._body.size)
        except Corrupt as error:
            raise Corrupt(f"{self._url}: {error}") from None

    def close(self) -> None:
        self._body.close()
