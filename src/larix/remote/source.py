"""The other end of a pull, as one protocol: a repo behind HTTP, or one in a directory of this machine."""

from collections.abc import Iterator
from typing import Protocol

from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectName
from larix.repo.transaction import Transaction


class Arrival(Protocol):
    """An object that came, not yet compared with its checksum."""

    def load(self) -> bytes:
        """The bytes of a metadata object."""
        ...

    def place(self, transaction: Transaction) -> int:
        """Check a file object and add it; the bytes written. Raises Corrupt. May run in another thread."""
        ...

    def close(self) -> None: ...


class Source(Protocol):
    @property
    def transferred(self) -> int | None:
        """Bytes that arrived so far; None where nothing travels."""
        ...

    def find_ref(self, ref: str) -> Checksum:
        """The commit of one of its branches. Raises NotFound."""
        ...

    def refs(self) -> dict[str, Checksum]:
        """All its branches. Raises NotFound where it cannot tell."""
        ...

    def locate(self, name: ObjectName) -> str:
        """Where it looks for an object, for messages."""
        ...

    def summary(self) -> bytes | None: ...

    def request(self, name: ObjectName) -> None: ...

    def arrivals(self) -> Iterator[tuple[ObjectName, Arrival | None]]:
        """What was requested, in any order, None for what is not there. More may be requested meanwhile."""
        ...

    def close(self) -> None: ...
