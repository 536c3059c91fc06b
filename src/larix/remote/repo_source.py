"""A pull from a repo in a directory."""

from collections import deque
from collections.abc import Iterator

from larix.errors import Corrupt, NotFound
from larix.formats.checksum import Checksum
from larix.formats.content import content_checksum
from larix.formats.objects import MAX_METADATA_SIZE, ObjectName
from larix.linux import files
from larix.remote.source import Arrival
from larix.repo import refs
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction


class RepoSource:
    def __init__(self, path: str) -> None:
        self._repo = Repo(path)
        self._wanted: deque[ObjectName] = deque()

    def close(self) -> None:
        self._repo.close()

    @property
    def transferred(self) -> None:
        return None

    def find_ref(self, ref: str) -> Checksum:
        found = refs.find_ref(self._repo.fd, None, ref)
        if found is None:
            raise NotFound(f"Refspec '{ref}' not found in {self._repo.path}")
        return found

    def refs(self) -> dict[str, Checksum]:
        return {ref: commit for (remote, ref), commit in self._repo.refs().items() if remote is None}

    def summary(self) -> bytes | None:
        try:
            return files.read("summary", self._repo.fd, MAX_METADATA_SIZE)
        except FileNotFoundError:
            return None

    def locate(self, name: ObjectName) -> str:
        return f"{self._repo.path}/objects/{self._repo.object_path(name)}"

    def request(self, name: ObjectName) -> None:
        self._wanted.append(name)

    def arrivals(self) -> Iterator[tuple[ObjectName, Arrival | None]]:
        while self._wanted:
            name = self._wanted.popleft()
            yield name, LocalObject(self._repo, name) if self._repo.has(name) else None


class LocalObject:
    def __init__(self, repo: Repo, name: ObjectName) -> None:
        self._repo = repo
        self._name = name

    def load(self) -> bytes:
        return self._repo.load(self._name)

    def place(self, transaction: Transaction) -> int:
        checksum = self._name.checksum
        with self._repo.open_file(checksum) as stored:
            if self._repo.layout.mode == transaction.repo.layout.mode:
                if (found := content_checksum(stored.header, stored.content)) != checksum:
                    raise Corrupt(f"Corrupted object {self._name} in {self._repo.path}: its checksum is {found}")
                if transaction.link_object(self._name, self._repo):
                    return 0
        with self._repo.open_file(checksum) as stored:
            transaction.add_file(stored.header, stored.size, stored.content, checksum)
            return stored.size

    def close(self) -> None:
        pass
