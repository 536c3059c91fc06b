"""A pull from a repo in a directory."""

from collections import deque
from collections.abc import Iterator

from larix.errors import Corrupt
from larix.formats.checksum import Checksum
from larix.formats.names import parse_refspec
from larix.formats.objects import MAX_METADATA_SIZE, ObjectName, ObjectType
from larix.formats.sizes import Size
from larix.linux import reading
from larix.ops.fsck import check_file
from larix.remote.source import Pulled
from larix.repo import refs
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction


class RepoSource:
    """A repo in a directory of this machine, of any mode."""

    remote = False
    near = 0

    def __init__(self, path: str, *, trusted: bool = True) -> None:
        """Objects of a `trusted` repo are linked, where they can be, without being read."""
        self._trusted = trusted
        self._repo = Repo(path)
        self.collection = self._repo.collection_id
        self._wanted: deque[ObjectName] = deque()

    def close(self) -> None:
        self._repo.close()

    @property
    def transferred(self) -> int:
        return 0

    def find_ref(self, ref: str) -> Checksum:
        found = refs.find_ref(self._repo.fd, None, ref)
        if found is None:
            raise refs.unknown(ref, self._repo.path)
        return found

    def look_up(self, refspec: str) -> Checksum:
        """Return the commit of `REF` or `REMOTE:REF`, of which the first may be a remote's, too."""
        found = refs.find_ref(self._repo.fd, *parse_refspec(refspec)) or self._repo.refs.find(refspec)
        if found is None:
            raise refs.unknown(refspec, self._repo.path)
        return found

    def refs(self) -> dict[str, Checksum]:
        return {ref: commit for (remote, ref), commit in self._repo.refs.all().items() if remote is None}

    def mirrors(self) -> dict[tuple[str, str], Checksum]:
        return self._repo.refs.mirrors()

    def summary(self) -> bytes | None:
        try:
            return reading.read("summary", self._repo.fd, MAX_METADATA_SIZE)
        except FileNotFoundError:
            return None

    def locate(self, name: ObjectName) -> str:
        repo = self._repo.holder(name)
        return f"{repo.path}/objects/{repo.object_path(name)}"

    def has(self, name: ObjectName) -> bool:
        return self._repo.has(name)

    def request(self, name: ObjectName) -> None:
        self._wanted.append(name)

    def arrivals(self) -> Iterator[tuple[ObjectName, bytes | None]]:
        while self._wanted:
            name = self._wanted.popleft()
            yield name, self._repo.load(name) if self._repo.has(name) else None

    def link(self, name: ObjectName, transaction: Transaction) -> bool:
        repo = self._repo.holder(name)
        shares = repo.owner == transaction.repo.owner
        return self._trusted and shares and transaction.link_object(name, repo)

    def bring(self, checksums: list[Checksum], transaction: Transaction) -> Pulled:
        size = 0
        for checksum in checksums:
            name = ObjectName(checksum, ObjectType.FILE)
            holder = self._repo.holder(name)
            if _share(name, holder, transaction.repo):
                if not self._trusted:
                    self._check(name)
                if transaction.link_object(name, holder):
                    continue
            with self._repo.open_file(checksum) as stored:
                transaction.add_file(stored.header, stored.size, stored.content, checksum)
                size += stored.size
        return Pulled(content=len(checksums), content_size=size)

    def measure(self, checksums: list[Checksum]) -> list[Size]:
        sizes = []
        for checksum in checksums:
            packed = self._repo.stored_size(ObjectName(checksum, ObjectType.FILE))
            sizes.append(Size(checksum, packed, self._repo.look_at_file(checksum)[1], ObjectType.FILE))
        return sizes

    def _check(self, name: ObjectName) -> None:
        try:
            check_file(self._repo, name.checksum)
        except Corrupt as error:
            raise Corrupt(f"{self.locate(name)}: {error}") from None


def _share(name: ObjectName, one: Repo, other: Repo) -> bool:
    """Return whether the file object of one repo can be in the other too: what someone else may write to is copied."""
    return one.owner == other.owner and one.layout.gives(other.layout, lambda: one.look_at_file(name.checksum)[0])
