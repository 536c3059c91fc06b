"""`ostree.sizes` in the metadata of a commit: how large each object that it reaches is.

An aay, in order of the checksums; each item is 32 bytes of checksum, the size in an archive and the size unpacked as
varints (seven bits a byte, the lowest first, the top bit set in all but the last), and the object's type as a byte,
which older writers leave out. A symlink is as large unpacked as its target.
"""

from typing import NamedTuple

from larix.errors import Corrupt
from larix.formats import checksum as checksums
from larix.formats.checksum import Checksum
from larix.formats.objects import ObjectType

KEY = "ostree.sizes"
TYPE = "aay"
MAX_SHIFT = 63


class Size(NamedTuple):
    """`packed` and `unpacked` in bytes. `type` is None where the writer did not say."""

    checksum: Checksum
    packed: int
    unpacked: int
    type: ObjectType | None


def encode_size(size: Size) -> bytes:
    kind = b"" if size.type is None else bytes([size.type])
    return checksums.to_bytes(size.checksum) + _varint(size.packed) + _varint(size.unpacked) + kind


def decode_size(data: bytes) -> Size:
    """Raises Corrupt."""
    try:
        checksum = checksums.from_bytes(data[:32])
        packed, at = _read_varint(data, 32)
        unpacked, at = _read_varint(data, at)
        kind = ObjectType(data[at]) if at < len(data) else None
    except (ValueError, IndexError):
        raise Corrupt(f"{KEY}: an item of {len(data)} bytes that says no sizes") from None
    return Size(checksum, packed, unpacked, kind)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number, and where the next one begins."""
    value = shift = 0
    while True:
        if shift > MAX_SHIFT:
            raise ValueError
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
        shift += 7
