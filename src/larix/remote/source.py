"""The other end of a pull, as one protocol: a repo behind HTTP, or one in a directory of this machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName
from larix.formats.sizes import Size
from larix.repo.transaction import Transaction


@dataclass(slots=True)
class Pulled:
    """What came: numbers of objects, those of them that came from caches, bytes of content, bytes that travelled, and
    whether that was over a network."""

    metadata: int = 0
    content: int = 0
    metadata_near: int = 0
    content_near: int = 0
    content_size: int = 0
    transferred: int = 0
    over_network: bool = False

    def add(self, other: "Pulled") -> None:
        self.metadata += other.metadata
        self.content += other.content
        self.metadata_near += other.metadata_near
        self.content_near += other.content_near
        self.content_size += other.content_size
        self.transferred += other.transferred
        self.over_network |= other.over_network


class Source(Protocol):
    """Where a pull takes from. What it raises is an Error; whoever made it closes it."""

    # Whether objects come over a network.
    remote: bool
    # What its own branches are known by, if anything.
    collection: str | None

    @property
    def transferred(self) -> int:
        """Bytes of summary, refs and metadata that travelled so far."""
        ...

    @property
    def near(self) -> int:
        """How many metadata objects came from caches so far."""
        ...

    def find_ref(self, ref: str) -> Checksum:
        """Return the commit of one of its branches. Raises NotFound."""
        ...

    def refs(self) -> dict[str, Checksum]:
        """Return all its branches. Raises NotFound where it cannot tell."""
        ...

    def mirrors(self) -> dict[tuple[str, str], Checksum]:
        """Return (collection, ref) -> commit, of the branches of others that it keeps."""
        ...

    def locate(self, name: ObjectName) -> str:
        """Return where it looks for an object, for messages."""
        ...

    def summary(self) -> bytes | None:
        """Return the summary as it is there, if it has one."""
        ...

    def request(self, name: ObjectName) -> None:
        """Ask for a metadata object."""
        ...

    def arrivals(self) -> Iterator[tuple[ObjectName, bytes | None]]:
        """Return what was requested, in any order, None for what is not there. More may be requested meanwhile.

        Nothing is compared with a checksum here.
        """
        ...

    def link(self, name: ObjectName, transaction: Transaction) -> bool:
        """Add a metadata object that arrived and is whole by sharing the file it is in, where that can be done."""
        ...

    def bring(self, checksums: list[Checksum], transaction: Transaction) -> Pulled:
        """Check these file objects and add them, in a worker. Raises NotFound, Corrupt, FetchFailed."""
        ...

    def measure(self, checksums: list[Checksum]) -> list[Size]:
        """Return, in a worker, how many bytes these file objects would be on their way, and are unpacked.

        Raises NotFound, Corrupt, FetchFailed.
        """
        ...

    def close(self) -> None: ...


class InFront:
    """A source that stands in front of another, and does as that does. Derive from it what is to be different."""

    def __init__(self, source: Source) -> None:
        """Closes the other one."""
        self._source = source
        self.remote = source.remote
        self.collection = source.collection

    @property
    def transferred(self) -> int:
        return self._source.transferred

    @property
    def near(self) -> int:
        return self._source.near

    def find_ref(self, ref: str) -> Checksum:
        return self._source.find_ref(ref)

    def refs(self) -> dict[str, Checksum]:
        return self._source.refs()

    def mirrors(self) -> dict[tuple[str, str], Checksum]:
        return self._source.mirrors()

    def locate(self, name: ObjectName) -> str:
        return self._source.locate(name)

    def summary(self) -> bytes | None:
        return self._source.summary()

    def request(self, name: ObjectName) -> None:
        self._source.request(name)

    def arrivals(self) -> Iterator[tuple[ObjectName, bytes | None]]:
        return self._source.arrivals()

    def link(self, name: ObjectName, transaction: Transaction) -> bool:
        return self._source.link(name, transaction)

    def bring(self, checksums: list[Checksum], transaction: Transaction) -> Pulled:
        return self._source.bring(checksums, transaction)

    def measure(self, checksums: list[Checksum]) -> list[Size]:
        return self._source.measure(checksums)

    def close(self) -> None:
        self._source.close()
