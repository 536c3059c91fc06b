"""What a pull would bring and cost, before it does. The metadata comes, and goes again; of files, only their sizes."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from larix.errors import Corrupt
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.content import FileHeader
from larix.formats.objects import Commit, ObjectName, ObjectType, decode_commit
from larix.formats.sizes import KEY, TYPE, Size, decode_size
from larix.progress import NO_PROGRESS, Progress
from larix.remote.pull import age_here
from larix.remote.puller import Asked, Puller, PullOptions
from larix.remote.source import InFront, Pulled, Source
from larix.repo.layout import StoredFile
from larix.repo.repo import Repo
from larix.repo.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a pull: `objects` come, as so many `fetched` bytes, and take so many `stored` bytes here, in whole blocks."""

    objects: int = 0
    fetched: int = 0
    stored: int = 0


class Measured:
    """Inside `measuring`: a commit that was not brought, what bringing it costs, and its metadata."""

    def __init__(self, commit: Checksum, cost: Cost, transaction: Transaction, source: "_Measure") -> None:
        self.commit = commit
        self.cost = cost
        self._transaction = transaction
        self._source = source
        # Each is asked for once.
        self._sizes: dict[Checksum, int] = {}
        self.load_dirtree = transaction.load_dirtree

    def load_commit(self) -> Commit:
        return decode_commit(self._transaction.load(ObjectName(self.commit, ObjectType.COMMIT)))

    def look_at_file(self, file: Checksum) -> tuple[FileHeader, int]:
        """Return header and size in bytes. What was not brought is taken for a file, be it a symlink."""
        if self._transaction.has(ObjectName(file, ObjectType.FILE)):
            return self._transaction.look_at_file(file)
        if file not in self._sizes:
            self._sizes[file] = self._source.measure([file])[0].unpacked
        return FileHeader(0, 0, stat.S_IFREG), self._sizes[file]

    def open_file(self, file: Checksum) -> StoredFile:
        """Raises NotFound for what was not brought."""
        return self._transaction.open_file(file)


@contextmanager
def measuring(
    repo: Repo,
    source: Source,
    remote: str,
    ref: str,
    commit: Checksum,
    options: PullOptions,
    *,
    progress: Progress = NO_PROGRESS,
) -> Iterator[Measured]:
    """Find what a pull of `ref` of the source at `commit` would bring; the repo stays as it is.

    Sizes that the commit states are believed; others are asked for, object by object. Raises what a pull raises.
    """
    with Transaction(repo) as transaction:
        measure = _Measure(source, repo)
        # One that is named by its checksum is asked for nothing else.
        asked = [] if is_checksum(ref) else [Asked(ref, options.collection, age_here(repo, remote, None, ref))]
        pulled = Puller(measure, transaction, options, progress).run({commit: asked})
        objects = pulled.metadata + pulled.content
        fetched = measure.metadata_size + pulled.transferred
        stored = measure.metadata_stored + pulled.content_size
        yield Measured(commit, Cost(objects, fetched, stored), transaction, measure)


class _Measure(InFront):
    """A source that brings metadata, and in place of files only their sizes: here `content_size` is what is stored."""

    transferred = 0

    def __init__(self, source: Source, repo: Repo) -> None:
        super().__init__(source)
        self._packs = repo.layout.keeps_packed
        self._unit = os.fstatvfs(repo.fd).f_frsize
        # Filled as commits arrive, which is before a worker is asked for their files, or forked at all.
        self._stated: dict[Checksum, Size] = {}
        self.metadata_size = self.metadata_stored = 0

    def arrivals(self) -> Iterator[tuple[ObjectName, bytes | None]]:
        for name, data in self._source.arrivals():
            if data is not None:
                self.metadata_size += len(data)
                self.metadata_stored += self._blocks(len(data))
                if name.type == ObjectType.COMMIT:
                    self._note_sizes(name, data)
            yield name, data

    def _note_sizes(self, name: ObjectName, data: bytes) -> None:
        try:
            stated = decode_commit(data).metadata.get(KEY)
        except Corrupt as error:
            raise Corrupt(f"Corrupted object {name}: {error}") from None
        if stated is not None and stated.type == TYPE:
            self._stated.update((size.checksum, size) for size in map(decode_size, stated.value))

    def link(self, name: ObjectName, transaction: Transaction) -> bool:
        return False

    def bring(self, checksums: list[Checksum], transaction: Transaction) -> Pulled:
        pulled = Pulled(content=len(checksums))
        for size in self.measure(checksums):
            pulled.transferred += size.packed
            pulled.content_size += self._blocks(size.packed if self._packs else size.unpacked)
        return pulled

    def measure(self, checksums: list[Checksum]) -> list[Size]:
        stated = [self._stated[checksum] for checksum in checksums if checksum in self._stated]
        return stated + self._source.measure([checksum for checksum in checksums if checksum not in self._stated])

    def _blocks(self, size: int) -> int:
        return -(-size // self._unit) * self._unit
