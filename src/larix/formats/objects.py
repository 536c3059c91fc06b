"""Commit, dirtree, dirmeta: the metadata objects, and the names of all objects.

A metadata object is one GVariant; its checksum is the SHA-256 of its bytes. Integers in objects are big-endian, where
GVariant here is little-endian, so they are swapped at this door. `decode` accepts only what is safe to place and to
walk: 32-byte checksums, names that stay inside their directory, names in strict order, modes of the right kind.
"""

import hashlib
import stat
from collections.abc import Iterator, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import larix.gvariant as gvariant
from larix.errors import Corrupt, Invalid
from larix.formats import checksum as checksums
from larix.formats import xattrs as xattr_format
from larix.formats.checksum import Checksum, is_checksum
from larix.formats.names import check_part
from larix.formats.usual_dirtree import read_usual, write_usual
from larix.formats.xattrs import Xattrs
from larix.gvariant import Variant

# The most bytes a metadata object may have, as in the C tool.
MAX_METADATA_SIZE = 128 << 20

COMMIT_TYPE = "(a{sv}aya(say)sstayay)"
# Of what may be kept beside a commit and changed later, such as signatures.
DETACHED_TYPE = "a{sv}"
DIRTREE_TYPE = "(a(say)a(sayay))"
DIRMETA_TYPE = "(uuua(ayay))"

MODE_BITS = 0o7777


class ObjectType(IntEnum):
    """The values are those of serialised object names."""

    FILE = 1
    DIR_TREE = 2
    DIR_META = 3
    COMMIT = 4
    TOMBSTONE_COMMIT = 5
    COMMIT_META = 6
    PAYLOAD_LINK = 7
    FILE_XATTRS = 8
    FILE_XATTRS_LINK = 9

    # That of Enum hashes the name, in Python.
    __hash__ = int.__hash__

    @property
    def extension(self) -> str:
        """The end of the object's file name; file objects of an archive have `.filez` instead."""
        return EXTENSIONS[self]


EXTENSIONS = {
    ObjectType.FILE: "file",
    ObjectType.DIR_TREE: "dirtree",
    ObjectType.DIR_META: "dirmeta",
    ObjectType.COMMIT: "commit",
    ObjectType.TOMBSTONE_COMMIT: "tombstone-commit",
    ObjectType.COMMIT_META: "commitmeta",
    ObjectType.PAYLOAD_LINK: "payload-link",
    ObjectType.FILE_XATTRS: "file-xattrs",
    ObjectType.FILE_XATTRS_LINK: "file-xattrs-link",
}
TYPES = {extension: kind for kind, extension in EXTENSIONS.items()}


class ObjectName(NamedTuple):
    """By what an object is known in a repo; as text, as it is called there: `CHECKSUM.dirtree`."""

    checksum: Checksum
    type: ObjectType

    def __str__(self) -> str:
        return f"{self.checksum}.{self.type.extension}"


def parse_object_name(text: str) -> ObjectName:
    """`CHECKSUM.EXTENSION`. Raises Invalid."""
    checksum, _, extension = text.partition(".")
    if not is_checksum(checksum) or extension not in TYPES:
        raise Invalid(f"Invalid object name {text[:100]!r}")
    return ObjectName(Checksum(checksum), TYPES[extension])


def checksum_of(data: bytes) -> Checksum:
    """Return the checksum of a metadata object with these bytes."""
    return Checksum(hashlib.sha256(data).hexdigest())


def swap32(value: int) -> int:
    return int.from_bytes(value.to_bytes(4, "little"), "big")


def swap64(value: int) -> int:
    return int.from_bytes(value.to_bytes(8, "little"), "big")


def to_wire_time(seconds: int) -> int:
    """Return a time as the value of a `t`: big-endian, and in two's complement where it lies before 1970."""
    return swap64(seconds % 2**64)


def from_wire_time(value: int) -> int:
    """Return seconds since 1970 for the value of a `t`."""
    swapped = swap64(value)
    return swapped - 2**64 if swapped >> 63 else swapped


class Metadata(Mapping[str, Variant]):
    """An a{sv}. Keys may be repeated on disk: lookup finds the first, `pairs` has all, in order."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Mapping[str, Variant] | list[tuple[str, Variant]] | tuple[tuple[str, Variant], ...] = ()):
        self.pairs = tuple(pairs.items() if isinstance(pairs, Mapping) else pairs)

    def __getitem__(self, key: str) -> Variant:
        for name, value in self.pairs:
            if name == key:
                return value
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.pairs))

    def __len__(self) -> int:
        return len(dict(self.pairs))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Metadata) and self.pairs == other.pairs

    def __hash__(self) -> int:
        # The values may be lists.
        return hash(tuple(name for name, _ in self.pairs))

    def __repr__(self) -> str:
        return f"Metadata({list(self.pairs)!r})"

    def find_string(self, key: str) -> str | None:
        """Return the value of `key` when it is there and is a string."""
        value = self.get(key)
        return value.value if value is not None and value.type == "s" else None


class Commit(NamedTuple):
    """One release of a tree. `timestamp` is in seconds since 1970; `related` holds (name, checksum bytes), unused."""

    metadata: Metadata
    parent: Checksum | None
    subject: str
    body: str
    timestamp: int
    dirtree: Checksum
    dirmeta: Checksum
    related: tuple[tuple[str, bytes], ...] = ()

    def encode(self) -> bytes:
        return gvariant.encode(
            COMMIT_TYPE,
            (
                self.metadata.pairs,
                checksums.to_bytes(self.parent) if self.parent else b"",
                self.related,
                self.subject,
                self.body,
                to_wire_time(self.timestamp),
                checksums.to_bytes(self.dirtree),
                checksums.to_bytes(self.dirmeta),
            ),
        )


def decode_commit(data: bytes) -> Commit:
    """Raises Corrupt."""
    metadata, parent, related, subject, body, timestamp, dirtree, dirmeta = _decode(COMMIT_TYPE, data, "commit")
    return Commit(
        Metadata(metadata),
        checksums.from_bytes(parent) if parent else None,
        subject,
        body,
        from_wire_time(timestamp),
        checksums.from_bytes(dirtree),
        checksums.from_bytes(dirmeta),
        tuple(related),
    )


class DirTree(NamedTuple):
    """The names in one directory: name -> checksum of the file, name -> (dirtree, dirmeta); both in byte order."""

    files: dict[str, Checksum]
    dirs: dict[str, tuple[Checksum, Checksum]]

    def encode(self) -> bytes:
        if (usual := write_usual(*self)) is not None:
            return usual
        # UTF-8 sorts by bytes as its code points do.
        files = [(name, checksums.to_bytes(self.files[name])) for name in sorted(self.files)]
        dirs = [
            (name, checksums.to_bytes(tree), checksums.to_bytes(meta))
            for name, (tree, meta) in sorted(self.dirs.items())
        ]
        return gvariant.encode(DIRTREE_TYPE, (files, dirs))


def decode_dirtree(data: bytes) -> DirTree:
    """Raises Corrupt, also for names that would leave the directory, are repeated or unsorted."""
    if len(data) <= MAX_METADATA_SIZE and (usual := read_usual(data)) is not None:
        return DirTree(*usual)
    files, dirs = _decode(DIRTREE_TYPE, data, "dirtree")
    for entries in files, dirs:
        before = ""
        for entry in entries:
            name = check_part(entry[0])
            if name <= before:
                raise Corrupt(f"Name {name!r} in a directory is repeated or out of order")
            before = name
    tree = DirTree(
        {name: checksums.from_bytes(file) for name, file in files},
        {name: (checksums.from_bytes(sub), checksums.from_bytes(meta)) for name, sub, meta in dirs},
    )
    for name in tree.files.keys() & tree.dirs.keys():
        raise Corrupt(f"Name {name!r} in a directory is both a file and a directory")
    return tree


class DirMeta(NamedTuple):
    """Owner, mode (with its S_IFDIR) and extended attributes of a directory."""

    uid: int
    gid: int
    mode: int
    xattrs: Xattrs = ()

    def encode(self) -> bytes:
        return _encode_dirmeta_cached(self) if not self.xattrs else _encode_dirmeta(self)


def _encode_dirmeta(meta: DirMeta) -> bytes:
    members = swap32(meta.uid), swap32(meta.gid), swap32(meta.mode), xattr_format.to_variant(meta.xattrs)
    return gvariant.encode(DIRMETA_TYPE, members)


# A tree has many directories and few owners and modes.
_encode_dirmeta_cached = lru_cache(1024)(_encode_dirmeta)


def decode_dirmeta(data: bytes) -> DirMeta:
    """Raises Corrupt."""
    uid, gid, mode, pairs = _decode(DIRMETA_TYPE, data, "dirmeta")
    mode = swap32(mode)
    if not stat.S_ISDIR(mode) or mode & ~(stat.S_IFDIR | MODE_BITS):
        raise Corrupt(f"Invalid mode {mode:o} of a directory")
    return DirMeta(swap32(uid), swap32(gid), mode, xattr_format.from_variant(pairs))


def _decode(type_string: str, data: bytes, what: str) -> Any:
    if len(data) > MAX_METADATA_SIZE:
        raise Corrupt(f"a {what} of {len(data)} bytes; at most {MAX_METADATA_SIZE} are allowed")
    try:
        return gvariant.decode(type_string, data)
    except Corrupt as error:
        raise Corrupt(f"not a {what}: {error}") from None
