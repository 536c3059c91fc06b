"""File objects: header, checksum, and the `.filez` of archives.

A file object is a header (owner, mode, symlink target, extended attributes) and the content. Its checksum is the
SHA-256 of the *content stream*:

    size of header (4 bytes, big-endian) · 4 zero bytes · header (uuuusa(ayay)) · content

An archive stores it as `.filez`, with a header that also holds the content's size:

    size of header (4 bytes, big-endian) · 4 zero bytes · header (tuuuusa(ayay)) · content as raw deflate

Symlinks have no content. The checksum is of the plain stream, whatever the deflate stream looks like.
"""

import hashlib
import stat
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import larix.gvariant as gvariant
from larix.errors import Corrupt
from larix.formats import xattrs as xattr_format
from larix.formats.checksum import Checksum
from larix.formats.objects import MAX_METADATA_SIZE, MODE_BITS, swap32
from larix.formats.xattrs import Xattrs

HEADER_TYPE = "(uuuusa(ayay))"
ARCHIVE_HEADER_TYPE = "(tuuuusa(ayay))"

# The size of the header and its padding, which stand before both kinds of header.
PREFIX_SIZE = 8
# Of the content's size, with which the header of a `.filez` begins.
SIZE_SIZE = 8
# Content comes as what the library that made it gives.
Piece = bytes | bytearray
# Bytes of a header worth remembering: no symlink with a long target, no large attributes.
CACHED = 64


class FileHeader(NamedTuple):
    """Owner, mode (with its S_IFREG or S_IFLNK), symlink target ('' for regular files), extended attributes."""

    uid: int
    gid: int
    mode: int
    target: str = ""
    xattrs: Xattrs = ()

    @property
    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.mode)

    def encode(self) -> bytes:
        """Prefix and header of the content stream."""
        return _encode_cached(self) if not self.xattrs else _encode(self)

    def encode_archive(self, size: int) -> bytes:
        """Prefix and header of a `.filez` whose content has `size` bytes before compression."""
        without = _encode_archive_cached(self) if not self.xattrs else _encode_archive(self)
        return without[:PREFIX_SIZE] + size.to_bytes(SIZE_SIZE, "big") + without[PREFIX_SIZE + SIZE_SIZE :]

    def _variant(self) -> tuple[object, ...]:
        # The fourth member, a device number, is always 0.
        owner = swap32(self.uid), swap32(self.gid), swap32(self.mode), 0
        return *owner, self.target, xattr_format.to_variant(self.xattrs)


def _encode(header: FileHeader) -> bytes:
    return _with_prefix(gvariant.encode(HEADER_TYPE, header._variant()))


def _encode_archive(header: FileHeader) -> bytes:
    """Return prefix and header of a `.filez` with a size of 0."""
    return _with_prefix(gvariant.encode(ARCHIVE_HEADER_TYPE, (0, *header._variant())))


# A tree has many files and few owners and modes.
_encode_cached = lru_cache(1024)(_encode)
_encode_archive_cached = lru_cache(1024)(_encode_archive)


def _with_prefix(header: bytes) -> bytes:
    return len(header).to_bytes(4, "big") + bytes(4) + header


def header_size(prefix: bytes) -> int:
    """Return how many bytes the header has that follows these 8. Raises Corrupt where they are no prefix or promise too
    much."""
    size = int.from_bytes(prefix[:4], "big")
    if len(prefix) != PREFIX_SIZE or prefix[4:] != bytes(4) or size > MAX_METADATA_SIZE:
        raise Corrupt("not a file object: its first 8 bytes are no header size")
    return size


def decode_header(header: bytes) -> FileHeader:
    """Return the header in the bytes after the prefix. Raises Corrupt."""
    return _from_variant(gvariant.decode(HEADER_TYPE, header))


def decode_archive_header(header: bytes) -> tuple[FileHeader, int]:
    """Return header and size of the content in bytes, from the bytes after the prefix of a `.filez`. Raises Corrupt."""
    rest = header[SIZE_SIZE:]
    found = _decode_after_size_cached(rest) if len(rest) <= CACHED else _decode_after_size(rest)
    size = int.from_bytes(header[:SIZE_SIZE], "big")
    if found.is_symlink and size:
        raise Corrupt("a symlink with content")
    return found, size


def _decode_after_size(rest: bytes) -> FileHeader:
    _, *members = gvariant.decode(ARCHIVE_HEADER_TYPE, bytes(SIZE_SIZE) + rest)
    return _from_variant(tuple(members))


_decode_after_size_cached = lru_cache(1024)(_decode_after_size)


def _from_variant(value: tuple[int, int, int, int, str, list[tuple[bytes, bytes]]]) -> FileHeader:
    uid, gid, mode, device, target, pairs = value
    mode = swap32(mode)
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)) or mode & ~(stat.S_IFMT(mode) | MODE_BITS):
        raise Corrupt(f"Invalid mode {mode:o} of a file")
    if device:
        raise Corrupt("a file object with a device number")
    if stat.S_ISLNK(mode) != bool(target):
        raise Corrupt("a file object must have a target if and only if it is a symlink")
    return FileHeader(swap32(uid), swap32(gid), mode, target, xattr_format.from_variant(pairs))


def content_checksum(header: FileHeader, content: Iterable[Piece] = ()) -> Checksum:
    """Return the checksum of a file object, its content given in pieces."""
    digest = hashlib.sha256(header.encode())
    for piece in content:
        digest.update(piece)
    return Checksum(digest.hexdigest())
