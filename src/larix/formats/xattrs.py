"""Extended attributes as objects hold them: a(ayay), names with their NUL, each once; we write them sorted."""

from collections.abc import Iterable

import larix.gvariant as gvariant
from larix.errors import Corrupt

# (name, value) pairs; the name has no NUL here.
Xattrs = tuple[tuple[bytes, bytes], ...]

TYPE = "a(ayay)"


def canonical(pairs: Iterable[tuple[bytes, bytes]]) -> Xattrs:
    """Return what a file's attributes are as an object. Those with an empty value are left out, as the C tool does."""
    return tuple(sorted(pair for pair in pairs if pair[1]))


def from_variant(pairs: list[tuple[bytes, bytes]]) -> Xattrs:
    """Return attributes from the decoded a(ayay), in its order: earlier C tools wrote those of tar archives unsorted.

    Raises Corrupt for names that are empty, unterminated or repeated.
    """
    found: dict[bytes, bytes] = {}
    for raw, value in pairs:
        name = raw[:-1]
        if not name or raw.find(0) != len(name):
            raise Corrupt(f"Invalid extended attribute name {raw[:80]!r}")
        if name in found:
            raise Corrupt(f"Extended attribute {name[:80]!r} is repeated")
        found[name] = value
    return tuple(found.items())


def to_variant(xattrs: Xattrs) -> list[tuple[bytes, bytes]]:
    return [(name + b"\0", value) for name, value in xattrs]


def decode(data: bytes) -> Xattrs:
    return from_variant(gvariant.decode(TYPE, data))


def encode(xattrs: Xattrs) -> bytes:
    return gvariant.encode(TYPE, to_variant(xattrs))
